"""`millrace deadletter`: what it shows, what it refuses, and that nothing is done without --yes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from millrace import deadletter
from schemas.events import Position
from schemas.reasons import Reason
from streams.errors import BrokerUnavailable, SettingError, StreamError
from streams.lake.delta import DeltaLake
from streams.letters.index import letter_id
from streams.redaction.sealing import key_id, new_key_pair
from streams.settings import load
from tests.events import redacted
from tests.letters import PAIR, TOPIC_IDS, Topics, put, put_events, sealed_letter, thumb
from tests.outcomes import letter

ID = letter_id(Position("raw", 0, 0))
TODAY = datetime.now(UTC)
TODAY_US = int(TODAY.timestamp() * 1e6)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeltaLake:
    """Three letters of today: an event, bytes, and one of an acme topic that only another key opens."""
    root = str(tmp_path / "lake")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MILLRACE_LAKE", root)
    monkeypatch.setenv("MILLRACE_SOURCES", "feedback.events,feedback.acme=acme")
    lake = DeltaLake(root)
    put(
        lake,
        sealed_letter(thumb("secret-id"), 0, reason=Reason.REDACTION_FAILED, tenant="t", received_at=TODAY_US),
        sealed_letter(b"\x00\x01secret\x1b[31m", 1, received_at=TODAY_US),
        sealed_letter(b"x", 2, [new_key_pair().public], topic="feedback.acme", tenant="acme", received_at=TODAY_US),
    )
    return lake


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    file = tmp_path / "private"
    file.write_text(PAIR.private)
    file.chmod(0o600)
    return str(file)


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> Iterator[Topics]:
    """Kafka, in memory."""
    topics = Topics()
    monkeypatch.setattr(deadletter, "GaplessProducer", lambda _settings: topics)
    monkeypatch.setattr(deadletter, "SentTo", lambda _settings: topics)
    monkeypatch.setattr(
        deadletter, "topic_ids", lambda _settings, wanted: {topic: TOPIC_IDS[topic] for topic in wanted}
    )
    yield topics


def run(*arguments: str, exit_code: int = 0) -> Result:
    done = CliRunner().invoke(deadletter.app, list(arguments))
    assert done.exit_code == exit_code, (done.output, done.exception)
    return done


def lines(*arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(*arguments, "--json").stdout.splitlines()]


def error(*arguments: str) -> StreamError:
    """What the command ends with; `millrace` prints it and exits 2 for a wrong setting, else 3."""
    done = CliRunner().invoke(deadletter.app, list(arguments))
    assert isinstance(done.exception, StreamError), (done.output, done.exception)
    assert PAIR.private not in str(done.exception)
    return done.exception


def test_a_list_has_a_row_a_letter_and_says_how_many_there_are(lake: DeltaLake) -> None:
    shown = CliRunner().invoke(deadletter.app, ["list", "--limit", "2"], env={"COLUMNS": "150"}).stdout
    assert "2 of 3 letters" in shown
    assert run("list", "--json").stdout.count("\n") == 3
    rows = {row["id"]: row for row in lines("list")}
    assert (rows[ID]["reason"], rows[ID]["state"], rows[ID]["key_ids"]) == (
        "redaction_failed", "waiting", [key_id(PAIR.public)]
    )  # fmt: skip
    assert "secret" not in run("list", "--json").stdout


def test_a_list_is_narrowed_by_its_options(lake: DeltaLake) -> None:
    assert [row["tenant"] for row in lines("list", "--tenant", "acme", "--tenant", "none")] == ["acme"]
    assert [row["id"] for row in lines("list", "--id", ID[:8])] == [ID]
    tomorrow = f"{TODAY + timedelta(days=1):%Y-%m-%d}"
    assert len(lines("list", "--until", tomorrow)) == 3
    assert lines("list", "--since", tomorrow) == []


def test_a_list_by_key_says_how_many_letters_each_key_opens(lake: DeltaLake) -> None:
    by_key = {group["key"]: group["letters"] for group in lines("list", "--by", "key")}
    assert by_key[key_id(PAIR.public)] == 2
    assert sorted(by_key.values()) == [1, 2]
    assert "undecodable" in run("list", "--by", "reason").stdout


def test_without_a_key_only_the_index_is_shown(lake: DeltaLake) -> None:
    shown = run("show", ID[:6])
    assert "redaction_failed" in shown.stdout
    assert "sealed; --key-file" in shown.stdout
    assert "secret" not in shown.output


def test_with_a_key_the_original_is_shown_behind_a_warning(lake: DeltaLake, key_file: str) -> None:
    shown = run("show", ID, "--key-file", key_file)
    assert '"event_id": "secret-id"' in shown.stdout
    assert "unredacted" in shown.stderr
    assert "unredacted" not in shown.stdout
    assert json.loads(lines("show", ID, "--key-file", key_file)[0]["original"])["event_id"] == "secret-id"


def test_raw_gives_the_original_out_byte_for_byte_and_else_no_control_character_reaches_the_terminal(
    lake: DeltaLake, key_file: str
) -> None:
    name = letter_id(Position("raw", 0, 1))
    assert run("show", name, "--key-file", key_file, "--raw").stdout_bytes == b"\x00\x01secret\x1b[31m"
    shown = run("show", name, "--key-file", key_file).stdout
    assert "00 01 73 65 63" in shown
    assert "\x1b" not in shown


def test_key_files_come_from_the_environment_several_at_once_and_no_role_is_handed_them(
    lake: DeltaLake, key_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").write_text(new_key_pair().private)
    monkeypatch.setenv("MILLRACE_DEADLETTER_PRIVATE_KEY_FILE", f"{tmp_path / 'other'}:{key_file}")
    shown = run("show", ID)
    assert "secret-id" in shown.stdout
    assert "other can be read by others" in shown.stderr
    assert not any("private" in name for name in msgspec.structs.asdict(load()))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("show", "nothing"), "is no letter's id"),
        (("show", ""), "beginning of several ids"),
        (("list", "--reason", "bad"), "must be one of invalid_event"),
        (("replay", "--yes"), "is required to open letters, or MILLRACE_DEADLETTER_PRIVATE_KEY_FILE"),
        (("show", ID, "--raw"), "MILLRACE_DEADLETTER_PRIVATE_KEY_FILE"),
        (("show", ID, "--key-file", "nowhere"), "cannot be read"),
    ],
)
def test_wrong_use_names_what_is_wrong_and_the_mend(lake: DeltaLake, arguments: tuple[str, ...], says: str) -> None:
    refusal = error(*arguments)
    assert isinstance(refusal, SettingError)
    assert says in str(refusal)


def test_a_lake_that_is_not_there_is_said_so_with_the_mend() -> None:
    refused = run("list", "--lake", "nowhere", exit_code=2)
    assert "there is no lake at nowhere; set --lake or MILLRACE_LAKE" in refused.stderr


def test_a_wrong_key_is_told_with_the_ids_of_those_that_would_open(lake: DeltaLake, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text(new_key_pair().private)
    assert f"is sealed to {key_id(PAIR.public)}" in str(error("show", ID, "--key-file", str(wrong)))
    done = run("replay", "--yes", "--key-file", str(wrong), "--id", ID, exit_code=1)
    assert done.stdout.startswith("0 sent")


def test_without_yes_a_replay_says_what_it_would_do_and_does_nothing(lake: DeltaLake, topics: Topics) -> None:
    plans = lines("replay", "--tenant", "t")
    assert plans == [{"stage": "redact", "reason": "redaction_failed", "topic": "feedback.reentry", "letters": 1}]
    assert "--yes sends them" in run("replay").stdout
    assert topics.records == []
    assert {row["state"] for row in lines("list")} == {"waiting"}
    assert not (Path("lake") / "dead_letter_replays").exists()


def test_with_yes_it_sends_those_that_the_key_opens_and_exits_1_for_the_others(
    lake: DeltaLake, topics: Topics, key_file: str
) -> None:
    done = run("replay", "--yes", "--key-file", key_file, exit_code=1)
    assert done.stdout.startswith("2 sent")
    assert "1 left alone: is sealed to" in done.stderr
    assert [record.topic for record in topics.records] == ["feedback.reentry"] * 2
    assert sorted(row["state"] for row in lines("list")) == ["sent", "sent", "waiting"]
    assert run("replay", "--yes", "--key-file", key_file, "--tenant", "t").stdout.startswith("0 sent")
    assert len(topics.records) == 2


def test_a_limit_sends_no_more_than_that(lake: DeltaLake, topics: Topics, key_file: str) -> None:
    both = ("--id", ID, "--id", letter_id(Position("raw", 0, 1)))
    assert run("replay", "--yes", "--key-file", key_file, *both, "--limit", "1").stdout.startswith("1 sent")
    assert len(topics.records) == 1
    assert run("replay", "--yes", "--key-file", key_file, *both, "--limit", "1").stdout.startswith("1 sent")
    assert len({record.key for record in topics.records}) == 2


def test_a_topic_that_is_away_is_said_so_before_anything_is_noted_or_sent(
    lake: DeltaLake, topics: Topics, key_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise BrokerUnavailable("topic feedback.reentry: unknown")

    monkeypatch.setattr(deadletter, "topic_ids", away)
    problem = error("replay", "--yes", "--key-file", key_file, "--id", ID)
    assert "feedback.reentry" in str(problem)
    assert "millrace doctor" in str(problem)
    assert {row["state"] for row in lines("list")} == {"waiting"}


def test_a_purge_says_how_many_and_with_yes_removes_them_files_and_all(lake: DeltaLake) -> None:
    old = TODAY_US - 31 * 86_400_000_000
    put(lake, letter(5, received_at=old, original=b"old-original"), letter(6, received_at=old))
    assert lines("purge") == [{"outdated": 2, "replayed": 0}]
    assert "--yes removes them" in run("purge").stdout
    assert len(lines("list")) == 5
    files = set(Path("lake", "dead_letters").glob("day=*/*.parquet"))
    assert lines("purge", "--yes") == [{"removed": 2}]
    assert len(lines("list")) == 3
    assert len(files - set(Path("lake", "dead_letters").glob("day=*/*.parquet"))) == 1


def test_a_purge_of_what_was_replayed_takes_only_what_is_in_the_lake(
    lake: DeltaLake, topics: Topics, key_file: str
) -> None:
    run("replay", "--yes", "--key-file", key_file, exit_code=1)
    put_events(lake, redacted("secret-id", entry=Position("reentry-id", 0, 0)))
    assert sorted(row["state"] for row in lines("list")) == ["replayed", "sent", "waiting"]
    assert lines("purge", "--replayed") == [{"outdated": 0, "replayed": 1}]
    assert lines("purge", "--replayed", "--yes") == [{"removed": 1}]
    assert sorted(row["state"] for row in lines("list")) == ["sent", "waiting"]
