"""Base models: local Hugging Face folders, weights as safetensors only, no code of their own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import msgspec

from trainer_trigger.trainer.errors import BaseModelError, NotAvailableError

PARAM: Final = "model"
OFFLINE: Final = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
}
"""Set before the libraries are imported; nothing is asked of any hub, nothing is told to anybody."""

UNBOUNDED: Final = 1 << 62
"""Tokens that a tokenizer takes without a warning: we look at lengths ourselves."""

_WIDTHS: Final = ("hidden_size", "n_embd", "d_model")
_USUAL_WIDTH: Final = 2000


def go_offline() -> None:
    """For this process and its libraries, which read it once."""
    os.environ.update(OFFLINE)


def quiet() -> None:
    """No progress bars in the log."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def check(folder: Path) -> dict[str, Any]:
    """The base's configuration. Without loading anything: raises BaseModelError for what would be refused."""
    try:
        config = msgspec.json.decode((folder / "config.json").read_bytes())
    except (OSError, msgspec.MsgspecError) as exc:
        raise BaseModelError(f"{folder.name} is no model folder: its config.json cannot be read", PARAM) from exc
    if not isinstance(config, dict):
        raise BaseModelError(f"{folder.name} is no model folder: its config.json is no object", PARAM)
    if not any(folder.glob("*.safetensors")):
        pickled = any(any(folder.glob(kind)) for kind in ("*.bin", "*.pt", "*.pth", "*.ckpt"))
        if pickled:
            raise BaseModelError(
                f"{folder.name} has its weights as pickles, which can run code; convert them to safetensors",
                PARAM,
                "unsafe_model",
            )
        raise BaseModelError(f"{folder.name} has no weights", PARAM)
    return config


def width(folder: Path) -> int:
    """Units of the residual stream; 2,000 where the base's config.json does not say."""
    try:
        config = msgspec.json.decode((folder / "config.json").read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError):  # which the training process refuses, in words
        return _USUAL_WIDTH
    inner = config.get("text_config")
    told = [part.get(name) for part in (inner, config) if isinstance(part, dict) for name in _WIDTHS]
    return next((each for each in told if isinstance(each, int) and each > 0), _USUAL_WIDTH)


def context(config: dict[str, Any]) -> int | None:
    """The most tokens that the base takes; None where the configuration does not say."""
    text = config.get("text_config", config)
    found = next((text[name] for name in ("max_position_embeddings", "n_positions") if text.get(name)), None)
    return int(found) if found else None


def has_gpu(device: str = "auto") -> bool:
    """Whether to work on a GPU. Raises NotAvailableError where one is asked for and there is none."""
    import torch

    found = bool(torch.cuda.is_available())
    if device == "cuda" and not found:
        raise NotAvailableError("there is no GPU here", "device")
    return found and device != "cpu"


def tokenizer(folder: Path) -> Any:
    """Raises BaseModelError."""
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as exc:  # the libraries raise whatever a broken file leads to
        raise BaseModelError(
            f"the tokenizer of {folder.name} cannot be loaded: {_first_line(exc)}", PARAM, "unsupported_model"
        ) from exc
    loaded.model_max_length = UNBOUNDED
    if loaded.pad_token is None:
        loaded.pad_token = loaded.eos_token
    return loaded


def model(folder: Path, *, gpu: bool, load_in_4bit: bool = False) -> Any:
    """The weights: bfloat16 on the GPU, float32 on the CPU, or in 4 bits. Raises BaseModelError, NotAvailableError."""
    import torch
    from transformers import AutoModelForCausalLM

    check(folder)
    quiet()
    extra: dict[str, Any] = {"quantization_config": _four_bits(gpu)} if load_in_4bit else {}
    if gpu:
        extra["device_map"] = {"": 0}
    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            str(folder),
            dtype=torch.bfloat16 if gpu else torch.float32,
            attn_implementation="sdpa",
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            **extra,
        )
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as exc:  # the libraries raise whatever a broken file leads to
        raise BaseModelError(f"{folder.name} cannot be loaded: {_first_line(exc)}", PARAM, "unsupported_model") from exc
    return loaded


def _four_bits(gpu: bool) -> Any:
    import torch
    from transformers import BitsAndBytesConfig
    from transformers.utils import is_bitsandbytes_available

    if not gpu or not is_bitsandbytes_available():
        raise NotAvailableError("4-bit training takes a GPU and bitsandbytes", "load_in_4bit")
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def _first_line(exc: Exception) -> str:
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0][:300]
