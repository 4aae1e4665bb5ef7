from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, insert, select

from streams.errors import SettingError
from trainer_trigger.database import Database, add, now_ms
from trainer_trigger.errors import DatabaseRefusedError, DatabaseUnavailable

METADATA = MetaData()
THINGS = Table("things", METADATA, Column("name", Text, primary_key=True), Column("size", Integer, nullable=False))


@pytest.fixture(params=["file", "memory"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    made = Database("sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path}/some.sqlite")
    made.create(METADATA)
    made.create(METADATA)
    return made


def test_what_an_exception_cut_off_was_not_written(database: Database) -> None:
    with pytest.raises(RuntimeError), database.transaction() as connection:
        connection.execute(insert(THINGS).values(name="a", size=1))
        raise RuntimeError
    assert database.rows(select(THINGS)) == []


def test_a_key_that_is_there_already_is_left_as_it_is(database: Database) -> None:
    for size in (1, 2):
        with database.transaction() as connection:
            add(connection, THINGS, [{"name": "a", "size": size}])
            add(connection, THINGS, [])
    assert [dict(row) for row in database.rows(select(THINGS))] == [{"name": "a", "size": 1}]


def test_what_a_constraint_does_not_take_is_refused(database: Database) -> None:
    with pytest.raises(DatabaseRefusedError), database.transaction() as connection:
        connection.execute(insert(THINGS).values(name="a", size=None))


def test_a_database_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable):
        Database(f"sqlite:///{tmp_path}/missing/some.sqlite").create(METADATA)


@pytest.mark.parametrize("url", ["nonsense", "oracle://somewhere", "postgresql+psycopg://secret:port@host:port/x"])
def test_a_url_that_is_none_is_a_wrong_setting_and_not_shown(url: str) -> None:
    with pytest.raises(SettingError, match="MILLRACE_DATABASE_URL") as failed:
        Database(url)
    assert url not in str(failed.value)


def test_the_time_is_the_databases_in_milliseconds(database: Database) -> None:
    with database.transaction() as connection:
        assert 1_700_000_000_000 < now_ms(connection) < 10_000_000_000_000
