"""`millrace lake`: tables for people, one JSON object a line for programs, exit 2 for what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from millrace.lake import app
from schemas.events import Score
from schemas.tables import EVENTS, SAMPLES, TABLES, arrow_table, event_row, outcome_row
from streams.errors import LakeUnavailable
from streams.lake.delta import DeltaLake
from streams.lake.views import VIEWS
from streams.redaction.audit import Kind, sampled
from tests.events import redacted
from tests.outcomes import outcome

ADDRESS = "ada@lovelace.example"


@pytest.fixture
def lake(tmp_path: Path) -> str:
    root = str(tmp_path / "lake")
    store = DeltaLake(root).create(EVENTS)
    store.append(
        arrow_table(EVENTS, [event_row(redacted(f"e{number}", pii={"EMAIL": 1})) for number in (1, 2)]), {}, {}
    )
    _, row = outcome_row(outcome("i", instruction="Où est [ma] commande ? " + "x" * 300))
    DeltaLake(root).create(SAMPLES).append(arrow_table(SAMPLES, [row]), {}, {})
    return root


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_a_query_s_rows_are_shown_as_a_table(lake: str) -> None:
    done = run("sql", "SELECT event_id, received_at, pii FROM events ORDER BY 1", "--lake", lake)
    assert done.exit_code == 0
    for shown in ("event_id", "e1", "e2", "2025-10-09T08:53:20+00:00", '{"EMAIL": 1}'):
        assert shown in done.stdout


def test_text_is_shown_as_it_is_and_cut_off(lake: str) -> None:
    done = run("sql", "SELECT instruction[:25] AS short FROM samples_current", "--lake", lake)
    assert "Où est [ma] commande ? xx" in done.stdout
    assert "…" in run("sql", "SELECT instruction FROM samples_current", "--lake", lake).stdout


def test_json_is_one_object_a_line_with_everything_in_it(lake: str) -> None:
    query = "SELECT s.*, 'b'::BLOB AS blob, 'nan'::FLOAT AS odd, 1.50::DECIMAL(4,2) AS price FROM samples_current s"
    done = run("sql", query, "--lake", lake, "--json")
    assert done.exit_code == 0
    (row,) = map(json.loads, done.stdout.splitlines())
    assert row["instruction"] == "Où est [ma] commande ? " + "x" * 300
    assert (row["day"], row["received_at"]) == ("2025-10-09", "2025-10-09T08:53:20+00:00")
    assert row["messages"][0]["role"] == "user"
    assert row["pii"] == {"PERSON": 1}
    assert (row["blob"], row["odd"], row["price"]) == ("Yg==", "nan", "1.50")


def test_no_rows_are_no_lines(lake: str) -> None:
    assert run("sql", "SELECT * FROM rejected", "--lake", lake, "--json").stdout == ""


@pytest.mark.parametrize("query", ["SELCT 1", "SELECT nothing FROM events", "SELECT * FROM read_csv('/etc/hosts')"])
def test_a_wrong_query_says_what_is_wrong_and_exits_2(lake: str, query: str) -> None:
    done = run("sql", query, "--lake", lake)
    assert done.exit_code == 2
    assert done.stderr.startswith("millrace: ")
    assert "Error" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [["sql", "SELECT 1"], ["tables"], ["audit"]])
def test_where_no_lake_is_it_says_so_and_exits_2(tmp_path: Path, command: list[str]) -> None:
    for missing in (tmp_path / "nowhere", tmp_path):
        done = run(*command, "--lake", str(missing))
        assert done.exit_code == 2
        assert f"there is no lake at {missing}" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_lake_of_the_settings_is_meant_if_none_is_named(lake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_LAKE", lake)
    assert run("sql", "SELECT count(*) AS n FROM events", "--json").stdout == '{"n": 2}\n'


def test_tables_are_listed_with_their_size_and_views_with_what_they_hold(lake: str) -> None:
    done = run("tables", "--lake", lake, "--json")
    assert done.exit_code == 0
    listed = {entry["name"]: entry for entry in map(json.loads, done.stdout.splitlines())}
    assert list(listed) == [*TABLES, *VIEWS]
    events = listed["events"]
    assert (events["rows"], events["version"], events["files"], events["holds"]) == (2, 1, 1, EVENTS.doc)
    assert events["bytes"] > 0
    assert listed["rejected"]["rows"] == 0
    assert "rows" not in listed["samples_current"]
    assert "samples_current" in run("tables", "--lake", lake).stdout


def test_reconciliation_goes_on_again_and_again_also_past_a_lake_that_is_away(
    lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: Iterator[int | Exception] = iter([3, LakeUnavailable("no bucket"), 0])

    def reconcile(*_: object) -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    pauses: list[float] = []
    monkeypatch.setattr("millrace.lake.reconciling.reconcile", reconcile)
    monkeypatch.setattr("millrace.lake.time.sleep", pauses.append)
    done = run("reconcile", "--lake", lake, "--every-s", "60")
    assert isinstance(done.exception, (StopIteration, RuntimeError)), "it has no end of its own"
    assert done.stdout.splitlines() == ["3 events published again", "0 events published again"]
    assert "no bucket" in done.stderr
    assert pauses == [60.0] * 3


def test_reconciliation_once_ends_with_the_lake_that_is_away(lake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def reconcile(*_: object) -> int:
        raise LakeUnavailable("no bucket")

    monkeypatch.setattr("millrace.lake.reconciling.reconcile", reconcile)
    assert isinstance(run("reconcile", "--lake", lake).exception, LakeUnavailable)


@pytest.fixture
def leaky_lake(tmp_path: Path) -> str:
    """40 events of 100 characters, of which one in ten holds an address; in two files."""
    root = str(tmp_path / "leaky")
    store = DeltaLake(root).create(EVENTS)
    for half in range(2):
        rows = [
            event_row(
                redacted(
                    f"e{number}",
                    scores=(Score("comment", text=(ADDRESS if number % 10 == 0 else "fine").ljust(100, ".")),),
                )
            )
            for number in range(half * 20, half * 20 + 20)
        ]
        store.append(arrow_table(EVENTS, rows), {}, {})
    return root


def test_an_audit_says_how_much_leaked_by_kind_and_where_and_never_what(leaky_lake: str) -> None:
    for form in ((), ("--json",)):
        done = run("audit", "--lake", leaky_lake, *form)
        assert done.exit_code == 0
        assert ADDRESS not in done.stdout
    answer = json.loads(done.stdout)
    assert (answer["events"], answer["texts"], answer["chars"]) == (40, 40, 4_000)
    assert answer["findings"] == {kind.value: 4 if kind is Kind.EMAIL else 0 for kind in Kind}
    assert answer["per_million_chars"]["all"] == answer["per_million_chars"]["email"] == 1_000
    places = sorted(answer["places"], key=lambda place: str(place["event_id"]))
    assert [place["event_id"] for place in places] == ["e0", "e10", "e20", "e30"]
    assert places[0] == {"event_id": "e0", "field": "scores[0].text", "kind": "email", "start": 0, "end": 20}


def test_an_audit_for_people_names_the_places(leaky_lake: str) -> None:
    done = run("audit", "--lake", leaky_lake)
    for shown in ("1,000.0", "scores[0].text", "e30", "40 events · 40 texts · 4,000 characters"):
        assert shown in done.stdout


@pytest.mark.parametrize(("most", "status"), [("1000", 0), ("999.9", 1)])
def test_an_audit_exits_1_only_above_what_is_allowed(leaky_lake: str, most: str, status: int) -> None:
    assert run("audit", "--lake", leaky_lake, "--max-per-million", most).exit_code == status


def test_an_audit_of_a_share_reads_that_share(leaky_lake: str) -> None:
    answer = json.loads(run("audit", "--lake", leaky_lake, "--share", "0.5", "--json").stdout)
    assert answer["events"] == sum(sampled(f"e{number}", 0.5) for number in range(40))


def test_an_audit_of_a_lake_without_texts_finds_nothing(lake: str) -> None:
    answer = json.loads(run("audit", "--lake", lake, "--json").stdout)
    assert (answer["events"], answer["texts"], answer["per_million_chars"]["all"]) == (2, 0, 0)
