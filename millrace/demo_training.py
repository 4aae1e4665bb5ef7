"""The second half of `millrace demo`: volume fires, a training set is made, and a small model is really trained."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console

from millrace.trigger import drawn
from schemas.datasets import HOLDOUT, MANIFEST, Manifest
from streams.lake.query import connect
from streams.settings import Settings, environment
from trainer_trigger.launchers import Timing
from trainer_trigger.ledger import TERMINAL, State
from trainer_trigger.service import Trigger
from trainer_trigger.views import JobView
from trainer_trigger.wiring import open_trigger

TARGET: Final = "support-chat"
BASE: Final = "tiny-llama"
TIMING: Final = Timing(poll_s=0.5, retry_s=1.0)
READY_S: Final = 120.0
TRAINED_S: Final = 1_800.0

TARGETS: Final = """\
version: 1
targets:
  {target}:
    filter: {{roles: [support]}}
    policy:
      any:
        - volume: {{samples: 300}}
        - drift: {{}}
        - time: {{every_days: 7}}
    dataset: {{min_score: 0.5, golden: none, harm: none}}
    training: {{base_model: {base}, epochs: 3, batch_size: 8, learning_rate: 5.0e-3, lora_rank: 8, seed: 7}}
    launcher: {{openai: {{base_url: "http://127.0.0.1:{port}/v1", provider: millrace, api_key_env: MILLRACE_API_KEY}}}}
"""


def train(console: Console, settings: Settings, home: Path, light: bool) -> bool:
    """Let the trigger decide over the lake of `settings`, and train unless `light`; whether all went well.

    Everything that is made lies in `home`.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    targets = home / "targets.yaml"
    targets.write_text(TARGETS.format(target=TARGET, base=BASE, port=port))
    settings = msgspec.structs.replace(
        settings,
        targets=str(targets),
        datasets=str(home / "datasets"),
        database_url=f"sqlite:///{home / 'trigger.sqlite'}",
        trainer_home=str(home / "trainer"),
        trainer_models=str(home / "models"),
        trainer_port=port,
    )
    os.environ.setdefault("MILLRACE_API_KEY", "none on loopback")
    opened = open_trigger(settings, TIMING)
    try:
        return _decide_and_train(console, opened.trigger, settings, home, light)
    finally:
        opened.database.close()


def _decide_and_train(console: Console, trigger: Trigger, settings: Settings, home: Path, light: bool) -> bool:
    trigger.decide()
    console.print("\nIs it time to train?")
    decision = trigger.decisions(TARGET)[0]
    console.print(f"  {decision.words}", soft_wrap=True)
    if decision.launch_key is None:
        console.print(f"  {decision.stage}: {decision.note}", soft_wrap=True)
        return False
    job = trigger.job(decision.decision_id)
    assert job.dataset_place is not None, "it is launched with one"
    _show_dataset(console, job.dataset_place)
    console.print(f"Launch {job.key}: {job.state}, {BASE}, LoRA")
    lacking = [name for name in ("torch", "transformers", "peft", "trl") if find_spec(name) is None]
    if light or lacking:
        why = "as was asked for" if light else f"for the lack of {', '.join(lacking)}; `make demo` installs PyTorch"
        console.print(f"Nothing was called: the demo ends here, {why}.", soft_wrap=True)
        return True
    return _train(console, trigger, settings, home, job)


def _show_dataset(console: Console, place: str) -> None:
    manifest = msgspec.json.decode((Path(place) / MANIFEST).read_bytes(), type=Manifest)
    console.print(f"\nThe training set, {place}", soft_wrap=True)
    for line in _told(manifest):
        console.print(f"  {line}", soft_wrap=True)


def _told(manifest: Manifest) -> Iterator[str]:
    lines = ", ".join(f"{file.lines:,} {file.name}" for file in manifest.files)
    yield f"hash {manifest.dataset_hash[:16]} · {lines}"
    left_out = [f"{count:,} {reason}" for reason, count in sorted(manifest.excluded.items()) if count]
    if left_out:
        yield f"left out: {', '.join(left_out)}"


def _train(console: Console, trigger: Trigger, settings: Settings, home: Path, job: JobView) -> bool:
    with console.status("making a tiny base model with random weights"):
        _make_base(settings, home)
    with _trainer(settings, home), console.status("training") as status:
        deadline = time.monotonic() + TRAINED_S
        while State(job.state) not in TERMINAL and time.monotonic() < deadline:
            trigger.tick()
            job = trigger.job(job.id)
            status.update(f"{job.state}: {job.events[-1].message if job.events else 'PyTorch is loaded'}")
            time.sleep(TIMING.poll_s)
        console.print(f"Job {job.job_id}: {job.state}{f', {job.note}' if job.note else ''}", soft_wrap=True)
        for curve in job.curves:
            console.print(f"  {drawn(curve)}", soft_wrap=True)
        if job.model is None or job.dataset_place is None:
            console.print(f"Its log is {home / 'trainer.log'}", soft_wrap=True)
            return False
        _ask_both(console, settings, job.dataset_place, job.model)
    console.print(f"\nSee more:\n  set -a; . {home / 'env'}; {sys.argv[0]} trigger job {job.id}", soft_wrap=True)
    (home / "env").write_text("".join(f"{name}='{value}'\n" for name, value in environment(settings).items()))
    return True


def _make_base(settings: Settings, home: Path) -> None:
    """A base model whose tokenizer has seen the lake's texts; in a process of its own, which alone loads PyTorch."""
    rows = connect(settings.lake).execute("SELECT instruction || ' ' || output FROM samples_current ORDER BY sample_id")
    texts = json.dumps([text for (text,) in rows.fetchall()])
    command = [sys.executable, "-m", "trainer_trigger.trainer.tiny", str(Path(settings.trainer_models) / BASE)]
    with (home / "trainer.log").open("ab") as log:
        subprocess.run(command, input=texts.encode(), stdout=log, stderr=log, check=True)


@contextmanager
def _trainer(settings: Settings, home: Path) -> Iterator[None]:
    """`millrace trainer`, answering."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
    with (home / "trainer.log").open("ab") as log:
        trainer = subprocess.Popen(
            [sys.executable, "-m", "millrace", "trainer"],
            env={**environ, **environment(settings)},
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + READY_S
        while not _ready(settings.trainer_port):
            if trainer.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the trainer did not start; see {home / 'trainer.log'}")
            time.sleep(0.2)
        yield
    finally:
        trainer.terminate()
        trainer.wait()


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
            return True
    except OSError:
        return False


def _ask_both(console: Console, settings: Settings, place: str, model: str) -> None:
    """A question of the holdout, which no training set ever has, to the base and to the tuned model."""
    with (Path(place) / HOLDOUT).open("rb") as lines:
        prompt = json.loads(next(lines))["messages"][:-1]
    console.print(f"\n{prompt[-1]['content']}", soft_wrap=True, markup=False)
    for name, which in ((BASE, "before"), (model, "after")):
        answer = " ".join(_answer(settings.trainer_port, name, prompt).split())
        console.print(f"  {which:<7}{answer[:200]}", soft_wrap=True, markup=False)


def _answer(port: int, model: str, messages: list[dict[str, Any]]) -> str:
    body = {"model": model, "messages": messages, "temperature": 0, "max_tokens": 60}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        said: dict[str, Any] = json.load(response)
    return str(said["choices"][0]["message"]["content"])
