"""The embedded run: the real agents and sink on librdkafka's mock cluster, state in a file, the lake in a folder.

The broker lives in this process's memory and is gone with it, so nothing that it holds counts as kept: the state of a
run becomes valid only when the run has drained. A run that was killed left whole commits in the lake and no state;
running the same file again takes up where the lake ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import pyarrow as pa

from schemas.codec import Codec
from streams.balance import Balance, balance, positions
from streams.brokers import EMBEDDED_PARTITIONS, RETENTION_MS, EmbeddedBroker, GaplessProducer
from streams.errors import SettingError, StreamError
from streams.feed import Fed, Source, feed
from streams.importers import BadLine, file_id, read_events
from streams.lake.query import connect
from streams.pipeline import Pipeline, Reports
from streams.redaction.sealing import new_key_pair
from streams.settings import Settings

COMMIT_S: Final = 2.0
"""How often the embedded sink commits."""


class Input(NamedTuple):
    """A file, its format (`importers.FORMAT_NAMES`) and the tenant whom it belongs to."""

    path: Path
    form: str
    tenant: str


class Result(msgspec.Struct, frozen=True):
    """What a run came to. Times in seconds; `seconds` from the first event sent to the last row committed."""

    balance: Balance
    bad_lines: list[tuple[str, int, str]]
    seconds: float
    reports: Reports


class Secrets(msgspec.Struct, frozen=True):
    """The embedded run's own keys, kept beside its state. In production the private one is never near the stream."""

    hash_key: str
    deadletter_public_key: str
    deadletter_private_key: str


Progress = Callable[[str, int, int], None]
"""Called with what is going on, events sent, and events landed."""


def run(inputs: Sequence[Input], settings: Settings, progress: Progress) -> Result:
    """Carry files through the embedded stream until it has drained, and draw up the balance.

    Raises `StreamError` if another run has the lake, `ProcessDied` if a role ended, `OSError` for unreadable files.
    """
    home = home_of(settings.lake)
    with _only_run(home), _state(home) as state_file:
        ids = [file_id(item.path, item.form, item.tenant) for item in inputs]
        for index, name in enumerate(ids):
            if name in ids[:index]:
                first = inputs[ids.index(name)].path
                raise SettingError("FILE", str(inputs[index].path), f"has the same content as {first}: give it once")
        own = _settings(settings, home, state_file, inputs, ids)
        broker = EmbeddedBroker([*own.tenant_of_source, *(own.topic(name) for name in RETENTION_MS)])
        own = msgspec.structs.replace(own, kafka_bootstrap=broker.bootstrap)
        before = positions(connect(own.lake), ids)
        pipeline = Pipeline(own, home)
        try:
            pipeline.start()
            progress("starting", 0, 0)
            pipeline.await_ready()
            start = time.monotonic()
            fed = _feed_all(inputs, ids, own, pipeline, progress)
            while not pipeline.drained():
                progress("draining", len(fed.ledger), pipeline.landed())
                time.sleep(0.1)
            seconds = time.monotonic() - start
            reports = pipeline.stop()
        finally:
            pipeline.close()
        result = balance(connect(own.lake), fed.ledger, before, len(fed.unreadable))
        return Result(
            balance=result,
            bad_lines=[(name, bad.number, bad.problem) for name, bad in fed.unreadable],
            seconds=seconds,
            reports=reports,
        )


def home_of(lake: str) -> Path:
    """Where the embedded run keeps its state and keys: inside a lake folder, else in a folder named for the lake."""
    if "://" in lake:
        home = Path(".millrace") / hashlib.sha256(lake.encode()).hexdigest()[:16]
    else:
        home = Path(lake) / "_millrace"
    try:
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o700)
    except OSError as exc:
        raise SettingError("--lake", lake, f"{home} cannot be made: {exc.strerror}") from exc
    return home


def secrets_of(home: Path) -> Secrets:
    """The keys of an embedded lake, made at its first run."""
    path = home / "keys.json"
    if not path.exists():
        pair = new_key_pair()
        made = Secrets(secrets.token_hex(32), pair.public, pair.private)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(made))
    return msgspec.json.decode(path.read_bytes(), type=Secrets)


def _settings(
    settings: Settings, home: Path, state_file: Path, inputs: Sequence[Input], ids: Sequence[str]
) -> Settings:
    keys = secrets_of(home)
    sources = {f"feedback.events.{index}": item.tenant for index, item in enumerate(inputs)}
    # The internal topics are new with every broker; what was read from them before says nothing about these.
    internal = {f"feedback.{name}": secrets.token_hex(8) for name in RETENTION_MS if name != "events"}
    topic_ids = internal | dict(zip(sources, ids, strict=True))
    return msgspec.structs.replace(
        settings,
        topic_prefix="feedback",
        topic_partitions=EMBEDDED_PARTITIONS,
        kafka_security_protocol="PLAINTEXT",
        schema_registry_url="",
        sources=tuple(f"{topic}={tenant}" for topic, tenant in sources.items()),
        embedded_topic_ids=tuple(f"{topic}={topic_id}" for topic, topic_id in topic_ids.items()),
        state_file=str(state_file),
        hash_key=settings.hash_key or keys.hash_key,
        deadletter_public_keys=settings.deadletter_public_keys or (keys.deadletter_public_key,),
        lake_commit_s=COMMIT_S,
    )


def _feed_all(
    inputs: Sequence[Input], ids: Sequence[str], settings: Settings, pipeline: Pipeline, progress: Progress
) -> Fed:
    producer, codec = GaplessProducer(settings), Codec()
    ledgers: list[pa.Table] = []
    unreadable: list[tuple[str, BadLine]] = []
    for (topic, tenant), item, topic_id in zip(settings.tenant_of_source.items(), inputs, ids, strict=True):
        earlier = sum(len(ledger) for ledger in ledgers)
        source = Source(
            str(item.path),
            topic,
            topic_id,
            read_events(item.path, item.form, tenant or "", settings.max_event_bytes),
        )

        def landed(earlier: int = earlier, name: str = item.path.name) -> int:
            through = pipeline.landed()
            for process in pipeline.processes.values():
                process.check()
            progress(name, through, through)
            return max(0, through - earlier)

        fed = feed(source, producer, codec, EMBEDDED_PARTITIONS, landed)
        ledgers.append(fed.ledger)
        unreadable += fed.unreadable
    return Fed(pa.concat_tables(ledgers), unreadable)


@contextmanager
def _only_run(home: Path) -> Iterator[None]:
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise StreamError(f"another run has this lake: {home.parent}") from exc
        yield


@contextmanager
def _state(home: Path) -> Iterator[Path]:
    """A working copy of the state, which replaces the state when the run ends well."""
    kept, working = home / "state.sqlite", home / "state.running.sqlite"
    for leftover in home.glob("state.running.sqlite*"):
        leftover.unlink()
    if kept.exists():
        shutil.copyfile(kept, working)
    yield working
    with sqlite3.connect(working) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("PRAGMA journal_mode=DELETE")
    db.close()
    working.replace(kept)
