"""The five servers that Millrace stands on, as processes of this machine.

| class            | program                   | data survives a restart |
|------------------|---------------------------|-------------------------|
| `Kafka`          | Apache Kafka, one node    | yes                     |
| `SchemaRegistry` | Apicurio, in memory       | no                      |
| `Redis`          | redis-server, append-only | yes                     |
| `Postgres`       | PostgreSQL                | yes                     |
| `S3`             | versitygw over a folder   | yes                     |
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import secrets
import shlex
import shutil
import signal
import socket
import struct
import tempfile
import uuid
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

from deploy.local.artifacts import kafka_libs, missing, postgres_program, registry_jar, tool, versitygw
from deploy.local.errors import ArtifactError
from deploy.local.process import HOST, Server

__all__ = ["S3", "SERVERS", "Kafka", "Postgres", "Redis", "SchemaRegistry", "env_file", "missing", "start_all"]

PROBE_TIMEOUT_S = 2.0

KAFKA_HEAP = "512m"
REGISTRY_HEAP = "256m"
MESSAGE_MAX_BYTES = 12 * 1024 * 1024  # an event of 10 MiB with its framing
# A JVM that does not live long is fastest with the first compiler only and the simplest collector.
QUICK_JVM = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


class Kafka(Server):
    """A Kafka broker and controller in one process, without authentication, heap 512 MiB."""

    name = "kafka"
    port_names: ClassVar[tuple[str, ...]] = ("main", "controller")

    @property
    def bootstrap(self) -> str:
        """`127.0.0.1:port`, what a client calls bootstrap servers."""
        return self.address

    def prepare(self) -> None:
        """Write the configuration, and format the storage at the first start."""
        self._config.write_text(kafka_properties(self.port, self._record.ports["controller"], self._data))
        if (self._data / "meta.properties").exists():
            return
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        format_storage = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "-c", str(self._config)]
        self._run([*self._java(*QUICK_JVM), *format_storage], "Kafka's storage could not be formatted")

    def command(self) -> list[str]:
        jvm = (
            f"-Xmx{KAFKA_HEAP}",
            *QUICK_JVM,  # it lives for minutes: the second compiler would take more time than it saves
            "-XX:+ExitOnOutOfMemoryError",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
        )
        return [*self._java(*jvm), "kafka.Kafka", str(self._config)]

    def answers(self) -> bool:
        """Whether clients can produce, and consume in a group."""
        return kafka_serves(self.port)

    def settings(self) -> dict[str, str]:
        return {"MILLRACE_KAFKA_BOOTSTRAP": self.bootstrap}

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _config(self) -> Path:
        return self.folder / "server.properties"

    @staticmethod
    def _java(*options: str) -> list[str]:
        return [tool("java"), *options, "-cp", f"{kafka_libs()}/*"]


class SchemaRegistry(Server):
    """Apicurio with the Confluent API. Its schemas are in memory: after a restart it is empty."""

    name = "registry"
    path = "/apis/ccompat/v7"

    @property
    def url(self) -> str:
        """The address of the Confluent-compatible API, without a slash at the end."""
        return f"http://{self.address}{self.path}"

    def prepare(self) -> None:
        """Fetch the program."""
        registry_jar()

    def command(self) -> list[str]:
        return [
            tool("java"),
            f"-Xmx{REGISTRY_HEAP}",
            f"-Dquarkus.http.host={HOST}",
            f"-Dquarkus.http.port={self.port}",
            f"-Dmillrace.folder={self.folder}",
            "-jar",
            str(registry_jar()),
        ]

    def answers(self) -> bool:
        return http_status(self.port, f"{self.path}/subjects") == http.client.OK

    def settings(self) -> dict[str, str]:
        return {"MILLRACE_SCHEMA_REGISTRY_URL": self.url}


class Redis(Server):
    """A Redis without a password that appends each write to a file, so that a restart keeps the data."""

    name = "redis"

    @property
    def url(self) -> str:
        """`redis://127.0.0.1:port/0`."""
        return f"redis://{self.address}/0"

    def prepare(self) -> None:
        """Nothing: Redis makes its own files."""

    def command(self) -> list[str]:
        options = {
            "port": str(self.port),
            "bind": HOST,
            "dir": str(self.folder),
            "save": "",
            "appendonly": "yes",
            "set-proc-title": "no",  # else it hides the command line by which we know it
        }
        return [
            tool("redis-server"),
            *(word for key, value in options.items() for word in (f"--{key}", value)),
        ]

    def answers(self) -> bool:
        """Whether PING is answered; while it still loads its file it is not."""
        with socket.create_connection((HOST, self.port), PROBE_TIMEOUT_S) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")

    def settings(self) -> dict[str, str]:
        return {"MILLRACE_REDIS_URL": self.url}


class Postgres(Server):
    """A PostgreSQL with one role, which owns the database `postgres`. A power cut may cost it data: fsync is off.

    It refuses to run as root; there it runs as the system's user `postgres`, with its data in the temporary folder.
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # SIGTERM would wait until every client has gone

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._record.credentials.setdefault("password", secrets.token_hex(20))
        self._record.credentials.setdefault("data", f"millrace-postgres-{secrets.token_hex(8)}")

    @property
    def url(self) -> str:
        """The address with the password, as SQLAlchemy takes it."""
        return f"postgresql+psycopg://postgres:{self._record.credentials['password']}@{self.address}/postgres"

    @property
    def user(self) -> str | None:
        return "postgres" if os.geteuid() == 0 else None

    @property
    def work_folder(self) -> Path:
        return self._data

    def prepare(self) -> None:
        """Make the cluster at the first start."""
        if (self._data / "PG_VERSION").exists():
            return
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.mkdir(mode=0o700)
        with tempfile.NamedTemporaryFile("w") as password:
            password.write(self._record.credentials["password"])
            password.flush()
            if self.user is not None:
                for each in (self._data, password.name):
                    shutil.chown(each, self.user, self.user)
            options = ["--username=postgres", "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--no-sync"]
            initdb = [_postgres("initdb"), f"--pgdata={self._data}", f"--pwfile={password.name}", *options]
            self._run(initdb, "PostgreSQL's cluster could not be made")

    def command(self) -> list[str]:
        options = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "shared_buffers": "32MB",
        }
        return [_postgres("postgres"), "-D", str(self._data), *(f"--{key}={value}" for key, value in options.items())]

    def answers(self) -> bool:
        """Whether it asks for the password; while it starts up it answers with an error."""
        body = struct.pack(">i", 3 << 16) + b"user\0postgres\0database\0postgres\0\0"
        with socket.create_connection((HOST, self.port), PROBE_TIMEOUT_S) as connection:
            connection.sendall(struct.pack(">i", 4 + len(body)) + body)
            return connection.recv(64).startswith(b"R")

    def settings(self) -> dict[str, str]:
        return {"MILLRACE_DATABASE_URL": self.url}

    def discard(self) -> None:
        """Stop it and remove its data."""
        self.stop()
        shutil.rmtree(self._data, ignore_errors=True)

    @property
    def _data(self) -> Path:
        if self.user is None:
            return self.folder / "data"
        return Path(tempfile.gettempdir()) / self._record.credentials["data"]


