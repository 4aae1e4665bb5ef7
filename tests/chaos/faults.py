"""The faults: how each goes in and out, and which ones a seed draws.

A fault holds its slot while it lasts, so that two do not undo each other; faults of different slots overlap.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from streams.pipeline import StalledError, wait_until
from tests.chaos.s3_proxy import Trouble
from tests.chaos.stand import AGENTS, ROLES, Member, RoleName, Stand

Heal = Callable[[], object]
Inject = Callable[[Stand, random.Random], Heal]

RECOVERY_S: Final = 240.0
"""From the end of a fault on, all that is in Kafka by then must be dealt with within this time."""


class Fault(NamedTuple):
    """One kind of fault.

    `weight` is how often it is in the deck. `inject` returns what heals it, which is called after `hold_s` (least,
    most) seconds. `slot` is what it happens to, empty where it may always. It is over when the `hits` have caught up.
    """

    family: str
    slot: str
    weight: int
    hold_s: tuple[float, float]
    hits: tuple[RoleName, ...]
    inject: Inject


class Planned(NamedTuple):
    """One fault of a run: begins `pause_s` after the one before it, lasts `hold_s`, and draws from `seed`."""

    kind: str
    pause_s: float
    hold_s: float
    seed: str


class Happened(NamedTuple):
    """One fault of a run as it was. `recovery_s`: from its end until those it hit caught up; None if they did not."""

    kind: str
    recovery_s: float | None


def _nothing() -> None:
    pass


def _ended(members: Sequence[Member], signum: int) -> Heal:
    """End processes by a signal; healed when they were started again."""
    before = [(member, member.starts) for member in members]
    for member in members:
        member.signal(signum)
    return lambda: wait_until(lambda: all(member.starts > starts for member, starts in before), RECOVERY_S, "restarts")


def _kill(role: RoleName) -> Inject:
    def inject(stand: Stand, rng: random.Random) -> Heal:
        members = stand.members[role]
        return _ended(members if rng.random() < 0.3 else [rng.choice(members)], signal.SIGKILL)

    return inject


def _freeze(role: RoleName) -> Inject:
    def inject(stand: Stand, rng: random.Random) -> Heal:
        member = rng.choice(stand.members[role])
        member.signal(signal.SIGSTOP)
        return lambda: member.signal(signal.SIGCONT)

    return inject


def _leave(role: RoleName) -> Inject:
    def inject(stand: Stand, rng: random.Random) -> Heal:
        return _ended([rng.choice(stand.members[role])], signal.SIGTERM)

    return inject


def _join(role: RoleName) -> Inject:
    def inject(stand: Stand, _rng: random.Random) -> Heal:
        member = stand.join(role)
        return lambda: stand.leave(member)

    return inject


def _poison(kind: str) -> Inject:
    def inject(stand: Stand, rng: random.Random) -> Heal:
        stand.poison(kind, rng.randrange(100_000), own=rng.random() < 0.7)
        return _nothing

    return inject


def _s3(trouble: Trouble) -> Inject:
    def inject(stand: Stand, _rng: random.Random) -> Heal:
        stand.proxy.trouble = trouble

        def heal() -> None:
            stand.proxy.trouble = None

        return heal

    return inject


def _broker_killed(stand: Stand, _rng: random.Random) -> Heal:
    stand.kafka.kill()
    return lambda: stand.kafka.start(RECOVERY_S)


def _broker_restarted(stand: Stand, _rng: random.Random) -> Heal:
    stand.kafka.stop()
    return lambda: stand.kafka.start(RECOVERY_S)


def _redis_flushed(stand: Stand, _rng: random.Random) -> Heal:
    stand.flush_redis()
    return _nothing


def _redis_killed(stand: Stand, _rng: random.Random) -> Heal:
    stand.redis.kill()
    return lambda: stand.redis.start(RECOVERY_S)


def _redis_frozen(stand: Stand, _rng: random.Random) -> Heal:
    stand.redis.pause()
    return stand.redis.resume


def _s3_frozen(stand: Stand, _rng: random.Random) -> Heal:
    stand.s3.pause()
    return stand.s3.resume


_SESSION: Final = (13.0, 18.0)
"""Beyond the 10 s after which Kafka gives a silent process's partitions to another."""

