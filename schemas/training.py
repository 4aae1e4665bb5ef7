"""How a fine-tune is run: version 1 of the training section of a tuning target, checked in every field.

A field that is left out (None) is the provider's own choice. What a provider does not take is refused by its launcher
before anything is called.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(gt=0)]
Rate = Annotated[float, Meta(gt=0)]
Text = Annotated[str, Meta(min_length=1)]


class EarlyStopping(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Stop after `patience` evaluations whose validation loss is not better by `min_delta`."""

    patience: Positive = 3
    min_delta: Annotated[float, Meta(ge=0)] = 0.01


class Training(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The hyperparameters. `learning_rate` is absolute; `learning_rate_multiplier` scales the provider's own.

    Limits are those of OpenAI's API where it has one: epochs 1 to 50, batches 1 to 256, `beta` in (0, 2],
    suffix 1 to 64 characters.
    """

    version: Literal[1] = 1
    base_model: Text
    method: Literal["supervised", "dpo"] = "supervised"
    epochs: Annotated[int, Meta(ge=1, le=50)] | None = None
    batch_size: Annotated[int, Meta(ge=1, le=256)] | None = None
    learning_rate: Rate | None = None
    learning_rate_multiplier: Rate | None = None
    lr_scheduler: Literal["constant", "linear", "cosine"] | None = None
    warmup_steps: Count | None = None
    weight_decay: Annotated[float, Meta(ge=0, le=1)] | None = None
    gradient_accumulation_steps: Positive | None = None
    lora_rank: Annotated[int, Meta(ge=1, le=1024)] | None = None
    lora_alpha: Positive | None = None
    beta: Annotated[float, Meta(gt=0, le=2)] | None = None
    early_stopping: EarlyStopping | None = None
    suffix: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    seed: Count | None = None

    def __post_init__(self) -> None:
        if self.learning_rate is not None and self.learning_rate_multiplier is not None:
            raise ValueError("learning_rate and learning_rate_multiplier exclude each other")
        if self.method != "dpo" and self.beta is not None:
            raise ValueError("beta belongs to method: dpo")

    @property
    def given(self) -> dict[str, object]:
        """What was said, beside version, base model and method."""
        left_out = {"version", "base_model", "method"}
        named: dict[str, object] = msgspec.to_builtins(self)
        return {name: value for name, value in named.items() if name not in left_out and value is not None}

    @property
    def hash(self) -> str:
        """SHA-256 over all fields, the same for the same configuration however it was written."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()
