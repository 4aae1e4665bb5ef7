"""One walk over everything: events full of marked personal data go in, and nothing that was written past the raw
topics holds a mark: topics, state, lake, logs, metrics, answers, temporary files.

Ids, model names and roles are an app's own and opaque by contract, so that they carry no marks.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from base64 import b64encode
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pyarrow.parquet as pq
import pytest
import redis
from confluent_kafka import Consumer, Producer, TopicPartition

from deploy.local.process import free_port
from schemas.reasons import Reason
from schemas.tables import TABLES
from streams.brokers import client_config, topics
from streams.collector.keys import KeyFile
from streams.lake.query import connect
from streams.pipeline import Pipeline, wait_until
from streams.redaction.sealing import Sealed, new_key_pair, unseal
from streams.settings import Settings, environment
from tests.integration.marked_events import EVENT_IDS, Produced, accepted, produced, refused
from tests.integration.roles import running, settings_on
from tests.marked import Marks, Search, files_under
from tests.outcomes import copies_of
from tests.servers import Servers

ROOT = Path(__file__).parent.parent.parent
PAIR = new_key_pair()
MAX_TEXT_CHARS = 2_000
MAX_EVENT_BYTES = 50_000
PAGES = ("/metrics", "/healthz", "/readyz")
COLLECTOR_PAGES = (*PAGES, "/docs", "/openapi.json")


class Written(NamedTuple):
    """A Kafka record as bytes."""

    key: bytes
    value: bytes
    headers: bytes


class Answer(NamedTuple):
    """The collector's or a role's answer, as bytes."""

    status: int
    written: bytes


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Path]:
    """Where the processes log and where they put temporary files."""
    made = {name: tmp_path / name for name in ("logs", "temporary")}
    for folder in made.values():
        folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(made["temporary"]))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return made


@pytest.fixture
def settings(servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return settings_on(
        servers,
        servers.fresh_lake(monkeypatch),
        ("events", "acme=acme"),
        topic_partitions=2,
        deadletter_public_keys=(PAIR.public,),
        max_text_chars=MAX_TEXT_CHARS,
        max_event_bytes=MAX_EVENT_BYTES,
        redaction_audit_share=1.0,
        collector_port=free_port(),
        collector_keys_file=str(tmp_path / "keys.json"),
        log_level="DEBUG",
    )


@pytest.fixture
def collector(settings: Settings, folders: Mapping[str, Path]) -> Iterator[subprocess.Popen[bytes]]:
    """`millrace collector`, what it prints in a file."""
    with (folders["logs"] / "collector.log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "millrace", "collector"],
            env={**os.environ, **environment(settings), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
            stdout=log,
            stderr=log,
        )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


@pytest.fixture
def pipeline(settings: Settings, folders: Mapping[str, Path], collector: subprocess.Popen[bytes]) -> Iterator[Pipeline]:
    with running(Pipeline(settings, folders["logs"])) as pipeline:
        wait_until(lambda: _ready(settings), 60, "a ready collector")
        yield pipeline


@pytest.mark.timeout(600)
def test_no_marked_value_is_in_anything_that_was_written_outside_the_raw_topics(
    settings: Settings,
    pipeline: Pipeline,
    collector: subprocess.Popen[bytes],
    folders: Mapping[str, Path],
    servers: Servers,
) -> None:
    marks, stray = Marks(1), Marks(2)
    events, records = accepted(marks, MAX_TEXT_CHARS), produced(marks, MAX_EVENT_BYTES)
    key = KeyFile(Path(settings.collector_keys_file)).create("acme", "test", "write", datetime.now(UTC))

    everything = _answers(settings, key, events, stray)
    _produce(settings, records)
    pipeline.await_drained(180)
    everything |= _pages(settings, pipeline)
    everything |= {str(path): path.read_bytes() for path in files_under(folders["temporary"])}  # while all still run
    everything["reports"] = repr(pipeline.stop()).encode()
    collector.send_signal(signal.SIGTERM)
    assert collector.wait(30) == 0

    raw = {settings.topic("events"), settings.topic("acme")}
    written = {topic: _dump(settings, topic) for topic in topics(settings)}
    went_in = [record for topic in raw for record in written[topic]]
    _assert_all_arrived(settings, records, went_in)
    everything |= {f"topic {topic}": _joined(written[topic]) for topic in written.keys() - raw}
    everything |= _server_files(servers, settings, raw) | _state(settings) | _lake(settings, servers)
    everything |= {str(path): path.read_bytes() for folder in folders.values() for path in files_under(folder)}
    everything["keys"] = Path(settings.collector_keys_file).read_bytes()
    assert any(b"<EMAIL_ADDRESS" in content for name, content in everything.items() if name.startswith("lake "))
    assert any(b"millrace_audit_failed_total 0.0" in content for content in everything.values())

    # A search that finds none says something only if it would have found them, and they did go in.
    assert Search(marks.values).labels(_joined(went_in)) == marks.values.keys()
    search = Search({**marks.values, **stray.values, "private key": PAIR.private})
    for label, value in marks.values.items():
        control = folders["temporary"] / "control"
        control.write_text(f"x{value}x")
        assert search.labels_under(folders["temporary"]) == {str(control): {label}}
    assert _held(search, everything) == {}
    assert _held(Search({"API key": key, "hash key": settings.hash_key}), everything) == {}


def test_the_search_finds_each_form_of_a_value_wherever_it_stands() -> None:
    marks = Marks(3)
    values = [marks.email("email"), marks.card("card"), marks.ip("ip"), marks.api_key("key")]
    search = Search(marks.values)
    for label, value in zip(marks.values, values, strict=True):
        as_is = value.encode()
        for before in (b"", b"a", b"ab"):
            around = before + as_is + b"xyz"
            for written in (around, around.upper(), around[::-1], around.hex().encode(), around.hex().upper().encode()):
                assert search.labels(b"..." + written) == {label}
            assert search.labels(json.dumps({"k": around.decode()}).encode()) == {label}
            assert search.labels(json.dumps([b64encode(around).decode()]).encode()) == {label}
    assert search.labels(b"nothing of it") == set()


def _held(search: Search, everything: Mapping[str, bytes]) -> dict[str, set[str]]:
    """What was written → labels of the values in it, or in its name."""
    found = {name: search.labels(name.encode()) | search.labels(content) for name, content in everything.items()}
    return {name: labels for name, labels in found.items() if labels}


def _joined(records: Sequence[Written]) -> bytes:
    return b"\n".join(part for record in records for part in record)


def _assert_all_arrived(settings: Settings, produced: Sequence[Produced], raw: Sequence[Written]) -> None:
    """Every event is in the lake; every poison record is a dead letter that the private key opens to the original."""
    lake = connect(settings.lake)
    ids = {row[0] for row in lake.execute("SELECT event_id FROM events").fetchall()}
    assert ids == EVENT_IDS
    assert lake.execute("SELECT count(*) FROM samples").fetchall() != [(0,)]
    assert lake.execute("SELECT reason FROM rejected WHERE scope = 'event'").fetchall() == [(Reason.ID_CONFLICT,)]
    letters = lake.execute("SELECT reason, sealed, original FROM dead_letters").fetchall()
    opened = [(reason, unseal(Sealed(copies_of(sealed), original), PAIR)) for reason, sealed, original in letters]
    poison = [(record.reason, record.value) for record in produced if record.reason is not None]
    long = next(written.value for written in raw if b"chat-3" in written.value and len(written.value) > MAX_TEXT_CHARS)
    assert sorted(opened) == sorted([*poison, (Reason.REDACTION_FAILED, long)])


def _answers(settings: Settings, key: str, events: Sequence[object], stray: Marks) -> dict[str, bytes]:
    """Send events, bodies that must be refused, and requests with marks beside the body; what was answered."""
    wait_until(lambda: _post(settings, key, b"[]").status != 401, 60, "the collector to know its key")
    took = _post(settings, key, b"\n".join(json.dumps(event).encode() for event in events))
    assert took.status == 202, took.written
    answers = {"collector: took": took.written}
    for number, (status, body) in enumerate(refused(stray, MAX_EVENT_BYTES)):
        refusal = _post(settings, key, body)
        assert refusal.status == status, (body, refusal.written)
        answers[f"collector: refused {number}"] = refusal.written
    for name, answer in _strays(settings, stray).items():
        assert answer.status in (400, 401, 404, 405), name
        answers[f"collector: {name}"] = answer.written
    return answers


def _pages(settings: Settings, pipeline: Pipeline) -> dict[str, bytes]:
    """Every page that a role serves."""
    pages = {f"{role}{page}": _get(each.url, page) for role, each in pipeline.processes.items() for page in PAGES}
    collector = f"http://127.0.0.1:{settings.collector_port}"
    pages |= {f"collector{page}": _get(collector, page) for page in COLLECTOR_PAGES}
    assert {page.status for page in pages.values()} == {200}
    return {name: page.written for name, page in pages.items()}


def _ready(settings: Settings) -> bool:
    try:
        return _get(f"http://127.0.0.1:{settings.collector_port}", "/readyz").status == 200
    except OSError:
        return False


def _get(url: str, page: str) -> Answer:
    return _ask(url.removeprefix("http://"), "GET", page, None, {})


def _post(settings: Settings, key: str, body: bytes) -> Answer:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    return _ask(f"127.0.0.1:{settings.collector_port}", "POST", "/v1/events", body, headers)


def _ask(address: str, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
    """The status, and the answer's headers and body as they came."""
    with closing(http.client.HTTPConnection(address, timeout=60)) as connection:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers.as_bytes() + answer.read())


