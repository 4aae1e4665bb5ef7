"""The consumer under the agents, with everything Kafka does replaced: flow, queues, acknowledgements, commits."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, Message
from hypothesis import given
from hypothesis import strategies as st
from mode import Service

from streams import intake
from streams.intake import Fetched, Limits

T0 = TP("t", 0)


class FakeKafka(Service):
    """Stands for the consumer's thread: a log a partition, a position, what was committed, and what to answer."""

    def __init__(self, logs: Mapping[TP, Sequence[int]], committed: Mapping[TP, int | None]) -> None:
        super().__init__()
        self.logs = logs
        self.committed: dict[TP, int | None] = dict(committed)
        self.ends = {tp: (offsets[-1] + 1 if offsets else 0) for tp, offsets in logs.items()}
        self.positions = {tp: offset or 0 for tp, offset in committed.items()}
        self.commits: list[dict[TP, int]] = []
        self.refuse = 0
        self.while_fetching: Callable[[], None] = lambda: None
        self.in_one_fetch = 1  # so that each message is one record

    def assignment(self) -> set[TP]:
        return set(self.logs)

    def highwater(self, tp: TP) -> int:
        return self.ends[tp]

    async def getmany(self, active: set[TP], timeout: float) -> Fetched:
        records = {}
        for tp in sorted(active):
            offsets = [offset for offset in self.logs[tp] if offset >= self.positions[tp]][: self.in_one_fetch]
            if offsets:
                records[tp] = [record(tp, offset) for offset in offsets]
                self.positions[tp] = offsets[-1] + 1
            if self.positions[tp] > max(self.logs[tp], default=-1):
                self.positions[tp] = self.ends[tp]
        fetched = Fetched(records, dict(self.positions))
        self.while_fetching()
        await asyncio.sleep(0 if records else 0.01)
        return fetched

    async def seek_to_committed(self) -> Mapping[TP, int | None]:
        self.positions.update({tp: offset or 0 for tp, offset in self.committed.items()})
        return dict(self.committed)

    async def commit(self, offsets: Mapping[TP, int]) -> bool:
        self.commits.append(dict(offsets))
        if self.refuse:
            self.refuse -= 1
            return False
        self.committed.update(offsets)
        return True


async def at_once() -> None:
    """Stands for a wait that is over before it begins."""


def record(tp: TP, offset: int) -> Any:
    return SimpleNamespace(
        topic=tp.topic,
        partition=tp.partition,
        offset=offset,
        timestamp=0,
        timestamp_type=0,
        headers=(),
        key=b"k",
        value=str(offset).encode(),
        checksum=None,
        serialized_key_size=1,
        serialized_value_size=1,
    )


