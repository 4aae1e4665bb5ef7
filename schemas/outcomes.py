"""What comes out: an `Outcome` (a sample's revision or a rejection) and a sealed `DeadLetter`."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from schemas.events import Identifier, Message, Position, Score
from schemas.reasons import Reason

Origin = Literal["base", "tuned", "human", "unknown"]
Family = Literal["safety", "quality"]


class SourceEvent(Struct, frozen=True):
    """One event that a revision was made of, and where it entered."""

    event_id: Identifier
    entry: Position


class GateOutcome(Struct, frozen=True, gc=False):
    """What one gate said. `value` is what it measured, in the gate's own unit; None where it only decides.

    `detail` names what was found by its category or pattern, never by its text.
    """

    gate: str
    family: Family
    passed: bool
    reason: Reason | None = None
    value: float | None = None
    detail: str | None = None


class Sample(Struct, frozen=True, kw_only=True):
    """A training sample. `instruction`, `input`, `output` are views of `messages`; `score` is in [0, 1].

    `score` is None where the feedback ranks or demonstrates but does not rate. `rejected_output` is the answer
    that a person replaced. `preferred_over` are interaction ids. `similarity` is to `duplicate_of`.

    `score` lies in [`score_low`, `score_high`], a 95 % interval. `system` is the system prompt. `prompt_id` is the same
    for all samples with the same prompt, tenant and role. `reviewed` is by a person. `awaits_review` has the output of
    a tuned model, which until then may only serve as the rejected half of a pair. `profile` is that of the gates.
    """

    instruction: str
    input: str
    output: str
    messages: tuple[Message, ...]
    tools: str | None
    score: float | None
    confidence: float
    scores: tuple[Score, ...]
    quality: float
    gates: tuple[GateOutcome, ...]
    origin: Origin
    rejected_output: str | None
    preferred_over: tuple[str, ...]
    duplicate_of: str | None
    similarity: float | None
    cluster: str
    role: str | None
    task_type: str | None
    intent: str | None
    language: str | None
    model: str | None
    model_version: str | None
    variant: str | None
    user: str | None
    tags: tuple[str, ...]
    consent: bool | None
    sensitive: bool
    pii: dict[str, int]
    system: str | None = None
    score_low: float | None = None
    score_high: float | None = None
    prompt_id: str = ""
    difficulty: str | None = None
    reviewed: bool = False
    awaits_review: bool = False
    profile: str = ""


class Rejection(Struct, frozen=True, kw_only=True):
    """Why there is no sample. `scope` event: only that event was refused and the interaction stays as it was."""

    reason: Reason
    stage: str
    scope: Literal["interaction", "event"]
    gates: tuple[GateOutcome, ...] = ()


class Outcome(Struct, frozen=True, kw_only=True):
    """The verdict that one event brought about. Exactly one of `sample` and `rejection` is set.

    `sample_id` is the same for all revisions of an interaction; `revision` is the number of distinct events
    applied. `event_id` and `entry` are those of the event that brought this outcome about.
    """

    sample_id: str
    revision: int
    tenant: Identifier
    interaction_id: str
    event_id: Identifier
    entry: Position
    occurred_at: int
    received_at: int
    sources: tuple[SourceEvent, ...]
    redactor: str
    rules: str
    sample: Sample | None = None
    rejection: Rejection | None = None


class SealedCopy(Struct, frozen=True):
    """The key of a letter's original, in a libsodium sealed box that only the holder of key `key_id` can open."""

    key_id: str
    box: bytes


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A record that could not be processed: a clear index without any value, beside the sealed original.

    `entry` is where the stage read it, `topic` the topic that it first came in by: a raw one for letters of `redact`.
    `event_hash` is a keyed hash of tenant and event id where the record could be read that far. `attempts` counts this
    one. `original` is encrypted under the key that `sealed` has for each recipient; None in the oldest letters, whose
    boxes hold the original itself. `size_bytes` is the original's.
    """

    entry: Position
    topic: str
    reason: Reason
    stage: str
    received_at: int
    tenant: str | None = None
    event_hash: str | None = None
    schema_id: str | None = None
    attempts: int = 1
    sealed: tuple[SealedCopy, ...] = ()
    size_bytes: int = 0
    original: bytes | None = None
