"""What Faust's agents read from: a Kafka consumer of our own on Faust's, which loses nothing and is not slow.

Faust 0.15.3's own commits past events that were not processed, and schedules four tasks for every message. What is
replaced, with the issues of faust-streaming that it answers:

| upstream                                                             | here                                        |
|----------------------------------------------------------------------|---------------------------------------------|
| `_new_offset`, `_add_gap`: commits past open offsets, #606, PR #707  | `streams.offsets`, one ledger a partition   |
| a committed offset of 0 or None is taken for "no guard", #606        | the same                                    |
| transaction markers and aborted records are waited for for ever      | the ledger follows the fetch position       |
| a failed commit moves the position all the same                      | moved after Kafka's answer only             |
| the last commit is left out when another one is on its way           | it waits for that one                       |
| a rebalance or stop waits for ever for a batch that was given up     | as long as Kafka waits for us               |
| acknowledgements are forgotten before the last commit of a rebalance | forgotten after it                          |
| a stream that is told to stop acknowledges what it skips             | only `Event.ack` counts                     |
| records fetched while the flow stops are dropped, and with a         | dropped, and read again from the position   |
| committed offset of 0 or None never read again                       | that is committed                           |
| `wait_first(callback, suspend_flow.wait())` for every message        | one look at the flow and at the queue       |
| an event, a message, two generators and a sensor for every record    | one event for a slice of a fetch            |
| a queue is bounded by messages, whatever they weigh                  | by records and by bytes                     |

Agents take their events from `batches` and acknowledge them by `Event.ack`: what Faust's compiled streams acknowledge
by themselves is not committed. Of a transactional producer only what it committed is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple, cast

import faust
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, Message
from faust.types.events import EventT
from faust.types.tuples import ack_lock
from mode.utils.futures import notify

from streams.offsets import OffsetLedger

_FETCH_S: Final = 1.0
"""How long a fetch waits for records, and the longest wait for anything else that may never come."""

SLICE: Final = 100
"""Records in one event, at most, and records after which other tasks and partitions get a turn."""

_SLICES: Final = 4
"""A slice weighs that part of a batch at most, or is one record: so a batch is too heavy by no more."""


class Limits(NamedTuple):
    """How much an agent takes at once, as much again may wait for it; and how long it may take to end that."""

    records: int
    bytes: int
    drain_s: float = 25.0


class Fetched(NamedTuple):
    """What a fetch brought, and for each partition one past the last offset that Kafka will not deliver (again)."""

    records: Mapping[TP, list[Any]]
    positions: Mapping[TP, int]


def use(app: faust.App, limits: Limits) -> None:
    """Let the app read through this module's consumer. To be called before the app's agents are declared."""
    app.transport = Transport(app.conf.broker_consumer, app, limits)


async def batches(stream: Any, limits: Limits, within_s: float) -> AsyncIterator[list[EventT[Any]]]:
    """Events of an agent's stream, up to the limits or until `within_s` after the first; nothing is acknowledged.

    An event's value is a slice of a partition: records of aiokafka, in offset order. Acknowledged, all of it is.
    There are no more batches once the app was told to stop.
    """
    consumer: Consumer = stream.app.consumer
    queue = aiter(stream.channel).queue
    loop = asyncio.get_running_loop()
    while not stream.app.should_stop:
        events: list[EventT[Any]] = []
        records = weight = 0
        deadline: float | None = None
        while records < limits.records and weight < limits.bytes:
            try:
                event = queue.get_nowait() if not queue.empty() else await _within(queue, deadline)
            except TimeoutError:
                break
            consumer.taken(event)
            if event.message.generation_id != stream.app.consumer_generation_id:
                continue  # of an assignment that is over
            events.append(event)
            records += len(event.value)
            weight += weight_of(event.value)
            deadline = deadline or loop.time() + within_s
        yield events


async def _within(queue: asyncio.Queue[EventT[Any]], deadline: float | None) -> EventT[Any]:
    async with asyncio.timeout_at(deadline):
        return await queue.get()


def weight_of(records: Sequence[Any]) -> int:
    """Bytes of the records' keys and values."""
    return sum(len(record.value or b"") + len(record.key or b"") for record in records)


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread in which aiokafka lives; Faust's, but for what it fetches and where it seeks."""

    _error: Exception | None = None

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust passes this only with its own exactly-once; without, an aborted transaction would become events.
        consumer._isolation_level = "read_committed"
        return consumer

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> Any:
        records: Mapping[TP, list[Any]] = await self._shared(consumer, active_partitions, max_records)
        if not records:
            records = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        # Nothing else ran in this thread's loop since: positions and records belong together.
        assignment = consumer._subscription.subscription.assignment
        positions = {}
        for tp in assignment.tps if assignment is not None else ():
            if (state := assignment.state_value(tp)).has_valid_position:
                positions[TP(*tp)] = state.position
        return Fetched({TP(*tp): of_tp for tp, of_tp in records.items()}, positions)

    async def _shared(self, consumer: Any, partitions: Collection[TP], max_records: int | None) -> dict[TP, list[Any]]:
        """What has come in already, of each partition its share.

        aiokafka by itself hands over all of one partition, up to 12 MB, before it comes to the next.
        """
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        share = None if max_records is None else max(SLICE, max_records // max(1, len(partitions)))
        records: dict[TP, list[Any]] = {}
        for tp in partitions:
            try:
                records |= await super()._fetch_records(consumer, {tp}, 0, share)
            except Exception as exc:
                if not records:
                    raise
                self._error = exc  # raised at the next call: what was handed over must not be lost
                break
        return records

    async def seek_to_committed(self) -> Mapping[TP, int | None]:  # type: ignore[override]
        """Seek every assigned partition to its committed offset, and return the offsets; None where there is none."""
        return cast(Mapping[TP, int | None], await self.call_thread(self._seek_to_committed))

    async def _seek_to_committed(self) -> Mapping[TP, int | None]:
        consumer = self._ensure_consumer()
        if not consumer.assignment():
            return {}
        committed: dict[Any, int | None] = await consumer.seek_to_committed()
        # aiokafka leaves a partition without a committed offset, or with 0, where it is.
        for tp, offset in committed.items():
            if offset == 0:
                consumer.seek(tp, 0)
        never = [tp for tp, offset in committed.items() if offset is None]
        if never and self.app.conf.consumer_auto_offset_reset == "earliest":
            await consumer.seek_to_beginning(*never)
        return {TP(*tp): offset for tp, offset in committed.items()}


class _Lane:
    """The way of one partition's records to its agent, for as long as the partition is assigned."""

    def __init__(self, consumer: Consumer, channels: Collection[Any], ledger: OffsetLedger) -> None:
        self.ledger = ledger
        (self._channel,) = channels
        self._consumer = consumer

    def put(self, message: Message) -> None:
        """Queue a message. Faust's conductor does the same through coroutines."""
        message.refcount = 1
        self._channel.queue.put_nowait(faust.Event(self._consumer.app, message.key, message.value, None, message))

    def is_empty(self) -> bool:
        """Whether the agent has taken, or Faust dropped, all that was queued."""
        return bool(self._channel.queue.empty())


class Consumer(driver.Consumer):
    """Faust's consumer with a ledger for each assigned partition and a direct way from fetch to queue.

    A message is a slice of a partition; its offset is that of its first record.

    An epoch lasts while the flow is not suspended and no position is changed. What was fetched in one epoch is
    delivered in it or dropped; after a drop every partition is sought to its committed offset before the next fetch.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._ledgers: dict[TP, OffsetLedger] = {}
        self._lanes: dict[TP, _Lane] = {}
        self._epoch = 0
        self._astray = True  # where the fetch stands is not where the next delivery must come from
        self._room = asyncio.Event()
        self._queued_records = 0
        self._queued_bytes = 0
        super().__init__(*args, **kwargs)
        self._limits: Limits = cast(Transport, self.transport).limits

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # -- the flow and its epochs

    def stop_flow(self) -> None:
        """Deliver nothing more; what is fetched but not delivered is dropped."""
        self._epoch += 1
        super().stop_flow()

    async def seek(self, partition: TP, offset: int) -> None:
        """Fetch a partition from `offset` on."""
        self._epoch += 1
        await super().seek(partition, offset)

    async def perform_seek(self) -> None:
        """Fetch every assigned partition from its committed offset on. Raises aiokafka's `KafkaError`."""
        self._epoch += 1
        generation = self.app.consumer_generation_id
        committed = await self.seek_to_committed()
        if generation != self.app.consumer_generation_id:
            return  # of an assignment that is over
        for tp, offset in committed.items():
            if tp not in self._ledgers and self.app.topics.acks_enabled_for(tp.topic):
                self._ledgers[tp] = OffsetLedger(offset)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """1 stop the flow → 2 wait for what agents hold, and commit (Faust) → 3 forget the partitions."""
        # 1
        self.stop_flow()
        # 2
        await super().on_partitions_revoked(revoked)
        # 3
        self._forget()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Stay suspended until Faust has sought the partitions' positions and resumes."""
        self.stop_flow()
        self._forget()
        await super().on_partitions_assigned(assigned, generation_id)

    def _forget(self) -> None:
        # All partitions: with aiokafka's group protocol every rebalance revokes all.
        self._ledgers.clear()
        self._lanes.clear()

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust would warn of partitions whose events do not pass its own streams; ours do not."""

    # -- acknowledgements and commits

    def ack(self, message: Message) -> bool:
        """Take an agent's acknowledgement; False when it changes nothing. From any thread."""
        with ack_lock:
            if message.acked:
                return False
            message.acked = True
            self._unacked_messages.discard(message)
            ledger = self._ledgers.get(message.tp)
            of_this_assignment = message.generation_id == self.app.consumer_generation_id
            if ledger is None or not of_this_assignment:
                return False
            records = cast(Sequence[Any], message.value)
            counts = sum([ledger.acknowledge(record.offset) for record in records])
            self._n_acked += counts
            notify(self._waiting_for_ack)
            return counts > 0

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Any:
        return [tp for tp in self._ledgers if topics is None or tp in topics or tp.topic in topics]

    def _filter_committable_offsets(self, tps: Iterable[TP]) -> dict[TP, int]:
        positions = {}
        with ack_lock:
            for tp in tps:
                ledger = self._ledgers[tp]
                position = ledger.position
                if position is not None and position != ledger.committed:
                    positions[tp] = position
        return positions

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        ledgers = {tp: self._ledgers.get(tp) for tp in offsets}  # after the answer there may be others
        committed = await super()._commit_offsets(offsets, start_new_transaction)
        for tp, ledger in ledgers.items():
            if committed and ledger is not None:
                ledger.committed = offsets[tp]
        return committed

    async def wait_empty(self) -> None:
        """Wait for what agents hold and commit: in a rebalance as long as Kafka waits for us, at the end for `drain_s`.

        Faust waits for ever: also for a batch that its agent gave up.
        """
        rebalance_s = self.app.conf.broker_rebalance_timeout
        deadline = self.loop.time() + (self._limits.drain_s if self.app.should_stop else rebalance_s)
        while self._unacked_messages and not self.should_stop and self.loop.time() < deadline:
            await self._wait_for_ack(timeout=1.0)
            self._clean_unacked_messages()
        await self.commit_and_end_transactions()

    async def commit_and_end_transactions(self) -> None:
        """Commit, also what was acknowledged while another commit was on its way: Faust would leave that out."""
        while self._commit_fut is not None:
            await self.maybe_wait_for_commit_to_finish()
        await super().commit_and_end_transactions()

    def give_up(self, events: Iterable[EventT[Any]]) -> None:
        """Wait no longer for what an agent took and will not acknowledge."""
        for event in events:
            self._unacked_messages.discard(event.message)
        notify(self._waiting_for_ack)

    def waiting(self) -> int:
        """Records that no agent has taken yet, as far as the last fetches told."""
        count = self._queued_records
        for tp, ledger in list(self._ledgers.items()):
            count += max(0, (self.highwater(tp) or 0) - (ledger.next or 0))
        return max(0, count)

    # -- the intake

    async def _drain_messages(self, fetcher: Any) -> None:
        """Fetch and deliver until the consumer or its fetcher is told to stop."""
        self._astray = True
        try:
            while not (self.should_stop or fetcher._stopped.is_set()):
                await self._fetch_and_deliver()
        except self.consumer_stopped_errors:
            if not self.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.app.should_stop:
                raise

    async def _fetch_and_deliver(self) -> None:
        """1 wait for the flow → 2 find back to the committed offsets → 3 fetch → 4 deliver."""
        # 1
        if not self.flow_active:
            await self.wait_first(self.can_resume_flow.wait(), timeout=_FETCH_S)
            return
        # 2
        if self._astray:
            try:
                await self.perform_seek()
            except Exception as exc:
                self.log.warning("the committed offsets cannot be had, trying again: %r", exc)
                await self.sleep(_FETCH_S)
                return
            self._astray = not self.flow_active
            return
        epoch = self._epoch
        # 3
        active = set(self._get_active_partitions())  # a copy: to aiokafka, emptied meanwhile, it would mean all
        if not active:
            await self._wait_for_room()
            return
        fetched = cast(Fetched, await self._thread.getmany(active, _FETCH_S))
        # 4
        if not await self._deliver(fetched, epoch):
            self._astray = self._astray or bool(fetched.records)
        if self._commit_every is not None and self._n_acked >= self._commit_every:
            self._n_acked = 0
            await self.commit()

    async def _deliver(self, fetched: Fetched, epoch: int) -> bool:
        """Hand records to their agents' queues in order; False when the epoch ended before all were delivered."""
        if epoch != self._epoch:
            return False
        for tp in fetched.records:
            if tp not in self._lanes and not self._open_lane(tp):
                return False
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
        for tp, records in slices(fetched.records, max(1, self._limits.bytes // _SLICES)):
            await self.app.producer.buffer.wait_until_ebb()
            await asyncio.sleep(0)
            while self._epoch == epoch and not self._has_room():
                await self._wait_for_room()
            lane = self._lanes.get(tp)
            if self._epoch != epoch or lane is None:
                return False
            new = [record for record in records if lane.ledger.deliver(record.offset)]
            if new:
                message = self._to_message(tp, new[0])
                message.value = cast(Any, new)
                self._queued_records += len(new)
                self._queued_bytes += weight_of(new)
                lane.put(message)
        if self._epoch != epoch:
            return False
        for tp, position in fetched.positions.items():
            if (ledger := self._ledgers.get(tp)) is not None:
                ledger.advance(position)
        return True

    def _open_lane(self, tp: TP) -> bool:
        """Make a partition's lane; False when it is not of this assignment."""
        ledger = self._ledgers.get(tp)
        if ledger is None:
            return False
        self._lanes[tp] = _Lane(self, cast(Any, self.app.topics)._tp_index[tp], ledger)
        return True

    def taken(self, event: EventT[Any]) -> None:
        """Told by `batches` of each event that left the queue: it is in work until it is acknowledged."""
        event.message.tracked = True
        self._unacked_messages.add(event.message)
        self._queued_records -= len(event.value)
        self._queued_bytes -= weight_of(event.value)
        self._room.set()

    def _has_room(self) -> bool:
        if all(lane.is_empty() for lane in self._lanes.values()):
            self._queued_records = self._queued_bytes = 0  # whoever emptied it: Faust does at a rebalance
        return self._queued_records < self._limits.records and self._queued_bytes < self._limits.bytes

    async def _wait_for_room(self) -> None:
        """Wait until something is taken or the flow is suspended, but not for long."""
        self._room.clear()
        await self.wait_first(self._room.wait(), self.suspend_flow.wait(), timeout=_FETCH_S)


def slices(fetched: Mapping[TP, Sequence[Any]], most_bytes: int) -> Iterator[tuple[TP, Sequence[Any]]]:
    """What was fetched, in slices of at most `SLICE` records, and of `most_bytes` and one; partitions take turns."""
    waiting = {tp: 0 for tp, records in fetched.items() if records}
    while waiting:
        for tp, start in list(waiting.items()):
            records, end, weight = fetched[tp], start, 0
            while end < min(len(records), start + SLICE) and weight < most_bytes:
                weight += weight_of(records[end : end + 1])
                end += 1
            yield tp, records[start:end]
            if end == len(records):
                del waiting[tp]
            else:
                waiting[tp] = end


class Transport(driver.Transport):
    """Faust's transport with our consumer."""

    Consumer: ClassVar[Any] = Consumer

    def __init__(self, url: Any, app: faust.App, limits: Limits) -> None:
        super().__init__(url, app)
        self.limits = limits