class Stand:
    """Our consumer in an app that never started, its one agent's queue, and the fake Kafka."""

    def __init__(
        self,
        offsets: Sequence[int] = (),
        *,
        committed: int | None = 0,
        room: int = 1_000,
        room_bytes: int = 1 << 20,
        in_one_fetch: int = 1,
        consumer: type[Any] = intake.Consumer,
        others: Mapping[TP, Sequence[int]] | None = None,
    ) -> None:
        self.scratch = tempfile.TemporaryDirectory()
        self.app = faust.App(
            "stand",
            broker="kafka://127.0.0.1:1",
            consumer_auto_offset_reset="earliest",
            stream_buffer_maxsize=1_000,
            store="memory://",
            web_enabled=False,
            loghandlers=[],
            datadir=self.scratch.name,
        )
        self.limits = Limits(room, room_bytes)
        intake.use(self.app, self.limits)
        logs = {T0: offsets, **(others or {})}
        self.kafka = kafka = FakeKafka(logs, dict.fromkeys(logs, committed))
        kafka.in_one_fetch = in_one_fetch

        class OnFakeKafka(consumer):  # type: ignore[misc]
            def _new_consumer_thread(self) -> Any:
                return kafka

        self.when_revoked: Callable[[], Awaitable[object]] = lambda: asyncio.sleep(0)

        async def revoked(_: set[TP]) -> None:
            await self.when_revoked()

        async def assigned(_: set[TP], __: int) -> None:
            return None

        self.consumer = OnFakeKafka(
            self.app.transport,
            callback=self.app.topics.on_message,
            on_partitions_revoked=revoked,
            on_partitions_assigned=assigned,
            loop=asyncio.get_running_loop(),
        )
        self.app.consumer = self.consumer
        self.app.producer = SimpleNamespace(
            flush=lambda: asyncio.sleep(0), buffer=SimpleNamespace(wait_until_ebb=at_once)
        )  # type: ignore[assignment]
        topic = self.app.topic("t", key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
        self.channel = topic.clone(is_iterator=True)
        topics: Any = self.app.topics
        topics._acking_topics.add("t")
        for tp in logs:
            topics._tp_index[tp].add(self.channel)
        self.app.consumer_generation_id = 1
        self.app.flow_control.resume()
        self.app.rebalancing = False
        self.fetcher = SimpleNamespace(_stopped=asyncio.Event())
        self.taken: list[Message] = []

    async def assign(self) -> None:
        """As Faust does it: assigned, sought, resumed."""
        await self.consumer.on_partitions_assigned(set(self.kafka.logs), self.app.consumer_generation_id)
        await self.consumer.perform_seek()
        self.consumer.resume_flow()

    async def take(self, count: int) -> list[Message]:
        """The next messages that an agent would get."""
        taken = []
        for _ in range(count):
            event = await asyncio.wait_for(self.channel.queue.get(), 5)
            self.consumer.taken(event)
            taken.append(event.message)
        self.taken += taken
        return taken

    async def batch(self) -> list[list[int]]:
        """The next batch of an agent, as the offsets of its events."""
        stream = SimpleNamespace(app=self.app, channel=self.channel)
        async for events in intake.batches(stream, self.limits, 0.05):
            slices: list[Any] = [event.value for event in events]
            return [[each.offset for each in records] for records in slices]
        raise AssertionError

    def ack(self, *offsets: int) -> None:
        for message in self.taken:
            if message.offset in offsets:
                message.ack(self.consumer)

    async def settle(self) -> None:
        """Let the intake come to the end of what it can do."""
        for _ in range(200):
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)

    async def run(self, scenario: Callable[[Stand], Awaitable[None]]) -> None:
        await self.assign()
        draining = asyncio.create_task(self.consumer._drain_messages(self.fetcher))
        try:
            await scenario(self)
        finally:
            self.fetcher._stopped.set()
            self.consumer.suspend_flow.set()
            await asyncio.wait_for(draining, 5)
            self.scratch.cleanup()


def play(scenario: Callable[[Stand], Awaitable[None]], *args: Any, **kwargs: Any) -> None:
    async def main() -> None:
        await Stand(*args, **kwargs).run(scenario)

    asyncio.run(main())


def offsets_of(messages: Sequence[Message]) -> list[int]:
    return [message.offset for message in messages]


# Offsets and commits


@pytest.mark.parametrize(
    ("committed", "acknowledged", "position"),
    [(10, [11, 12], None), (None, [5, 6, 7], None), (0, [5, 6, 7], None), (10, [10, 12], 11), (0, [0, 1, 2], 3)],
)
def test_nothing_is_committed_past_an_open_offset_upstream_606(
    committed: int | None, acknowledged: list[int], position: int | None
) -> None:
    """faust-streaming #606, the mend is PR #707: Faust commits 13 for the first, 8 for the second and the third."""

    async def scenario(stand: Stand) -> None:
        await stand.take(13 - (committed or 0))
        stand.ack(*acknowledged)
        await stand.consumer.commit()
        assert (stand.kafka.committed[T0] or 0) == (position if position is not None else committed or 0)

    play(scenario, range(13), committed=committed)