def _postgres(program: str) -> str:
    path = postgres_program(program)
    if path is None:
        raise ArtifactError(f"{program} of PostgreSQL is neither on PATH nor where Debian puts it")
    return path


class S3(Server):
    """An S3 server over a folder, with one bucket and with credentials made at random for the folder."""

    name = "s3"
    region = "us-east-1"
    bucket = "millrace"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._record.credentials.setdefault("access_key", secrets.token_hex(10).upper())
        self._record.credentials.setdefault("secret_key", secrets.token_hex(20))

    @property
    def endpoint(self) -> str:
        """`http://127.0.0.1:port`."""
        return f"http://{self.address}"

    @property
    def access_key(self) -> str:
        return self._record.credentials["access_key"]

    @property
    def secret_key(self) -> str:
        return self._record.credentials["secret_key"]

    def prepare(self) -> None:
        """Fetch the program and make the bucket, which to versitygw is a folder."""
        versitygw()
        (self._data / self.bucket).mkdir(parents=True, exist_ok=True)
        self._metadata.mkdir(exist_ok=True)

    def command(self) -> list[str]:
        # On a file system without extended attributes the objects' metadata goes to a folder of its own.
        options = [] if keeps_attributes(self._data) else ["--sidecar", str(self._metadata)]
        start = [str(versitygw()), "--port", self.address, "--region", self.region, "--quiet"]
        return [*start, "posix", *options, str(self._data)]

    def environment(self) -> dict[str, str]:
        return {"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key}

    def answers(self) -> bool:
        return http_status(self.port, "/") > 0

    def settings(self) -> dict[str, str]:
        return {
            "MILLRACE_LAKE": f"s3://{self.bucket}/lake",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_ALLOW_HTTP": "true",
        }

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _metadata(self) -> Path:
        return self.folder / "metadata"


SERVERS: Mapping[str, type[Server]] = {each.name: each for each in (Kafka, SchemaRegistry, Redis, Postgres, S3)}


def start_all(servers: Iterable[Server]) -> None:
    """Start several at a time and wait for all. Raises the first error, after each has started or failed."""
    with ThreadPoolExecutor() as pool:
        for started in [pool.submit(server.start) for server in servers]:
            started.result()


def env_file(settings: Mapping[str, str]) -> str:
    """Shell lines that export `settings`, quoted where a shell needs it.

    >>> env_file({"AWS_REGION": "us-east-1"})
    'export AWS_REGION=us-east-1\\n'
    """
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in settings.items())


