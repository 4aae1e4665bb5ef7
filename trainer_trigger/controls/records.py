"""What people said and what became of decisions. Times are epoch milliseconds of the database.

| stage | means | next |
|---|---|---|
| no | it did not fire; `times` counts how often it was so without a change | – |
| waiting_for_approval | it fired, and a person has to agree | building, refused |
| building | it fired: its dataset is built, then its launch recorded | launched, refused |
| launched | its launch is in the ledger, which tells the rest | – |
| refused | it does not launch; the note says why | – |
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from schemas import targets
from schemas.targets import Target
from trainer_trigger.ledger import Decision
from trainer_trigger.watch import Versions

MANUAL: Final = targets.MANUAL
"""Kind of a signal by which a person fires; every other kind is an event that a policy may ask for."""

MAX_WAITING: Final = 100
"""So many signals of a target may wait at a time."""

MAX_EXAMPLES: Final = 1_000
SampleId = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._-]{1,64}/\S{1,256}\Z")]
"""tenant/interaction: an id, so that no text gets past redaction this way."""


class Stage(StrEnum):
    """Where a decision stands."""

    NO = "no"
    WAITING = "waiting_for_approval"
    BUILDING = "building"
    LAUNCHED = "launched"
    REFUSED = "refused"


OPEN: Final = frozenset({Stage.WAITING, Stage.BUILDING})
STEPS: Final[dict[Stage, frozenset[Stage]]] = {
    Stage.WAITING: frozenset({Stage.BUILDING, Stage.REFUSED}),
    Stage.BUILDING: frozenset({Stage.LAUNCHED, Stage.REFUSED}),
}


class Pause(Struct, frozen=True):
    """Who paused a target, when and why."""

    who: str
    at_ms: int
    why: str


class Signal(Struct, frozen=True, kw_only=True):
    """Somebody fired: `kind` is `manual` or an event's. It leads to one decision, or is withdrawn."""

    signal_id: str
    target: str
    kind: str
    reason: str
    examples: tuple[str, ...] = ()
    who: str
    at_ms: int
    decision_id: str | None = None
    withdrawn_by: str | None = None


class Measurement(Struct, frozen=True):
    """A number that somebody reported, such as an evaluation's."""

    metric: str
    value: float
    who: str
    at_ms: int


class Plan(Struct, frozen=True, kw_only=True):
    """What a decision that fired carries out, whatever changes meanwhile: the `details` of the ledger's decision.

    `earlier`: hash of the last training set, which the new one replays from. `fresh` and `total`: the clusters that
    were there. `signals` it answers; `by_person`: one of them was a person's fire.
    """

    target: Target
    target_hash: str
    versions: Versions
    earlier: str | None
    fresh: int
    total: int
    signals: tuple[str, ...] = ()
    by_person: bool = False


class TrainingSet(Struct, frozen=True, kw_only=True):
    """The dataset of a decision: its folder or s3:// prefix, its hash, and the code that made it."""

    place: str
    dataset_hash: str
    code: str = ""


class Outcome(Struct, frozen=True, kw_only=True):
    """A decision and what became of it.

    `note`: the last words on it. `cause`: what stands behind a no. `times` it was decided so, the last at `last_ms`.
    `told`: the watch knows how its launch ended. `pinned`: the versions to build from, where a person approved it:
    those of then, so that a consent that was withdrawn while it waited counts.
    """

    decision: Decision
    stage: Stage
    note: str
    cause: str
    times: int
    launch_key: str | None
    training_set: TrainingSet | None
    told: bool
    last_ms: int
    pinned: Versions | None = None

    @property
    def versions(self) -> Versions:
        """Of the tables that its dataset is built from."""
        return self.plan.versions if self.pinned is None else self.pinned

    @property
    def plan(self) -> Plan:
        """What it carries out."""
        return msgspec.json.decode(self.decision.details, type=Plan)


class Turn(Struct, frozen=True):
    """A line of a decision's history. `before` is None for its first."""

    at_ms: int
    who: str
    before: Stage | None
    after: Stage
    note: str


class TargetState(Struct, frozen=True, kw_only=True):
    """`holds_since_ms`: its policies hold since then, without a break, under the configuration `holds_hash`.

    `problem`: what keeps it from being looked at, since `problem_ms`.
    """

    first_seen_ms: int
    holds_hash: str = ""
    holds_since_ms: int | None = None
    problem: str = ""
    problem_ms: int | None = None
    seen_ms: int | None = None


class Evaluation(Struct, frozen=True, kw_only=True):
    """A wish to evaluate a model on a suite."""

    evaluation_id: str
    model_id: str
    suite: str
    who: str
    at_ms: int
    state: str = "queued"