def test_the_message_after_a_gap_must_be_acknowledged_too_upstream_606() -> None:
    """faust-streaming #606: `_add_gap` takes 13 for a part of the gap, and Faust commits 15."""

    async def scenario(stand: Stand) -> None:
        await stand.take(3)
        stand.ack(10, 14)
        await stand.consumer.commit()
        assert stand.kafka.committed[T0] == 13
        stand.ack(13)
        await stand.consumer.commit()
        assert stand.kafka.committed[T0] == 15

    play(scenario, [10, 13, 14], committed=10)


@pytest.mark.parametrize(
    ("committed", "acknowledged", "wrong"), [(10, [11, 12], 13), (None, [5, 6, 7], 8), (0, [5, 6, 7], 8)]
)
def test_faust_itself_still_commits_past_an_open_offset(
    committed: int | None, acknowledged: list[int], wrong: int
) -> None:
    """When this fails, upstream has mended #606, and `streams.offsets` may go."""

    async def main() -> None:
        stand = Stand(range(13), consumer=driver.Consumer)
        stand.consumer._committed_offset[T0] = committed or None
        stand.consumer._acked[T0] = acknowledged
        assert stand.consumer._new_offset(T0) == wrong
        stand.scratch.cleanup()

    asyncio.run(main())


def test_markers_after_the_last_event_are_committed_with_it() -> None:
    async def scenario(stand: Stand) -> None:
        stand.kafka.ends[T0] = 5
        await stand.take(3)
        await stand.settle()
        stand.ack(0, 2)
        await stand.consumer.commit()
        assert stand.kafka.committed[T0] == 1
        stand.ack(1)
        await stand.consumer.commit()
        assert stand.kafka.committed[T0] == 5

    play(scenario, range(3))


def test_a_partition_of_markers_only_is_committed_to_its_end() -> None:
    async def scenario(stand: Stand) -> None:
        stand.kafka.ends[T0] = 5
        await stand.settle()
        await stand.consumer.commit()
        assert stand.kafka.committed[T0] == 5

    play(scenario, [])


def test_a_commit_that_failed_is_tried_again_from_the_same_position() -> None:
    """Faust takes a failed commit for done and commits nothing more until there are new acknowledgements."""

    async def scenario(stand: Stand) -> None:
        await stand.take(3)
        stand.ack(0, 1, 2)
        stand.kafka.refuse = 2
        assert [await stand.consumer.commit() for _ in range(4)] == [False, False, True, False]
        assert stand.kafka.commits == [{T0: 3}] * 3

    play(scenario, range(3))


def test_what_is_acknowledged_during_a_commit_is_in_the_last_commit() -> None:
    async def scenario(stand: Stand) -> None:
        await stand.take(3)
        stand.ack(0)
        answer = asyncio.Event()
        at_once = stand.kafka.commit

        async def slow(offsets: Mapping[TP, int]) -> bool:
            await answer.wait()
            return await at_once(offsets)

        stand.kafka.commit = slow  # type: ignore[method-assign]
        first = asyncio.create_task(stand.consumer.commit())
        await stand.settle()
        stand.ack(1, 2)
        last = asyncio.create_task(stand.consumer.commit_and_end_transactions())
        await stand.settle()
        answer.set()
        await asyncio.gather(first, last)
        assert stand.kafka.committed[T0] == 3

    play(scenario, range(3))


def test_what_an_agent_acknowledges_during_a_rebalance_is_committed_together_with_what_came_before() -> None:
    """Faust forgets the earlier acknowledgements when the rebalance begins, and with them the position."""

    async def scenario(stand: Stand) -> None:
        await stand.take(3)
        stand.ack(0)

        async def finish_the_batch() -> None:
            stand.ack(1)
            await stand.consumer.commit()

        stand.when_revoked = finish_the_batch
        await stand.consumer.on_partitions_revoked({T0})
        assert stand.kafka.committed[T0] == 2

    play(scenario, range(3))


