"""Fakes of the ports, which pass the same contract suites as the real adapters (`tests/contracts/`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from streams.brokers import Outgoing
from streams.redaction import Finding


class FakePublisher:
    """A `streams.collector.publisher.Publisher` in memory.

    `takes` says for each record whether it is acknowledged; those that were are in `records`, in order.
    """

    def __init__(self, takes: Callable[[Outgoing], bool] = lambda _record: True) -> None:
        self.takes = takes
        self.records: list[Outgoing] = []

    async def publish(self, records: Sequence[Outgoing]) -> list[bool]:
        acknowledged = [self.takes(record) for record in records]
        self.records += [record for record, taken in zip(records, acknowledged, strict=True) if taken]
        return acknowledged


class AtAnalyzer:
    """A `streams.redaction.Analyzer` that finds every `@word`."""

    version = "at"

    def analyze(self, text: str) -> list[Finding]:
        return [Finding("AT", match.start(), match.end(), 1.0) for match in re.finditer(r"@\w+", text)]
