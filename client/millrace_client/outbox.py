"""From the app's threads to the collector: a queue in memory, a thread that keeps it, a thread that sends.

    app's thread ── queue ── keeper thread ── backlog (disk) ── sender thread ── collector

Two threads, because a collector that hangs must not stop the queue from reaching the disk, and a disk that
hangs must not stop the app. Every event goes through the spool, not only those that failed: then a killed app
loses no more than what it handed in during the last write to the disk, and there is one way to test. The
keeper takes whatever has come meanwhile in one write, so that a busier app costs longer writes rather than
more of them.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from typing import Final

from millrace_client.backlog import Backlog
from millrace_client.complaints import Complaints
from millrace_client.events import MAX_EVENT_BYTES, Record
from millrace_client.sender import Sender
from millrace_client.spool import has_room
from millrace_client.stats import Counters, DropReason
from millrace_client.transport import Transport

MAX_QUEUE_EVENTS: Final = 10_000
MAX_QUEUE_BYTES: Final = 16 * 1024 * 1024
"""Seconds of a busy app's feedback: what may pile up while one write to the disk takes its time."""

DISK_GRACE_S: Final = 1.0
"""How long `close` waits for the disk, on top of its timeout: for a last write and to let go of the spool."""

_PAUSE_S: Final = 1.0
_LOST: Final = "an event was dropped: %s"


class Outbox:
    """One process's queue, backlog and threads. A forked child makes its own and never touches its
    parent's."""

    def __init__(
        self, backlog: Backlog, transport: Transport, counters: Counters, complaints: Complaints
    ) -> None:
        self._backlog = backlog
        self._counters = counters
        self._complaints = complaints
        self._sender = Sender(backlog, transport, counters, complaints)
        # All locks that an app's thread takes are reentrant: a signal handler may call `put` within `put`.
        self._arrived = threading.Condition()
        self._queue: deque[Record] = deque()
        self._queue_bytes = 0
        self._threads: list[threading.Thread] = []  # the keeper, then the sender
        self._closed = False

    def put(self, record: Record) -> None:
        """Queue an event. Waits for no disk, no network and no other thread's work."""
        with self._arrived:
            reason = self._objection(record)
            if reason is None:
                self._queue.append(record)
                self._queue_bytes += len(record.payload)
                self._counters.take()
                self._arrived.notify()
                self._start()
        if reason is not None:
            self._counters.refuse(reason)
            self._complaints.say(f"lost:{reason.value}", _LOST, reason.value)

    def start(self) -> None:
        """Start the threads before the first event, for what an ended process has left in the spool."""
        with self._arrived:
            self._start()

    def flush(self, timeout_s: float) -> bool:
        """Wait until nothing waits here; False if something still does after `timeout_s`."""
        with self._arrived:
            if not self._threads and not self._queue:
                return True
            self._start()
        self._sender.hurry(1)
        try:
            return self._counters.wait(timeout_s)
        finally:
            self._sender.hurry(-1)

    def close(self, timeout_s: float) -> bool:
        """1 take nothing more, 2 let the sender finish, or find that it cannot, 3 have the queue kept, 4 let
        go of the spool. True if the collector has everything. 2 takes `timeout_s` at most, 3 and 4
        `DISK_GRACE_S`."""
        with self._arrived:
            if self._closed:
                return self._counters.snapshot().waiting == 0
            self._closed = True  # 1
            self._arrived.notify_all()
        delivered = True
        if self._threads:
            self._sender.finish()
            delivered = self._counters.wait(timeout_s)  # 2
        self._sender.stop()
        deadline = time.monotonic() + DISK_GRACE_S
        for thread in self._threads if delivered else self._threads[:1]:  # the sender may hang in a request
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._queue and not (self._threads and self._threads[0].is_alive()):
            with contextlib.suppress(Exception):
                self._drain()  # 3
        stranded = self._backlog.close(deadline - time.monotonic())  # 4
        self._counters.abandon(stranded)
        if stranded:
            self._complaints.say(
                "stranded", "closed with %d undelivered events that were in memory only", stranded
            )
        return self._counters.snapshot().waiting == 0 and not stranded

    def _objection(self, record: Record) -> DropReason | None:
        size = len(record.payload)
        if self._closed:
            return DropReason.CLOSED
        if size > MAX_EVENT_BYTES:
            return DropReason.TOO_LARGE
        events_fit = has_room(len(self._queue), 1, MAX_QUEUE_EVENTS, record.vital)
        if not (events_fit and has_room(self._queue_bytes, size, MAX_QUEUE_BYTES, record.vital)):
            return DropReason.QUEUE_FULL
        return None

    def _start(self) -> None:
        targets = (("millrace-keeper", self._keep), ("millrace-sender", self._sender.run))
        try:
            for name, target in targets[len(self._threads) :]:
                thread = threading.Thread(target=target, name=name, daemon=True)
                thread.start()
                self._threads.append(thread)
        except RuntimeError:  # the system's limit, or the interpreter is ending; the next call tries again
            self._complaints.say("threads", "a background thread could not be started; events stay in memory")

    def _keep(self) -> None:
        while True:
            with self._arrived:
                self._arrived.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    return
            try:
                self._drain()
            except Exception as exc:  # its text may quote an event, so only its type is said
                self._complaints.say(f"bug:{type(exc).__name__}", "keeping failed: %s", type(exc).__name__)
                if self._closed:
                    return
                time.sleep(_PAUSE_S)

    def _drain(self) -> None:
        with self._arrived:
            records, self._queue, self._queue_bytes = list(self._queue), deque(), 0
        try:
            appended = self._backlog.append(records)
        except BaseException:
            with self._arrived:
                self._queue.extendleft(reversed(records))
                self._queue_bytes += sum(len(record.payload) for record in records)
            raise
        self._counters.spool(appended.kept, appended.refused)
        self._sender.wake()
