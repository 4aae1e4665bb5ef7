from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from schemas.codec import Codec
from schemas.events import FeedbackEvent
from streams.collector.app import create_app
from streams.collector.keys import KeyFile, Keyring
from streams.metrics import Health
from streams.settings import Settings
from tests.fakes import FakePublisher

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Clock:
    """Monotonic seconds that stand still until a test moves them."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Collector:
    """The application on fakes, and what is behind it."""

    def __init__(self, folder: Path, settings: Settings, codec: Codec | None = None) -> None:
        self.publisher = FakePublisher()
        self.health = Health()
        self.clock = Clock()
        self.keys = KeyFile(folder / "keys.json")
        self.write_key = self.keys.create("acme", "backend", "write", NOW)
        self.browser_key = self.keys.create("acme", "web page", "browser", NOW)
        keyring = Keyring(self.keys, self.clock)
        self.app = create_app(settings, self.publisher, keyring, self.health, self.clock, codec)
        self.http = TestClient(self.app, headers={"Authorization": f"Bearer {self.write_key}"})

    def events(self) -> list[FeedbackEvent]:
        """What Kafka has acknowledged, decoded."""
        return [Codec().decode(record.value, FeedbackEvent) for record in self.publisher.records]


MakeCollector = Callable[..., Collector]


@pytest.fixture
def make_collector(tmp_path: Path) -> MakeCollector:
    def make(codec: Codec | None = None, **settings: object) -> Collector:
        return Collector(tmp_path, Settings(**settings), codec)  # type: ignore[arg-type]

    return make


@pytest.fixture
def collector(make_collector: MakeCollector) -> Collector:
    return make_collector()


@pytest.fixture(scope="session")
def bomb() -> Iterator[bytes]:
    """One GiB of zeros as gzip: about one MiB."""
    deflate = zlib.compressobj(9, wbits=31)
    zeros = bytes(1 << 20)
    yield b"".join([*(deflate.compress(zeros) for _ in range(1024)), deflate.flush()])
