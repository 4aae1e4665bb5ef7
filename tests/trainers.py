"""A trainer service for tests: in this process with a stand-in for training, or as the process that users start."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import openai
import pytest
import uvicorn
from msgspec import Struct

from deploy.local.process import free_port, wait_until
from streams.settings import Settings
from tests.servers import LEFT_OUT
from trainer_trigger.trainer.server import Trainer

REPOSITORY = Path(__file__).parent.parent
STAND_IN = ("env", f"PYTHONPATH={REPOSITORY}", sys.executable, str(REPOSITORY / "tests" / "stand_in_training.py"))
BEHAVIOURS = ("quick", "slow", "dies", "dies-once", "dies-often", "dies-late", "full", "deaf", "diverges")
KEY = "a-key-for-the-tests"
TERMINAL = frozenset({"succeeded", "failed", "cancelled"})


def need_torch() -> None:
    """Leave a test out where PyTorch is missing; fail it where the run requires all."""
    missing = [name for name in ("torch", "transformers", "peft", "trl") if find_spec(name) is None]
    if missing:
        install = f"{', '.join(missing)}: pip install '.[trainer]'"
        if os.environ.get("MILLRACE_REQUIRE_SERVICES"):
            pytest.fail(f"this run requires {install}")
        LEFT_OUT.setdefault(install, set()).add(os.environ.get("PYTEST_CURRENT_TEST", "").partition("::")[0])
        pytest.skip(f"needs {install}")


def examples(count: int = 12, answer: str = "blue") -> bytes:
    """A training file of OpenAI's chat format."""
    lines = (
        {"messages": [{"role": "user", "content": f"question {number}"}, {"role": "assistant", "content": answer}]}
        for number in range(count)
    )
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def stand_in_models(folder: Path) -> Path:
    """Folders that look like base models, one for each behaviour of the stand-in."""
    for name in BEHAVIOURS:
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "config.json").write_text('{"hidden_size": 64}')
        (folder / name / "model.safetensors").write_bytes(b"weights")
    return folder


class Said(Struct):
    """A completion as `serving` has it."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str


class Parrot:
    """Answers with what it was asked, and says from where."""

    def complete(self, base_folder, adapter_folder, messages, **options):  # type: ignore[no-untyped-def]
        self.asked = (base_folder, adapter_folder, messages, options)
        text = f"{'tuned' if adapter_folder else 'base'}: {messages[-1]['content']}"
        return Said(text, 5, 3, "stop")


class Service:
    """A trainer of this process, behind real HTTP. Settings as for `millrace trainer`."""

    def __init__(self, settings: Settings, command: Sequence[str] = STAND_IN, max_file_bytes: int = 3_000_000) -> None:
        self.parrot = Parrot()
        self.trainer = Trainer(settings, command=command, answering=self.parrot, max_file_bytes=max_file_bytes)
        self._socket = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(self.trainer.app, lifespan="off", log_config=None, access_log=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self.base_url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"

    def start(self) -> None:
        """Serve."""
        self.trainer.supervisor.start()
        self._thread.start()
        assert wait_until(lambda: self._server.started, 20)

    def stop(self) -> None:
        """As SIGTERM does."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
        self.trainer.close(5.0)


@contextmanager
def service(tmp_path: Path, **settings: object) -> Iterator[Service]:
    """A service with the stand-in on a home and base models under this folder."""
    stand_in_models(tmp_path / "models")
    places = {"trainer_home": str(tmp_path / "home"), "trainer_models": str(tmp_path / "models"), "trainer_key": KEY}
    running = Service(Settings(**{**places, **settings}))  # type: ignore[arg-type]
    running.start()
    try:
        yield running
    finally:
        running.stop()


def client_of(base_url: str, key: str = KEY) -> openai.OpenAI:
    """The client as users have it, but that it does not try again by itself. The first answer loads PyTorch."""
    return openai.OpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=240)


def ended(client: openai.OpenAI, job_id: str, within_s: float = 60) -> openai.types.fine_tuning.FineTuningJob:
    """The job when it has ended."""
    assert wait_until(lambda: client.fine_tuning.jobs.retrieve(job_id).status in TERMINAL, within_s), (
        client.fine_tuning.jobs.retrieve(job_id)
    )
    return client.fine_tuning.jobs.retrieve(job_id)


class Process:
    """`millrace trainer` as users start it, on a home, to be killed and started again."""

    def __init__(self, home: Path, models: Path) -> None:
        self.home = home
        self._models = models
        self.port = free_port(taken=())
        self.base_url = f"http://127.0.0.1:{self.port}/v1"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it answers."""
        variables = {
            "MILLRACE_TRAINER_HOME": str(self.home),
            "MILLRACE_TRAINER_MODELS": str(self._models),
            "MILLRACE_TRAINER_PORT": str(self.port),
            "MILLRACE_TRAINER_KEY": KEY,
            "PYTHONPATH": str(REPOSITORY),
            "OMP_NUM_THREADS": "1",
        }
        with (self.home.parent / "trainer.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "millrace", "trainer"], env={**os.environ, **variables}, stderr=log
            )
        assert wait_until(self._answers, 60), (self.home.parent / "trainer.log").read_text()[-2000:]

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def end(self, number: signal.Signals) -> int:
        """Send the signal and wait for the end; the exit status."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(60)

    def close(self) -> None:
        """Leave nothing running, training processes included."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for path in self.home.glob("jobs/*/pid"):
            pid = int(path.read_text())
            command = Path(f"/proc/{pid}/cmdline")
            if command.exists() and str(path.parent).encode() in command.read_bytes():
                os.killpg(pid, signal.SIGKILL)


def tiny_models(folder: Path, texts: Sequence[str]) -> Path:
    """A folder with the base model `tiny`: random weights, trained in seconds. Needs torch."""
    from trainer_trigger.trainer.tiny import make_tiny

    folder.mkdir(parents=True, exist_ok=True)
    make_tiny(folder / "tiny", texts)
    return folder
