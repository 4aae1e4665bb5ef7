"""What each provider of the OpenAI API takes, checked before anything is called.

| provider | takes beside base model, method and seed |
|---|---|
| openai | epochs, batch_size, learning_rate_multiplier, beta, suffix |
| azure | the same |
| millrace | everything |
"""

from __future__ import annotations

from typing import Final, Literal

from trainer_trigger.launchers.errors import LaunchRefusedError
from trainer_trigger.launchers.port import DataFile, LaunchRequest

Provider = Literal["openai", "azure", "millrace"]

_HOSTED: Final = frozenset({"epochs", "batch_size", "learning_rate_multiplier", "beta", "suffix", "seed"})
TAKES: Final[dict[Provider, frozenset[str]]] = {
    "openai": _HOSTED,
    "azure": _HOSTED,
    "millrace": _HOSTED
    | {
        "learning_rate",
        "lr_scheduler",
        "warmup_steps",
        "weight_decay",
        "gradient_accumulation_steps",
        "lora_rank",
        "lora_alpha",
        "early_stopping",
    },
}

MIN_EXAMPLES: Final = 10
MAX_FILE_BYTES: Final = 512 * 1024 * 1024
MAX_METADATA_CHARS: Final = 512
"""Of a metadata value. We send three pairs of the sixteen that may be."""


def check(request: LaunchRequest, provider: Provider) -> None:
    """Raises LaunchRefusedError naming the first field that the provider does not take."""
    for name in request.training.given:
        if name not in TAKES[provider]:
            raise LaunchRefusedError(f"provider {provider} does not take it; leave it out", f"training.{name}")
    if len(request.target) > MAX_METADATA_CHARS:
        raise LaunchRefusedError(f"longer than {MAX_METADATA_CHARS} characters", "target")
    _check_file("train_file", request.train_file)
    if request.train_file.examples < MIN_EXAMPLES:
        raise LaunchRefusedError(f"{request.train_file.examples} of at least {MIN_EXAMPLES} examples", "train_file")
    if request.validation_file is not None:
        _check_file("validation_file", request.validation_file)


def _check_file(field: str, file: DataFile) -> None:
    if file.size_bytes > MAX_FILE_BYTES:
        raise LaunchRefusedError(f"{file.size_bytes} bytes, more than {MAX_FILE_BYTES}", field)


def hyperparameters(request: LaunchRequest) -> dict[str, object]:
    """The `hyperparameters` object of the API: its own names where it has some, ours for what only we take."""
    apart = {"suffix", "seed"}
    renamed = {"epochs": "n_epochs"}
    return {renamed.get(name, name): value for name, value in request.training.given.items() if name not in apart}
