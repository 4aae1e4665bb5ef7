"""What a seed draws, and how a plan is carried out."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import pytest

from streams.pipeline import StalledError
from tests.chaos import faults
from tests.chaos.faults import FAMILIES, FAULTS, Chaos, Fault, Planned, plan
from tests.chaos.stand import Stand


def test_the_same_seed_draws_the_same_faults_and_another_seed_others() -> None:
    assert plan(7, 200) == plan(7, 200)
    assert [one.kind for one in plan(7, 200)] != [one.kind for one in plan(8, 200)]


def test_a_shorter_plan_is_the_beginning_of_a_longer_one() -> None:
    assert plan(7, 20) == plan(7, 200)[:20]


@pytest.mark.parametrize("seed", [1, 7, 23])
def test_two_hundred_faults_hold_each_kind(seed: int) -> None:
    drawn = Counter(one.kind for one in plan(seed, 200))
    assert drawn.keys() == FAULTS.keys()


def test_frozen_processes_stay_so_until_their_partitions_have_moved() -> None:
    for role in ("redact", "curate", "sink"):
        least, _ = FAULTS[f"{role} frozen"].hold_s
        assert least > 10


def test_a_fault_lasts_as_long_as_its_kind_may() -> None:
    for one in plan(3, 300):
        least, most = FAULTS[one.kind].hold_s
        assert least <= one.hold_s <= most


def test_what_the_brief_run_must_hold_is_a_family() -> None:
    assert {"kill", "zombie", "rebalance", "broker", "redis", "s3", "corrupt"} == FAMILIES


class FakeStand:
    """Notes when faults begin and end; recovers at once, never, or when told."""

    def __init__(self) -> None:
        self.lasting: set[str] = set()
        self.most = 0
        self.healed: list[str] = []
        self.recovers = True
        self.interrupted = threading.Event()
        self._lock = threading.Lock()

    def fault(self, slot: str) -> Fault:
        def inject(_stand: Stand, rng: random.Random) -> Callable[[], None]:
            name = f"{slot} {rng.random()}"
            with self._lock:
                assert not slot or not any(each.startswith(slot) for each in self.lasting)
                self.lasting.add(name)
                self.most = max(self.most, len(self.lasting))

            def heal() -> None:
                with self._lock:
                    self.lasting.remove(name)
                    self.healed.append(slot)

            return heal

        return Fault("kill", slot, 1, (0.0, 0.0), ("sink",), inject)

    def hold(self, seconds: float) -> None:
        if self.interrupted.wait(seconds):
            raise InterruptedError

    def interrupt(self) -> None:
        self.interrupted.set()

    def await_caught_up(self, *_: Any) -> None:
        if not self.recovers:
            raise StalledError("never")


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> FakeStand:
    stand = FakeStand()
    broken = Fault("kill", "", 1, (0.0, 0.0), ("sink",), lambda *_: 1 / 0)  # type: ignore[arg-type]
    drawn = {"one": stand.fault("1"), "two": stand.fault("2"), "free": stand.fault(""), "broken": broken}
    monkeypatch.setattr(faults, "FAULTS", drawn)
    return stand


def carry_out(stand: FakeStand, *kinds: str, hold_s: float = 0.05, overlapping: int = 2) -> Chaos:
    chaos = Chaos(cast(Stand, stand), overlapping, lambda _line: None)
    chaos.run([Planned(kind, 0.0, hold_s, f"{number}") for number, kind in enumerate(kinds)])
    return chaos


def test_faults_overlap_but_no_more_than_may_and_never_two_of_a_slot(stand: FakeStand) -> None:
    chaos = carry_out(stand, *["one", "one", "two", "free", "free", "free", "two"] * 3)
    assert stand.most == 2
    assert (len(chaos.happened), len(stand.healed), stand.lasting) == (21, 21, set())
    assert all(one.recovery_s is not None for one in chaos.happened)


def test_a_fault_that_is_not_recovered_from_is_told(stand: FakeStand) -> None:
    stand.recovers = False
    assert [one.recovery_s for one in carry_out(stand, "one", "two").happened] == [None, None]


def test_what_goes_wrong_with_a_fault_ends_the_run_with_the_others_healed(stand: FakeStand) -> None:
    with pytest.raises(ZeroDivisionError):
        carry_out(stand, "one", "broken", *["two"] * 50)
    assert stand.lasting == set()
    assert len(stand.healed) < 10


def test_a_run_that_is_interrupted_heals_what_lasts_and_waits_for_nothing(stand: FakeStand) -> None:
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):

        def interrupt(_seconds: float) -> None:
            if stand.lasting:
                raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(faults, "time", cast(Any, type("T", (), {"sleep": interrupt, "monotonic": time.monotonic})))
            carry_out(stand, "one", "two", hold_s=60.0)
    assert time.monotonic() - begun < 30
    assert stand.lasting == set()
    assert stand.healed in (["1"], ["1", "2"], ["2", "1"])  # the second may have begun before the interruption
