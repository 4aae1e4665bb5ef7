"""Dead letters on real Kafka, Redis and a lake: sealed with every cause, mended, sent again, and once only."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from millrace.deadletter import app
from schemas.codec import Codec
from schemas.events import FeedbackEvent, Position, Score
from schemas.intake import event_to_json
from streams.brokers import (
    GaplessProducer,
    Outgoing,
    client_config,
    largest_letter_bytes,
    largest_record_bytes,
    topic_ids,
)
from streams.lake.delta import DeltaLake
from streams.lake.query import connect
from streams.letters.index import Index, Selection, letter_id
from streams.letters.journal import SentTo
from streams.letters.keyring import Keyring
from streams.letters.originals import sealed
from streams.letters.replay import Replayer, plan
from streams.pipeline import Pipeline
from streams.redaction.sealing import new_key_pair
from streams.registry import RegistryClient
from streams.settings import Settings, environment
from tests.events import interaction, redacted
from tests.integration.roles import running, settings_on
from tests.servers import Servers

OLD, NEW = new_key_pair(), new_key_pair()


@pytest.fixture
def settings(servers: Servers, tmp_path: Path) -> Settings:
    """Settings under which much fails: no schema registry, small events, short texts."""
    return settings_on(
        servers,
        str(tmp_path / "lake"),
        ("acme=acme",),
        topic_partitions=3,
        deadletter_public_keys=(OLD.public, *(new_key_pair().public for _ in range(4))),
        max_event_bytes=20_000,
        max_text_chars=1_000,
    )


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "private"
    file.write_text(f"{OLD.private}\n{NEW.private}\n")
    file.chmod(0o600)
    return file


@contextmanager
def drained(settings: Settings, logs: Path) -> Iterator[None]:
    """The roles run; when the block ends well, all is drained and they have stopped."""
    logs.mkdir(exist_ok=True)
    with running(Pipeline(settings, logs)) as pipeline:
        yield
        pipeline.await_drained(180)
        pipeline.stop()


def produce(settings: Settings, topic: str, values: Iterable[bytes]) -> None:
    producer = Producer({**client_config(settings), "message.max.bytes": largest_letter_bytes(settings)})
    for value in values:
        producer.produce(settings.topic(topic), value)
    assert producer.flush(60) == 0


def millrace(settings: Settings, *arguments: str, exit_code: int = 0) -> list[dict[str, Any]]:
    """What a subcommand of `deadletter` said with --json."""
    done = CliRunner().invoke(app, [*arguments, "--json"], env=environment(settings))
    assert done.exit_code == exit_code, (done.output, done.exception)
    return [json.loads(line) for line in done.stdout.splitlines()]


def chat(name: str, answer: str = "Because.") -> FeedbackEvent:
    """An interaction with its score in one event, so that it becomes a sample by itself."""
    return FeedbackEvent(
        event_id=name,
        interaction_id=name,
        interaction=interaction(f"Why {name}?", answer),
        scores=(Score("thumbs", value=1.0),),
    )


def text(name: str, chars: int) -> str:
    """So many characters without personal data, another text for each name."""
    words = ["the", "green", "door", "opens", "slowly", "when", "rain", "falls", "on", "old", "small", "houses"]
    chosen = random.Random(name)
    return " ".join(chosen.choice(words) for _ in range(chars // 4))[:chars]


def rows(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    return connect(settings.lake).execute(query).fetchall()


def lake_now(settings: Settings) -> Mapping[str, Any]:
    """Everything that a replay may change: events and samples by id with how often, and the letters."""
    letters = Index(DeltaLake(settings.lake)).letters(Selection())
    return {
        "events": sorted(rows(settings, "SELECT event_id, count(*) FROM events GROUP BY event_id")),
        "samples": sorted(rows(settings, "SELECT sample_id, revision, count(*) FROM samples GROUP BY ALL")),
        "rejected": rows(settings, "SELECT event_id, reason FROM rejected"),
        "letters": sorted((one.id, one.reason, one.attempts, one.state) for one in letters),
    }


@pytest.mark.timeout(600)
def test_what_passes_once_its_cause_is_mended_comes_into_the_lake_once_and_what_fails_again_is_one_new_letter(
    settings: Settings, servers: Servers, key_file: Path, tmp_path: Path
) -> None:
    with closing(RegistryClient(servers.registry.url, settings.topic_prefix)) as registry:
        registry.register()
        framed = Codec(registry)
        mendable = {
            "oversize": event_to_json(chat("big", text("big", 30_000))),
            "redaction_failed": event_to_json(chat("long", text("long", 5_000))),
            "unknown_schema": framed.encode(chat("framed")),
        }
        # A score that was let in and that `curate` could not read; its interaction comes by the raw topic.
        late = framed.encode(redacted("late", interaction_id="asked", tenant="acme", scores=(Score("thumbs", 1.0),)))
    asked = msgspec.structs.replace(chat("asked"), scores=())
    poison = {
        "undecodable": b"\x07garbage",
        "invalid_event": b'{"event_id": "bad", "interaction_id": "i", "score": {"method": "stars", "value": 11}}',
    }
    again = event_to_json(chat("again", text("again", 25_000)))
    with drained(settings, tmp_path / "before"):
        produce(settings, "acme", [event_to_json(chat("fine")), event_to_json(asked), *mendable.values(), again])
        produce(settings, "acme", poison.values())
        produce(settings, "replay", [late, b"nothing at all"])
    before = lake_now(settings)
    assert before["events"] == [("asked", 1), ("fine", 1)]
    assert sorted(letter[1:] for letter in before["letters"]) == sorted(
        (reason, 1, "waiting") for reason in [*mendable, *poison, "oversize", "unknown_schema", "undecodable"]
    )

    mended = msgspec.structs.replace(
        settings,
        max_event_bytes=1_000_000,
        max_text_chars=100_000,
        schema_registry_url=servers.registry.url,
        deadletter_public_keys=(NEW.public,),
    )
    with drained(mended, tmp_path / "resent"):
        produce(mended, "acme", [again])  # its app did not wait for us
    key = ("--key-file", str(key_file))
    dry = millrace(mended, "replay", *key)
    assert sum(line["letters"] for line in dry) == 8
    assert {line["topic"] for line in dry} == {mended.topic("reentry"), mended.topic("replay")}
    resent = lake_now(mended)
    assert resent["letters"] == before["letters"]  # a dry run does nothing

    _cut_off(mended, after=2)
    (report,) = millrace(mended, "replay", "--yes", *key)
    # Two letters went out before the crash; `again` was left out then, for the lake has it since its app sent it anew.
    assert (report["sent"], report["on_the_way"], report["in_lake"], report["unopened"]) == (5, 2, 0, [])
    with drained(mended, tmp_path / "after"):
        pass
    after = lake_now(mended)
    names = ["again", "asked", "big", "fine", "framed", "long"]
    assert after["events"] == [(name, 1) for name in names]
    assert after["samples"] == [
        (f"acme/{name}", 2 if name == "asked" else 1, 1) for name in names
    ]  # the late score is applied to its interaction, once
    assert after["rejected"] == []
    states = {letter[0]: letter[1:] for letter in after["letters"]}
    assert sorted(states[letter[0]][2] for letter in before["letters"]) == ["failed"] * 3 + ["replayed"] * 5
    assert sorted(states[name] for name in states.keys() - {letter[0] for letter in before["letters"]}) == [
        ("invalid_event", 2, "waiting"),
        ("undecodable", 2, "waiting"),
        ("undecodable", 2, "waiting"),
    ]
    _same_originals(mended, {*poison.values(), b"nothing at all"})

    failed_again = {letter[0] for letter in after["letters"] if letter[2] == 2}
    (report,) = millrace(mended, "replay", "--yes", *key, "--reason", "oversize", "--reason", "unknown_schema")
    assert (report["sent"], report["on_the_way"]) == (0, 0)
    with drained(mended, tmp_path / "again"):
        pass
    assert lake_now(mended) == after
    (report,) = millrace(mended, "replay", "--yes", *key)
    assert report["sent"] == len(failed_again) == 3
    with drained(mended, tmp_path / "third"):
        pass
    third = lake_now(mended)
    assert {name: third[name] for name in ("events", "samples")} == {
        name: after[name] for name in ("events", "samples")
    }
    assert sorted(letter[2:] for letter in third["letters"] if letter[3] == "waiting") == [(3, "waiting")] * 3


def _cut_off(settings: Settings, after: int) -> None:
    """Send letters as the command does, and die when some of them are in Kafka."""

    class Dying(GaplessProducer):
        def deliver(self, records: Iterable[Outgoing], *_: Any) -> None:
            super().deliver(list(records)[:after])
            raise KeyboardInterrupt

    lake = DeltaLake(settings.lake)
    index, keys = Index(lake), Keyring([OLD.private])
    with closing(RegistryClient(settings.schema_registry_url, settings.topic_prefix)) as registry:
        codec = Codec(registry)
        chosen = plan(index.letters(Selection()), settings, keys, False, datetime.now(UTC))
        ids = topic_ids(settings, [settings.topic("reentry"), settings.topic("replay")])
        replayer = Replayer(lake, index, settings, codec, keys, Dying(settings), SentTo(settings), ids)
        with pytest.raises(KeyboardInterrupt):
            replayer.send(chosen.send)


def _same_originals(settings: Settings, originals: set[bytes]) -> None:
    """The letters of the second attempt hold what the first ones held, sealed to the new key alone."""
    lake = DeltaLake(settings.lake)
    letters = [one for one in Index(lake).letters(Selection()) if one.attempts == 2]
    boxes = sealed(lake, letters)
    assert {Keyring([NEW.private]).open(boxes[one.id]) for one in letters} == originals
    assert {one.first for one in letters} == {one.id for one in Index(lake).letters(Selection(states=("failed",)))}


@pytest.mark.timeout(300)
def test_the_largest_record_that_kafka_takes_becomes_a_letter_to_five_recipients_and_opens_again(
    settings: Settings, key_file: Path, tmp_path: Path
) -> None:
    original = random.Random(1).randbytes(largest_record_bytes(settings) - 200)  # of which a batch's header is part
    squeezed = b"{" + b" " * (3 * largest_letter_bytes(settings)) + b"}"  # its batch is small, the record is not
    with drained(settings, tmp_path / "logs"):
        produce(settings, "acme", [original])
        producer = Producer(
            {**client_config(settings), "message.max.bytes": len(squeezed) + 1_000, "compression.type": "zstd"}
        )
        producer.produce(settings.topic("acme"), squeezed)
        assert producer.flush(60) == 0
    lake = DeltaLake(settings.lake)
    letters = list(Index(lake).letters(Selection()))
    assert {(one.reason, one.size_bytes) for one in letters} == {
        ("oversize", len(original)),
        ("oversize", len(squeezed)),
    }
    assert all(len(one.key_ids) == 5 for one in letters)
    boxes = sealed(lake, letters)
    assert {Keyring([OLD.private]).open(boxes[one.id]) for one in letters} == {original, squeezed}
    (left,) = millrace(settings, "replay", "--key-file", str(key_file))
    assert "larger than Kafka takes" in left["left_alone"]


def test_letters_are_found_in_a_topic_by_their_header_from_a_time_on(settings: Settings) -> None:
    topic, topic_id = settings.topic("reentry"), topic_ids(settings, [settings.topic("reentry")])
    assert list(SentTo(settings).since(topic, 0)) == []
    places: dict[int, Position] = {}

    def located(index: int, partition: int, offset: int) -> None:
        places[index] = Position(topic_id[topic], partition, offset)

    names = [letter_id(Position("raw", 0, at)) for at in range(20)]
    headers = [(("millrace-letter", name.encode()),) for name in names]
    records = [
        Outgoing(topic, name.encode(), b"x", headers=header) for name, header in zip(names, headers, strict=True)
    ]
    GaplessProducer(settings).deliver([Outgoing(topic, b"", b"none of ours", 0), *records], located)
    found = dict(SentTo(settings).since(topic, int(datetime.now(UTC).timestamp() * 1_000)))
    assert found == {name: places[index] for index, name in enumerate(names, start=1)}
    assert len({place.partition for place in found.values()}) == settings.topic_partitions
    later = int(datetime.now(UTC).timestamp() * 1_000) + 3_600_000
    assert list(SentTo(settings).since(topic, later)) == []
