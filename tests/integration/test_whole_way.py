"""The whole way of an event on real Kafka, Redis and S3, undisturbed and under faults; audited by event id."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import redis

from millrace.made_up import MAX_TEXT_CHARS
from millrace.made_up import events as made_up
from schemas.events import FeedbackEvent
from schemas.intake import event_to_json
from streams import embedded
from streams.balance import Balance
from streams.brokers import GaplessProducer
from streams.importers import read_events
from streams.lake.query import connect
from streams.pipeline import Process, Role, wait_until
from streams.reconcile import reconcile
from streams.settings import Settings
from tests.integration.roles import WholeWay, running, settings_on
from tests.servers import Servers

INTERACTIONS = 600


@pytest.fixture
def whole_way(servers: Servers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[WholeWay]:
    settings = settings_on(servers, servers.fresh_lake(monkeypatch), max_text_chars=MAX_TEXT_CHARS)
    way = WholeWay(settings, tmp_path)
    with running(way.pipeline):
        yield way


@pytest.fixture(scope="module")
def embedded_balance(tmp_path_factory: pytest.TempPathFactory) -> Balance:
    """What the same events come to on embedded parts."""
    folder = tmp_path_factory.mktemp("embedded")
    path = folder / "made-up.jsonl"
    path.write_bytes(b"".join(event_to_json(event) + b"\n" for event in made_up(INTERACTIONS)))
    settings = Settings(lake=str(folder / "lake"), max_text_chars=MAX_TEXT_CHARS)
    return embedded.run([embedded.Input(path, "events", "acme")], settings, lambda *_: None).balance


def _settled(balance: Balance) -> Balance:
    """A balance without who of two near duplicates came first: that depends on which partition was faster."""
    return msgspec.structs.replace(balance, samples=balance.samples + balance.duplicates, duplicates=0)


def _in_mid_run(way: WholeWay, events: list[FeedbackEvent], disturb: Callable[[], object]) -> None:
    """Send events and disturb once a third of them has landed, while the others are on their way."""
    failed: list[BaseException] = []

    def send() -> None:
        try:
            way.send(events)
        except BaseException as exc:
            failed.append(exc)

    sending = threading.Thread(target=send)
    sending.start()
    wait_until(lambda: bool(failed) or way.pipeline.landed() > len(events) // 3, 120, "a third of the events")
    disturb()
    sending.join()
    assert not failed


@pytest.mark.timeout(600)
def test_the_same_input_gives_the_same_balance_as_on_embedded_parts(
    whole_way: WholeWay, embedded_balance: Balance
) -> None:
    whole_way.send(list(made_up(INTERACTIONS)))
    result = whole_way.balance()
    assert result.adds_up
    assert _settled(result) == _settled(embedded_balance)
    assert result.received["interaction"] == INTERACTIONS
    assert (result.lost, result.double, result.replayed, result.dead_lettered) == (0, 0, 0, 1)
    assert result.duplicates > 0
    assert {"empty_output", "consent_missing", "consent_withdrawn"} <= result.rejected.keys()


@pytest.mark.timeout(600)
def test_the_real_dialogues_give_the_balance_that_they_gave_embedded(whole_way: WholeWay, dialogues: Path) -> None:
    events = [event for event in read_events(dialogues, "hh", "acme", 10**6) if isinstance(event, FeedbackEvent)][
        :2_000
    ]
    whole_way.send(events)
    result = whole_way.balance()
    assert result.adds_up
    assert result.samples + result.duplicates + sum(result.rejected.values()) == 1_000


@pytest.mark.timeout(600)
def test_workers_and_sink_killed_in_mid_run_and_restarted_lose_nothing_and_double_nothing(
    whole_way: WholeWay, embedded_balance: Balance
) -> None:
    pipeline = whole_way.pipeline

    def kill_and_restart() -> None:
        for role in Role:
            pipeline.processes[role].kill()
        pipeline.start()
        pipeline.await_ready()  # what is told to stop before it has begun reports nothing

    _in_mid_run(whole_way, list(made_up(INTERACTIONS)), kill_and_restart)
    assert _settled(whole_way.balance()) == _settled(embedded_balance)


@pytest.mark.timeout(600)
def test_workers_and_sinks_that_join_and_leave_in_mid_run_lose_nothing_and_double_nothing(
    whole_way: WholeWay, embedded_balance: Balance, tmp_path: Path
) -> None:
    pipeline = whole_way.pipeline

    def leave(processes: list[Process]) -> None:
        for process in processes:
            process.signal(signal.SIGTERM)
        for process in processes:
            process.stopped()

    def join_and_leave() -> None:
        joined = [Process(role, whole_way.settings, tmp_path / f"joined-{role}.log") for role in pipeline.roles]
        try:
            wait_until(lambda: all(process.ready() for process in joined), 120, "those who join")
            leave([process for processes in pipeline.processes.values() for process in processes])
            pipeline.start()
            pipeline.await_ready()
            leave(joined)
        finally:
            for process in joined:
                process.kill()

    _in_mid_run(whole_way, list(made_up(INTERACTIONS)), join_and_leave)
    assert _settled(whole_way.balance()) == _settled(embedded_balance)


@pytest.mark.timeout(600)
def test_redis_flushed_in_mid_run_loses_no_event_and_the_lake_decides_what_it_forgot(
    whole_way: WholeWay, embedded_balance: Balance
) -> None:
    def flush() -> None:
        with redis.Redis.from_url(whole_way.settings.redis_url) as client:
            client.flushdb()

    _forget_and_reconcile(whole_way, flush, embedded_balance)


@pytest.mark.timeout(600)
def test_redis_evicting_in_mid_run_loses_no_event_and_the_lake_decides_what_it_forgot(
    whole_way: WholeWay, embedded_balance: Balance
) -> None:
    with redis.Redis.from_url(whole_way.settings.redis_url) as client:
        evicted = client.info("stats")["evicted_keys"]

        def evict() -> None:
            client.config_set("maxmemory-policy", "allkeys-random")
            client.config_set("maxmemory", client.info("memory")["used_memory"] // 2)

        try:
            _forget_and_reconcile(whole_way, evict, embedded_balance, lambda: client.config_set("maxmemory", 0))
        finally:
            client.config_set("maxmemory", 0)
        assert client.info("stats")["evicted_keys"] > evicted


def _forget_and_reconcile(
    whole_way: WholeWay, forget: Callable[[], object], embedded_balance: Balance, mend: Callable[[], object] = lambda: 0
) -> None:
    """Let Redis forget in mid-run, reconcile once all has drained, and compare with a run in which it did not."""
    # All interactions first, so that those which were forgotten still had their feedback before them.
    events = sorted(made_up(INTERACTIONS), key=lambda event: event.kind != "interaction")
    _in_mid_run(whole_way, events, forget)
    whole_way.pipeline.await_drained(180)
    mend()
    republished = reconcile(
        connect(whole_way.settings.lake), whole_way.settings, GaplessProducer(whole_way.settings), 0
    )
    assert republished > 0
    result = whole_way.balance()
    assert result.adds_up
    assert (result.lost, result.double, result.replayed) == (0, 0, 0)
    # Claims of near duplicates were forgotten too, so that some may count as samples.
    assert result.samples + result.duplicates == embedded_balance.samples + embedded_balance.duplicates
    assert (result.rejected, result.waiting) == (embedded_balance.rejected, embedded_balance.waiting)


@pytest.mark.timeout(600)
def test_redis_away_for_a_while_is_waited_for(whole_way: WholeWay, servers: Servers, embedded_balance: Balance) -> None:
    def restart() -> None:
        servers.redis.stop()
        servers.redis.start()

    _in_mid_run(whole_way, list(made_up(INTERACTIONS)), restart)
    assert _settled(whole_way.balance()) == _settled(embedded_balance)


@pytest.mark.timeout(600)
def test_kafka_killed_in_mid_run_and_started_again_loses_nothing_and_doubles_nothing(
    whole_way: WholeWay, servers: Servers, embedded_balance: Balance
) -> None:
    def restart() -> None:
        servers.kafka.kill()
        servers.kafka.start()

    _in_mid_run(whole_way, list(made_up(INTERACTIONS)), restart)
    assert _settled(whole_way.balance()) == _settled(embedded_balance)
