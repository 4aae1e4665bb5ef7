"""What requests carry, checked in every field."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from schemas.targets import Name
from trainer_trigger.controls.records import MANUAL, MAX_EXAMPLES, SampleId
from trainer_trigger.service import MAX_REASON_CHARS

MOST: Final = 1_000
"""Of anything that is listed; what is older is in the database."""

# No NUL: PostgreSQL keeps none.
Words = Annotated[str, Meta(min_length=1, max_length=MAX_REASON_CHARS, pattern=r"\A[^\x00]*[^\s\x00][^\x00]*\Z")]
Note = Annotated[str, Meta(max_length=MAX_REASON_CHARS, pattern=r"\A[^\x00]*\Z")]
Kind = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9_-]{0,63}\Z")]
Token = Annotated[str, Meta(pattern=r"\A[\x21-\x7e]{1,200}\Z")]
Id = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._:/@+-]{1,200}\Z")]
Examples = Annotated[tuple[SampleId, ...], Meta(max_length=MAX_EXAMPLES)]
Limit = Annotated[int, Meta(ge=1, le=MOST)]


class Body(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of a request, or its query: a field that nobody knows is refused."""


class Empty(Body, frozen=True):
    """Nothing."""


class NewJob(Body, frozen=True):
    """Asks for a fine-tune. `kind: manual` overrides policies, debounce and cooldown; any other is an event that a
    policy of the target has to ask for. `examples` are sample ids, tenant/interaction."""

    target: Name
    reason: Words
    kind: Kind = MANUAL
    examples: Examples = ()
    request_id: Token | None = None


class Fire(Body, frozen=True):
    """Reports an event: a product change, an incident with its failing examples (sample ids)."""

    kind: Kind
    reason: Words
    examples: Examples = ()
    request_id: Token | None = None


class Agreed(Body, frozen=True):
    """A person's yes."""

    note: Note = ""


class Refusal(Body, frozen=True):
    """A person's no, and why."""

    note: Words


class Pausing(Body, frozen=True):
    """Why nothing is to be decided for now."""

    why: Words


class Measured(Body, frozen=True):
    """A number for the performance policy."""

    metric: Token
    value: float


class NewEvaluation(Body, frozen=True):
    """Asks for an evaluation of a model on a suite."""

    model_id: Id
    suite: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")] = "default"
    request_id: Token | None = None


class Listing(Body, frozen=True):
    """The last ones, of one target or all. `after`: go on behind the one with this id."""

    target: Name | None = None
    limit: Limit = 100
    after: Id | None = None


class AuditListing(Body, frozen=True):
    """The last lines. `after`: go on behind the line with this number."""

    target: Name | None = None
    limit: Limit = 100
    after: Annotated[int, Meta(ge=1, le=2**53)] | None = None
