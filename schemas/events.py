"""What comes in, and what leaves the PII boundary: `FeedbackEvent` and `RedactedEvent`.

Times are microseconds since 1970-01-01T00:00Z. The Avro twins of these records are `wire/*.avsc`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

Identifier = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+\Z")]
Label = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9 ._:/-]{0,100}\Z")]
"""A word that an app's configuration says and not a person: kept as it is."""

Word = Annotated[str, Meta(pattern=r"\A[a-z0-9_-]{1,40}\Z")]
"""One word out of an app's or a format's own list, kept as it is."""

Tenant = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
"""A tenant's name: no slash, so that `tenant/interaction` never reads two ways."""

Count = Annotated[int, Meta(ge=0, le=2**53)]

EventKind = Literal["interaction", "score", "retraction", "review", "consent", "erasure"]
ScoreMethod = Literal[
    "thumbs",
    "stars",
    "numeric",
    "success",
    "win_rate",
    "pairwise",
    "correction",
    "demonstration",
    "comment",
    "copied",
    "regenerated",
    "edited",
    "abandoned",
    "tests_passed",
]
Rater = Literal["user", "expert", "model", "metric"]
MessageRole = Literal["system", "developer", "user", "assistant", "tool", "function"]
Clock = Literal["ok", "past", "future"]


class ToolCall(Struct, frozen=True):
    """A call that the assistant made. `arguments` is JSON text, as in OpenAI's chat format."""

    name: str
    arguments: str
    id: str | None = None
    type: str = "function"


class ContentPart(Struct, frozen=True):
    """One part of a multi-part message: `text`, or for any other `type` its JSON text in `data`."""

    type: str
    text: str | None = None
    data: str | None = None


class Message(Struct, frozen=True):
    """One chat message: `content`, or `parts` where the app sent a list of content parts."""

    role: MessageRole
    content: str | None = None
    parts: tuple[ContentPart, ...] = ()
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


class Interaction(Struct, frozen=True):
    """One answer of a model and what it was given. The last assistant message is the answer.

    `tools` is the JSON text of the tool definitions. `user` is the app's own id before redaction and a keyed
    hash after it. `consent` is the person's explicit word on training use; None is no word at all.
    `finish_reason` is why the model stopped, as OpenAI's API says it: `length` is a truncated answer.
    """

    messages: tuple[Message, ...]
    tools: str | None = None
    model: str | None = None
    model_version: str | None = None
    variant: str | None = None
    role: str | None = None
    task_type: str | None = None
    intent: str | None = None
    user: str | None = None
    latency_ms: float | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    tags: tuple[str, ...] = ()
    consent: bool | None = None
    sensitive: bool = False
    finish_reason: Word | None = None
    difficulty: Word | None = None


class Score(Struct, frozen=True):
    """One judgement, raw. Which fields carry it depends on `method`; `schemas.scores` has the table.

    `value`: thumbs and success 1 or 0, stars 1..`maximum`, numeric within [`minimum`, `maximum`].
    `wins`, `losses`, `ties`: win_rate; tests passed and failed are `wins` and `losses` of tests_passed. `over`: the
    interaction that this one was compared with (pairwise; `value` 1 or none: preferred, ½: a tie). `text`: the better
    output (correction, demonstration), what was said (comment), or what the person made of the answer (edited, where
    `value` may say instead how much of it was kept). `by` is who judged: the app's own id, after redaction a keyed
    hash; None is the interaction's own user.
    """

    method: ScoreMethod
    value: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    wins: Count | None = None
    losses: Count | None = None
    ties: Count | None = None
    over: Identifier | None = None
    text: str | None = None
    rater: Rater = "user"
    by: str | None = None


class Retraction(Struct, frozen=True):
    """Takes back the scores of the event with id `of`."""

    of: Identifier


class Review(Struct, frozen=True):
    """A person's verdict on the sample. `output` is the edited answer and required for `edit`."""

    decision: Literal["approve", "reject", "edit"]
    reviewer: str | None = None
    output: str | None = None
    comment: str | None = None


class Consent(Struct, frozen=True):
    """A change of consent: for one interaction, or for all of a person's (`user` set)."""

    granted: bool
    user: str | None = None


class Erasure(Struct, frozen=True):
    """Forget this person."""

    user: Annotated[str, Meta(min_length=1)]


class FeedbackEvent(Struct, frozen=True, kw_only=True):
    """What an app sends: at least one of an interaction, scores, or a change to earlier ones.

    `interaction_id` is empty only for erasure and for consent of a person. `tenant` is set by the collector from
    the API key, or by `redact` from the topic; a body that names another is refused. `occurred_at` 0 is "not said".
    """

    event_id: Identifier
    source: Label = ""
    occurred_at: int = 0
    tenant: str = ""
    interaction_id: Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\Z")] = ""
    interaction: Interaction | None = None
    scores: tuple[Score, ...] = ()
    retraction: Retraction | None = None
    review: Review | None = None
    consent: Consent | None = None
    erasure: Erasure | None = None

    @property
    def kind(self) -> EventKind:
        """The kind that the event is counted as; an interaction that brings its score is an interaction."""
        return _kind(self)


class Position(Struct, frozen=True, order=True):
    """Where `redact` read an event: Kafka's topic UUID (embedded: the input's SHA-256), partition, offset."""

    topic_id: str
    partition: int
    offset: int


class RedactedEvent(Struct, frozen=True, kw_only=True):
    """An event past the PII boundary: texts redacted, `user` a keyed hash, its entry position and lineage added.

    `received_at` is when Kafka took the event; `clock` says whether `occurred_at` had to be bounded to it.
    `digest` is a keyed hash of the original event, so that one id with two bodies is found out.
    `pii` counts findings by type. `redactor` is the hash of the rules that were used.
    """

    event_id: Identifier
    source: str
    occurred_at: int
    received_at: int
    clock: Clock
    tenant: Tenant
    interaction_id: str
    entry: Position
    digest: str
    redactor: str
    pii: dict[str, int] = msgspec.field(default_factory=dict)
    interaction: Interaction | None = None
    scores: tuple[Score, ...] = ()
    retraction: Retraction | None = None
    review: Review | None = None
    consent: Consent | None = None
    erasure: Erasure | None = None

    @property
    def kind(self) -> EventKind:
        """As in `FeedbackEvent.kind`."""
        return _kind(self)


def _kind(event: FeedbackEvent | RedactedEvent) -> EventKind:
    if event.interaction is not None:
        return "interaction"
    if event.scores:
        return "score"
    if event.retraction is not None:
        return "retraction"
    if event.review is not None:
        return "review"
    if event.consent is not None:
        return "consent"
    return "erasure"
