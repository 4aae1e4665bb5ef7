"""What the views say of a lake, and what a query cannot reach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.events import Consent, Erasure, Position, RedactedEvent, Retraction, Review, Score
from schemas.outcomes import DeadLetter, Outcome
from schemas.reasons import Reason
from schemas.tables import DEAD_LETTERS, EVENTS, TABLES, arrow_table, dead_letter_row, event_row, outcome_row
from streams.errors import VersionGone
from streams.lake.delta import DeltaLake
from streams.lake.query import connect, connect_to, exists
from streams.lake.views import VIEWS
from streams.stages import Wait
from streams.stages.join import InteractionLog, join
from tests.events import NOW_US, interaction, redacted
from tests.fakes import FakeLake
from tests.outcomes import letter, outcome

DAY_US = 86_400_000_000


def lake_of(*records: RedactedEvent | Outcome | DeadLetter) -> duckdb.DuckDBPyConnection:
    lake = FakeLake()
    for record in records:
        if isinstance(record, RedactedEvent):
            table, row = EVENTS, event_row(record)
        elif isinstance(record, Outcome):
            table, row = outcome_row(record)
        else:
            table, row = DEAD_LETTERS, dead_letter_row(record)
        lake.create(table).append(arrow_table(table, [row]), {}, {})
    return connect_to(lake)


def current(*records: RedactedEvent | Outcome) -> list[tuple[Any, ...]]:
    return rows(lake_of(*records), "SELECT sample_id, revision FROM samples_current ORDER BY ALL")


def rows(lake: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    return lake.execute(query).fetchall()


def test_in_an_empty_lake_every_table_and_view_is_there_and_empty(tmp_path: Path) -> None:
    with connect(str(tmp_path)) as lake:
        for name in [*TABLES, *VIEWS]:
            assert rows(lake, f"SELECT count(*) FROM {name}") == [(0,)]
    assert not exists(str(tmp_path))


def test_the_current_sample_is_that_of_the_highest_revision() -> None:
    assert current(outcome("i", 1), outcome("i", 3), outcome("i", 2)) == [("t/i", 3)]


def test_a_rejection_of_the_interaction_takes_its_sample_back() -> None:
    rejected = outcome("i", 2, rejected=Reason.FEEDBACK_RETRACTED)
    assert current(outcome("i", 1), rejected) == []
    assert current(outcome("i", 1), rejected, outcome("i", 3)) == [("t/i", 3)]


def test_a_rejection_of_one_event_leaves_the_sample() -> None:
    assert current(outcome("i", 1), outcome("i", 2, rejected=Reason.ID_CONFLICT, scope="event")) == [("t/i", 1)]


def test_of_one_revision_the_later_outcome_counts_and_only_one() -> None:
    twice = [outcome("i", 1, at=0), outcome("i", 1, at=1, output="later")]
    for order in (twice, twice[::-1]):
        assert rows(lake_of(*order), "SELECT entry_offset, output FROM samples_current") == [(1, "later")]
    assert current(outcome("i", 1, at=1), outcome("i", 1, at=2, rejected=Reason.EMPTY_OUTPUT)) == []
    assert current(outcome("i", 1, at=2), outcome("i", 1, at=1, rejected=Reason.EMPTY_OUTPUT)) == [("t/i", 1)]


def test_at_the_same_time_the_entry_position_decides() -> None:
    two = [outcome("i", 1, entry=Position("raw", 0, offset), received_at=NOW_US) for offset in (9, 10)]
    assert rows(lake_of(*two), "SELECT entry_offset FROM samples_current") == [(10,)]


CLUSTER = "SELECT interaction_id, duplicates FROM samples_current ORDER BY ALL"


def test_a_sample_stands_for_its_cluster_and_counts_the_others_that_are_current() -> None:
    lake = lake_of(
        outcome("a"),
        outcome("b", duplicate_of="t/a"),
        outcome("c", duplicate_of="t/a"),
        outcome("d", 1, duplicate_of="t/a"),
        outcome("d", 2, rejected=Reason.CONSENT_WITHDRAWN),
        outcome("e"),
    )
    assert rows(lake, CLUSTER) == [("a", 2), ("e", 0)]
    assert rows(lake, "SELECT count(*) FROM samples_latest") == [(4,)]


@pytest.mark.parametrize(
    ("members", "best"),
    [
        ([outcome("a", score=0.2), outcome("b", score=0.9, duplicate_of="t/a")], "b"),
        ([outcome("a", score=0.9), outcome("b", score=0.9, duplicate_of="t/a")], "a"),
        ([outcome("a", score=0.9), outcome("b", score=0.9, confidence=0.8, duplicate_of="t/a")], "b"),
        ([outcome("a", score=None), outcome("b", score=0.1, duplicate_of="t/a")], "b"),
        ([outcome("a", score=0.9), outcome("b", score=None, origin="human", duplicate_of="t/a")], "b"),
        ([outcome("a", score=0.2), outcome("b", score=0.9, awaits_review=True, duplicate_of="t/a")], "a"),
        ([outcome("a", awaits_review=True)], "a"),
    ],
)
def test_the_best_scored_member_stands_for_its_cluster(members: list[Outcome], best: str) -> None:
    for order in (members, members[::-1]):
        assert rows(lake_of(*order), CLUSTER) == [(best, len(members) - 1)]


def test_a_duplicate_of_a_duplicate_is_in_the_same_cluster() -> None:
    chain = [outcome("a"), *(outcome(name, duplicate_of=f"t/{of}") for name, of in zip("bcd", "abc", strict=True))]
    assert rows(lake_of(*chain), CLUSTER) == [("a", 3)]


def test_samples_that_became_each_other_s_duplicates_are_one_cluster() -> None:
    assert rows(lake_of(outcome("a", duplicate_of="t/b"), outcome("b", duplicate_of="t/a")), CLUSTER) == [("a", 1)]


def test_a_cluster_whose_first_member_is_gone_stays_one() -> None:
    gone = outcome("a", 2, rejected=Reason.CONSENT_WITHDRAWN)
    copies = [outcome(name, duplicate_of="t/a") for name in "bc"]
    assert rows(lake_of(outcome("a"), gone, *copies), CLUSTER) == [("b", 1)]


def test_a_score_is_held_until_an_outcome_of_its_interaction_was_made_of_it() -> None:
    held = outcome("i", 1, rejected=Reason.BURST_HELD, scope="event")
    assert rows(lake_of(held), "SELECT tenant, event_id FROM held") == [("t", "i-1")]
    assert rows(lake_of(held, outcome("i", 2)), "SELECT event_id FROM held") == [("i-1",)]
    assert rows(lake_of(held, outcome("i", 1)), "SELECT event_id FROM held") == []


PERSON = "u" * 32


def consent(granted: bool, at: int, user: str | None = PERSON, tenant: str = "t") -> RedactedEvent:
    return redacted(f"consent-{at}", at=at, interaction_id="", tenant=tenant, consent=Consent(granted, user))


def test_a_person_s_last_word_decides_whichever_came_in_last() -> None:
    sample = outcome("i", user=PERSON)
    assert current(sample, consent(False, at=1)) == []
    assert current(sample, consent(False, at=1), consent(True, at=2)) == [("t/i", 1)]
    assert current(sample, consent(True, at=2), consent(False, at=1)) == [("t/i", 1)]
    assert current(sample, consent(True, at=1), consent(False, at=2)) == []


def test_an_erased_person_is_left_out_for_good() -> None:
    erasure = redacted("x", at=1, interaction_id="", erasure=Erasure(PERSON))
    assert current(outcome("i", user=PERSON), erasure) == []
    assert current(outcome("i", user=PERSON), erasure, consent(True, at=2)) == []


def test_a_withdrawal_concerns_that_person_of_that_tenant_only() -> None:
    samples = [
        outcome("mine", user=PERSON),
        outcome("another", user="v" * 32),
        outcome("nobody"),
        outcome("elsewhere", user=PERSON, tenant="other"),
    ]
    assert [sample for sample, _ in current(*samples, consent(False, at=1))] == [
        "other/elsewhere",
        "t/another",
        "t/nobody",
    ]


def test_consent_for_one_interaction_is_no_person_s() -> None:
    one = redacted("c", at=1, interaction_id="i", consent=Consent(False))
    assert current(outcome("i", user=PERSON), one) == [("t/i", 1)]


def test_events_are_seen_by_what_they_bring() -> None:
    lake = lake_of(
        redacted("e1", interaction=interaction("q", "a", model="m"), scores=(Score("stars", 4.0, maximum=5.0),)),
        redacted("e2", scores=(Score("thumbs", 1.0), Score("comment", text="fine", rater="expert"))),
        redacted("e3", review=Review("edit", output="better")),
        redacted("e4", retraction=Retraction("e2")),
        consent(True, at=5),
        redacted("e6", interaction_id="", erasure=Erasure(PERSON)),
    )
    assert rows(lake, "SELECT event_id, model, messages[2].content FROM interactions") == [("e1", "m", "a")]
    assert rows(lake, "SELECT event_id, method, value, text, rater FROM scores ORDER BY ALL") == [
        ("e1", "stars", 4.0, None, "user"),
        ("e2", "comment", None, "fine", "expert"),
        ("e2", "thumbs", 1.0, None, "user"),
    ]
    assert rows(lake, "SELECT event_id, decision, output FROM reviews") == [("e3", "edit", "better")]
    assert rows(lake, "SELECT event_id, retracted FROM retractions") == [("e4", "e2")]
    assert rows(lake, 'SELECT granted, "user" FROM consents') == [(True, PERSON)]
    assert rows(lake, 'SELECT "user" FROM erasures') == [(PERSON,)]


def test_every_interaction_is_in_one_state_with_its_reason() -> None:
    def asked(name: str) -> RedactedEvent:
        return redacted(f"{name}-0", interaction_id=name, interaction=interaction("q", "a"))

    lake = lake_of(
        *map(asked, ["sample", "copy", "refused", "withdrawn", "silent"]),
        redacted("early", interaction_id="early", scores=(Score("thumbs", 1.0),)),
        outcome("sample"),
        outcome("copy", duplicate_of="t/sample"),
        outcome("refused", rejected=Reason.EMPTY_OUTPUT),
        outcome("withdrawn", user=PERSON),
        outcome("events_come_later"),
        consent(False, at=9),
    )
    assert rows(lake, "SELECT interaction_id, state, reason FROM interaction_states ORDER BY ALL") == [
        ("copy", "duplicate", None),
        ("early", "waiting", "no_interaction"),
        ("events_come_later", "sample", None),
        ("refused", "rejected", "empty_output"),
        ("sample", "sample", None),
        ("silent", "waiting", "no_score"),
        ("withdrawn", "rejected", "consent_withdrawn"),
    ]


def test_a_row_of_each_table_can_be_read_through_delta(tmp_path: Path) -> None:
    lake = DeltaLake(str(tmp_path))
    contents = {"events": event_row(redacted("e")), "dead_letters": dead_letter_row(letter())}
    for one in (outcome("i"), outcome("j", rejected=Reason.EMPTY_OUTPUT)):
        table, row = outcome_row(one)
        contents[table.name] = row
    for name, row in contents.items():
        lake.create(TABLES[name]).append(arrow_table(TABLES[name], [row]), {}, {})
    with connect(str(tmp_path)) as connection:
        for name in TABLES:
            (read,) = connection.sql(f"SELECT * FROM {name}").to_arrow_table().to_pylist()
            assert set(read) == set(TABLES[name].schema.names)
        assert rows(connection, "SELECT pii['PERSON'] FROM samples_current") == [(1,)]
    assert exists(str(tmp_path))


def test_only_the_files_of_the_asked_days_are_read(tmp_path: Path) -> None:
    store = DeltaLake(str(tmp_path)).create(EVENTS)
    for number in range(3):
        event = redacted(f"e{number}", received_at=NOW_US + number * DAY_US)
        store.append(arrow_table(EVENTS, [event_row(event)]), {}, {})
    with connect(str(tmp_path)) as lake:
        for file in (tmp_path / "events").glob("day=*/*.parquet"):
            if "2025-10-10" not in str(file):
                file.unlink()
        assert rows(lake, "SELECT event_id FROM events WHERE day = DATE '2025-10-10'") == [("e1",)]


def test_a_connection_shows_the_lake_as_it_was(tmp_path: Path) -> None:
    store = DeltaLake(str(tmp_path)).create(EVENTS)
    with connect(str(tmp_path)) as before:
        store.append(arrow_table(EVENTS, [event_row(redacted("e"))]), {}, {})
        assert rows(before, "SELECT count(*) FROM events") == [(0,)]
    with connect(str(tmp_path)) as after:
        assert rows(after, "SELECT count(*) FROM events") == [(1,)]


hidden = "a variable of this module"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('/etc/hosts')",
        "SELECT * FROM read_text('/etc/hosts')",
        "SELECT * FROM read_parquet('https://example.com/x.parquet')",
        "SELECT * FROM '/etc/hosts'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM hidden",
        "COPY (SELECT 1) TO 'out.csv'",
        "EXPORT DATABASE 'out'",
        "ATTACH 'out.duckdb'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET autoinstall_known_extensions = true",
    ],
)
def test_a_query_reaches_nothing_but_the_lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    monkeypatch.chdir(tmp_path)
    with connect(str(tmp_path)) as lake, pytest.raises(duckdb.Error):
        lake.execute(query)
    assert list(tmp_path.iterdir()) == []


def test_times_are_in_utc() -> None:
    assert rows(lake_of(redacted("e")), "SELECT received_at::VARCHAR FROM events") == [("2025-10-09 08:53:20+00",)]


_PARTS = st.sampled_from(
    [
        *({"interaction": interaction("question", "answer", consent=consent)} for consent in (None, True, False)),
        {"scores": (Score("thumbs", value=1.0),)},
        {"retraction": Retraction("e0")},
        *({"consent": Consent(granted)} for granted in (True, False)),
        {"consent": Consent(granted=False, user="someone")},
        *({"review": Review(decision, output="better")} for decision in ("approve", "edit", "reject")),
    ]
)


_SAID = st.lists(st.tuples(st.integers(0, 2), _PARTS), min_size=1, max_size=5)


@settings(max_examples=30, deadline=None)
@given(st.lists(_SAID, min_size=1, max_size=12))
@example([[(0, {"interaction": interaction("question", "answer")}), (1, {"consent": Consent(granted=False)})]])
def test_an_interaction_without_an_outcome_is_unapplied_where_its_events_decide_it(
    all_said: list[list[tuple[int, dict[str, Any]]]],
) -> None:
    """Many interactions in one lake: a lake costs more than they do."""
    events: list[RedactedEvent] = []
    decided = []
    for one, said in enumerate(all_said):
        its = [
            redacted(f"e{number}", at, interaction_id=f"i{one:02}", **parts) for number, (at, parts) in enumerate(said)
        ]
        events += its
        if not isinstance(join(InteractionLog(tuple(its))), Wait):
            decided.append((f"i{one:02}", len(its)))
    assert rows(lake_of(*events), "SELECT interaction_id, missing FROM unapplied ORDER BY ALL") == decided


def test_tables_are_read_at_the_versions_that_are_asked_for(tmp_path: Path) -> None:
    lake = DeltaLake(str(tmp_path))
    for name in "ab":
        table, row = outcome_row(outcome(name))
        lake.create(table).append(arrow_table(table, [row]), {}, {})
    said = redacted("consent", consent=Consent(False, "u"))
    lake.create(EVENTS).append(arrow_table(EVENTS, [event_row(said)]), {}, {})
    counts = "SELECT (SELECT count(*) FROM samples_current), (SELECT count(*) FROM events)"
    for versions, found in [
        ({}, (2, 1)),
        ({"samples": 1, "events": 1}, (1, 1)),
        ({"samples": 0}, (0, 1)),
        ({"events": -1, "samples": 2, "rejected": -1}, (2, 0)),
    ]:
        with connect(str(tmp_path), versions=versions) as at:
            assert rows(at, counts) == [found]
    for versions in ({"samples": 3}, {"rejected": 0}):
        with pytest.raises(VersionGone, match=next(iter(versions))):
            connect(str(tmp_path), versions=versions)
