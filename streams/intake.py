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

Agents must acknowledge by `Event.ack` (`Stream.noack_take`): what Faust's compiled streams acknowledge by themselves is
not committed. Of a transactional producer only what it committed is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar, Final, NamedTuple, cast

import faust
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, Message
from faust.types.tuples import ack_lock
from mode.utils.futures import notify

from streams.offsets import OffsetLedger

_FETCH_S: Final = 1.0
"""How long a fetch waits for records, and the longest wait for anything else that may never come."""

_TURN: Final = 100
"""Messages after which other tasks get a turn."""


class Fetched(NamedTuple):
    """What a fetch brought, and for each partition one past the last offset that Kafka will not deliver (again)."""

    records: Mapping[TP, list[Any]]
    positions: Mapping[TP, int]


def use(app: faust.App) -> None:
    """Let the app read through this module's consumer. To be called before the app's agents are declared."""
    app.transport = Transport(app.conf.broker_consumer, app)


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread in which aiokafka lives; Faust's, but for what it fetches and where it seeks."""

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
        records = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        # Nothing else ran in this thread's loop since: positions and records belong together.
        assignment = consumer._subscription.subscription.assignment
        positions = {}
        for tp in assignment.tps if assignment is not None else ():
            if (state := assignment.state_value(tp)).has_valid_position:
                positions[TP(*tp)] = state.position
        return Fetched({TP(*tp): of_tp for tp, of_tp in records.items()}, positions)

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
    """The way of one partition's records to its agents, for as long as the partition is assigned."""

    def __init__(self, consumer: Consumer, tp: TP, channels: Collection[Any], ledger: OffsetLedger | None) -> None:
        self.ledger = ledger
        self.channels = channels
        self.raw = all(
            (each.schema.key_serializer, each.schema.value_serializer) == ("raw", "raw") for each in channels
        )
        self._consumer = consumer
        self._tp = tp

    def has_room(self) -> bool:
        """Whether each agent's queue takes one more."""
        return not any(channel.queue.full() for channel in self.channels)

    def put(self, message: Message) -> None:
        """Queue a message whose key and value need no decoding. Faust's conductor does the same through coroutines."""
        message.refcount = len(self.channels)
        app = self._consumer.app
        event = faust.Event(app, message.key, message.value, message.headers, message)
        for channel in self.channels:
            channel.queue.put_nowait_enhanced(
                event, on_pressure_high=self._pressure_high, on_pressure_drop=self._pressure_drop
            )

    def _pressure_high(self) -> None:
        self._consumer.app.sensors.on_topic_buffer_full(self._tp)
        self._consumer.on_buffer_full(self._tp)

    def _pressure_drop(self) -> None:
        self._consumer.on_buffer_drop(self._tp)


class Consumer(driver.Consumer):
    """Faust's consumer with a ledger for each assigned partition and a direct way from fetch to queue.

    An epoch lasts while the flow is not suspended and no position is changed. What was fetched in one epoch is
    delivered in it or dropped; after a drop every partition is sought to its committed offset before the next fetch.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._ledgers: dict[TP, OffsetLedger] = {}
        self._lanes: dict[TP, _Lane] = {}
        self._epoch = 0
        self._astray = True  # where the fetch stands is not where the next delivery must come from
        self._room = asyncio.Event()
        super().__init__(*args, **kwargs)

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
        self._buffered_partitions.clear()
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

    def on_buffer_drop(self, tp: TP) -> None:
        """A queue has room again."""
        super().on_buffer_drop(tp)
        self._room.set()

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Fetch these partitions again."""
        super().resume_partitions(tps)
        self._room.set()

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
            counts = ledger is not None and of_this_assignment and ledger.acknowledge(message.offset)
            self._n_acked += counts
            notify(self._waiting_for_ack)
            return counts

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
        """Wait for what agents hold, as long as Kafka would wait for us in a rebalance, and commit.

        Faust waits for ever: also for a batch that its agent gave up.
        """
        deadline = self.loop.time() + self.app.conf.broker_rebalance_timeout
        while self._unacked_messages and not self.should_stop and self.loop.time() < deadline:
            await self._wait_for_ack(timeout=1.0)
            self._clean_unacked_messages()
        await self.commit_and_end_transactions()

    async def commit_and_end_transactions(self) -> None:
        """Commit, also what was acknowledged while another commit was on its way: Faust would leave that out."""
        while self._commit_fut is not None:
            await self.maybe_wait_for_commit_to_finish()
        await super().commit_and_end_transactions()

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
        lanes, to_message, turn = self._lanes, self._to_message, 0
        for tp, record in self.scheduler.iterate(fetched.records):
            turn += 1
            if turn == _TURN:
                turn = 0
                await self.app.producer.buffer.wait_until_ebb()
                await asyncio.sleep(0)
            lane = lanes.get(tp)
            while lane is not None and not lane.has_room() and self._epoch == epoch:
                await self._wait_for_room()
            if self._epoch != epoch or lane is None:
                return False
            if lane.ledger is not None and not lane.ledger.deliver(record.offset):
                continue
            if lane.raw:
                lane.put(to_message(tp, record))
            else:
                await self.callback(to_message(tp, record))
        if self._epoch != epoch:
            return False
        for tp, position in fetched.positions.items():
            if (ledger := self._ledgers.get(tp)) is not None:
                ledger.advance(position)
        return True

    def _open_lane(self, tp: TP) -> bool:
        """Make a partition's lane; False when it is not of this assignment."""
        ledger = self._ledgers.get(tp)
        topics = cast(Any, self.app.topics)
        if ledger is None and topics.acks_enabled_for(tp.topic):
            return False
        self._lanes[tp] = _Lane(self, tp, topics._tp_index[tp], ledger)
        return True

    async def _wait_for_room(self) -> None:
        """Wait until a queue has drained or the flow is suspended, but not for long."""
        self._room.clear()
        await self.wait_first(self._room.wait(), self.suspend_flow.wait(), timeout=_FETCH_S)


class Transport(driver.Transport):
    """Faust's transport with our consumer."""

    Consumer: ClassVar[Any] = Consumer