def test_an_acknowledgement_that_comes_after_the_partition_was_revoked_counts_for_nothing() -> None:
    async def scenario(stand: Stand) -> None:
        await stand.take(3)
        await stand.consumer.on_partitions_revoked({T0})
        assert not stand.consumer.flow_active
        stand.ack(0)
        of_before = stand.taken[:]
        stand.app.consumer_generation_id = 2
        await stand.assign()
        assert offsets_of(await stand.take(3)) == [0, 1, 2]
        assert not any(message.ack(stand.consumer) for message in of_before)
        await stand.consumer.commit()
        assert stand.kafka.committed[T0] == 0

    play(scenario, range(3))


def test_what_faust_acknowledges_by_itself_is_not_committed() -> None:
    """A Faust stream that is told to stop acknowledges all that it still reads, processed or not."""

    async def scenario(stand: Stand) -> None:
        await stand.take(3)
        stand.consumer._acked[T0] += [0, 1, 2]  # as its compiled stream does it
        await stand.consumer.commit()
        assert stand.kafka.committed[T0] == 0

    play(scenario, range(3))


def test_a_batch_that_its_agent_gave_up_does_not_hold_the_process_for_ever() -> None:
    """Faust waits until every event that an agent holds is acknowledged."""

    async def scenario(stand: Stand) -> None:
        given_up, acknowledged, _ = await stand.take(3)
        stand.app.conf.broker_rebalance_timeout = 0.05
        stand.ack(acknowledged.offset)
        async with asyncio.timeout(5):
            await stand.consumer.wait_empty()
        assert stand.kafka.committed[T0] == given_up.offset == 0

    play(scenario, range(3))


def test_a_stop_waits_for_the_batch_that_is_in_work_and_commits_it() -> None:
    async def scenario(stand: Stand) -> None:
        await stand.take(3)
        waiting = asyncio.create_task(stand.consumer.wait_empty())
        await stand.settle()
        assert not waiting.done()
        stand.ack(0, 1, 2)
        await asyncio.wait_for(waiting, 5)
        assert stand.kafka.committed[T0] == 3

    play(scenario, range(3))


def test_what_its_agent_says_it_gave_up_is_not_waited_for() -> None:
    async def scenario(stand: Stand) -> None:
        given_up, acknowledged, _ = await stand.take(3)
        stand.app.conf.broker_rebalance_timeout = 10.0
        stand.ack(acknowledged.offset)
        events: list[Any] = [SimpleNamespace(message=message) for message in stand.taken]
        stand.consumer.give_up(events)
        start = asyncio.get_running_loop().time()
        await stand.consumer.wait_empty()
        assert asyncio.get_running_loop().time() - start < 5
        assert stand.kafka.committed[T0] == given_up.offset == 0

    play(scenario, range(3))


@pytest.mark.parametrize(("stopping", "longest_s"), [(False, 0.5), (True, 3.0)])
def test_a_batch_in_work_may_take_as_long_as_a_rebalance_does_but_at_the_end_as_long_as_a_drain(
    stopping: bool, longest_s: float
) -> None:
    async def scenario(stand: Stand) -> None:
        await stand.take(3)
        stand.app.conf.broker_rebalance_timeout = 0.5
        stand.consumer._limits = Limits(10, 1_000, drain_s=3.0)
        if stopping:
            stand.app._stopped.set()
        start = asyncio.get_running_loop().time()
        await stand.consumer.wait_empty()
        assert longest_s <= asyncio.get_running_loop().time() - start < longest_s + 2

    play(scenario, range(3))


def test_an_agent_that_shall_stop_begins_no_other_batch() -> None:
    async def scenario(stand: Stand) -> None:
        await stand.take(1)
        await stand.settle()
        stand.app._stopped.set()
        with pytest.raises(AssertionError):
            await stand.batch()

    play(scenario, range(3))


