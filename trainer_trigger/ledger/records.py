"""What the ledger keeps, and the states that a launch goes through. Times are epoch milliseconds of the database.

| state | means | next |
|---|---|---|
| intended | recorded and paid for, nothing was called | launching, failed, cancelled |
| launching | somebody uploads or creates | launched, unknown, intended, failed, cancelled |
| unknown | a job may or may not have been created | launched, intended, cancelled, blocked_for_person |
| launched | the job's id is known | running, succeeded, failed, cancelled, blocked_for_person |
| running | the provider trains | succeeded, failed, cancelled, blocked_for_person |
| blocked_for_person | nothing is called until a person has decided | launched, intended, cancelled |
| succeeded, failed, cancelled | over | – |
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct


class State(StrEnum):
    """Where a launch stands."""

    INTENDED = "intended"
    LAUNCHING = "launching"
    UNKNOWN = "unknown"
    LAUNCHED = "launched"
    RUNNING = "running"
    BLOCKED = "blocked_for_person"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL: Final = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})

NEXT: Final[dict[State, frozenset[State]]] = {
    State.INTENDED: frozenset({State.LAUNCHING, State.FAILED, State.CANCELLED}),
    State.LAUNCHING: frozenset({State.LAUNCHED, State.UNKNOWN, State.INTENDED, State.FAILED, State.CANCELLED}),
    State.UNKNOWN: frozenset({State.LAUNCHED, State.INTENDED, State.CANCELLED, State.BLOCKED}),
    State.LAUNCHED: TERMINAL | {State.RUNNING, State.BLOCKED},
    State.RUNNING: TERMINAL | {State.BLOCKED},
    State.BLOCKED: frozenset({State.LAUNCHED, State.INTENDED, State.CANCELLED}),
    **dict.fromkeys(TERMINAL, frozenset()),
}


class Decision(Struct, frozen=True, kw_only=True):
    """What a policy said of a target, a "no" too. `details` is JSON."""

    decision_id: str
    target: str
    fires: bool
    words: str
    details: str = "{}"
    at_ms: int = 0


class Intent(Struct, frozen=True, kw_only=True):
    """What is to be launched. `request` is all that a launcher needs, as JSON, so that any scheduler can go on.

    The first five fields of the key say what is trained on what; a `generation` more is a wanted repetition.
    """

    decision_id: str
    target: str
    table_version: int
    dataset_hash: str
    configuration_hash: str
    generation: int = 0
    cost_cents: int = 0
    request: str = "{}"

    @property
    def key(self) -> str:
        """The launch key: 32 hexadecimal digits over what is unique."""
        unique = [self.target, self.table_version, self.dataset_hash, self.configuration_hash, self.generation]
        return hashlib.sha256(msgspec.json.encode(unique)).hexdigest()[:32]


class Launch(Struct, frozen=True, kw_only=True):
    """A launch as it stands.

    `attempt` counts the calls of create from 1; `files` are this attempt's uploaded ones, recorded before create is
    called, so that without any nothing was created. `looks`: how often a lost job was looked for. There is nothing to
    do before `not_before_ms`. `settled_cents`: what it cost in the end; until then the reserved cost counts.
    """

    key: str
    intent: Intent
    state: State
    month: str
    attempt: int
    files: tuple[str, ...]
    looks: int
    job_id: str | None
    model: str | None
    note: str
    settled_cents: int | None
    not_before_ms: int
    deadline_ms: int | None
    created_ms: int
    changed_ms: int

    @property
    def uncreated(self) -> bool:
        """No job of it can be there: it is not begun, or its files are not recorded yet."""
        return self.state == State.INTENDED or (self.state == State.LAUNCHING and not self.files)


class Change(Struct, frozen=True, kw_only=True):
    """What a step changes beside the state; what is left out stays."""

    attempt: int | msgspec.UnsetType = msgspec.UNSET
    files: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    looks: int | msgspec.UnsetType = msgspec.UNSET
    job_id: str | msgspec.UnsetType = msgspec.UNSET
    model: str | msgspec.UnsetType | None = msgspec.UNSET
    cost_cents: int | msgspec.UnsetType = msgspec.UNSET
    wait_ms: int = 0
    deadline_in_ms: int | msgspec.UnsetType | None = msgspec.UNSET


class Transition(Struct, frozen=True):
    """A line of a launch's history. `before` is None for its first."""

    at_ms: int
    who: str
    before: State | None
    after: State
    note: str


class Lease(Struct, frozen=True):
    """The right to write a target's launches. `token` grows with each new holder: an older one is refused."""

    target: str
    holder: str
    token: int
    expires_ms: int


class Event(Struct, frozen=True):
    """A line that the provider told of a job."""

    event_id: str
    at_ms: int
    level: str
    message: str


class Point(Struct, frozen=True):
    """A point of a curve: the value of `name`, such as train_loss, at an optimizer step."""

    step: int
    name: str
    value: float
