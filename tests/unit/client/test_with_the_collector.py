"""The client against the collector's own application, on a fake Kafka."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from millrace_client import Answer, FeedbackClient, Stats
from millrace_client.transport import EVENTS_PATH
from starlette.testclient import TestClient

from schemas.codec import Codec
from schemas.events import FeedbackEvent
from streams.brokers import Outgoing
from streams.collector.app import create_app
from streams.collector.keys import KeyFile, Keyring
from streams.metrics import Health
from streams.settings import Settings
from tests.fakes import FakePublisher

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Collector:
    """The application as a transport; `events` are those that Kafka has acknowledged."""

    def __init__(self, folder: Path, scope: str = "write") -> None:
        keys = KeyFile(folder / "keys.json")
        self.key = keys.create("acme", "app", scope, NOW)
        self.publisher = FakePublisher()
        app = create_app(Settings(), self.publisher, Keyring(keys, lambda: 0.0), Health(), lambda: 0.0)
        self._http = TestClient(app)

    def post(self, body: bytes) -> Answer:
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        response = self._http.post(EVENTS_PATH, content=body, headers=headers)
        return Answer(response.status_code, response.content, response.headers.get("Retry-After"))

    @property
    def events(self) -> list[FeedbackEvent]:
        return [Codec().decode(record.value, FeedbackEvent) for record in self.publisher.records]


@pytest.fixture
def collector(tmp_path: Path) -> Collector:
    return Collector(tmp_path)


CALLS: list[Callable[[FeedbackClient], str]] = [
    lambda client: client.interaction([{"role": "user", "content": "hi"}], output="hello", interaction_id="i"),
    lambda client: client.score("i", value="down"),
    lambda client: client.score("i", "correction", text="Hello!"),
    lambda client: client.score("i", "pairwise", 0.5, over="j", by="u-2"),
    lambda client: client.score("i", "tests_passed", wins=9, losses=1, rater="metric", by="pytest"),
    lambda client: client.copied("i"),
    lambda client: client.edited("i", "Hello!"),
    lambda client: client.regenerated("i"),
    lambda client: client.abandoned("i"),
    lambda client: client.retract("e", "i"),
    lambda client: client.review("i", "approve"),
    lambda client: client.consent(True, "i"),
    lambda client: client.erase("u"),
]


def test_every_call_is_accepted(collector: Collector, tmp_path: Path) -> None:
    with FeedbackClient(transport=collector, spool_dir=tmp_path / "spool") as client:
        returned = [call(client) for call in CALLS]
        assert client.flush(30)
        assert client.stats() == Stats(taken=len(CALLS), sent=len(CALLS))
    assert [event.kind for event in collector.events] == [
        "interaction",
        *["score"] * 8,
        "retraction",
        "review",
        "consent",
        "erasure",
    ]
    assert [event.event_id for event in collector.events[1:]] == returned[1:]
    scores = [score for event in collector.events for score in event.scores]
    assert [score.method for score in scores[-4:]] == ["copied", "edited", "regenerated", "abandoned"]
    assert [score.by for score in scores] == [None, None, "u-2", "pytest", None, None, None, None]


def test_only_what_breaks_the_contract_is_rejected(collector: Collector, caplog: pytest.LogCaptureFixture) -> None:
    with FeedbackClient(transport=collector) as client:
        good = client.score("i", value="up")
        client.score("i", "stars", 9, maximum=5)
        client.score("i", "comment", text="x" * Settings().max_event_bytes)
        assert client.flush(30)
        assert client.stats() == Stats(taken=3, sent=1, rejected=2)
    assert [event.event_id for event in collector.events] == [good]
    assert "status 400, field scores[0].value" in caplog.text
    assert "status 413" in caplog.text


def test_what_kafka_did_not_acknowledge_is_sent_again_and_only_that(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millrace_client.answers.MAX_RETRY_AFTER_S", 0.01)
    failing = iter([True, False, True, False])

    def takes(record: Outgoing) -> bool:
        return next(failing, True)

    collector.publisher.takes = takes
    with FeedbackClient(transport=collector) as client:
        sent = [client.score("i", value="up") for _ in range(4)]
        assert client.flush(30)
    assert [event.event_id for event in collector.events] == [sent[0], sent[2], sent[1], sent[3]]


def test_an_unknown_key_loses_nothing(collector: Collector, tmp_path: Path) -> None:
    right, collector.key = collector.key, "mr_none_such"
    with FeedbackClient(transport=collector, spool_dir=tmp_path / "spool") as client:
        client.score("i", value="up")
    assert client.stats() == Stats(taken=1, spooled=1)
    collector.key = right
    with FeedbackClient(transport=collector, spool_dir=tmp_path / "spool") as client:
        assert client.flush(30)
    assert len(collector.events) == 1


def test_a_key_for_web_pages_sends_thumbs_and_keeps_the_rest(tmp_path: Path) -> None:
    collector = Collector(tmp_path, "browser")
    with FeedbackClient(transport=collector, spool_dir=tmp_path / "spool", exit_timeout_s=0.1) as client:
        client.interaction(output="x", interaction_id="i")
        client.score("i", value="up")
        while client.stats().sent == 0:
            client.flush(0.01)
    assert client.stats() == Stats(taken=2, sent=1, spooled=1)
