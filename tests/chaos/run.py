"""One run: start, disturb, let all come to rest, reconcile, audit."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from streams.lake.query import connect
from streams.redaction.hashing import KeyedHasher
from tests.chaos.audit import Findings, audit
from tests.chaos.faults import FAULTS, Chaos, Happened, plan
from tests.chaos.stand import RoleName, Stand

_SHOWN = 20


class Result(NamedTuple):
    """What a run came to. `reconciled` events were published again, because Redis had forgotten them."""

    seed: int
    happened: list[Happened]
    findings: Findings
    acknowledged: int
    dead_letters: int
    reconciled: int
    ended: Counter[tuple[RoleName, int]]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong and every fault was over in time."""
        return not any(self.findings) and all(one.recovery_s is not None for one in self.happened)

    @property
    def problems(self) -> list[str]:
        """The first of each that is wrong."""
        return [
            f"{name.upper()} {told}" for name, all_told in self.findings._asdict().items() for told in all_told[:_SHOWN]
        ]

    def rows(self) -> list[tuple[str, int, str]]:
        """Kind, how often, and the longest recovery in seconds, in the order of `FAULTS`."""
        rows = []
        for kind in FAULTS:
            took = [one.recovery_s for one in self.happened if one.kind == kind]
            known = [each for each in took if each is not None]
            if took:
                rows.append((kind, len(took), f"{max(known):.1f}" if len(known) == len(took) else "did not"))
        return rows


def run(folder: Path, seed: int, faults: int, overlapping: int, per_s: float, tell: Callable[[str], None]) -> Result:
    """Carry out the plan of a seed.

    1 start the stand and its load → 2 the faults → 3 the load ends, everything drains → 4 reconcile, as an operator
    does after Redis lost its memory → 5 audit.

    Raises `StalledError` if the stand does not start or drain.
    """
    begun = time.monotonic()
    stand = Stand(folder, seed, per_s)
    try:
        # 1
        stand.start()
        tell(f"ready after {time.monotonic() - begun:.0f} s")
        # 2
        chaos = Chaos(stand, overlapping, tell)
        chaos.run(plan(seed, faults))
        # 3
        stand.end_load()
        stand.drain()
        # 4
        reconciled = stand.reconcile()
        # 5
        hasher = KeyedHasher(stand.settings.hash_key)
        with connect(stand.settings.lake) as lake:
            findings = audit(lake, stand.ledger.sent(hasher), stand.ledger.poison())
            counted = lake.execute("SELECT count(*) FROM dead_letters").fetchone()
        return Result(
            seed=seed,
            happened=chaos.happened,
            findings=findings,
            acknowledged=stand.ledger.acknowledged_count,
            dead_letters=int(counted[0]) if counted else 0,
            reconciled=reconciled,
            ended=stand.ended,
            seconds=time.monotonic() - begun,
        )
    finally:
        stand.close()
