from __future__ import annotations

import msgspec
import pytest
import yaml

from schemas.training import EarlyStopping, Training

GIVEN = """
version: 1
base_model: tiny
epochs: 3
batch_size: 4
learning_rate: 2.0e-5
weight_decay: 0.01
warmup_steps: 500
lr_scheduler: cosine
gradient_accumulation_steps: 8
lora_rank: 8
early_stopping: {patience: 3, min_delta: 0.01}
"""


def read(**fields: object) -> Training:
    return msgspec.convert({"base_model": "tiny", **fields}, Training)


def test_a_whole_configuration_is_read_from_yaml() -> None:
    training = msgspec.convert(yaml.safe_load(GIVEN), Training)
    assert (training.learning_rate, training.early_stopping) == (2e-5, EarlyStopping(patience=3, min_delta=0.01))
    assert training.given["early_stopping"] == {"patience": 3, "min_delta": 0.01}
    assert "seed" not in training.given and "base_model" not in training.given


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("epochs", 1, 0),
        ("epochs", 50, 51),
        ("batch_size", 1, 0),
        ("batch_size", 256, 257),
        ("suffix", "x", ""),
        ("suffix", "x" * 64, "x" * 65),
        ("learning_rate", 1e-9, 0),
        ("weight_decay", 0, -0.1),
        ("warmup_steps", 0, -1),
        ("gradient_accumulation_steps", 1, 0),
        ("lora_rank", 1, 0),
        ("version", 1, 2),
        ("method", "supervised", "reinforcement"),
        ("lr_scheduler", "linear", "steep"),
    ],
)
def test_each_limit_lets_its_own_value_in_and_the_next_one_not(field: str, good: object, bad: object) -> None:
    assert getattr(read(**{field: good}), field) == good
    with pytest.raises(msgspec.ValidationError, match=rf"\$\.{field}"):
        read(**{field: bad})


def test_beta_goes_to_two_and_belongs_to_dpo() -> None:
    assert read(method="dpo", beta=2).beta == 2
    for fields in ({"method": "dpo", "beta": 2.1}, {"method": "dpo", "beta": 0}, {"beta": 0.1}):
        with pytest.raises(msgspec.ValidationError, match="beta"):
            read(**fields)


def test_a_field_that_is_not_there_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="epoch"):
        read(epoch=3)


def test_a_learning_rate_is_said_in_one_way() -> None:
    with pytest.raises(msgspec.ValidationError, match="exclude each other"):
        read(learning_rate=1e-4, learning_rate_multiplier=2)


def test_the_hash_tells_configurations_apart_and_not_their_spelling() -> None:
    assert read(epochs=3, seed=1).hash == read(seed=1, epochs=3).hash
    assert read(epochs=3).hash != read(epochs=4).hash != read().hash