def test_what_waits_is_what_no_agent_has_taken_delivered_or_not() -> None:
    async def scenario(stand: Stand) -> None:
        assert await stand.batch() == [[0], [1], [2]]
        await stand.settle()
        assert stand.consumer.waiting() == 7
        stand.consumer.stop_flow()

    play(scenario, range(10), room=3)


# Flow and queues


def test_once_the_flow_is_suspended_nothing_more_is_delivered() -> None:
    async def scenario(stand: Stand) -> None:
        await stand.take(20)
        stand.consumer.stop_flow()
        delivered = stand.channel.queue.qsize()
        for _ in range(delivered):
            stand.channel.queue.get_nowait()
        await stand.settle()
        assert stand.channel.queue.qsize() == 0

    play(scenario, range(500), room=50)


def test_what_was_fetched_while_the_flow_stopped_is_read_again_even_when_nothing_was_committed() -> None:
    """Faust seeks to the committed offset, which aiokafka does not do for 0 and none: those records are lost."""

    async def scenario(stand: Stand) -> None:
        def suspend_once() -> None:
            stand.kafka.while_fetching = lambda: None
            stand.consumer.stop_flow()

        stand.kafka.while_fetching = suspend_once
        await stand.settle()
        assert stand.channel.queue.qsize() == 0
        stand.consumer.resume_flow()
        assert offsets_of(await stand.take(10)) == list(range(10))

    play(scenario, range(10), committed=None)


def test_what_an_acknowledged_batch_left_behind_is_not_read_twice_after_a_seek() -> None:
    async def scenario(stand: Stand) -> None:
        await stand.take(10)
        stand.ack(0, 1, 2, 5)
        await stand.consumer.perform_seek()
        stand.consumer._astray = True
        assert offsets_of(await stand.take(6)) == [3, 4, 6, 7, 8, 9]

    play(scenario, range(10))


def test_a_full_queue_holds_the_intake_back_and_an_emptied_one_lets_it_go_on() -> None:
    async def scenario(stand: Stand) -> None:
        await stand.settle()
        assert stand.channel.queue.qsize() == 20
        seen = offsets_of(await stand.take(300))
        assert seen == list(range(300))

    play(scenario, range(300), room=20)


def test_a_queue_of_heavy_records_is_full_by_their_bytes() -> None:
    async def scenario(stand: Stand) -> None:
        await stand.settle()
        assert stand.channel.queue.qsize() == 4
        assert offsets_of(await stand.take(50)) == list(range(50))

    weight = intake.weight_of([record(T0, 1)])
    play(scenario, range(50), room_bytes=4 * weight)


def test_a_record_heavier_than_the_limit_is_taken_by_itself() -> None:
    async def scenario(stand: Stand) -> None:
        assert [await stand.batch() for _ in range(3)] == [[[0]], [[1]], [[2]]]

    play(scenario, range(3), room_bytes=1, in_one_fetch=3)


def test_a_queue_that_is_full_when_the_flow_stops_does_not_hold_the_rebalance_up() -> None:
    async def scenario(stand: Stand) -> None:
        await stand.settle()
        assert stand.channel.queue.qsize() == 20
        async with asyncio.timeout(0.5):
            await stand.consumer.on_partitions_revoked({T0})
        stand.channel.queue.clear()
        stand.app.consumer_generation_id = 2
        await stand.assign()
        assert offsets_of(await stand.take(300)) == list(range(300))

    play(scenario, range(300), room=20)


def test_the_loop_gets_a_turn_every_hundred_records() -> None:
    async def scenario(stand: Stand) -> None:
        sizes = [0]
        while sizes[-1] < 10:
            await asyncio.sleep(0)
            sizes.append(stand.channel.queue.qsize())
        assert max(after - before for before, after in itertools.pairwise(sizes)) == 1
        assert [len(stand.channel.queue.get_nowait().value) for _ in range(10)] == [intake.SLICE] * 10

    play(scenario, range(1_000), in_one_fetch=1_000)


