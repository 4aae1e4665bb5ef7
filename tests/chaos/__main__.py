"""`python -m tests.chaos --seed 7 --faults 200`: a run of chaos, a table, and a last line of JSON."""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos.run import Result, run


def main() -> int:
    """Exit status 0, or 1 if something was lost, double, wrong, or did not recover."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=7, help="the sequence of faults follows from it alone")
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--overlapping", type=int, default=3, help="at most so many faults at a time")
    parser.add_argument("--per-s", type=float, default=12.0, help="events a second that each of 3 senders sends")
    parser.add_argument("--results", type=Path, help="write the table and the JSON line there, as markdown")
    parser.add_argument("--folder", type=Path, help="keep logs and data there")
    asked = parser.parse_args()
    for noisy in ("millrace.kafka", "millrace_client"):  # they tell of each broker and collector that is away
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started is ended
    with tempfile.TemporaryDirectory(prefix="millrace-chaos-") as scratch:
        folder: Path = asked.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        result = run(folder, asked.seed, asked.faults, asked.overlapping, asked.per_s, _say)
    for problem in result.problems:
        _say(problem)
    print(table(result))
    print(json.dumps(summary(result)))
    if asked.results:
        asked.results.write_text(page(result))
    return 0 if result.passed else 1


def table(result: Result) -> str:
    """Kind of fault × count × longest recovery, as markdown."""
    lines = ["| fault | times | longest recovery, s |", "|---|---:|---:|"]
    lines += [f"| {kind} | {count} | {longest} |" for kind, count, longest in result.rows()]
    return "\n".join(lines)


def summary(result: Result) -> dict[str, float]:
    """The figures of the last line."""
    return {
        "faults": len(result.happened),
        "seed": result.seed,
        "lost": len(result.findings.lost),
        "double": len(result.findings.double),
        "wrong_state": len(result.findings.wrong_state),
        "not_recovered": sum(one.recovery_s is None for one in result.happened),
        "acknowledged": result.acknowledged,
        "dead_letters": result.dead_letters,
        "reconciled": result.reconciled,
        "seconds": round(result.seconds, 1),
    }


def page(result: Result) -> str:
    """The results as a page for `benchmarks/results/`."""
    machine = (
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    )
    ended = ", ".join(f"{role} {status} ({count})" for (role, status), count in sorted(result.ended.items()))
    return (
        f"# Chaos\n\n`python -m tests.chaos --seed {result.seed} --faults {len(result.happened)}` on {machine}. "
        "What it does and audits: [docs/chaos.md](../../docs/chaos.md).\n\n"
        f"{table(result)}\n\nProcesses that ended and were restarted, by exit status (times): {ended}.\n\n"
        f"```json\n{json.dumps(summary(result))}\n```\n"
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
