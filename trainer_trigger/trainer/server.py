"""The trainer as a process.

HOME/lock             held by the one service that works on the home
HOME/trainer.sqlite   files, jobs, events
HOME/files/ID         uploaded and result files
HOME/jobs/ID/         one job: see `job`
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import socket
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import BinaryIO, Final

import uvicorn
from fastapi import FastAPI

from streams import logs
from streams.errors import SettingError
from streams.settings import Settings
from trainer_trigger.trainer.app import create_app
from trainer_trigger.trainer.chat import Answering, Chat
from trainer_trigger.trainer.envelope import is_loopback
from trainer_trigger.trainer.examples import check
from trainer_trigger.trainer.files import MAX_FILE_BYTES, Files
from trainer_trigger.trainer.jobs import Jobs
from trainer_trigger.trainer.models import Models
from trainer_trigger.trainer.sql import Store
from trainer_trigger.trainer.supervisor import TRAIN, Supervisor

DATABASE: Final = "trainer.sqlite"
NEEDED: Final = ("torch", "transformers", "peft", "trl")
_BACKLOG: Final = 2048
_LOG: Final = logging.getLogger("millrace.trainer")


class Trainer:
    """The parts of the service on one home, put together. Raises SettingError where another service has the home."""

    def __init__(
        self,
        settings: Settings,
        *,
        command: Sequence[str] = TRAIN,
        answering: Answering | None = None,
        max_file_bytes: int = MAX_FILE_BYTES,
    ) -> None:
        home = Path(settings.trainer_home).resolve()
        self._lock = _locked(home)
        self._needs_torch = command is TRAIN
        self.store = Store(home / DATABASE)
        self.files = Files(home, self.store, max_file_bytes)
        self.models = Models(Path(settings.trainer_models).resolve(), home, self.store)
        self.jobs = Jobs(
            home, self.store, self.files, self.models, changed=self._changed, threads=settings.trainer_threads
        )
        self.files.sweep()
        self.jobs.sweep()
        self.supervisor = Supervisor(
            self.store, self.files, self.jobs, check, command=command, most=settings.trainer_jobs
        )
        self.chat = Chat(answering, settings.trainer_threads)
        self.app: FastAPI = create_app(
            self.store,
            self.files,
            self.jobs,
            self.models,
            self.chat,
            key=settings.trainer_key,
            problem=self.problem,
        )

    def _changed(self) -> None:
        self.supervisor.nudge()

    def problem(self) -> str | None:
        """Why jobs could not be taken and trained now; None if they could."""
        lacking = [name for name in NEEDED if self._needs_torch and find_spec(name) is None]
        if lacking:
            return f"{', '.join(lacking)} not installed: pip install 'millrace[trainer]'"
        if not self.models.bases():
            return "there are no base models: see MILLRACE_TRAINER_MODELS"
        return self.supervisor.problem or self.store.problem()

    def close(self, within_s: float) -> None:
        """End the training processes, whose jobs go on at the next start."""
        self.supervisor.stop(within_s)
        self.store.close()
        self._lock.close()


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    On the signal, within `drain_s`: 1 stop accepting → 2 answer the requests in flight, and refuse (503) those whose
    answer takes long → 3 end the training processes, each with a checkpoint. A second signal ends the service at once.
    Raises `SettingError`.
    """
    if not settings.trainer_key and not is_loopback(settings.trainer_host):
        mend = f"is required to listen on {settings.trainer_host}: choose a long random key"
        raise SettingError("MILLRACE_TRAINER_KEY", "", mend)
    listening = _listen(settings.trainer_host, settings.trainer_port)
    logs.configure(settings.log_level)
    trainer = Trainer(settings)
    if (problem := trainer.problem()) is not None:
        _LOG.warning("not ready", extra={"fields": {"problem": problem}})
    config = uvicorn.Config(
        trainer.app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(settings.drain_s / 2)),
    )
    # uvicorn raises the signal once more when it has shut down; the processes are still to be ended then.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _go_on)
    trainer.supervisor.start()
    _LOG.info("listening", extra={"fields": dict(zip(("host", "port"), listening.getsockname(), strict=False))})
    try:
        _Server(config, trainer.chat, settings.drain_s / 3).run(sockets=[listening])  # 1, 2
    finally:
        trainer.close(settings.drain_s / 2)  # 3
    _LOG.info("stopped")
    if trainer.chat.threads:  # in the middle of a token, which may take long; PyTorch must not be torn down under it
        os._exit(0)


class _Server(uvicorn.Server):
    """uvicorn's, but for a second signal, over which it would go on waiting, and for answers that take long."""

    def __init__(self, config: uvicorn.Config, chat: Chat, answers_s: float) -> None:
        super().__init__(config)
        self._chat = chat
        self._answers_s = answers_s

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Wait for the requests in flight, for an answer of a model `answers_s` at most."""
        asyncio.get_running_loop().call_later(self._answers_s, self._chat.stop)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal."""
        if self.should_exit:
            os._exit(128 + sig)
        super().handle_exit(sig, frame)


def _locked(home: Path) -> BinaryIO:
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (home / "lock").open("ab")
    except OSError as exc:
        raise SettingError("MILLRACE_TRAINER_HOME", str(home), f"cannot be written: {exc.strerror}") from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        lock.close()
        raise SettingError("MILLRACE_TRAINER_HOME", str(home), "another trainer works on it") from exc
    return lock


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as exc:
        raise SettingError("MILLRACE_TRAINER_PORT", port, f"{host}: cannot listen there: {exc.strerror}") from exc
    # Without it an answer, which is written in two pieces, waits 40 ms for the client's delayed acknowledgement.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _go_on(_signal: int, _frame: object) -> None:
    """A signal that has been obeyed already."""
