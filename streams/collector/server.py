"""The collector as a process."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn

from schemas.avro import SUBJECTS
from schemas.codec import Codec, SchemaIds
from schemas.errors import IncompatibleSchemaError
from schemas.events import FeedbackEvent
from streams import logs
from streams.collector.app import create_app
from streams.collector.keys import KeyFile, Keyring
from streams.collector.publisher import KafkaPublisher
from streams.errors import RegistryUnavailable, SettingError
from streams.metrics import Health
from streams.settings import Settings

CHECK_S: Final = 5.0
"""How often Kafka is asked whether it is there, and how long it may take to say so."""

_BACKLOG: Final = 2048
_LOG: Final = logging.getLogger("millrace.collector")


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; starts without Kafka too, and says on `/readyz` that it is away.

    On the signal, within `drain_s`: 1 stop accepting → 2 answer the requests in flight → 3 flush the producer. A second
    signal ends the process at once.
    Raises `SettingError`, `KeyFileError`.
    """
    keys = KeyFile(Path(settings.collector_keys_file))
    keyring = Keyring(keys, time.monotonic)
    listening = listen(settings)
    logs.configure(settings.log_level)
    if not keys.listed():
        _LOG.warning("there are no API keys yet: every request is answered 401; see `millrace keys create`")
    registry = _registry(settings)
    publisher, health, stopping = KafkaPublisher(settings), Health(), threading.Event()

    def problem(timeout_s: float) -> str | None:
        return publisher.problem(timeout_s) or (registry_problem(registry) if registry is not None else None)

    threading.Thread(target=watch, args=(problem, health, stopping), name="readiness", daemon=True).start()
    config = uvicorn.Config(
        create_app(settings, publisher, keyring, health, time.monotonic, Codec(registry)),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(settings.drain_s - settings.collector_ack_s)),
    )
    # uvicorn raises the signal once more when it has shut down; the queue is still to be flushed then.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _go_on)
    _LOG.info("listening", extra={"fields": dict(zip(("host", "port"), listening.getsockname(), strict=False))})
    try:
        _Server(config).run(sockets=[listening])  # 1, 2
    finally:
        stopping.set()
        publisher.close()  # 3
    _LOG.info("stopped")


class _Server(uvicorn.Server):
    """uvicorn's, but for a second SIGTERM, over which it would go on waiting."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal."""
        if self.should_exit:
            os._exit(128 + sig)
        super().handle_exit(sig, frame)


def watch(
    problem: Callable[[float], str | None], health: Health, stopping: threading.Event, every_s: float = CHECK_S
) -> None:
    """Keep `health` up to date with what `problem` says, until `stopping` is set."""
    known: str | None = "starting"
    while not stopping.is_set():
        now = problem(CHECK_S)
        if now is None:
            health.ready()
        else:
            health.not_ready(now)
        if now != known:
            _LOG.info("readiness changed", extra={"fields": {"problem": now}})
        known = now
        stopping.wait(every_s)


def _registry(settings: Settings) -> SchemaIds | None:
    if not settings.schema_registry_url:
        return None
    from streams.registry import RegistryClient  # its dependencies are needed only with a registry

    return RegistryClient(settings.schema_registry_url, settings.topic_prefix)


def registry_problem(registry: SchemaIds) -> str | None:
    """Why events could not be framed now; asks the registry only as long as it has not answered yet."""
    try:
        registry.id_of(SUBJECTS[FeedbackEvent])
    except (RegistryUnavailable, IncompatibleSchemaError) as exc:
        return f"schema registry: {exc}"
    return None


def listen(settings: Settings) -> socket.socket:
    """The collector's socket. Raises `SettingError` if the address cannot be had."""
    return listen_on(settings.collector_host, settings.collector_port, "MILLRACE_COLLECTOR_PORT")


def listen_on(host: str, port: int, variable: str) -> socket.socket:
    """A listening socket. Raises `SettingError`, about the port's `variable`, if the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as exc:
        raise SettingError(variable, port, f"{host}: cannot listen there: {exc.strerror}") from exc
    # asyncio sets it only on sockets whose protocol number says TCP, which these leave at 0. Connections inherit it;
    # without it an answer, which is written in two pieces, waits 40 ms for the sender's delayed acknowledgement.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _go_on(_signal: int, _frame: object) -> None:
    """A signal that has been obeyed already."""
