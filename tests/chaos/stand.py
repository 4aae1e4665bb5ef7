"""The stand: real servers and several processes of each role, restarted when they end, as a deployment would."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import msgspec
import redis

from deploy.local.process import free_port
from deploy.local.servers import S3, Kafka, Redis, start_all
from streams.brokers import GaplessProducer, GroupProgress, create_topics, read_by, topic_ids
from streams.collector.keys import KeyFile
from streams.errors import BrokerUnavailable, StreamError
from streams.lake.query import connect
from streams.pipeline import wait_until
from streams.reconcile import reconcile
from streams.redaction.sealing import new_key_pair
from streams.settings import PREFIX, Settings, environment
from streams.sink import STREAMS
from tests.chaos.ledger import Ledger
from tests.chaos.load import (
    HTTP_TENANT,
    OWN_TENANT,
    ClientSender,
    HttpSender,
    KafkaSender,
    OwnProducer,
    Sender,
    conversations,
    corrupt,
)
from tests.chaos.s3_proxy import S3Proxy

RoleName = Literal["redact", "overflow", "curate", "sink", "collector"]
AGENTS: Final[tuple[RoleName, ...]] = ("redact", "overflow", "curate")
ROLES: Final[tuple[RoleName, ...]] = (*AGENTS, "sink", "collector")

PROCESSES: Final = 2
PARTITIONS: Final = 4
MAX_TEXT_CHARS: Final = 20_000
MAX_EVENT_BYTES: Final = 200_000
START_S: Final = 240.0
RESTART_S: Final = 0.5
"""How soon a process that ended is started again."""

ROOT: Final = Path(__file__).parents[2]


class Interrupted(StreamError):
    """The run ends before its time."""


class Member:
    """One process of a role, started again on the same port."""

    def __init__(self, role: RoleName, settings: Settings, environ: Mapping[str, str], log: Path) -> None:
        self.role = role
        self.port = free_port()
        ports = {"collector_port": self.port} if role == "collector" else {"metrics_port": self.port}
        self._environ = {**environ, **environment(msgspec.structs.replace(settings, **ports))}
        self._log = log
        self.starts = 0
        self.start()

    def start(self) -> None:
        """Start it; one that ran before must have ended."""
        self.starts += 1
        command = ["worker", "--supervised", "--agent", self.role] if self.role in AGENTS else [self.role]
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "millrace", *command], env=self._environ, stdout=log, stderr=log
            )

    @property
    def status(self) -> int | None:
        """Its exit status; None while it lives."""
        return self._child.poll()

    def signal(self, signum: int) -> None:
        """Send it a signal, unless it has ended."""
        self._child.send_signal(signum)

    def end(self, deadline_s: float = 60.0) -> int:
        """SIGTERM, and SIGKILL after the deadline; its status."""
        self.signal(signal.SIGTERM)
        try:
            return self._child.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self._child.kill()
            return self._child.wait()

    def ready(self) -> bool:
        """Whether its `/readyz` says so."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class Stand:
    """Kafka, Redis, S3 behind a proxy, `PROCESSES` of each role, a load, and who restarts what has ended."""

    def __init__(self, folder: Path, seed: int, per_s: float) -> None:
        """`per_s`: events a second that each of the three senders sends, about."""
        self._folder = folder
        self._seed = seed
        self._per_s = per_s
        self.kafka, self.redis, self.s3 = Kafka(folder / "kafka"), Redis(folder / "redis"), S3(folder / "s3")
        self.proxy = S3Proxy(self.s3.port, seed)
        self.ledger = Ledger()
        self.members: dict[RoleName, list[Member]] = {role: [] for role in ROLES}
        self.ended: Counter[tuple[RoleName, int]] = Counter()
        """How often a role ended with a status, and was started again."""
        prefix = "chaos"
        keys = folder / "keys.json"
        self._key = KeyFile(keys).create(HTTP_TENANT, "chaos", "write", datetime.now(UTC))
        self.settings = Settings(
            kafka_bootstrap=self.kafka.bootstrap,
            redis_url=self.redis.url,
            lake=f"s3://{self.s3.bucket}/lake",
            topic_prefix=prefix,
            sources=(f"{prefix}.events", f"{prefix}.own={OWN_TENANT}"),
            topic_partitions=PARTITIONS,
            lake_commit_s=1.0,
            hash_key=secrets.token_hex(32),
            deadletter_public_keys=(new_key_pair().public,),
            max_text_chars=MAX_TEXT_CHARS,
            max_event_bytes=MAX_EVENT_BYTES,
            collector_keys_file=str(keys),
            collector_ack_s=3.0,
        )
        self._senders: list[Sender] = []
        self._closing = threading.Event()
        self._interrupted = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self._topic_ids: dict[str, str] = {}
        self._began = 0

    def start(self) -> None:
        """Start everything; returns when all is ready and the load flows."""
        start_all([self.kafka, self.redis, self.s3])
        # This process reads the lake without the proxy, the roles with it.
        os.environ.update({name: value for name, value in self.s3.settings().items() if name.startswith("AWS_")})
        create_topics(self.settings)
        self._topic_ids = dict(topic_ids(self.settings, [self.settings.topic("events"), self.settings.topic("own")]))
        for role in ROLES:
            self.members[role] = [self._member(role) for _ in range(PROCESSES)]
        self._supervisor.start()
        wait_until(lambda: all(self.ready(role) for role in ROLES), START_S, "all roles to be ready")
        self._start_load()

    def _start_load(self) -> None:
        urls = [f"http://127.0.0.1:{member.port}" for member in self.members["collector"]]
        events = {
            name: conversations(self._seed, name, MAX_TEXT_CHARS, time.time) for name in ("http", "client", "kafka")
        }
        rate = (self._per_s, self._seed)
        self._senders = [
            HttpSender(self.ledger, urls, self._key, events["http"], *rate),
            ClientSender(self.ledger, urls[0], self._key, self._folder / "spool", events["client"], *rate),
            KafkaSender(self.ledger, self.settings, self.settings.topic("own"), events["kafka"], *rate),
        ]
        for sender in self._senders:
            sender.start()

    def end_load(self) -> None:
        """Return when every sender has its last acknowledgement, or has given up. Raises what ended one early."""
        for sender in self._senders:
            sender.stop()
        for sender in self._senders:
            sender.finish(180)

    def ready(self, role: RoleName) -> bool:
        """Whether all processes of a role are."""
        return all(member.ready() for member in self.members[role])

    def join(self, role: RoleName) -> Member:
        """One more process of a role, which nobody restarts; `leave` ends it."""
        return self._member(role)

    def leave(self, member: Member) -> None:
        """End a process that joined."""
        status = member.end()
        if status:
            self.ended[member.role, status] += 1

    def poison(self, kind: str, number: int, own: bool) -> None:
        """Put a corrupt record straight into Kafka (`load.corrupt`), into a producer's own topic or the collector's."""
        topic = self.settings.topic("own" if own else "events")
        (message,) = OwnProducer(self.settings).deliver(topic, [corrupt(kind, number, self.settings)])
        if message is not None:
            partition, offset = message.partition(), message.offset()
            assert partition is not None and offset is not None
            self.ledger.poisoned(self._topic_ids[topic], partition, offset)

    def flush_redis(self) -> None:
        """FLUSHALL; waits for a Redis that is away."""

        def flushed() -> bool:
            try:
                with redis.Redis.from_url(self.redis.url, socket_timeout=2) as client:
                    return bool(client.flushall())
            except redis.RedisError:
                return False

        wait_until(flushed, START_S, "Redis to flush")

    def await_caught_up(self, roles: Iterable[RoleName], deadline_s: float) -> None:
        """Return when roles are ready and have dealt with what is in Kafka at the call.

        Raises `StalledError`, `Interrupted`.
        """
        end = time.monotonic() + deadline_s
        for role in roles:
            left = max(1.0, end - time.monotonic())
            if role == "collector":
                wait_until(lambda: self._go_on() and self.ready("collector"), left, "ready collectors")
                continue
            with self._progress(role) as progress:
                target: list[int] = []

                def caught_up(
                    role: RoleName = role, progress: GroupProgress = progress, to: list[int] = target
                ) -> bool:
                    self._go_on()
                    try:
                        done = self._done(progress, role)
                        if not to:
                            to.append(done + self._behind(progress, role))
                    except BrokerUnavailable:
                        return False
                    return done >= to[0] and self.ready(role)

                wait_until(caught_up, left, f"{role} to catch up")

    def drain(self, deadline_s: float = 300.0) -> None:
        """Return when all that is in Kafka has become rows. Raises `StalledError`."""
        with contextlib.ExitStack() as stack:
            reading = [(role, stack.enter_context(self._progress(role))) for role in ROLES if role != "collector"]

            def drained() -> bool:
                try:
                    return all(self._behind(progress, role) == 0 for role, progress in reading)
                except BrokerUnavailable:
                    return False

            wait_until(drained, deadline_s, "everything to become rows")

    def reconcile(self, rounds: int = 3) -> int:
        """What an operator does after Redis lost its memory, until there is nothing left to do; events published."""
        total = 0
        for _ in range(rounds):
            published = reconcile(connect(self.settings.lake), self.settings, GaplessProducer(self.settings), 0.0)
            if not published:
                break
            total += published
            self.drain()
        return total

    def hold(self, seconds: float) -> None:
        """Sleep. Raises `Interrupted`."""
        if self._interrupted.wait(seconds):
            raise Interrupted("the run is over")

    def interrupt(self) -> None:
        """Let whoever waits here give up."""
        self._interrupted.set()

    def _go_on(self) -> bool:
        self.hold(0)
        return True

    def close(self) -> None:
        """End the roles, then the servers, whatever state they are in."""
        self._closing.set()
        for sender in self._senders:
            sender.stop()
        if self._supervisor.is_alive():
            self._supervisor.join()
        members = [member for role in ROLES for member in self.members[role]]
        for member in members:
            member.signal(signal.SIGCONT)
            member.signal(signal.SIGKILL)
        for member in members:
            member.end()
        self.proxy.close()
        for server in (self.kafka, self.redis, self.s3):
            server.stop()

    def _member(self, role: RoleName) -> Member:
        self._began += 1
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        path = os.pathsep.join([str(ROOT), str(ROOT / "client")])
        environ = {
            **inherited,
            "AWS_ENDPOINT_URL": self.proxy.url,
            "PYTHONPATH": path,
            "PYTHONWARNINGS": "ignore",
        }
        return Member(role, self.settings, environ, self._folder / f"{role}-{self._began}.log")

    def _supervise(self) -> None:
        while not self._closing.wait(RESTART_S):
            for role in ROLES:
                for member in self.members[role]:
                    status = member.status
                    if status is not None:
                        self.ended[role, status] += 1
                        member.start()

    @contextlib.contextmanager
    def _progress(self, role: RoleName) -> Iterator[GroupProgress]:
        progress = GroupProgress(self.settings, f"{self.settings.topic_prefix}-{role}")
        try:
            yield progress
        finally:
            progress.close()

    def _done(self, progress: GroupProgress, role: RoleName) -> int:
        return sum(progress.done(topic, PARTITIONS) for topic in self._read_by(role))

    def _behind(self, progress: GroupProgress, role: RoleName) -> int:
        return sum(progress.behind(topic, PARTITIONS) for topic in self._read_by(role))

    def _read_by(self, role: RoleName) -> list[str]:
        return [self.settings.topic(name) for name in STREAMS] if role == "sink" else read_by(self.settings, role)
