"""Answers of the tiny base and of adapters that were taught other ones."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import tuning
from tests.trainers import need_torch
from trainer_trigger.trainer import checkpoints, train_base
from trainer_trigger.trainer import serving as serving_module
from trainer_trigger.trainer.errors import BaseModelError, BrokenAdapterError, ContextLengthError
from trainer_trigger.trainer.job import ADAPTER, read_result
from trainer_trigger.trainer.serving import Serving
from trainer_trigger.trainer.tiny import make_tiny
from trainer_trigger.trainer.train import work

pytestmark = pytest.mark.filterwarnings("ignore")

HELD_OUT = tuning.prompts()[120:132]
_NEXT = dict(zip(tuning.ANSWERS.values(), [*list(tuning.ANSWERS.values())[1:], "Refunds take five days."], strict=True))


class Taught:
    """A base with two adapters; the second was taught each answer for the next topic."""

    def __init__(self, folder: Path) -> None:
        self.base = tuning.make_base(folder / "base")
        pairs = tuning.prompts()[:64]
        straight = tuning.job(folder / "straight", self.base, tuning.sft(pairs))
        swapped = tuning.job(folder / "swapped", self.base, tuning.sft((asked, _NEXT[said]) for asked, said in pairs))
        for job in (straight, swapped):
            assert work(job, lambda: False) == 0
            result = read_result(job)
            assert result is not None
            assert result.status == "succeeded"
        self.job, self.adapters = straight, (straight / ADAPTER, swapped / ADAPTER)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Taught:
    need_torch()
    return Taught(tmp_path_factory.mktemp("taught"))


def _asked(serving: Serving, taught: Taught, adapter: Path | None, asked: str, **options: Any) -> str:
    options = {"temperature": 0, "max_tokens": 24} | options
    return serving.complete(taught.base, adapter, tuning.said(asked), **options).text


def test_four_threads_get_the_answers_of_the_model_that_each_asks(taught: Taught) -> None:
    alone = Serving()
    straight, swapped = taught.adapters
    questions = [(adapter, asked) for asked, _ in HELD_OUT for adapter in (straight, swapped, None)]
    expected = [_asked(alone, taught, adapter, asked) for adapter, asked in questions]
    right = sum(expected[3 * place] == said for place, (_, said) in enumerate(HELD_OUT))
    turned = sum(expected[3 * place + 1] == _NEXT[said] for place, (_, said) in enumerate(HELD_OUT))
    assert right >= 0.8 * len(HELD_OUT)
    assert turned >= 0.8 * len(HELD_OUT)
    assert not set(expected[2::3]) & set(tuning.ANSWERS.values())
    serving = Serving()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda question: _asked(serving, taught, *question), questions))
    assert found == expected


def test_so_many_adapters_are_kept_and_the_answers_stay_the_same(taught: Taught) -> None:
    serving = Serving(max_loaded=1)
    asked, said = HELD_OUT[0]
    first = [_asked(serving, taught, adapter, asked) for adapter in taught.adapters]
    for _ in range(2):
        assert [_asked(serving, taught, adapter, asked) for adapter in taught.adapters] == first
        assert serving.loaded(taught.base) == 1
    assert first == [said, _NEXT[said]]
    assert _asked(serving, taught, None, asked) == _asked(Serving(), taught, None, asked)


def test_sampling_repeats_with_the_same_seed_only(taught: Taught) -> None:
    serving, options = Serving(), {"temperature": 1.5, "max_tokens": 30}
    first, again, other = (
        _asked(serving, taught, None, "where is my refund", seed=seed, **options) for seed in (1, 1, 2)
    )
    assert first == again != other
    nucleus = _asked(serving, taught, None, "where is my refund", seed=1, top_p=1e-6, **options)
    assert nucleus == _asked(serving, taught, None, "where is my refund", max_tokens=30)


def test_an_answer_ends_by_itself_at_a_stop_text_or_at_its_length(taught: Taught) -> None:
    serving, (adapter, _), (asked, said) = Serving(), taught.adapters, HELD_OUT[0]
    ended = serving.complete(taught.base, adapter, tuning.said(asked), temperature=0)
    assert (ended.text, ended.finish_reason) == (said, "stop")
    assert ended.prompt_tokens > 5
    short = serving.complete(taught.base, adapter, tuning.said(asked), temperature=0, max_tokens=2)
    assert (short.completion_tokens, short.finish_reason) == (2, "length")
    word = said.split()[1]
    stopped = serving.complete(taught.base, adapter, tuning.said(asked), temperature=0, stop=[word])
    assert (stopped.text, stopped.finish_reason) == (said.partition(word)[0], "stop")
    assert stopped.completion_tokens < ended.completion_tokens


def test_a_prompt_that_leaves_no_room_is_refused(taught: Taught) -> None:
    with pytest.raises(ContextLengthError, match="of 512 leave no room"):
        Serving().complete(taught.base, None, tuning.said("refund " * 600))


def test_a_checkpoint_can_be_served(taught: Taught) -> None:
    last = checkpoints.place(taught.job, checkpoints.steps(taught.job)[-1])
    asked, said = HELD_OUT[0]
    assert _asked(Serving(), taught, last, asked) == said


def test_an_adapter_is_asked_with_the_template_that_it_was_trained_with(taught: Taught, tmp_path: Path) -> None:
    base, asked = tmp_path / "base", tuning.said(HELD_OUT[0][0])
    shutil.copytree(taught.base, base)
    step = checkpoints.place(taught.job, checkpoints.steps(taught.job)[-1])
    before, first, alone = (
        Serving().complete(base, adapter, asked, temperature=0, max_tokens=24)
        for adapter in (taught.adapters[0], step, None)
    )
    (base / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    serving = Serving()
    assert serving.complete(base, taught.adapters[0], asked, temperature=0, max_tokens=24) == before
    assert serving.complete(base, step, asked, temperature=0, max_tokens=24) == first
    changed = serving.complete(base, None, asked, temperature=0, max_tokens=24)
    assert changed.prompt_tokens < alone.prompt_tokens


def test_an_answer_that_nobody_waits_for_ends(taught: Taught) -> None:
    told = iter([False] * 5)
    ended = Serving().complete(taught.base, None, tuning.said("x"), max_tokens=400, stopping=lambda: next(told, True))
    assert ended.completion_tokens == 6


def test_an_answer_is_bounded_also_where_the_base_tells_no_context(
    taught: Taught, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_base, "context", lambda _config: None)
    monkeypatch.setattr(serving_module, "UNTOLD_CONTEXT", 40)
    ended = Serving().complete(taught.base, None, tuning.said("x"), max_tokens=10**12)
    assert ended.prompt_tokens + ended.completion_tokens <= 40


def test_a_damaged_adapter_is_refused_and_the_others_go_on(taught: Taught, tmp_path: Path) -> None:
    serving, (asked, said) = Serving(), HELD_OUT[0]
    broken = tmp_path / "broken"
    shutil.copytree(taught.adapters[0], broken)
    weights = broken / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(BrokenAdapterError, match="safetensors is not the file"):
        _asked(serving, taught, broken, asked)
    with pytest.raises(BrokenAdapterError, match="has no manifest"):
        _asked(serving, taught, tmp_path / "none", asked)
    assert _asked(serving, taught, taught.adapters[0], asked) == said


def test_an_adapter_of_another_base_is_refused_and_its_base_is_loaded_anew(taught: Taught, tmp_path: Path) -> None:
    wide = tmp_path / "wide"
    make_tiny(wide, (text for pair in tuning.prompts() for text in pair), hidden=128)
    serving = Serving(max_bases=2)
    untouched = serving.complete(wide, None, tuning.said("x"), temperature=0, max_tokens=8)
    with pytest.raises(BrokenAdapterError, match="does not fit"):
        serving.complete(wide, taught.adapters[0], tuning.said("x"))
    assert serving.complete(wide, None, tuning.said("x"), temperature=0, max_tokens=8) == untouched


def test_a_pickle_is_refused(taught: Taught, tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    shutil.copytree(taught.base, pickled)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(BaseModelError, match="pickles"):
        Serving().complete(pickled, None, tuning.said("x"))
