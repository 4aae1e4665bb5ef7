"""The targets file: what is fine-tuned, when, on what and by whom, as YAML with a version, checked in every field.

    version: 1
    targets:
      support-chat:
        version: v3
        filter: {tenants: [acme], roles: [support]}
        policy: {any: [{volume: {samples: 500}}, {drift: {}}, {time: {every_days: 7}}]}
        dataset: {min_score: 0.7, golden: golden/support.jsonl, harm: none}
        training: {base_model: llama, epochs: 3, lora_rank: 8}
        launcher: {openai: {base_url: "http://localhost:8090/v1", provider: millrace}}

`trainer_trigger.targets` reads it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from schemas.training import Training

Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(gt=0)]
Days = Annotated[float, Meta(gt=0, le=36_500)]
Text = Annotated[str, Meta(min_length=1)]
Name = Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9._-]{0,63}\Z")]
"""Of a target: it names folders and leases."""

Kind = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9_-]{0,63}\Z")]
"""Of an event."""

MANUAL: Final = "manual"
"""The kind by which a person fires: no policy asks for it."""

Version = Annotated[str, Meta(pattern=r"\Av[0-9]{1,6}\Z")]

MIN_SAMPLES: Final = 100
"""Below it nothing is trained, whatever the policies say."""

READINESS_SAMPLES: Final = 1_000
"""From here on a dataset is as large as fine-tuning is recommended for; a report says how ready it is."""


class Filter(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which samples a target takes: all that meet every list that is not empty. `models` answered them."""

    tenants: tuple[Text, ...] = ()
    roles: tuple[Text, ...] = ()
    task_types: tuple[Text, ...] = ()
    intents: tuple[Text, ...] = ()
    languages: tuple[Text, ...] = ()
    models: tuple[Text, ...] = ()


