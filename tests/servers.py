"""Real servers for tests, each started when the first test asks for it and stopped when the run ends."""

from __future__ import annotations

import itertools
import os
import secrets
from pathlib import Path
from typing import Final, TypeVar

import psycopg
import pytest
import redis

from deploy.local.process import Server
from deploy.local.servers import S3, Kafka, Postgres, Redis, SchemaRegistry, missing

S = TypeVar("S", bound=Server)

LEFT_OUT: Final[dict[str, set[str]]] = {}
"""What to install → the tests that were left out for want of it."""


class Servers:
    """Kafka, Redis, S3, PostgreSQL and a schema registry on loopback, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, Server] = {}
        self._databases = itertools.cycle(range(16))
        self._missing = missing()

    @property
    def kafka(self) -> Kafka:
        """A broker; topics are the test's own: use `topic_prefix`."""
        return self._started("kafka", Kafka)

    @property
    def redis(self) -> Redis:
        """A Redis with 16 databases."""
        return self._started("redis", Redis)

    @property
    def s3(self) -> S3:
        """An S3 server with the bucket `millrace`."""
        return self._started("s3", S3)

    @property
    def registry(self) -> SchemaRegistry:
        """A schema registry with Confluent's API."""
        return self._started("registry", SchemaRegistry)

    @property
    def postgres(self) -> Postgres:
        """A PostgreSQL; tables are the test's own: use `fresh_database`."""
        return self._started("postgres", Postgres)

    def fresh_database(self) -> str:
        """The URL of an empty PostgreSQL database, as SQLAlchemy takes it."""
        name = f"t{secrets.token_hex(6)}"
        url = self.postgres.url
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return url.removesuffix("postgres") + name

    def fresh_redis(self) -> str:
        """The URL of an empty Redis database."""
        url = f"redis://{self.redis.address}/{next(self._databases)}"
        with redis.Redis.from_url(url) as client:
            client.flushdb()
        return url

    def fresh_lake(self, monkeypatch: pytest.MonkeyPatch) -> str:
        """An empty place on S3, with the environment set for it."""
        for name, value in self.s3.settings().items():
            if name.startswith("AWS_"):
                monkeypatch.setenv(name, value)
        return f"s3://{self.s3.bucket}/{secrets.token_hex(6)}"

    def stop(self) -> None:
        """Stop what was started."""
        for server in self._running.values():
            if isinstance(server, Postgres):
                server.discard()
            else:
                server.stop()

    def need(self, name: str) -> None:
        """Leave the test out where this machine cannot run a server; fail it where the run requires all."""
        if name in self._missing:
            install = f"{name}: {self._missing[name]}"
            test = os.environ.get("PYTEST_CURRENT_TEST", "").partition("::")[0]
            LEFT_OUT.setdefault(install, set()).add(test)
            if os.environ.get("MILLRACE_REQUIRE_SERVICES"):
                pytest.fail(f"this run requires {install}")
            pytest.skip(f"needs {install}")

    def _started(self, name: str, kind: type[S]) -> S:
        self.need(name)
        if name not in self._running:
            self._running[name] = kind(self._folder / name).start()
        server = self._running[name]
        assert isinstance(server, kind)
        return server if server.running else server.start()