def kafka_properties(port: int, controller_port: int, data: Path) -> str:
    """The `server.properties` of a single node on loopback that keeps its log in `data`."""
    properties = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "log.dirs": data,
        "auto.create.topics.enable": "false",
        "message.max.bytes": MESSAGE_MAX_BYTES,
        "replica.fetch.max.bytes": MESSAGE_MAX_BYTES,
        # One node: no replicas, and few partitions of the internal topics, which would cost start-up time.
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        # Groups form at once and notice a dead member soon, when the member asks for that.
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        # After a crash the node waits for its former self's session to end: 3 s instead of 9.
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
        # A quarter of the small heap by default.
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
    }
    return "".join(f"{key}={value}\n" for key, value in properties.items())


def kafka_serves(port: int) -> bool:
    """Whether the Kafka on this loopback port lists a usable broker and has a coordinator for groups.

    Asking for the coordinator also makes the topic of the offsets; else a first consumer waits 3 s for it.
    Raises OSError when there is no whole answer.
    """
    _, brokers = struct.unpack(">ii", _kafka_answer(port, key=3, body=struct.pack(">i", 0), length=8))
    if brokers == 0:
        return False
    group = struct.pack(">h5sb", 5, b"probe", 0)
    *_, error = struct.unpack(">iih", _kafka_answer(port, key=10, body=group, length=10))
    return bool(error == 0)


def _kafka_answer(port: int, *, key: int, body: bytes, length: int) -> bytes:
    # The first `length` bytes of an answer in version 1, correlation id first. Metadata is 3, coordinator 10.
    request = struct.pack(">hhih5s", key, 1, 0, 5, b"probe") + body
    with socket.create_connection((HOST, port), PROBE_TIMEOUT_S) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        with connection.makefile("rb") as answer:
            head = answer.read(4 + length)
    if len(head) < 4 + length:
        raise ConnectionError("Kafka closed the connection")
    return head[4:]


def http_status(port: int, path: str) -> int:
    """The status of `GET path` on this loopback port. Raises OSError when there is no answer in HTTP."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PROBE_TIMEOUT_S)
    with contextlib.closing(connection):
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except http.client.HTTPException as exc:
            raise ConnectionError(str(exc)) from exc


def keeps_attributes(folder: Path) -> bool:
    """Whether the file system of `folder` keeps extended attributes, which versitygw writes to."""
    try:
        os.setxattr(folder, "user.millrace", b"1")
    except (OSError, AttributeError):
        return False
    return True
