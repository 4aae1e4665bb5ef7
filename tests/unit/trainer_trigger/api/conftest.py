from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from trainer_trigger.api.app import create_app
from trainer_trigger.api.audit import Entry
from trainer_trigger.api.keys import KeyFile, Keyring
from trainer_trigger.errors import DatabaseUnavailable

from .desk import FakeDesk

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SCOPES = ("read", "fire", "approve", "admin")


class FakeAudit:
    """An audit log in memory. `away_after` lines the database is away."""

    def __init__(self) -> None:
        self.lines: list[Entry] = []
        self.away_after: int | None = None

    def write(self, entry: Entry) -> None:
        if self.away_after is not None and len(self.lines) >= self.away_after:
            raise DatabaseUnavailable("password of the database in its words")
        self.lines.append(entry)

    def entries(self, limit: int = 100, before: int | None = None, target: str | None = None) -> list[Entry]:
        return [each for each in reversed(self.lines) if target in {None, each.target}][:limit]

    def told(self) -> list[tuple[str, str, str, int]]:
        return [(each.action, each.target, each.outcome, each.status) for each in self.lines]


class Api:
    """The application over a fake desk, with a key of each scope and one of all."""

    def __init__(self, folder: Path) -> None:
        self.desk = FakeDesk()
        self.audit = FakeAudit()
        self.file = KeyFile(folder / "keys.json")
        self.keys = {scope: self.file.create(scope, [scope], [], NOW) for scope in SCOPES}
        self.keys["all"] = self.file.create("all", SCOPES, [], NOW)
        self.keys["sales"] = self.file.create("sales only", SCOPES, ["sales"], NOW)
        self.now_s = 1000.0
        self.app = create_app(self.desk, self.audit, Keyring(self.file, lambda: self.now_s), lambda: self.now_s)
        self.http = TestClient(self.app, raise_server_exceptions=False)
        self.base = "/api/v1/fine-tuning"

    def as_(self, who: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[who]}"}


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(tmp_path)