def test_partitions_take_turns() -> None:
    async def scenario(stand: Stand) -> None:
        first = await stand.take(6)
        assert [message.partition for message in first] == [0, 1] * 3

    play(scenario, range(300), others={TP("t", 1): range(300)}, in_one_fetch=300)


@given(
    st.dictionaries(st.integers(0, 3), st.lists(st.integers(0, 30), max_size=300)),
    st.integers(1, 100),
)
def test_slices_keep_the_order_lose_nothing_and_are_bounded(weights: dict[int, list[int]], most_bytes: int) -> None:
    fetched = {
        TP("t", number): [SimpleNamespace(offset=offset, key=None, value=bytes(size)) for offset, size in enumerate(of)]
        for number, of in weights.items()
    }
    seen: dict[TP, list[Any]] = {tp: [] for tp in fetched}
    for tp, records in intake.slices(fetched, most_bytes):
        assert 0 < len(records) <= intake.SLICE
        assert intake.weight_of(records[:-1]) < most_bytes
        seen[tp] += records
    assert seen == fetched


def test_a_batch_holds_what_is_there_up_to_its_limits() -> None:
    async def scenario(stand: Stand) -> None:
        await stand.settle()
        assert [len(offsets) for offsets in await stand.batch()] == [100, 100]
        assert [len(offsets) for offsets in await stand.batch()] == [100]

    play(scenario, range(300), room=150, in_one_fetch=300)


def test_a_batch_that_does_not_fill_up_is_given_soon_after_its_first_record() -> None:
    async def scenario(stand: Stand) -> None:
        async with asyncio.timeout(1):
            assert await stand.batch() == [[0], [1], [2]]

    play(scenario, range(3))


def test_of_an_assignment_that_is_over_nothing_is_given() -> None:
    async def scenario(stand: Stand) -> None:
        await stand.settle()
        stand.app.consumer_generation_id = 2
        waiting = asyncio.create_task(stand.batch())
        await stand.settle()
        assert not waiting.done()
        await stand.assign()
        assert (await asyncio.wait_for(waiting, 5))[0] == [0]

    play(scenario, range(3))


def test_an_event_is_acknowledged_with_all_its_records() -> None:
    async def scenario(stand: Stand) -> None:
        first, second, third = await stand.take(3)
        assert second.ack(stand.consumer)
        await stand.consumer.commit()
        assert stand.kafka.committed[T0] == 0
        assert first.ack(stand.consumer)
        await stand.consumer.commit()
        assert stand.kafka.committed[T0] == third.offset == 200

    play(scenario, range(300), in_one_fetch=300)


def test_committed_offsets_that_cannot_be_had_are_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "_FETCH_S", 0.01)

    async def scenario(stand: Stand) -> None:
        assert offsets_of(await stand.take(3)) == [0, 1, 2]

    async def main() -> None:
        stand = Stand(range(3))
        answers = iter([RuntimeError("away"), RuntimeError("away")])
        seek = stand.kafka.seek_to_committed

        async def away_at_first() -> Mapping[TP, int | None]:
            if stand.consumer.flow_active and (error := next(answers, None)) is not None:
                raise error
            return await seek()

        stand.kafka.seek_to_committed = away_at_first  # type: ignore[method-assign]
        await stand.run(scenario)

    asyncio.run(main())


# What the thread asks of aiokafka


class FakeAiokafka:
    """Notes where it was sought."""

    def __init__(self, committed: Mapping[TP, int | None]) -> None:
        self._committed = committed
        self.sought: dict[TP, int | str] = {}

    def assignment(self) -> set[TP]:
        return set(self._committed)

    async def seek_to_committed(self) -> Mapping[TP, int | None]:
        assert self._committed, "No partitions are currently assigned"
        self.sought |= {tp: offset for tp, offset in self._committed.items() if offset}
        return self._committed

    def seek(self, tp: TP, offset: int) -> None:
        self.sought[tp] = offset

    async def seek_to_beginning(self, *tps: TP) -> None:
        self.sought |= dict.fromkeys(tps, "beginning")