def _strays(settings: Settings, stray: Marks) -> dict[str, Answer]:
    """Requests with marks beside the body: address, query, headers, a key that is none."""
    at = f"127.0.0.1:{settings.collector_port}"
    mail = stray.email
    return {
        "path": _ask(at, "GET", f"/v1/{mail('path')}", None, {}),
        "query": _ask(at, "POST", f"/v1/events?user={mail('query')}", b"{}", {}),
        "method": _ask(at, "DELETE", f"/v1/events?user={mail('other query')}", None, {}),
        "key": _ask(at, "POST", "/v1/events", b"{}", {"Authorization": f"Bearer {stray.api_key('wrong key')}"}),
        "scheme": _ask(at, "POST", "/v1/events", b"{}", {"Authorization": f"Basic {stray.api_key('no key')}"}),
        "headers": _ask(
            at, "POST", "/v1/events", b"{}",
            {"User-Agent": mail("agent"), "X-Request-Id": mail("request id"), "traceparent": stray.ssn("trace"),
             "Content-Type": f"text/{mail('type')}", "Origin": f"https://{mail('origin')}"},
        ),
    }  # fmt: skip


def _produce(settings: Settings, records: Sequence[Produced]) -> None:
    producer = Producer({**client_config(settings), "message.max.bytes": 12_000_000})
    for record in records:
        producer.produce(settings.topic(record.topic), record.value, record.key, headers=record.headers)
    assert producer.flush(30) == 0


