"""The audit log in SQLite and PostgreSQL: lines in order, times of the database, and nobody changes one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Servers
from trainer_trigger.api.audit import Entry
from trainer_trigger.api.sql import SqlAudit
from trainer_trigger.database import Database, now_ms
from trainer_trigger.errors import TriggerError


@pytest.fixture(params=["memory", "file", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    urls = {"memory": "sqlite://", "file": f"sqlite:///{tmp_path}/audit.sqlite"}
    servers: Servers | None = request.getfixturevalue("servers") if request.param == "postgres" else None
    database = Database(urls[request.param] if servers is None else servers.fresh_database())
    yield database
    database.close()


@pytest.fixture
def audit(database: Database) -> SqlAudit:
    return SqlAudit(database)


def entry(target: str = "support", detail: str = '{"why":"a freeze"}') -> Entry:
    return Entry(
        request="r",
        key_id="k",
        key_name="ann",
        action="target.pause",
        target=target,
        subject=target,
        outcome="asked",
        status=0,
        detail=detail,
    )


def test_lines_come_back_newest_first_with_the_databases_time(database: Database, audit: SqlAudit) -> None:
    for name in ("one", "two", "three"):
        audit.write(entry(name, f"ü {name}"))
    lines = audit.entries()
    assert [(line.target, line.detail) for line in lines] == [(name, f"ü {name}") for name in ("three", "two", "one")]
    assert lines[0].number > lines[1].number > lines[2].number
    with database.transaction() as connection:
        assert all(0 <= now_ms(connection) - line.at_ms < 60_000 for line in lines)


def test_pages_and_targets_are_found(audit: SqlAudit) -> None:
    for number in range(5):
        audit.write(entry("a" if number % 2 else "b"))
    first = audit.entries(limit=2)
    rest = audit.entries(limit=10, before=first[-1].number)
    assert len(first + rest) == 5
    assert len({line.number for line in first + rest}) == 5
    assert {line.target for line in audit.entries(target="a")} == {"a"}


def test_lines_are_only_ever_added(database: Database, audit: SqlAudit) -> None:
    audit.write(entry())
    for statement in ("UPDATE trigger_audit SET outcome = 'done'", "DELETE FROM trigger_audit"):
        with pytest.raises(TriggerError, match="only added to"), database.transaction() as connection:
            connection.exec_driver_sql(statement)
    assert [line.outcome for line in audit.entries()] == ["asked"]


def test_what_was_written_is_there_for_another_process(database: Database, audit: SqlAudit) -> None:
    audit.write(entry())
    assert [line.target for line in SqlAudit(database).entries()] == ["support"]
