"""`FeedbackClient`: what an app calls."""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Final, Literal

from millrace_client.backlog import Backlog
from millrace_client.complaints import Complaints
from millrace_client.disk import DiskSpool
from millrace_client.events import InvalidCall, Model, Part, interaction_body, new_id, record_of
from millrace_client.outbox import Outbox
from millrace_client.stats import Counters, DropReason, Stats
from millrace_client.transport import HttpTransport, Transport

ScoreMethod = Literal[
    "thumbs",
    "stars",
    "numeric",
    "success",
    "win_rate",
    "pairwise",
    "correction",
    "demonstration",
    "comment",
    "copied",
    "regenerated",
    "edited",
    "abandoned",
    "tests_passed",
]
Rater = Literal["user", "expert", "model", "metric"]
Decision = Literal["approve", "reject", "edit"]

SPOOL_BYTES: Final = 64 * 1024 * 1024
"""Some tens of thousands of interactions: hours of an outage for most apps."""

TIMEOUT_S: Final = 10.0
"""For one step of a request (connect, write, read). Only a background thread ever waits for it."""

EXIT_TIMEOUT_S: Final = 5.0
"""How long the end of the process may be held up for the collector, if events would otherwise be lost."""


class FeedbackClient:
    """Sends interactions and their feedback to a collector, from background threads.

    No call raises, waits for the network or waits for the disk; `flush` and `close` wait, as their names say.
    A call that cannot become an event is logged once per kind of mistake, counted in `stats()`, and otherwise
    ignored. (A call that does not fit the method's signature raises `TypeError`, as in all of Python.)

    `url` and `api_key` default to `MILLRACE_COLLECTOR_URL` and `MILLRACE_API_KEY`. `source` names the app.

    With `spool_dir`, every event goes to that folder within moments and stays until the collector has it: it
    survives outages, restarts and crashes, up to `spool_bytes` for the folder. All processes of an app may
    share one; processes of different users or keys may not. Without it (the default, since no folder suits
    every app) events live in memory, up to 16 MiB, and those undelivered at the end of the process are lost.

    `timeout_s` is for one step of a request, `exit_timeout_s` for `close` at the end of the process.
    `transport` replaces HTTP, mostly by `millrace_client.testing.FakeCollector`.

    Threads start with the first event, and anew in a forked child, which has an empty queue, counts of its
    own, and shares the folder.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        spool_dir: str | os.PathLike[str] | None = None,
        source: str = "",
        spool_bytes: int = SPOOL_BYTES,
        timeout_s: float = TIMEOUT_S,
        exit_timeout_s: float = EXIT_TIMEOUT_S,
        transport: Transport | None = None,
    ) -> None:
        self._source = source
        self._spool_dir = spool_dir
        self._spool_bytes = spool_bytes
        self._exit_timeout_s = exit_timeout_s
        self._closed = False
        self._transport = transport or HttpTransport(
            str(os.environ.get("MILLRACE_COLLECTOR_URL", "") if url is None else url),
            str(os.environ.get("MILLRACE_API_KEY", "") if api_key is None else api_key),
            timeout_s,
        )
        if self._open():
            self._outbox.start()
        _open_clients.add(self)

    def interaction(
        self,
        messages: Sequence[Mapping[str, object] | Model] | None = None,
        *,
        instruction: str | None = None,
        input: str | None = None,
        output: str | None = None,
        interaction_id: str | None = None,
        model: str | None = None,
        model_version: str | None = None,
        variant: str | None = None,
        role: str | None = None,
        task_type: str | None = None,
        intent: str | None = None,
        user: str | None = None,
        latency_ms: float | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        tools: str | Sequence[Mapping[str, object]] | None = None,
        tags: Sequence[str] | None = None,
        consent: bool | None = None,
        sensitive: bool | None = None,
        occurred_at: datetime | None = None,
        event_id: str | None = None,
    ) -> str:
        """Record one answer of a model and return the **interaction id**, which later scores name.

        Give OpenAI chat `messages` (dicts, or the SDK's own message objects), whose last assistant message is
        the answer; with `output`, that is appended as the answer. Or give `instruction`, `input` and
        `output`. `latency_ms` is in milliseconds. `consent` is the person's explicit word on training use,
        None no word. An `interaction_id` of your own must be opaque: the lake keeps it as it is.

        The interaction id is what comes back, as a plain `str`, because it is what an app keeps (in its
        database, in the page with the thumbs) and hands to `score` days later, perhaps in another process; a
        pair or an object would be unpacked at every call. The event id is rarely needed: where the client
        makes the interaction id, both are the same UUID (of version 7); where you give an `interaction_id`,
        it is a fresh one, since the same interaction sent twice is two events, unless you give an `event_id`
        too.
        """
        fresh = _fresh_id()
        interaction_id = fresh if interaction_id is None else interaction_id
        fields = {
            "model": model,
            "model_version": model_version,
            "variant": variant,
            "role": role,
            "task_type": task_type,
            "intent": intent,
            "user": user,
            "latency_ms": latency_ms,
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "tools": tools,
            "tags": tags,
            "consent": consent,
            "sensitive": sensitive,
        }
        try:
            body = interaction_body(messages, instruction, input, output, fields)
        except Exception as exc:  # an app's own sequence or message object may raise whatever it likes
            self._refuse(exc)
        else:
            self._emit(
                "interaction", body, interaction_id, fresh if event_id is None else event_id, occurred_at
            )
        return interaction_id

    def score(
        self,
        interaction_id: str,
        method: ScoreMethod = "thumbs",
        value: float | bool | str | None = None,
        *,
        minimum: float | None = None,
        maximum: float | None = None,
        wins: int | None = None,
        losses: int | None = None,
        ties: int | None = None,
        over: str | None = None,
        text: str | None = None,
        rater: Rater | None = None,
        by: str | None = None,
        occurred_at: datetime | None = None,
        event_id: str | None = None,
    ) -> str:
        """Record one judgement of an interaction, before or after it, and return the event id, for `retract`.

        `value`: thumbs and success "up"/"down" or a bool, stars 1 to `maximum` (5), numeric between `minimum`
        and `maximum`. win_rate takes `wins`, `losses`, `ties`; pairwise `over`, the interaction that this one
        was preferred over, and a `value` of 0.5 if they tied; correction and demonstration the better output
        as `text`; comment what was said as `text`; tests_passed how many passed and failed as `wins` and
        `losses`.

        `by` is who judged, your own id of a person, a model or a metric; without it, the interaction's user.
        The last word of one judge by one method counts.
        """
        body = {
            "method": method,
            "value": value,
            "minimum": minimum,
            "maximum": maximum,
            "wins": wins,
            "losses": losses,
            "ties": ties,
            "over": over,
            "text": text,
            "rater": rater,
            "by": by,
        }
        return self._emit("score", body, interaction_id, event_id, occurred_at)

    def copied(
        self,
        interaction_id: str,
        *,
        by: str | None = None,
        occurred_at: datetime | None = None,
        event_id: str | None = None,
    ) -> str:
        """Record that a person took the answer along as it is; returns the event id."""
        return self.score(interaction_id, "copied", by=by, occurred_at=occurred_at, event_id=event_id)

    def edited(
        self,
        interaction_id: str,
        text: str,
        *,
        by: str | None = None,
        occurred_at: datetime | None = None,
        event_id: str | None = None,
    ) -> str:
        """Record what a person made of the answer: the less was changed, the better it was.

        Returns the event id. It only rates the answer; a score by `correction` also replaces it.
        """
        return self.score(
            interaction_id, "edited", text=text, by=by, occurred_at=occurred_at, event_id=event_id
        )

    def regenerated(
        self,
        interaction_id: str,
        *,
        by: str | None = None,
        occurred_at: datetime | None = None,
        event_id: str | None = None,
    ) -> str:
        """Record that a person asked for another answer; returns the event id."""
        return self.score(interaction_id, "regenerated", by=by, occurred_at=occurred_at, event_id=event_id)

    def abandoned(
        self,
        interaction_id: str,
        *,
        by: str | None = None,
        occurred_at: datetime | None = None,
        event_id: str | None = None,
    ) -> str:
        """Record that a person went away without using the answer; returns the event id."""
        return self.score(interaction_id, "abandoned", by=by, occurred_at=occurred_at, event_id=event_id)

    def retract(
        self,
        event_id: str,
        interaction_id: str,
        *,
        occurred_at: datetime | None = None,
    ) -> str:
        """Take back the score that `score` returned `event_id` for; returns the id of this new event."""
        return self._emit("retraction", {"of": event_id}, interaction_id, None, occurred_at)

    def review(
        self,
        interaction_id: str,
        decision: Decision,
        *,
        reviewer: str | None = None,
        output: str | None = None,
        comment: str | None = None,
        occurred_at: datetime | None = None,
        event_id: str | None = None,
    ) -> str:
        """Record a person's verdict on the sample; "edit" needs the edited `output`. Returns the event id."""
        body = {"decision": decision, "reviewer": reviewer, "output": output, "comment": comment}
        return self._emit("review", body, interaction_id, event_id, occurred_at)

    def consent(
        self,
        granted: bool,
        interaction_id: str | None = None,
        user: str | None = None,
        *,
        occurred_at: datetime | None = None,
        event_id: str | None = None,
    ) -> str:
        """Record that training use was granted or withdrawn; returns the event id.

        It is for one interaction, or for all of a `user`'s. Both at once are refused: a grant that was meant
        for one must not be read as one for all.
        """
        body = {"granted": granted, "user": user}
        return self._emit("consent", body, interaction_id, event_id, occurred_at, person=user)

    def erase(self, user: str, *, occurred_at: datetime | None = None, event_id: str | None = None) -> str:
        """Ask for everything of this person to be forgotten; returns the event id."""
        return self._emit("erasure", {"user": user}, None, event_id, occurred_at, person=user or "")

    def stats(self) -> Stats:
        """What has become of the events so far."""
        return self._counters.snapshot()

    def flush(self, timeout_s: float = EXIT_TIMEOUT_S) -> bool:
        """Wait until nothing waits any more, neither this process's events nor what ended ones left.

        False after `timeout_s`; what is left goes on being tried. Blocks: in a coroutine, use
        `asyncio.to_thread`.
        """
        return self._outbox.flush(timeout_s)

    def close(self, timeout_s: float = EXIT_TIMEOUT_S) -> bool:
        """Flush, end the threads and let go of the spool; True if the collector has everything.

        Happens by itself at the normal end of a process. If the collector is away and the events are safe in
        the spool, it does not wait for the timeout. Later calls of other methods count their events as
        dropped.
        """
        self._closed = True
        _open_clients.discard(self)
        return self._outbox.close(timeout_s)

    def __enter__(self) -> FeedbackClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(self._exit_timeout_s)

    def _emit(
        self,
        part: Part,
        fields: Mapping[str, object],
        interaction_id: str | None,
        event_id: str | None,
        occurred_at: datetime | None,
        person: str | None = None,
    ) -> str:
        """Queue the event whose `part` has these fields; returns its id, whatever becomes of it."""
        event_id = _fresh_id() if event_id is None else event_id
        try:
            record = record_of(
                part,
                {name: value for name, value in fields.items() if value is not None},
                event_id=_identifier("event_id", event_id),
                source=self._source,
                occurred_at=datetime.now(timezone.utc) if occurred_at is None else occurred_at,
                interaction_id=_subject(interaction_id, person),
            )
        except Exception as exc:  # an app's own sequence or message object may raise whatever it likes
            self._refuse(exc)
        else:
            self._outbox.put(record)
        return event_id

    def _refuse(self, mistake: Exception) -> None:
        """Count and say a call that cannot become an event; other texts than our own may quote a value."""
        kind, problem = type(mistake).__name__, f"{type(mistake).__name__} while its JSON was made"
        if isinstance(mistake, InvalidCall):
            kind, problem = mistake.kind, str(mistake)
        self._counters.refuse(DropReason.INVALID_CALL)
        self._complaints.say(f"call:{kind}", "ignored a call, as others like it will be: %s", problem)

    def _open(self) -> bool:
        """Make everything that belongs to one process, opening no file and starting no thread; whether the
        spool's folder has anything in it."""
        self._counters = Counters()
        self._complaints = Complaints()
        disk, leftovers = None, False
        if self._spool_dir is not None:
            try:
                disk = DiskSpool(Path(self._spool_dir), self._spool_bytes)
                leftovers = disk.has_leftovers()
            except (TypeError, ValueError):
                disk = None
                self._complaints.say("spool_dir", "spool_dir or spool_bytes is wrong; events wait in memory")
        backlog = Backlog(disk, self._complaints)
        self._outbox = Outbox(backlog, self._transport, self._counters, self._complaints)
        return leftovers

    def _reopen_in_child(self) -> None:
        if not self._closed:
            self._open()

    def _close_at_exit(self) -> None:
        self.close(self._exit_timeout_s)


def _fresh_id() -> str:
    return new_id(time.time_ns() // 1_000_000, os.urandom(10))


def _subject(interaction_id: object, person: object) -> str | None:
    """The interaction that an event is about, None if it is about a person; it must be one of them."""
    if person is None:
        return _identifier("interaction_id", interaction_id)
    if interaction_id is not None:
        raise InvalidCall("subject", "consent is for an interaction or for a user, not both")
    _identifier("user", person)
    return None


def _identifier(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidCall(name, f"{name} must be a text that is not empty")
    return value


_open_clients: set[FeedbackClient] = set()
"""Clients of this process, to be closed at its end and made anew in a forked child."""


def _close_all() -> None:
    for client in tuple(_open_clients):
        client._close_at_exit()


def _reopen_all() -> None:
    for client in tuple(_open_clients):
        client._reopen_in_child()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reopen_all)
