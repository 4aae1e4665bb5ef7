"""A training job as a folder, the contract between the service that keeps jobs and the process that runs one.

| in the folder | written by | what |
|---|---|---|
| `job.json` | service | `TrainJob`; whole before the process starts, never changed after |
| `cancel` | service | its being there asks to stop; seen after each optimizer step |
| `lock` | process | held (flock) while a process works on the folder |
| `events.ndjson` | process | one `Event` a line, appended; a last line without a line feed is not whole yet |
| `checkpoints/step-N/` | process | what a restart resumes from, and an adapter that can be served |
| `adapter/` | process | the result; it appears whole or not at all |
| `result.json` | process | `Result`; it appears whole, last of all, and is final |

`python -m trainer_trigger.trainer.train FOLDER` exits with 0 when `result.json` is there, whatever is in it, with
`BUSY` when another process works on the folder, with `STOPPED` after a SIGTERM, with a checkpoint written, and with
`DISK_FULL`. Any other end (a signal, out of memory on the host) leaves no result either: the same command resumes from
the last whole checkpoint and ends with the same adapter. Who starts it bounds how often without progress; a full disk
is waited for.

Nothing here imports torch.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypedDict, TypeVar

import msgspec
from msgspec import Meta, Struct

from schemas.training import EarlyStopping

JOB: Final = "job.json"
CANCEL: Final = "cancel"
LOCK: Final = "lock"
EVENTS: Final = "events.ndjson"
CHECKPOINTS: Final = "checkpoints"
ADAPTER: Final = "adapter"
RESULT: Final = "result.json"

DISK_FULL: Final = 74
BUSY: Final = 75
STOPPED: Final = 76

MIN_EXAMPLES: Final = 10
"""Fewer fail the job with `invalid_n_examples`, as at OpenAI."""

Method = Literal["supervised", "dpo"]
Scheduler = Literal["constant", "linear", "cosine"]
Positive = Annotated[int, Meta(gt=0)]
Count = Annotated[int, Meta(ge=0)]
_T = TypeVar("_T")
Rate = Annotated[float, Meta(gt=0)]


class Hyperparameters(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What a client asks for; None is our default, which `resolve` chooses. Limits are those of OpenAI's API."""

    n_epochs: Annotated[int, Meta(ge=1, le=50)] | None = None
    batch_size: Annotated[int, Meta(ge=1, le=256)] | None = None
    learning_rate_multiplier: Rate | None = None
    learning_rate: Rate | None = None
    lr_scheduler: Scheduler | None = None
    warmup_steps: Count | None = None
    weight_decay: Annotated[float, Meta(ge=0, le=1)] | None = None
    gradient_accumulation_steps: Positive | None = None
    lora_rank: Annotated[int, Meta(ge=1, le=1024)] | None = None
    lora_alpha: Positive | None = None
    beta: Annotated[float, Meta(gt=0, le=2)] | None = None
    early_stopping: EarlyStopping | None = None

    def __post_init__(self) -> None:
        if self.learning_rate is not None and self.learning_rate_multiplier is not None:
            raise ValueError("learning_rate and learning_rate_multiplier exclude each other")


class Resolved(Struct, frozen=True, kw_only=True):
    """What is trained with. An optimizer step sees batch size times accumulation examples; `beta` is DPO's."""

    n_epochs: int
    batch_size: int
    learning_rate: float
    lr_scheduler: Scheduler
    warmup_steps: int
    weight_decay: float
    gradient_accumulation_steps: int
    lora_rank: int
    lora_alpha: int
    beta: float | None
    early_stopping: EarlyStopping | None


def requested(given: Mapping[str, object]) -> Hyperparameters:
    """The `hyperparameters` object of the API, where "auto" means our default.

    Raises msgspec.ValidationError, which names the field.
    """
    return msgspec.convert({name: value for name, value in given.items() if value != "auto"}, Hyperparameters)