def _dump(settings: Settings, topic: str) -> list[Written]:
    """Every record of a topic as it is in Kafka."""
    consumer = Consumer({**client_config(settings), "group.id": "dump", "enable.auto.commit": False})
    found: list[Written] = []
    with closing(consumer):
        for number in range(settings.topic_partitions):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=30)
            consumer.assign([TopicPartition(topic, number, low)])
            while low < high:
                message = consumer.poll(30)
                assert message is not None
                assert message.error() is None
                headers = repr(message.headers()).encode()
                found.append(Written(message.key() or b"", message.value() or b"", headers))
                low = (message.offset() or 0) + 1
    return found


def _server_files(servers: Servers, settings: Settings, raw: Collection[str]) -> dict[str, bytes]:
    """The servers' own files: logs, Redis's journal, Kafka's of this test's topics but the raw ones and of offsets."""
    data = servers.kafka.folder / "data"
    segments = [*data.glob(f"{settings.topic_prefix}.*/*.log"), *data.glob("__consumer_offsets-*/*.log")]
    segments = [path for path in segments if path.parent.name.rpartition("-")[0] not in raw]
    journal = list(servers.redis.folder.rglob("*.aof"))
    assert segments
    assert journal
    logs = [server.log for server in (servers.kafka, servers.redis, servers.s3)]
    return {str(path): path.read_bytes() for path in (*segments, *journal, *logs)}


def _state(settings: Settings) -> dict[str, bytes]:
    """Every key and value of the state, a line each."""
    lines: list[bytes] = []
    with redis.Redis.from_url(settings.redis_url) as client:
        for key in client.scan_iter():
            lines.append(key)
            if client.type(key) == b"hash":
                fields: Any = client.hgetall(key)
                lines += [part for pair in fields.items() for part in pair]
            else:
                lines.append(client.get(key) or b"")
    assert lines
    return {"state": b"\n".join(lines)}


def _lake(settings: Settings, servers: Servers) -> dict[str, bytes]:
    """Every object of the lake as it is, and every table's file read as well: pages are compressed."""
    store: Any = boto3.client(
        "s3",
        endpoint_url=servers.s3.endpoint,
        aws_access_key_id=servers.s3.access_key,
        aws_secret_access_key=servers.s3.secret_key,
        region_name=servers.s3.region,
    )
    bucket, _, prefix = settings.lake.removeprefix("s3://").partition("/")
    found: dict[str, bytes] = {}
    with closing(store):
        for page in store.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/"):
            for entry in page["Contents"]:
                name = entry["Key"]
                found[f"lake {name}"] = content = store.get_object(Bucket=bucket, Key=name)["Body"].read()
                if name.endswith(".parquet") and "_delta_log" not in name:
                    rows = pq.read_table(io.BytesIO(content)).to_pylist()
                    found[f"lake {name}, read"] = repr(rows).encode()
    assert {name.split("/")[1] for name in found} == set(TABLES)
    return found
