"""The head that scores only what is learnt, against TRL's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import tuning
from tests.trainers import need_torch
from trainer_trigger.trainer import data, train_base
from trainer_trigger.trainer.train_chat import Chat

pytestmark = pytest.mark.filterwarnings("ignore")


def test_it_has_the_losses_and_gradients_of_the_tiles_and_of_the_plain_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_torch()
    import torch
    from trl.trainer.utils import add_fused_lm_head

    from trainer_trigger.trainer import train_head

    base = tuning.make_base(tmp_path)
    chat = Chat(train_base.tokenizer(base))
    examples = data.tokenized(tuning.sft(tuning.prompts()[:4]), "supervised", chat, 100).examples
    longest = max(len(example["input_ids"]) for example in examples)
    batch = {
        name: torch.tensor([example[name] + [fill] * (longest - len(example[name])) for example in examples])
        for name, fill in (("input_ids", 0), ("labels", -100))
    }

    def outcome(prepare: Callable[[Any], None], **more: Any) -> tuple[Any, Any]:
        model = train_base.model(base, gpu=False)
        prepare(model)
        found = model(**batch, **more)
        found.loss.backward()
        return found, model.model.layers[0].self_attn.q_proj.weight.grad

    def tiles(model: Any) -> None:
        add_fused_lm_head(model, outputs=("log_probs", "entropy", "mean_logits", "is_top1"))

    def ours(model: Any) -> None:
        tiles(model)
        train_head.score_labels_only(model)

    plain, plain_gradient = outcome(lambda _: None)
    theirs, their_gradient = outcome(tiles, fused_lm_head=True)
    found, gradient = outcome(ours, fused_lm_head=True)
    assert found.entropy is not None
    assert not found.entropy.any()
    for name in ("loss", "log_probs", "mean_logits"):
        torch.testing.assert_close(found[name], theirs[name])
    assert torch.equal(found.is_top1, theirs.is_top1)
    assert torch.equal(found.label_mask, theirs.label_mask)
    torch.testing.assert_close(found.loss, plain.loss)
    torch.testing.assert_close(gradient, their_gradient)
    torch.testing.assert_close(gradient, plain_gradient)
    monkeypatch.setattr(train_head, "LIMIT_LOGITS", 10)
    beyond, _ = outcome(ours, fused_lm_head=True)
    assert beyond.entropy.any()
    torch.testing.assert_close(beyond.loss, found.loss)
