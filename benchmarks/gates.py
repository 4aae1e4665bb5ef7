"""What the gates of the built-in profiles cost an interaction, on real dialogues of some 600 characters.

    python benchmarks/gates.py        a table of µs of CPU an interaction, then a JSON line

Dialogues are those of MILLRACE_TEST_DATA, made-up ones without it.
"""

from __future__ import annotations

import gc
import itertools
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from benchmarks.texts import conversations
from schemas.curation import Gating
from schemas.events import Interaction, Message, Score
from streams.gates import candidate
from streams.stages import Keep
from streams.stages.gate import Gates
from streams.stages.join import Joined, Scored
from streams.stages.normalise import Normalised, normalise

_COUNT: Final = 2_312
_REPEATS: Final = 7
_THUMB: Final = (Scored(Score("thumbs", value=1.0), 1, "thumb"),)


def interactions() -> list[Normalised]:
    """The dialogues, each an interaction whose last turn is the answer."""
    found = []
    for turns in conversations(_COUNT):
        roles = itertools.cycle(("user", "assistant"))
        messages = tuple(Message(role, turn) for role, turn in zip(roles, turns, strict=False))  # type: ignore[arg-type]
        kept = normalise(Joined(Interaction(messages), _THUMB, None, None, {}))
        if isinstance(kept, Keep):
            found.append(kept.record)
    return found


def cpu_us(work: Callable[[Any], object], over: Sequence[Any]) -> float:
    """The least CPU time of several rounds, in µs each."""
    best = float("inf")
    for _ in range(_REPEATS):
        start = time.process_time_ns()
        for each in over:
            work(each)
        best = min(best, (time.process_time_ns() - start) / 1_000 / len(over))
    return round(best, 1)


def main() -> None:
    """Measure and print."""
    found = interactions()
    chars = sum(len(message.content or "") for each in found for message in each.messages) / len(found)
    gates = {name: Gates(Gating(name)) for name in ("default", "strict")}
    samples = [candidate(each) for each in found]
    gc.collect()
    gc.freeze()  # the texts to measure on are no part of what is measured
    report: dict[str, Any] = {"interactions": len(found), "chars": round(chars)}
    for gate in gates["default"].gates:
        print(f"{gate.name:<16}{cpu_us(gate.judge, samples):>6.1f} µs")
    for name, judge in gates.items():
        report[f"{name}_us"] = cpu_us(judge, found)
        print(f"{f'all, {name}':<16}{report[f'{name}_us']:>6.1f} µs")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
