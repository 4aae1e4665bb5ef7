"""Lakes, targets and a store for the tests of training sets."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pyarrow as pa

from schemas.datasets import FILES, HOLDOUT, Manifest, Origins
from schemas.events import Consent, Erasure, Message
from schemas.outcomes import Outcome
from schemas.tables import EVENTS, REJECTED, SAMPLES, arrow_table, event_row, outcome_row
from schemas.targets import Command, DatasetPlan, LauncherChoice, Target
from schemas.training import Training
from streams.lake.delta import DeltaLake
from tests.events import redacted
from tests.outcomes import outcome
from trainer_trigger.datasets import Request, Store

KEY = "k" * 32


def answer(name: str, prompt: str | None = None, at: int = 0, **fields: Any) -> Outcome:
    """A good answer, to a prompt of its own unless one is given."""
    asked = f"what is meant by the word {name} in all that was said before" if prompt is None else prompt
    said = fields.pop("output", f"the answer is {name}")
    filled = {
        "prompt_id": asked,
        "instruction": asked,
        "output": said,
        "messages": (Message("user", asked), Message("assistant", said)),
        "user": f"user-{name}",
    }
    return outcome(name, at=at, **{**filled, **fields})


def answers(count: int, prefix: str = "s", **fields: Any) -> list[Outcome]:
    """So many, each with its own prompt."""
    return [answer(f"{prefix}{number:04}", at=number, **fields) for number in range(count)]


def pairs(count: int, prefix: str = "p") -> list[Outcome]:
    """A good and a bad answer to each of so many prompts."""
    found = []
    for number in range(count):
        prompt = f"how is number {prefix}{number} told from all of the other numbers"
        found.append(answer(f"{prefix}{number:04}-good", prompt, score=1.0))
        found.append(answer(f"{prefix}{number:04}-bad", prompt, score=0.0, output=f"no idea about {number}"))
    return found


def commit(lake: Path, outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Write outcomes in one commit a table; the versions after it."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for each in outcomes:
        table, row = outcome_row(each)
        rows.setdefault(table.name, []).append(row)
    for table in (SAMPLES, REJECTED):
        if table.name in rows:
            DeltaLake(str(lake)).create(table).append(arrow_table(table, rows[table.name]), {}, {})
    return versions(lake)


def withdraw(lake: Path, user: str, *, erase: bool = False, granted: bool = False, at: int = 900) -> None:
    """A person takes the consent back (or gives it), or is erased."""
    said: dict[str, Any] = {"erasure": Erasure(user)} if erase else {"consent": Consent(granted, user)}
    event = redacted(f"w-{user}-{at}", at=at, interaction=None, interaction_id="", **said)
    DeltaLake(str(lake)).create(EVENTS).append(arrow_table(EVENTS, [event_row(event)]), {}, {})


def versions(lake: Path) -> dict[str, int]:
    """The tables' versions now."""
    found = {}
    for table in (SAMPLES, REJECTED, EVENTS):
        store = DeltaLake(str(lake)).find(table)
        found[table.name] = -1 if store is None else store.version()
    return found


def target(method: str = "supervised", **fields: Any) -> Target:
    """A target that says `none` of what must not leak; fields of the plan, or of the target itself."""
    own = {name: fields.pop(name) for name in ("filter", "min_samples") if name in fields}
    return Target(
        training=Training(base_model="m", method=method),  # type: ignore[arg-type]
        launcher=LauncherChoice(command=Command(argv=("true",))),
        dataset=DatasetPlan(**{"golden": "none", "harm": "none", **fields}),
        **own,
    )


def request(lake: Path, wanted: Target | None = None, **fields: Any) -> Request:
    """To build `chat` from the lake as it is now, unless versions are given."""
    filled = {"name": "chat", "target": wanted or target(), "lake": str(lake), "versions": None, "key": KEY}
    return Request(**{**filled, **fields})


def lines(store: Store, place: Manifest, name: str) -> list[Any]:
    """The lines of a file of a training set."""
    with store.open(f"{place.target}/{place.dataset_hash[:16]}/{name}") as file:
        return [msgspec.json.decode(line) for line in file]


def origins(store: Store, manifest: Manifest, *names: str) -> list[Origins]:
    """The lineage of all lines of these files."""
    found = [msgspec.convert(line, Origins) for line in lines(store, manifest, "lineage.jsonl")]
    return [each for each in found if each.file in names]


def samples_in(store: Store, manifest: Manifest, *names: str) -> set[str]:
    """The ids of the samples behind all lines of these files."""
    return {sample.sample_id for each in origins(store, manifest, *names) for sample in each.samples}


def held_out(store: Store, manifest: Manifest) -> set[str]:
    """The ids of the samples of the holdout."""
    return samples_in(store, manifest, HOLDOUT)


def bytes_of(store: Store, manifest: Manifest) -> dict[str, bytes]:
    """All files of a training set, and its manifest."""
    found = {}
    for name in (*FILES, "manifest.json"):
        with store.open(f"{manifest.target}/{manifest.dataset_hash[:16]}/{name}") as file:
            found[name] = file.read()
    return found


class FakeStore:
    """A `trainer_trigger.datasets.store.Store` in memory; `before` is called with each verb and name."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.calls: list[tuple[str, str]] = []
        self.before: Callable[[str, str], None] = lambda verb, name: None

    def names(self, prefix: str = "") -> list[str]:
        self._call("names", prefix)
        return sorted(name for name in self.objects if name.startswith(prefix))

    def open(self, name: str) -> BinaryIO:
        self._call("open", name)
        if name not in self.objects:
            raise FileNotFoundError(name)
        return io.BytesIO(self.objects[name])

    def put(self, name: str, file: Path) -> None:
        self._call("put", name)
        self.objects[name] = file.read_bytes()

    def create(self, name: str, data: bytes) -> bool:
        self._call("create", name)
        if name in self.objects:
            return False
        self.objects[name] = data
        return True

    def replace(self, name: str, data: bytes) -> None:
        self._call("replace", name)
        self.objects[name] = data

    def delete(self, name: str) -> None:
        self._call("delete", name)
        self.objects.pop(name, None)

    def place(self, name: str) -> str:
        return f"memory/{name}"

    def _call(self, verb: str, name: str) -> None:
        self.before(verb, name)
        self.calls.append((verb, name))


def samples_table(rows: Iterable[dict[str, Any]]) -> pa.Table:
    """What families are made of, as a table `samples`."""
    schema = pa.schema([(name, pa.string()) for name in ("sample_id", "duplicate_of", "prompt_id", "task_type")])
    return pa.Table.from_pylist(
        [{"duplicate_of": None, "task_type": None, "prompt_id": "", **row} for row in rows], schema
    )