def resolve(asked: Hyperparameters, method: Method, examples: int, hidden_size: int) -> Resolved:
    """The defaults, for a file of so many examples and a base so many units wide. Applied twice it changes nothing.

    The learning rate is 10 × 5e-5 × (2000 / hidden size)^0.781, the rule for LoRA on Llama models in the documentation
    of Tinker (Thinking Machines, 2025); DPO takes a tenth of it.
    """
    if asked.learning_rate is not None:
        learning_rate = asked.learning_rate
    else:
        ours = 5e-4 * (2000 / hidden_size) ** 0.781 * (0.1 if method == "dpo" else 1.0)
        learning_rate = ours * (1.0 if asked.learning_rate_multiplier is None else asked.learning_rate_multiplier)
    n_epochs = _else(asked.n_epochs, 3)
    # Some ten steps an epoch at least, so that a small file teaches something, and no more than 16 at once.
    batch_size = _else(asked.batch_size, max(1, min(16, examples // 10)))
    accumulation = _else(asked.gradient_accumulation_steps, 1)
    steps = n_epochs * max(1, -(-examples // (batch_size * accumulation)))
    rank = _else(asked.lora_rank, 8)
    return Resolved(
        n_epochs=n_epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        lr_scheduler=_else(asked.lr_scheduler, "linear"),
        warmup_steps=_else(asked.warmup_steps, steps // 20),
        weight_decay=_else(asked.weight_decay, 0.0),
        gradient_accumulation_steps=accumulation,
        lora_rank=rank,
        lora_alpha=_else(asked.lora_alpha, 2 * rank),
        beta=_else(asked.beta, 0.1) if method == "dpo" else None,
        early_stopping=asked.early_stopping,
    )


def _else(given: _T | None, default: _T) -> _T:
    return default if given is None else given


class TrainJob(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`job.json`. Places are absolute. `max_length` is tokens an example, at most the base's own context.

    `threads` and `device` belong to the machine; on the CPU another number of threads gives other last bits.
    `load_in_4bit` is QLoRA, which takes a GPU and bitsandbytes; `activation_checkpointing` saves memory and costs about
    a third of the speed. A checkpoint is written at the end of each epoch, and
    after so many seconds without one.
    """

    job_id: str
    base_model: str
    method: Method = "supervised"
    hyperparameters: Hyperparameters = Hyperparameters()
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    train_file: str
    validation_file: str | None = None
    threads: Positive = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"
    load_in_4bit: bool = False
    activation_checkpointing: bool = False
    max_length: Positive = 2048
    checkpoint_every_s: Annotated[float, Meta(gt=0)] = 600.0


class Metrics(TypedDict, total=False):
    """The `data` of a metrics event, by OpenAI's names; losses are nats a token. Validation is over the whole file.

    `train_reward_margin` is DPO's: by how much the preferred answer has gained on the other, in nats times beta.
    """

    step: int
    total_steps: int
    train_loss: float
    train_mean_token_accuracy: float
    valid_loss: float
    full_valid_loss: float
    full_valid_mean_token_accuracy: float
    train_reward_margin: float


class Event(Struct, frozen=True, kw_only=True):
    """A line of `events.ndjson`; `at_ms` is milliseconds since 1970. No step is told twice, not even after a resume."""

    at_ms: int
    level: Literal["info", "warn", "error"] = "info"
    type: Literal["message", "metrics"] = "message"
    message: str
    data: dict[str, Any] = {}


class Failure(Struct, frozen=True, kw_only=True):
    """Why a job failed, in the shape of the API's `error`; `param` names the field that is to blame."""

    code: str
    message: str
    param: str | None = None


class Checkpoint(Struct, frozen=True, kw_only=True):
    """`checkpoints/step-N` holds an adapter that can be served."""

    step: int
    metrics: Metrics = msgspec.field(default_factory=Metrics)


class Result(Struct, frozen=True, kw_only=True):
    """`result.json`. `trained_tokens` are all tokens seen, prompts included, over all epochs; `error` a failure's.

    `hyperparameters` are those used, once they are known.
    """

    status: Literal["succeeded", "failed", "cancelled"]
    trained_tokens: int = 0
    steps: int = 0
    error: Failure | None = None
    checkpoints: list[Checkpoint] = []
    hyperparameters: Resolved | None = None


def write_job(folder: Path, job: TrainJob) -> None:
    """Make the folder and its `job.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / JOB, msgspec.json.format(msgspec.json.encode(job), indent=2))


def read_job(folder: Path) -> TrainJob:
    """Raises OSError, and msgspec.MsgspecError for what is no job."""
    return msgspec.json.decode((folder / JOB).read_bytes(), type=TrainJob)


def read_result(folder: Path) -> Result | None:
    """None while the job has not ended."""
    try:
        return msgspec.json.decode((folder / RESULT).read_bytes(), type=Result)
    except FileNotFoundError:
        return None


def read_events(folder: Path, offset: int = 0) -> tuple[list[Event], int]:
    """The whole lines from this byte offset on, and the offset to read on from."""
    try:
        with open(folder / EVENTS, "rb") as file:
            file.seek(offset)
            told = file.read()
    except FileNotFoundError:
        return [], offset
    whole = told[: told.rfind(b"\n") + 1]
    return msgspec.json.Decoder(Event).decode_lines(whole), offset + len(whole)


def ask_to_cancel(folder: Path) -> None:
    """The process sees it after its current step."""
    (folder / CANCEL).touch()


def write_whole(path: Path, content: bytes) -> None:
    """Write the file so that it is there with all its bytes, or not, also after a power cut."""
    beside = path.with_name(f".{path.name}.part")
    with open(beside, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
