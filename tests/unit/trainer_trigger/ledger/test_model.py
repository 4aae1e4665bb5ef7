"""The ledger against a small model of it, under any order of calls by two schedulers and a person."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from trainer_trigger.ledger import NEXT, TERMINAL, Change, Intent, Launch, Lease, State
from trainer_trigger.ledger.errors import LedgerError
from trainer_trigger.ledger.sql import SqlLedger

BUDGET = 100
WHO = st.sampled_from(["one", "two"])


class Against(RuleBasedStateMachine):
    """`token` and `holder` of the lease, and what is expected of each launch: state, job, cost that counts."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = SqlLedger("sqlite://")
        self.leases: dict[str, Lease] = {}
        self.seen: dict[str, Launch] = {}
        self.holder: str | None = None
        self.states: dict[str, State] = {}
        self.jobs: dict[str, str] = {}
        self.costs: dict[str, int] = {}
        self.paths: dict[str, list[State]] = {}
        self.decisions: dict[str, str] = {}

    def teardown(self) -> None:
        self.ledger.close()

    @rule(who=WHO)
    def acquire(self, who: str) -> None:
        lease = self.ledger.acquire("t", who, 60_000)
        assert (lease is not None) == (self.holder is None)
        if lease is not None:
            assert all(lease.token > each.token for each in self.leases.values())
            self.leases[who], self.holder = lease, who

    @rule(who=WHO)
    def release(self, who: str) -> None:
        if who in self.leases:
            self.ledger.release(self.leases[who])
            self.holder = None if self.holder == who else self.holder

    @rule(who=WHO, generation=st.integers(0, 3), cost=st.integers(0, 60), decision=st.sampled_from("abcd"))
    def intend(self, who: str, generation: int, cost: int, decision: str) -> None:
        if who not in self.leases:
            return
        intent = Intent(
            decision_id=decision,
            target="t",
            table_version=1,
            dataset_hash="h",
            configuration_hash="c",
            generation=generation,
            cost_cents=cost,
        )
        key = intent.key
        known = key in self.states
        free = all(state in TERMINAL for state in self.states.values())
        fits = sum(self.costs.values()) + cost <= BUDGET
        allowed = self.holder == who and (known or (decision not in self.decisions and free and fits))
        try:
            launch = self.ledger.intend(self.leases[who], intent, BUDGET)
        except LedgerError:
            assert not allowed
            return
        assert allowed
        if not known:
            self.states[key], self.costs[key], self.paths[key] = State.INTENDED, cost, [State.INTENDED]
            self.decisions[decision] = key
        self.seen[who] = launch

    @rule(who=WHO)
    def look(self, who: str) -> None:
        if who in self.seen:
            self.seen[who] = self.ledger.launch(self.seen[who].key)

    @rule(who=WHO, after=st.sampled_from(State), job=st.sampled_from([None, "j1", "j2"]))
    def move(self, who: str, after: State, job: str | None) -> None:
        if who not in self.seen:
            return
        seen = self.seen[who]
        key = seen.key
        others = {name for other, name in self.jobs.items() if other != key}
        needs = after in {State.LAUNCHED, State.RUNNING, State.SUCCEEDED}
        allowed = (
            self.holder == who
            and self.states[key] == seen.state
            and after in NEXT[seen.state]
            and job not in others
            and (not needs or job is not None or key in self.jobs)
        )
        if after == seen.state:
            return
        try:
            moved = self.ledger.move(self.leases[who], seen, after, "", Change() if job is None else Change(job_id=job))
        except LedgerError:
            assert not allowed
            return
        assert allowed
        self.seen[who] = moved
        self.states[key] = after
        self.paths[key].append(after)
        if job is not None:
            self.jobs[key] = job
        if after in TERMINAL and key not in self.jobs:
            self.costs[key] = 0

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        launches = {each.key: each for each in self.ledger.launches()}
        assert {key: each.state for key, each in launches.items()} == self.states
        assert {key: each.job_id for key, each in launches.items() if each.job_id} == self.jobs
        assert self.ledger.spent_cents("t") == sum(self.costs.values())
        assert sum(state not in TERMINAL for state in self.states.values()) <= 1
        for key, path in self.paths.items():
            assert [each.after for each in self.ledger.history(key)] == path


TestAgainst = Against.TestCase
TestAgainst.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