FAULTS: Final[Mapping[str, Fault]] = {
    **{
        f"{role} killed": Fault("kill", role, 1 if role == "overflow" else 3, (0.0, 0.0), (role,), _kill(role))
        for role in ROLES
    },
    **{
        f"{role} frozen": Fault("zombie", role, 1 if role == "overflow" else 2, _SESSION, (role,), _freeze(role))
        for role in (*AGENTS, "sink")
    },
    "collector frozen": Fault("zombie", "collector", 1, (5.0, 12.0), ("collector",), _freeze("collector")),
    **{
        f"{role} joins and leaves": Fault("rebalance", role, 1, (8.0, 20.0), (role,), _join(role))
        for role in ("redact", "curate", "sink")
    },
    **{f"{role} restarted": Fault("rebalance", role, 1, (0.0, 0.0), (role,), _leave(role)) for role in ROLES},
    "broker killed": Fault("broker", "kafka", 2, (0.5, 6.0), ROLES, _broker_killed),
    "broker restarted": Fault("broker", "kafka", 2, (0.5, 4.0), ROLES, _broker_restarted),
    "redis flushed": Fault("redis", "redis", 3, (0.0, 0.0), ("curate",), _redis_flushed),
    "redis killed": Fault("redis", "redis", 2, (0.5, 8.0), ("curate",), _redis_killed),
    "redis frozen": Fault("redis", "redis", 2, (2.0, 14.0), ("curate",), _redis_frozen),
    **{
        f"s3 {trouble.value.replace('_', ' ')}": Fault("s3", "s3", 2, (4.0, 15.0), ("sink",), _s3(trouble))
        for trouble in Trouble
    },
    "s3 frozen": Fault("s3", "s3", 1, (5.0, 25.0), ("sink",), _s3_frozen),
    **{
        f"corrupt record: {kind}": Fault("corrupt", "", 1, (0.0, 0.0), ("redact", "sink"), _poison(kind))
        for kind in ("magic", "truncated", "schema", "deep", "oversize")
    },
}
"""Kind → what it is."""

FAMILIES: Final = frozenset(fault.family for fault in FAULTS.values())


def plan(seed: int, count: int, pause_s: float = 4.0) -> list[Planned]:
    """The faults of a run, `pause_s` apart on average: a pure function of its arguments.

    Drawn as from a shuffled deck in which a kind is as often as its weight says, so that none stays out for long. A
    longer plan of the same seed begins with the shorter one.
    """
    rng = random.Random(seed)
    deck: list[str] = []
    planned = []
    for number in range(count):
        if not deck:
            deck = [kind for kind, fault in FAULTS.items() for _ in range(fault.weight)]
            rng.shuffle(deck)
        kind = deck.pop()
        hold_s = rng.uniform(*FAULTS[kind].hold_s)
        planned.append(Planned(kind, rng.uniform(0, 2 * pause_s), hold_s, f"{seed}/{number}"))
    return planned


class Chaos:
    """Carries a plan out on a stand, at most `overlapping` faults at a time."""

    def __init__(self, stand: Stand, overlapping: int, tell: Callable[[str], None]) -> None:
        self._stand = stand
        self._tell = tell
        self._hands = threading.Semaphore(overlapping)
        self._slots = {fault.slot: threading.Lock() for fault in FAULTS.values() if fault.slot}
        self._failed: list[BaseException] = []
        self.happened: list[Happened] = []

    def run(self, planned: list[Planned]) -> None:
        """Inject all faults in order, and return when each is over. Raises what went wrong with the stand."""
        threads: list[threading.Thread] = []
        try:
            for number, one in enumerate(planned, start=1):
                time.sleep(one.pause_s)
                self._hands.acquire()
                if slot := FAULTS[one.kind].slot:
                    self._slots[slot].acquire()
                if self._failed:
                    break
                threads.append(threading.Thread(target=self._one, args=(number, one), name=one.kind))
                threads[-1].start()
            for thread in threads:
                thread.join()
        except BaseException:
            self._stand.interrupt()  # what lasts is healed, and no recovery is waited for
            raise
        finally:
            for thread in threads:
                thread.join()
        if self._failed:
            raise self._failed[0]

    def _one(self, number: int, one: Planned) -> None:
        fault = FAULTS[one.kind]
        try:
            heal = fault.inject(self._stand, random.Random(one.seed))
            try:
                self._stand.hold(one.hold_s)
            finally:
                ended = time.monotonic()
                heal()
            recovery_s = self._recovery_s(fault, ended)
            self.happened.append(Happened(one.kind, recovery_s))
            told = "did NOT recover" if recovery_s is None else f"recovered after {recovery_s:.1f} s"
            self._tell(f"{number:4d}  {one.kind} for {one.hold_s:.1f} s, {told}")
        except BaseException as exc:
            self._failed.append(exc)
        finally:
            if fault.slot:
                self._slots[fault.slot].release()
            self._hands.release()

    def _recovery_s(self, fault: Fault, ended: float) -> float | None:
        try:
            self._stand.await_caught_up(fault.hits, RECOVERY_S)
        except StalledError:
            return None
        return time.monotonic() - ended