@pytest.mark.parametrize(("reset", "sought"), [("earliest", {0: 7, 1: 0, 2: "beginning"}), ("latest", {0: 7, 1: 0})])
def test_every_partition_is_sought_also_at_zero_and_with_nothing_committed(
    reset: str, sought: dict[int, int | str]
) -> None:
    aiokafka = FakeAiokafka({TP("t", 0): 7, TP("t", 1): 0, TP("t", 2): None})
    thread: Any = object.__new__(intake.ConsumerThread)
    thread._consumer = aiokafka
    thread.app = SimpleNamespace(conf=SimpleNamespace(consumer_auto_offset_reset=reset))
    assert asyncio.run(thread._seek_to_committed()) == {TP("t", 0): 7, TP("t", 1): 0, TP("t", 2): None}
    assert {tp.partition: offset for tp, offset in aiokafka.sought.items()} == sought


def test_a_process_without_partitions_seeks_nothing() -> None:
    thread: Any = object.__new__(intake.ConsumerThread)
    thread._consumer = FakeAiokafka({})
    assert asyncio.run(thread._seek_to_committed()) == {}


class FakeFetcher:
    """What aiokafka has fetched: records or an error a partition, all of the first before the next."""

    def __init__(self, fetched: dict[TP, list[int] | Exception]) -> None:
        self._closed = False
        self._subscriptions = SimpleNamespace(fetch_context=contextlib.nullcontext)
        self._fetched = fetched

    async def fetched_records(self, partitions: set[TP], timeout: float, max_records: int) -> dict[TP, list[int]]:
        drained: dict[TP, list[int]] = {}
        for tp in [tp for tp in self._fetched if tp in partitions]:
            records = self._fetched[tp]
            if isinstance(records, Exception):
                if drained:
                    return drained
                raise self._fetched.pop(tp)  # type: ignore[misc]
            if records and max_records:
                drained[tp], self._fetched[tp] = records[:max_records], records[max_records:]
                max_records -= len(drained[tp])
        return drained


def fetch_from(fetched: dict[TP, list[int] | Exception], max_records: int) -> Callable[[], dict[TP, list[int]]]:
    consumer = SimpleNamespace(
        _closed=False,
        _fetcher=FakeFetcher(fetched),
        _subscription=SimpleNamespace(subscription=SimpleNamespace(assignment=None)),
    )
    thread: Any = object.__new__(intake.ConsumerThread)
    thread.consumer = SimpleNamespace(flow_active=True)
    partitions = set(fetched)
    return lambda: asyncio.run(thread._fetch_records(consumer, partitions, 0, max_records)).records


def test_of_each_partition_its_share_is_fetched_not_all_of_one_first() -> None:
    fetch = fetch_from({TP("t", 0): list(range(10_000)), TP("t", 1): [1, 2], TP("t", 2): list(range(5_000))}, 600)
    assert {tp.partition: len(records) for tp, records in fetch().items()} == {0: 200, 1: 2, 2: 200}
    assert {tp.partition: records[0] for tp, records in fetch().items()} == {0: 200, 2: 200}


def test_an_error_of_one_partition_is_raised_once_what_others_gave_is_handed_over() -> None:
    fetched: dict[TP, list[int] | Exception] = {TP("t", number): [number] for number in range(3)}
    fetched[TP("t", 1)] = RuntimeError("out of range")
    fetch, handed_over = fetch_from(fetched, 300), list[TP]()
    raised = 0
    for _ in range(4):
        try:
            handed_over += fetch()
        except RuntimeError:
            raised += 1
    assert (sorted(handed_over), raised) == ([TP("t", 0), TP("t", 2)], 1)
