"""Errors of the collector.

StreamError
└── CollectorError
    └── Refused          a request is answered with an error as a whole
"""

from __future__ import annotations

from typing import Literal

from streams.errors import StreamError

Limit = Literal["body", "decompressed", "batch", "event", "depth", "rate"]
"""The limit that a sender went over, as the answer names it."""

Why = Literal[
    Limit,
    "key",  # none, unknown or revoked
    "scope",  # the key may not send this
    "tenant",  # the event names another tenant than the key's
    "encoding",  # a Content-Encoding other than gzip, or gzip that is corrupt or truncated
    "invalid",  # no JSON, or no event by the contract
    "slow",  # the body did not arrive in time, or the sender hung up
    "busy",  # too many bytes of other requests in flight
    "unacknowledged",  # Kafka, or the schema registry, did not answer in time
]
"""Why something was refused: the closed set of words of the metric `millrace_refused`."""


class CollectorError(StreamError):
    """Root of every error that the collector raises."""


class Refused(CollectorError):
    """A request is refused as a whole, with the HTTP `status`; `problem` is a sentence for the sender."""

    def __init__(
        self,
        status: int,
        why: Why,
        problem: str,
        *,
        limit: Limit | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(problem)
        self.status = status
        self.why = why
        self.problem = problem
        self.limit = limit
        self.retry_after_s = retry_after_s
