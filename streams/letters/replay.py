"""Dead letters are sent again, each once.

Letters of `redact` go to the topic `reentry`, as the raw records that they were; letters of `curate`, which hold a
redacted event, to `replay`, where `curate` takes up what was let in before. A letter that fails again is a new letter
with one more attempt. Sending again what went out already changes nothing:

- what the journal has is not sent; of what it has without a position, because whoever sent it was cut off, the topic
  tells whether it went out
- a raw event whose id the lake has by now, because its app sent it again, is not sent
- should one come in twice all the same, its id is claimed in the state and the sink takes it once
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import msgspec

from schemas.codec import Codec
from schemas.events import FeedbackEvent, Position
from streams.brokers import Outgoing, largest_record_bytes, retention_ms
from streams.errors import StreamError
from streams.lake.ports import Lake
from streams.letters.index import Index, Letter
from streams.letters.journal import Journal, Sending, Sent
from streams.letters.keyring import Keyring
from streams.letters.originals import chunks, event_in, sealed
from streams.reentry import Origin, letter_header
from streams.settings import Settings
from streams.stages.outcome import sample_id

TOPIC_OF_STAGE: Final = {"redact": "reentry", "curate": "replay"}
_OVERHEAD_BYTES: Final = 65_536
"""What a record's key, headers and batch may take of Kafka's limit beside its value."""

Progress = Callable[[int, int], None]
"""Called with letters done and letters in all."""


class Producer(Protocol):
    """What delivers: `streams.brokers.GaplessProducer`."""

    def deliver(self, records: Iterable[Outgoing], located: Callable[[int, int, int], None] | None = None) -> None:
        """See `GaplessProducer.deliver`."""
        ...


class Plan(msgspec.Struct, frozen=True):
    """What would be done: letters to send, and the others, each with why not."""

    send: tuple[Letter, ...]
    refused: tuple[tuple[Letter, str], ...]


class Report(msgspec.Struct):
    """What was done: letters `sent`; found `on_the_way` already or `in_lake`; those that could not be opened."""

    sent: int = 0
    on_the_way: int = 0
    in_lake: int = 0
    unopened: list[tuple[str, str]] = []


def plan(
    letters: Iterable[Letter], settings: Settings, keys: Keyring | None, again: bool, now: datetime, limit: int = 0
) -> Plan:
    """Which of the letters can be sent, up to `limit`. Without `keys`, it is not asked whether they can be opened.

    With `again` also those that were sent and came to nothing yet: to be sent anew where Kafka has them no more.
    """
    send: list[Letter] = []
    refused: list[tuple[Letter, str]] = []
    for letter in letters:
        why_not = _sent_already(letter, settings, again, now) or _impossible(letter, settings, keys)
        if why_not:
            refused.append((letter, why_not))
        else:
            send.append(letter)
            if len(send) == limit:
                break
    return Plan(tuple(send), tuple(refused))


def _sent_already(letter: Letter, settings: Settings, again: bool, now: datetime) -> str:
    if letter.state == "waiting":
        return ""
    if letter.state == "replayed":
        return "is in the lake by now"
    if letter.state == "failed":
        return "failed again and is another letter now"
    assert letter.sent_at is not None
    kept = timedelta(milliseconds=retention_ms(settings, TOPIC_OF_STAGE[letter.stage]))
    in_doubt = letter.again is None and now - letter.sent_at < kept  # then the topic can still tell
    return "" if again or in_doubt else "was sent again and may be on its way; --again asks Kafka, and may send it anew"


def _impossible(letter: Letter, settings: Settings, keys: Keyring | None) -> str:
    if letter.stage == "redact" and letter.source not in settings.tenant_of_source:
        return f"came in by {letter.source}, which is none of MILLRACE_SOURCES"
    if letter.size_bytes > largest_record_bytes(settings) - _OVERHEAD_BYTES:
        return "is larger than Kafka takes; `millrace deadletter show --raw` gives it out"
    if keys is not None and not keys.opens(letter.key_ids):
        return f"is sealed to {' and '.join(letter.key_ids)}; the key files have {', '.join(keys.ids)}"
    return ""


class Replayer:
    """Sends letters again."""

    def __init__(
        self,
        lake: Lake,
        index: Index,
        settings: Settings,
        codec: Codec,
        keys: Keyring,
        producer: Producer,
        sent: Sent,
        topic_ids: Mapping[str, str],
    ) -> None:
        """`index` is of the lake; `topic_ids` are Kafka's, of the topics sent to. Raises `LakeUnavailable`."""
        self._lake = lake
        self._index = index
        self._journal = Journal(lake)
        self._settings = settings
        self._codec = codec
        self._keys = keys
        self._producer = producer
        self._sent = sent
        self._topic_ids = topic_ids

    def send(self, letters: Sequence[Letter], progress: Progress = lambda *_: None) -> Report:
        """Send letters that `plan` found can be sent.

        1 some may have been sent before: look in the topics which. Then for some letters at a time: 2 open them →
        3 leave out events that the lake has → 4 note them in the journal → 5 send → 6 note where they came in.

        Raises `StreamError` where it must stop; the same call again goes on.
        """
        report = Report()
        # 1
        letters = self._look(letters, report)
        done = 0
        for chunk in chunks(letters):
            # 2
            opened = self._open(chunk, report)
            now = datetime.now(UTC)
            # 3
            missing = self._leave_out(opened, now, report)
            # 4
            sendings = [Sending(letter.entry, self._topic(letter)) for letter, _ in missing]
            self._journal.note(sendings, now)
            # 5
            places = self._deliver(missing)
            # 6
            arrived = [sending._replace(again=place) for sending, place in zip(sendings, places, strict=True)]
            self._journal.note(arrived, now)
            report.sent += len(missing)
            done += len(chunk)
            progress(done, len(letters))
        return report

    def _look(self, letters: Sequence[Letter], report: Report) -> list[Letter]:
        """Note the letters in doubt that did go out, and return the others."""
        doubtful = [letter for letter in letters if letter.sent_at is not None]
        found: dict[str, Position] = {}
        for topic in sorted({self._topic(letter) for letter in doubtful}):
            since = min(letter.sent_at for letter in doubtful if letter.sent_at is not None)
            found |= dict(self._sent.since(topic, int(since.timestamp() * 1_000)))
        for letter in doubtful:
            if letter.id in found and letter.sent_at is not None:
                self._journal.note([Sending(letter.entry, self._topic(letter), found[letter.id])], letter.sent_at)
                report.on_the_way += 1
        return [letter for letter in letters if letter.id not in found]

    def _open(self, chunk: Sequence[Letter], report: Report) -> list[tuple[Letter, bytes]]:
        opened: list[tuple[Letter, bytes]] = []
        boxes = sealed(self._lake, chunk)
        for letter in chunk:
            try:
                if letter.id not in boxes:
                    raise StreamError("it was purged in the meantime")
                opened.append((letter, self._keys.open(boxes[letter.id])))
            except StreamError as exc:
                report.unopened.append((letter.id, str(exc)))
        return opened

    def _leave_out(
        self, opened: Sequence[tuple[Letter, bytes]], now: datetime, report: Report
    ) -> list[tuple[Letter, bytes]]:
        """Note the raw events that are in the lake by now, and return the others."""
        events: dict[str, tuple[str, str]] = {}
        for letter, original in opened:
            event = event_in(original, letter.stage, self._codec) if letter.stage == "redact" else None
            if isinstance(event, FeedbackEvent):
                events[letter.id] = (self._settings.tenant_of_source[letter.source] or event.tenant, event.event_id)
        held = self._index.events(set(events.values()))
        known = {name: held[event] for name, event in events.items() if event in held}
        self._journal.note(
            [
                Sending(letter.entry, self._topic(letter), known[letter.id])
                for letter, _ in opened
                if letter.id in known
            ],
            now,
        )
        report.in_lake += len(known)
        return [(letter, original) for letter, original in opened if letter.id not in known]

    def _deliver(self, letters: Sequence[tuple[Letter, bytes]]) -> list[Position]:
        """Send originals, and where each came in."""
        places: dict[int, Position] = {}

        def located(index: int, partition: int, offset: int) -> None:
            places[index] = Position(self._topic_ids[self._topic(letters[index][0])], partition, offset)

        self._producer.deliver([self._record(letter, original) for letter, original in letters], located)
        return [places[index] for index in range(len(letters))]

    def _record(self, letter: Letter, original: bytes) -> Outgoing:
        if letter.stage == "redact":
            origin = Origin(letter.source, int(letter.received_at.timestamp() * 1_000), letter.attempts)
            return Outgoing(
                self._topic(letter),
                letter.id.encode(),
                original,
                headers=(*origin.headers(), *letter_header(letter.id)),
            )
        # Keyed as `redact` does it: the partition of an interaction is the same in all topics.
        event = event_in(original, letter.stage, self._codec)
        key = b"" if event is None or isinstance(event, FeedbackEvent) else sample_id(event).encode()
        return Outgoing(self._topic(letter), key, original, headers=letter_header(letter.id))

    def _topic(self, letter: Letter) -> str:
        return self._settings.topic(TOPIC_OF_STAGE[letter.stage])