class Volume(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`samples`: so many new clusters of approved samples since the last training set, near duplicates counted once."""

    samples: Annotated[int, Meta(ge=1)] = 500


class Drift(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is sent has moved since the last training set; see `trainer_trigger.drift`.

    `rows`: of a window, at least 300. `featuriser`: `module:attribute` of an embedding model; None is n-grams.
    """

    rows: Annotated[int, Meta(ge=300, le=5_000)] = 300
    alpha: Annotated[float, Meta(gt=0, le=0.1)] = 0.01
    featuriser: Text | None = None


class Time(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`every_days` since the last run began, or the target was first seen; however many were missed, it is one."""

    every_days: Days = 7.0


class Performance(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A number is below a threshold: `score` is the mean production score of the last `samples` clusters, any other
    `metric` the last measurement that was reported by that name, not older than `within_days`."""

    metric: Text = "score"
    below: float = 0.5
    samples: Annotated[int, Meta(ge=30)] = 300
    within_days: Days = 7.0


class Event(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Somebody said so: `millrace trigger fire` or the API, for one of `kinds`; none is any."""

    kinds: tuple[Kind, ...] = ()

    def __post_init__(self) -> None:
        if MANUAL in self.kinds:
            raise ValueError(f"{MANUAL!r} is how a person fires, whatever the policies say: it is no event")


class Policy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Exactly one of these: a condition, or several of them of which `any` or `all` must hold."""

    any: tuple[Policy, ...] | None = None
    all: tuple[Policy, ...] | None = None
    volume: Volume | None = None
    drift: Drift | None = None
    time: Time | None = None
    performance: Performance | None = None
    event: Event | None = None

    def __post_init__(self) -> None:
        said = [name for name in self.__struct_fields__ if getattr(self, name) is not None]
        if len(said) != 1:
            raise ValueError(f"a policy is exactly one of {', '.join(self.__struct_fields__)}")
        if self.any == () or self.all == ():
            raise ValueError(f"{said[0]} is empty")


class Balance(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """No task type is more than `max_share` of the training set where others are left; `weights` shift what each may
    have, default 1."""

    max_share: Annotated[float, Meta(gt=0, le=1)] = 1.0
    weights: dict[str, Annotated[float, Meta(ge=0)]] = {}


class Holdout(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`share` of all clusters is never trained on; `weights` multiply it by task type, default 1."""

    share: Annotated[float, Meta(ge=0, le=0.5)] = 0.1
    weights: dict[str, Annotated[float, Meta(ge=0)]] = {}


NONE: Final = "none"
"""What `golden` and `harm` say where there is no such set, on purpose."""


class DatasetPlan(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the training set is made. `format` defaults to that of the training's method.

    `min_score`: of an answer that is trained on. `replay`: share of older samples in a set of new ones.
    `validation`: share of the training clusters by which the trainer sees whether it still learns. `golden` and
    `harm`: NDJSON files (a path beside the targets file, or s3://…) that are never trained on, or `none`; a target
    that says neither is blocked. `leakage`: what happens to samples that are nearly the same as one of theirs.
    """

    format: Literal["sft", "dpo", "kto"] | None = None
    min_score: Share = 0.5
    max_samples: Positive | None = None
    replay: Annotated[float, Meta(ge=0, le=0.5)] = 0.15
    validation: Annotated[float, Meta(ge=0, le=0.5)] = 0.05
    balance: Balance = Balance()
    holdout: Holdout = Holdout()
    golden: Text | None = None
    harm: Text | None = None
    leakage: Literal["refuse", "exclude"] = "refuse"


class OpenAI(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An endpoint of the OpenAI API. `api_key_env` names the environment variable of its key.

    With `api_version` it is Azure's. `settles_s`: see docs/ledger.md; None where it is not proved; Millrace's trainer
    keeps it with 0, which is what `provider: millrace` says.
    """

    base_url: Text
    provider: Literal["openai", "azure", "millrace"] = "openai"
    api_key_env: Text = "OPENAI_API_KEY"
    api_version: Text | None = None
    settles_s: Annotated[float, Meta(ge=0)] | None = None

    def __post_init__(self) -> None:
        try:
            said = urlsplit(self.base_url)
            whole = said.scheme in {"http", "https"} and said.hostname and said.port != 0
        except ValueError:  # of its port, or of brackets
            whole = False
        if not whole:
            raise ValueError("base_url is no http:// or https:// URL with a host and, if it has one, a port in digits")


class Command(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An executable with its arguments: the manifest on its stdin, NDJSON on its stdout. `runs`: folder of its runs."""

    argv: Annotated[tuple[Text, ...], Meta(min_length=1)]
    runs: Text = "runs"


class LauncherChoice(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Exactly one of these."""

    openai: OpenAI | None = None
    command: Command | None = None

    def __post_init__(self) -> None:
        if (self.openai is None) == (self.command is None):
            raise ValueError("a launcher is exactly one of openai, command")


class Target(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One tuning target. `version` is the writer's own; the hash tells two contents under one version apart.

    `debounce_minutes`: the policies must hold so long before it fires. `cooldown_hours`: after a run began, none begins
    by itself. `cost_cents` is reserved for each run in the month's `budget_cents` (UTC; None: no limit).
    `approval: manual` makes every launch wait for a person.
    """

    version: Version = "v1"
    filter: Filter = Filter()
    policy: Policy = Policy(volume=Volume())
    dataset: DatasetPlan = DatasetPlan()
    training: Training
    launcher: LauncherChoice
    min_samples: Annotated[int, Meta(ge=MIN_SAMPLES)] = MIN_SAMPLES
    debounce_minutes: Annotated[float, Meta(ge=0, le=1_000_000)] = 0.0
    cooldown_hours: Annotated[float, Meta(ge=0, le=1_000_000)] = 24.0
    budget_cents: Count | None = None
    cost_cents: Count = 0
    approval: Literal["automatic", "manual"] = "automatic"
    trackers: tuple[Literal["mlflow", "wandb"], ...] = ()

    def __post_init__(self) -> None:
        hosted = self.launcher.openai is not None
        if hosted and self.format != METHOD_FORMAT[self.training.method]:
            raise ValueError(
                f"dataset.format {self.format} is nothing that training.method {self.training.method} reads"
            )

    @property
    def format(self) -> str:
        """`sft`, `dpo` or `kto`."""
        return self.dataset.format or METHOD_FORMAT[self.training.method]

    @property
    def hash(self) -> str:
        """SHA-256 over all fields, the same for the same target however it was written."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


METHOD_FORMAT: Final[Mapping[str, str]] = {"supervised": "sft", "dpo": "dpo"}


class Targets(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file. `version` is that of this format."""

    version: Literal[1]
    targets: Annotated[dict[Name, Target], Meta(min_length=1)]
