"""The way from the backlog to the collector: when to send, how much, and what to make of the answer.

`step` decides and does one thing and says when it wants to be called again; the thread only calls it and
waits. Time, chance and the network come in from outside, so a test plays an hour of outage in a millisecond.

Delays between tries follow "full jitter" (Brooker, *Exponential Backoff And Jitter*, AWS Architecture Blog,
2015): uniform between 0 and `min(cap, base · 2^failures)`, so that the apps do not come back all in the same
second.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Final

from millrace_client.answers import NoVerdict, Rejection, Verdicts, Why, judge
from millrace_client.backlog import Backlog
from millrace_client.complaints import Complaints, logger
from millrace_client.events import MAX_BODY_BYTES, id_of
from millrace_client.spool import Batch
from millrace_client.stats import Counters
from millrace_client.transport import Transport

MAX_BATCH_EVENTS: Final = 500
"""Half of what the collector takes."""

MAX_BATCH_BYTES: Final = MAX_BODY_BYTES // 4
"""A size that a slow uplink still carries within the timeout. One event alone may be as long as a body may
be."""

LINGER_S: Final = 0.5
"""How long an event waits for others to share its request."""

BACKOFF_BASE_S: Final = 0.5
BACKOFF_CAP_S: Final = 60.0
_MAX_DOUBLINGS: Final = 10

ADOPT_EVERY_S: Final = 30.0
"""How often to look for segments of processes that have ended, say of a killed worker beside this one."""

_GROWTH: Final = 8
"""After a success a reduced batch grows by one part in so many of the maximum."""

_NAMED_REJECTIONS: Final = 10

_TROUBLE: Final[dict[Why, str]] = {
    "unreachable": "the collector cannot be reached (%s); events are kept",
    "unconfigured": "there is no usable collector URL (%s): set MILLRACE_COLLECTOR_URL; events are kept",
    "busy": "the collector asks to come back later (%s); events are kept",
    "unauthorised": "the collector refuses the key (%s): check MILLRACE_API_KEY; events are kept",
    "too_large": "a single event is too long for the way to the collector (%s); it is kept and tried last",
    "unclear": "the answer says nothing about the events (%s): is the URL a collector's? Events are kept",
}


class Sender:
    """Takes batches from the backlog to the collector until each event has a verdict.

    The order is the backlog's, but an event never waits for another one's verdict: what got none goes to the
    back of the line. And if a batch as such does not get through, it is halved until what is wrong with it is
    alone.
    """

    def __init__(
        self,
        backlog: Backlog,
        transport: Transport,
        counters: Counters,
        complaints: Complaints,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        epoch: Callable[[], float] = time.time,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._backlog = backlog
        self._transport = transport
        self._counters = counters
        self._complaints = complaints
        self._monotonic = monotonic
        self._epoch = epoch
        self._uniform = uniform
        self._awake = threading.Event()
        self._stopped = False
        self._closing = False
        self._flushing = 0
        self._flushing_lock = threading.RLock()
        self._impatient = False
        self._adopt_at = self._monotonic()
        self._due_at = self._not_before = self._monotonic()
        self._waits_since: float | None = None
        self._failures = 0
        self._batch_events = MAX_BATCH_EVENTS

    def run(self) -> None:
        """Send until `stop`. An unforeseen error costs a pause, never the thread."""
        while not self._stopped:
            self._awake.clear()
            try:
                delay_s = self.step()
            except Exception as exc:  # its text may quote an event, so only its type is said
                self._complaints.say(f"bug:{type(exc).__name__}", "sending failed: %s", type(exc).__name__)
                delay_s = BACKOFF_CAP_S / 2
            self._awake.wait(delay_s)

    def step(self) -> float:
        """Send one batch, if one is due; the seconds after which to call again, or sooner once woken."""
        now = self._monotonic()
        if now >= self._adopt_at:
            self._adopt_at = now + ADOPT_EVERY_S
            adopted = self._backlog.adopt()
            self._counters.adopt(adopted.records, adopted.torn)
        waiting = self._backlog.waiting()
        if waiting.events == 0:
            self._waits_since = None
            return self._adopt_at - now
        self._waits_since = now if self._waits_since is None else self._waits_since
        send_at = self._send_at(full=waiting.events >= MAX_BATCH_EVENTS or waiting.bytes >= MAX_BATCH_BYTES)
        if send_at > now:
            if self._closing and self._not_before > now:
                self._give_up_if_safe()
            return min(send_at, self._adopt_at) - now
        self._impatient = False
        batch = self._backlog.read(self._batch_events, MAX_BATCH_BYTES)
        if batch is not None:
            self._deliver(batch)
        return 0.0

    def wake(self) -> None:
        """Something has arrived in the backlog."""
        self._awake.set()

    def hurry(self, more: int) -> None:
        """A flush begins (1) or ends (-1): until then nothing lingers, and the pause after a failure is cut
        short once. The time that a collector has asked for is not."""
        with self._flushing_lock:
            self._flushing += more
        if more > 0:
            self._impatient = True
            self._awake.set()

    def finish(self) -> None:
        """The client is closing: hurry, and say so once there is no point in waiting."""
        self._closing = True
        self.hurry(1)

    def stop(self) -> None:
        """Let `run` return after the step that it is in."""
        self._stopped = True
        self._awake.set()

    def _send_at(self, full: bool) -> float:
        since = self._monotonic() if self._waits_since is None else self._waits_since
        ripe_at = since if full or self._flushing or self._failures else since + LINGER_S
        return max(self._not_before, ripe_at if self._impatient else max(self._due_at, ripe_at))

    def _deliver(self, batch: Batch) -> None:
        body = b"[" + b",".join(batch.events) + b"]"
        outcome = judge(self._transport.post(body), batch.events, self._epoch())
        if isinstance(outcome, Verdicts):
            self._settle(batch, outcome)
        else:
            self._failed(batch, outcome)

    def _settle(self, batch: Batch, verdicts: Verdicts) -> None:
        again = [batch.events[index] for index in verdicts.again]
        if not self._backlog.settle(batch, again):
            self._pause(verdicts.retry_after_s)
            return
        self._counters.settle(verdicts.accepted, len(verdicts.rejected))
        self._log_rejections(batch, verdicts.rejected)
        self._batch_events = min(MAX_BATCH_EVENTS, self._batch_events + MAX_BATCH_EVENTS // _GROWTH)
        self._waits_since = None
        self._failures = 0
        if again:
            why: Why = "unauthorised" if verdicts.forbidden else "busy"
            self._complaints.say(why, _TROUBLE[why], f"{len(again)} of {len(batch.events)} events")
            self._pause(verdicts.retry_after_s)
            return
        self._due_at = self._not_before = self._monotonic()
        for why in _TROUBLE:
            self._complaints.over(why, "the collector takes events again")

    def _failed(self, batch: Batch, failure: NoVerdict) -> None:
        halve = failure.suspect and len(batch.events) > 1
        if halve:
            self._batch_events = max(1, len(batch.events) // 2)
        if halve and failure.why == "too_large":
            return  # the next try is another one already: no need to wait for it
        self._complaints.say(failure.why, _TROUBLE[failure.why], failure.detail)
        culpable = failure.aside or (failure.suspect and not halve)
        let_others_pass = culpable and self._backlog.waiting().events > len(batch.events)
        if let_others_pass:
            self._backlog.settle(batch, batch.events)
        self._pause(failure.retry_after_s)
        if self._closing and not let_others_pass:
            self._give_up_if_safe(lasting=failure.lasting)

    def _pause(self, retry_after_s: float | None) -> None:
        ceiling_s = min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2 ** min(self._failures, _MAX_DOUBLINGS))
        jitter_s = self._uniform(0.0, ceiling_s)
        now = self._monotonic()
        self._failures += 1
        self._not_before = now + (retry_after_s or 0.0)
        self._due_at = self._not_before + jitter_s

    def _give_up_if_safe(self, lasting: bool = False) -> None:
        if lasting or self._backlog.durable:
            self._counters.give_up()

    def _log_rejections(self, batch: Batch, rejected: tuple[Rejection, ...]) -> None:
        for rejection in rejected[:_NAMED_REJECTIONS]:
            logger.warning(
                "the collector rejected event %s: status %d, field %s",
                ascii(id_of(batch.events[rejection.index])),
                rejection.status,
                rejection.field or "(the whole event)",
            )
        if len(rejected) > _NAMED_REJECTIONS:
            logger.warning("the collector rejected %d more of them", len(rejected) - _NAMED_REJECTIONS)
