"""What a client may ask of a fine-tuning job: OpenAI's parameters and limits, and the hyperparameters beside them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from trainer_trigger.trainer.job import Hyperparameters, Method, requested
from trainer_trigger.trainer.refused import Refused, converted, invalid

METADATA_PAIRS: Final = 16
OPENAI: Final[dict[Method, tuple[str, ...]]] = {
    "supervised": ("n_epochs", "batch_size", "learning_rate_multiplier"),
    "dpo": ("n_epochs", "batch_size", "learning_rate_multiplier", "beta"),
}
"""The hyperparameters that OpenAI's API shows of a job, "auto" until they are known."""

_ODD: Final = re.compile(r"[^A-Za-z0-9._-]+")

Id = Annotated[str, Meta(min_length=1, max_length=256)]
Suffix = Annotated[str, Meta(min_length=1, max_length=64)]
Seed = Annotated[int, Meta(ge=0, lt=2**32)]
Metadata = dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]]


class Options(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What OpenAI has no name for, as the request's `trainer`: QLoRA, less memory for more time, tokens an example."""

    load_in_4bit: bool = False
    activation_checkpointing: bool = False
    max_length: Annotated[int, Meta(ge=16, le=1_000_000)] = 2048


class _Section(Struct, forbid_unknown_fields=True):
    hyperparameters: dict[str, Any] | None = None


class _Method(Struct, forbid_unknown_fields=True):
    type: str
    supervised: _Section | None = None
    dpo: _Section | None = None
    reinforcement: dict[str, Any] | None = None


class _Create(Struct, forbid_unknown_fields=True, kw_only=True):
    model: Id
    training_file: Id
    validation_file: Id | None = None
    method: _Method | None = None
    hyperparameters: dict[str, Any] | None = None
    suffix: Suffix | None = None
    seed: Seed | None = None
    metadata: Metadata | None = None
    integrations: list[Any] | None = None
    trainer: Options | None = None


class CreateJob(Struct, frozen=True, kw_only=True):
    """A request that may be granted, as far as it can be seen without looking at files and models."""

    model: str
    training_file: str
    validation_file: str | None
    method: Method
    hyperparameters: Hyperparameters
    suffix: str | None
    seed: int | None
    metadata: dict[str, str] | None
    options: Options


def read(body: object) -> CreateJob:
    """The request in a body's JSON. Raises `Refused` (400), which names the field."""
    asked = converted(body, _Create)
    if asked.integrations:
        problem = "There are no integrations here: read the job's events, or its result file."
        raise Refused(400, problem, param="integrations", code="unsupported_parameter")
    if asked.metadata is not None and len(asked.metadata) > METADATA_PAIRS:
        problem = f"'metadata' has {len(asked.metadata)} pairs, more than {METADATA_PAIRS}."
        raise Refused(400, problem, param="metadata", code="invalid_value")
    method, given, at = _hyperparameters(asked)
    try:
        hyperparameters = requested(given)
    except msgspec.ValidationError as exc:
        raise invalid(exc, at) from exc
    if method != "dpo" and hyperparameters.beta is not None:
        raise Refused(400, "'beta' belongs to the method dpo.", param=f"{at}.beta", code="invalid_value")
    return CreateJob(
        model=asked.model,
        training_file=asked.training_file,
        validation_file=asked.validation_file,
        method=method,
        hyperparameters=hyperparameters,
        suffix=asked.suffix,
        seed=asked.seed,
        metadata=asked.metadata,
        options=asked.trainer or Options(),
    )


def _hyperparameters(asked: _Create) -> tuple[Method, dict[str, Any], str]:
    """The method, its hyperparameters as they came, and where they stood in the request."""
    legacy = asked.hyperparameters
    if asked.method is None:
        return "supervised", legacy or {}, "hyperparameters"
    if legacy:
        problem = "'hyperparameters' has become 'method': send one of them."
        raise Refused(400, problem, param="hyperparameters", code="invalid_value")
    method: Method
    match asked.method.type:
        case "supervised":
            method, section, other = "supervised", asked.method.supervised, asked.method.dpo
        case "dpo":
            method, section, other = "dpo", asked.method.dpo, asked.method.supervised
        case kind:
            problem = f"'{kind[:64]}' is not one of ['supervised', 'dpo']."
            raise Refused(400, problem, param="method.type", code="invalid_value")
    if other is not None or asked.method.reinforcement is not None:
        problem = f"'method' is of type '{method}' and holds the section of another one."
        raise Refused(400, problem, param="method", code="invalid_value")
    given = section.hyperparameters if section is not None else None
    return method, given or {}, f"method.{method}.hyperparameters"


def tuned_name(base: str, suffix: str | None, job_id: str) -> str:
    """What the tuned model of a job is called: `ft:BASE:SUFFIX::ID`."""
    kept = _ODD.sub("-", suffix or "").strip("-") or "millrace"
    return f"ft:{base}:{kept}::{job_id.removeprefix('ftjob-')[:12]}"


def shown(method: Method, asked: dict[str, Any], resolved: dict[str, Any] | None) -> dict[str, Any]:
    """The hyperparameters of a job as the API shows them: those trained with where they are known, else "auto"."""
    told = dict.fromkeys(OPENAI[method], "auto") | asked | (resolved or {})
    if resolved is not None and told["learning_rate_multiplier"] == "auto":
        # The rate itself is told; a multiplier that was not asked for is 1, and none where a rate was asked for.
        told["learning_rate_multiplier"] = None if "learning_rate" in asked else 1.0
    return {name: value for name, value in told.items() if value is not None}
