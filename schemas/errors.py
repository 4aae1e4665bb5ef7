"""Errors of the contracts.

SchemaError
├── InvalidEvent            an event breaks the contract: the sender must change it
├── UndecodableRecord       bytes that are none of the wire forms, or end too early
├── UnknownSchemaError      framed with a schema id or fingerprint that nobody knows
└── IncompatibleSchemaError a proposed schema cannot read what an earlier version wrote
"""

from __future__ import annotations


class SchemaError(Exception):
    """Root of every error that `schemas` raises."""


class InvalidEvent(SchemaError):
    """An event breaks the contract.

    `field` is a dotted path into the event, `problem` a sentence for the sender, `limit` the limit that was exceeded,
    if it was one. `problem` may quote the sender's own value, so it goes back to the sender only: never to a log, a
    metric or a dead letter.
    """

    def __init__(self, field: str, problem: str, limit: str = "") -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field
        self.problem = problem
        self.limit = limit


class UndecodableRecord(SchemaError):
    """The bytes of a record are none of the three wire forms, or are truncated."""


class UnknownSchemaError(SchemaError):
    """A record names a schema id or fingerprint that is neither in `wire/` nor in the registry."""


class IncompatibleSchemaError(SchemaError):
    """A schema cannot read data of an earlier version; the message names the field."""
