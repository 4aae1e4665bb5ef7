"""A collector without a network, for the tests of apps that send feedback.

    collector = FakeCollector()
    client = FeedbackClient(transport=collector)
    ...
    assert client.flush(timeout_s=5)
    assert collector.events[0]["score"] == {"method": "thumbs", "value": "up"}

Give it a function, and it answers like a collector in trouble.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from millrace_client.transport import Answer, Unreachable

Event = Mapping[str, object]
Respond = Callable[[Sequence[Event]], Answer | Unreachable]


def verdicts(events: Sequence[Event], statuses: Sequence[int] | None = None, status: int = 207) -> Answer:
    """The collector's answer to a batch: one status an event, each 202 if none are given."""
    told = [202] * len(events) if statuses is None else list(statuses)
    entries = [
        {"index": index, "event_id": event["event_id"], "status": each}
        | ({} if each == 202 else {"error": {"code": "invalid", "field": "score.value", "message": "no"}})
        for index, (event, each) in enumerate(zip(events, told, strict=True))
    ]
    accepted = told.count(202)
    whole = 202 if accepted == len(told) else status
    body = {"accepted": accepted, "rejected": len(told) - accepted, "events": entries}
    return Answer(whole, json.dumps(body).encode())


class FakeCollector:
    """A `Transport` that answers with what `respond` returns for a batch; without one it accepts
    everything."""

    def __init__(self, respond: Respond = verdicts) -> None:
        self.respond = respond
        self.requests: list[Sequence[Event]] = []
        """Every batch that came, whatever was answered."""
        self.events: list[Event] = []
        """Every event that was accepted, in order, once for each time."""

    def post(self, body: bytes) -> Answer | Unreachable:
        """As in `Transport`."""
        events: list[Event] = json.loads(body)
        self.requests.append(events)
        answer = self.respond(events)
        if isinstance(answer, Answer) and answer.body.startswith(b"{"):
            told = json.loads(answer.body).get("events", ())
            self.events += [events[entry["index"]] for entry in told if entry["status"] == 202]
        return answer
