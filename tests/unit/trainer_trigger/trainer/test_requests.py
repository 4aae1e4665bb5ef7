from __future__ import annotations

import pytest

from trainer_trigger.trainer.job import Hyperparameters, resolve
from trainer_trigger.trainer.refused import Refused
from trainer_trigger.trainer.requests import Options, read, shown, tuned_name

LEAST = {"model": "base", "training_file": "file-1"}


def refused(**more: object) -> Refused:
    with pytest.raises(Refused) as caught:
        read(LEAST | more)
    assert caught.value.status == 400
    return caught.value


def test_the_least_that_can_be_asked() -> None:
    asked = read(LEAST)
    assert (asked.method, asked.hyperparameters, asked.suffix) == ("supervised", Hyperparameters(), None)


def test_auto_is_our_default_wherever_it_stands() -> None:
    hyperparameters = {"n_epochs": "auto", "batch_size": "auto", "lora_rank": "auto", "beta": "auto"}
    method = {"type": "dpo", "dpo": {"hyperparameters": hyperparameters}}
    assert read(LEAST | {"method": method}).hyperparameters == Hyperparameters()


def test_our_own_hyperparameters_are_taken_beside_openais() -> None:
    ours = {
        "learning_rate": 2e-4,
        "lr_scheduler": "cosine",
        "warmup_steps": 5,
        "weight_decay": 0.1,
        "gradient_accumulation_steps": 2,
        "lora_rank": 4,
        "lora_alpha": 8,
        "early_stopping": {"patience": 2, "min_delta": 0.0},
    }
    asked = read(LEAST | {"method": {"type": "supervised", "supervised": {"hyperparameters": ours}}})
    assert asked.hyperparameters.lr_scheduler == "cosine"
    assert asked.hyperparameters.early_stopping is not None
    assert asked.hyperparameters.early_stopping.patience == 2


@pytest.mark.parametrize(
    ("more", "param", "code"),
    [
        ({"n_epochs": "3"}, "method.supervised.hyperparameters.n_epochs", "invalid_value"),
        ({"n_epochs": True}, "method.supervised.hyperparameters.n_epochs", "invalid_value"),
        ({"rank": 3}, "method.supervised.hyperparameters.rank", "unknown_parameter"),
        (
            {"early_stopping": {"patience": 0}},
            "method.supervised.hyperparameters.early_stopping.patience",
            "invalid_value",
        ),
        ({"beta": 0.1}, "method.supervised.hyperparameters.beta", "invalid_value"),
    ],
)
def test_a_wrong_hyperparameter_is_named_by_its_path(more: dict[str, object], param: str, code: str) -> None:
    wrong = refused(method={"type": "supervised", "supervised": {"hyperparameters": more}})
    assert (wrong.param, wrong.answer_code) == (param, code)


def test_rate_and_multiplier_exclude_each_other() -> None:
    both = {"learning_rate": 1e-4, "learning_rate_multiplier": 2}
    assert "exclude" in str(refused(hyperparameters=both))


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"surprise": 1}, "surprise"),
        ({"model": ""}, "model"),
        ({"seed": -1}, "seed"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, "integrations"),
        ({"method": {"type": "reinforcement"}}, "method.type"),
        ({"method": {"type": "dpo", "supervised": {}}}, "method"),
        ({"method": {}}, "method.type"),
        ({"method": {"type": "dpo"}, "hyperparameters": {"n_epochs": 1}}, "hyperparameters"),
        ({"metadata": {"a": 1}}, "metadata"),
    ],
)
def test_what_cannot_be_is_refused_with_the_field(more: dict[str, object], param: str) -> None:
    assert (refused(**more).param or "").startswith(param)


def test_a_missing_field_is_named_and_no_object_is_no_request() -> None:
    with pytest.raises(Refused) as caught:
        read({"model": "base"})
    assert (caught.value.param, caught.value.answer_code) == ("training_file", "missing_required_parameter")
    with pytest.raises(Refused):
        read([1])


def test_what_openai_has_no_name_for_stands_apart() -> None:
    assert read(LEAST | {"trainer": {"load_in_4bit": True}}).options == Options(load_in_4bit=True)
    assert refused(trainer={"max_length": 15}).param == "trainer.max_length"
    assert refused(trainer={"quick": True}).param == "trainer.quick"


def test_empty_integrations_ask_for_nothing() -> None:
    assert read(LEAST | {"integrations": []}).model == "base"


def test_a_tuned_model_is_named_for_its_base_its_suffix_and_its_job() -> None:
    assert tuned_name("base", "my suffix: ü", "ftjob-0123456789abcdef") == "ft:base:my-suffix::0123456789ab"
    assert tuned_name("owner/base", None, "ftjob-0123456789abcdef") == "ft:owner/base:millrace::0123456789ab"
    assert tuned_name("base", "::", "ftjob-0123456789abcdef") == "ft:base:millrace::0123456789ab"


def test_hyperparameters_are_auto_until_they_are_known() -> None:
    asked = Hyperparameters(n_epochs=2)
    assert shown("dpo", {"n_epochs": 2}, None)["beta"] == "auto"
    known = {
        name: getattr(resolve(asked, "supervised", 100, 64), name)
        for name in ("n_epochs", "batch_size", "learning_rate")
    }
    told = shown("supervised", {"n_epochs": 2}, known)
    assert told == {**known, "learning_rate_multiplier": 1.0}
    assert "learning_rate_multiplier" not in shown("supervised", {"learning_rate": 1e-4}, known)
