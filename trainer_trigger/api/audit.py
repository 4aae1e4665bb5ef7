"""The audit log: every request that would change something, and every one that was denied.

A change is written twice: `asked` before it is made, and then what became of it. So a change that cannot be written
down is not made, and one whose second line is missing may have been.
"""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import Struct

Outcome = Literal["asked", "done", "refused", "failed", "denied"]
"""`refused`: the answer was a 4xx and nothing changed. `failed`: a 5xx, and something may have. `denied`: the key may
not, or there is none."""


class Entry(Struct, frozen=True, kw_only=True):
    """One line. `request` is the same in both lines of a change; `status` is the HTTP status, 0 while it is asked.

    `subject`: the job, decision or model. `detail`: what was asked, as JSON, or why not. `at_ms` is the time of the
    database.
    """

    number: int = 0
    request: str
    at_ms: int = 0
    key_id: str
    key_name: str
    action: str
    target: str
    subject: str
    outcome: Outcome
    status: int
    detail: str


class AuditLog(Protocol):
    """Lines are only ever added. Both raise DatabaseUnavailable."""

    def write(self, entry: Entry) -> None:
        """Add a line; its number and time are the database's. It is durable when this returns."""

    def entries(self, limit: int = 100, before: int | None = None, target: str | None = None) -> list[Entry]:
        """The last lines, the newest first; with `before` those with a smaller number."""
