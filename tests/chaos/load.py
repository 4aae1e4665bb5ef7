"""The load: apps that send interactions and their feedback all the time, and note what was acknowledged."""

from __future__ import annotations

import heapq
import itertools
import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaException, Message, Producer
from millrace_client import FeedbackClient
from millrace_client.transport import Answer, HttpTransport, Unreachable

from schemas.codec import Codec
from schemas.events import Consent, FeedbackEvent, Interaction, Retraction, Review, Score
from schemas.events import Message as ChatMessage
from schemas.intake import event_to_json
from streams.brokers import LOGGER, producer_config
from streams.settings import Settings
from tests.chaos.ledger import Ledger

HTTP_TENANT: Final = "web"
OWN_TENANT: Final = "own"

GIVE_UP_S: Final = 60.0
"""How long a sender tries an event again: well within the window in which the sink finds repeats."""

_WORDS: Final = [f"{left}{right}" for left in ("mar", "tol", "ven", "sur", "pel", "kin", "dor", "bas", "lum", "fer")
                 for right in ("an", "el", "ik", "os", "ut", "ar", "en", "im", "on", "us")]  # fmt: skip


def conversations(seed: int, name: str, max_text_chars: int, clock: Callable[[], float]) -> Iterator[FeedbackEvent]:
    """Events without end, several interactions at a time, feedback before or long after its interaction.

    The same seed gives the same events; `clock` (seconds since 1970) only tells when they say they occurred.
    """
    rng = random.Random(f"{seed}/{name}")
    order = itertools.count()
    waiting: list[tuple[int, int, FeedbackEvent]] = []
    for number in itertools.count():
        for delay, event in _conversation(rng, f"{name}-{number:06d}", number, max_text_chars, clock()):
            heapq.heappush(waiting, (number + delay, next(order), event))
        while waiting and waiting[0][0] <= number:
            yield heapq.heappop(waiting)[2]


def _conversation(
    rng: random.Random, name: str, number: int, max_text_chars: int, now: float
) -> Iterator[tuple[int, FeedbackEvent]]:
    """The events of one interaction, each with the number of interactions that begin before it is sent."""
    counter = itertools.count()

    def event(delay: int, **parts: Any) -> tuple[int, FeedbackEvent]:
        index = next(counter)
        at = int(now * 1_000_000) + index * 1_000
        return delay, FeedbackEvent(
            event_id=f"{name}-{index}", source="chaos", occurred_at=at, interaction_id=name, **parts
        )

    # Every twelfth is one of a few that people ask again and again: near duplicates.
    texts = random.Random(number % 5) if number % 12 == 11 else rng
    ask, answer = (" ".join(texts.choices(_WORDS, k=texts.randint(12, 40))) for _ in range(2))
    if rng.random() < 0.3:
        ask += f" mail me at {rng.choice(_WORDS)}{number}@example.com or call 212-555-{number % 10_000:04d}"
    if number % 97 == 50:
        ask = (ask + " ") * (max_text_chars // len(ask) + 1)  # cannot be redacted: a sealed dead letter
    body = Interaction(
        (ChatMessage("user", ask), ChatMessage("assistant", answer if number % 61 else "")),
        model="m",
        role="chaos",
        sensitive=number % 41 == 7,
    )
    yield event(rng.randrange(40) if rng.random() < 0.2 else 0, interaction=body)
    thumb = event(rng.randrange(20), scores=(Score("thumbs", value=float(rng.random() < 0.6)),))
    if rng.random() < 0.75:
        yield thumb
    if rng.random() < 0.35:
        yield event(rng.randrange(150), scores=(Score("stars", value=float(rng.randint(1, 5)), maximum=5.0),))
    if rng.random() < 0.12:
        better = " ".join(rng.choices(_WORDS, k=15))
        yield event(rng.randrange(80), scores=(Score("correction", text=better, rater="expert"),))
    if rng.random() < 0.08:
        yield event(rng.randrange(100), retraction=Retraction(thumb[1].event_id))
    if rng.random() < 0.05:
        yield event(rng.randrange(100), consent=Consent(granted=False))
    if rng.random() < 0.04:
        yield event(rng.randrange(100), review=Review("reject"))


class Sender(threading.Thread):
    """Sends from a stream of events until it is told to stop; an error in it is raised by `finish`."""

    def __init__(self, name: str, events: Iterator[FeedbackEvent], per_s: float, seed: int) -> None:
        super().__init__(name=f"sender-{name}", daemon=True)
        self._events = events
        self._rng = random.Random(f"{seed}/{name}/sizes")
        self._per_s = per_s
        self._stopping = threading.Event()
        self._failed: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                batch = list(itertools.islice(self._events, self._rng.randint(1, 12)))
                self.send(batch)
                self._stopping.wait(len(batch) / self._per_s)
            self.close()
        except BaseException as exc:
            self._failed = exc

    def send(self, events: Sequence[FeedbackEvent]) -> None:
        """Send a batch, again until all of it is acknowledged or it is given up."""
        raise NotImplementedError

    def close(self) -> None:
        """Bring to its end what is on its way."""

    def stop(self) -> None:
        """Begin no other batch."""
        self._stopping.set()

    def finish(self, deadline_s: float) -> None:
        """Return when it has ended. Raises what ended it, `TimeoutError`."""
        self.join(deadline_s)
        if self._failed is not None:
            raise self._failed
        if self.is_alive():
            raise TimeoutError(f"{self.name} did not end")


class HttpSender(Sender):
    """An app that posts batches itself, to one collector after the other."""

    def __init__(self, ledger: Ledger, urls: Sequence[str], key: str, *args: Any) -> None:
        super().__init__("http", *args)
        self._ledger = ledger
        self._urls = itertools.cycle(urls)
        self._key = key

    def send(self, events: Sequence[FeedbackEvent]) -> None:
        left = {event.event_id: event for event in events}
        end, wait_s = time.monotonic() + GIVE_UP_S, 0.2
        while left and time.monotonic() < end:
            for event_id in left:
                self._ledger.sending(HTTP_TENANT, event_id)
            for event_id in self._post(b"\n".join(event_to_json(event) for event in left.values())):
                self._ledger.acknowledged(HTTP_TENANT, event_id)
                left.pop(event_id, None)
            if left:
                time.sleep(wait_s)
                wait_s = min(3.0, wait_s * 2)

    def _post(self, body: bytes) -> list[str]:
        """The ids that were acknowledged."""
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/x-ndjson"}
        request = urllib.request.Request(f"{next(self._urls)}/v1/events", body, headers)
        try:
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    told = json.load(answer)
            except urllib.error.HTTPError as exc:
                with exc:
                    told = json.load(exc)
        except (OSError, ValueError, urllib.error.URLError):
            return []
        return _accepted(told)


class ClientSender(Sender):
    """An app with the client, whose spool survives collectors that are away."""

    def __init__(self, ledger: Ledger, url: str, key: str, spool: Path, *args: Any) -> None:
        super().__init__("client", *args)
        self._client = FeedbackClient(spool_dir=spool, transport=_Recording(ledger, HttpTransport(url, key, 10.0)))

    def send(self, events: Sequence[FeedbackEvent]) -> None:
        for event in events:
            at = datetime.fromtimestamp(event.occurred_at / 1e6, UTC)
            common: dict[str, Any] = {"event_id": event.event_id, "occurred_at": at}
            if event.interaction is not None:
                said = [{"role": each.role, "content": each.content} for each in event.interaction.messages]
                self._client.interaction(said, interaction_id=event.interaction_id, role="chaos", **common)
            elif event.scores:
                (score,) = event.scores
                fields = {"value": score.value, "text": score.text, "maximum": score.maximum, "rater": score.rater}
                given: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
                self._client.score(event.interaction_id, score.method, **given, **common)
            elif event.consent is not None:
                self._client.consent(event.consent.granted, interaction_id=event.interaction_id, **common)
            elif event.review is not None:
                self._client.review(event.interaction_id, event.review.decision, **common)
            elif event.retraction is not None:
                self._client.retract(event.retraction.of, event.interaction_id, occurred_at=at)

    def close(self) -> None:
        if not self._client.flush(timeout_s=90):
            raise TimeoutError(f"the client could not deliver everything: {self._client.stats()}")
        self._client.close()


class _Recording:
    """A client's transport that notes what it sends and what is acknowledged."""

    def __init__(self, ledger: Ledger, inner: HttpTransport) -> None:
        self._ledger = ledger
        self._inner = inner

    def post(self, body: bytes) -> Answer | Unreachable:
        for event in json.loads(body):
            self._ledger.sending(HTTP_TENANT, event["event_id"])
        answer = self._inner.post(body)
        if isinstance(answer, Answer) and answer.body.startswith(b"{"):
            for event_id in _accepted(json.loads(answer.body)):
                self._ledger.acknowledged(HTTP_TENANT, event_id)
        return answer


class KafkaSender(Sender):
    """A producer of its own: Avro and JSON, any key, straight to its tenant's raw topic."""

    def __init__(self, ledger: Ledger, settings: Settings, topic: str, *args: Any) -> None:
        super().__init__("kafka", *args)
        self._ledger = ledger
        self._topic = topic
        self._producer = OwnProducer(settings)

    def send(self, events: Sequence[FeedbackEvent]) -> None:
        left = list(events)
        end = time.monotonic() + GIVE_UP_S
        while left and time.monotonic() < end:
            for event in left:
                self._ledger.sending(OWN_TENANT, event.event_id)
            values = [event_to_json(event) if self._rng.random() < 0.3 else Codec().encode(event) for event in left]
            delivered = self._producer.deliver(self._topic, values)
            for event, message in zip(left, delivered, strict=True):
                if message is not None:
                    self._ledger.acknowledged(OWN_TENANT, event.event_id)
            left = [event for event, message in zip(left, delivered, strict=True) if message is None]


class OwnProducer:
    """An idempotent producer as an app has it; one that failed for good is made anew. For one thread."""

    def __init__(self, settings: Settings) -> None:
        self._config = {**producer_config(settings), "acks": "all", "message.timeout.ms": 15_000}
        self._producer: Producer | None = None

    def deliver(self, topic: str, values: Sequence[bytes]) -> list[Message | None]:
        """Produce and wait; for each value its message with its offset, None where no delivery was reported."""
        delivered: list[Message | None] = [None] * len(values)
        if self._producer is None:
            self._producer = Producer(self._config, logger=LOGGER)
        failed = False

        def report(index: int) -> Callable[[Any, Message], None]:
            def told(error: Any, message: Message) -> None:
                nonlocal failed
                failed = failed or (error is not None and error.fatal())
                delivered[index] = None if error is not None else message

            return told

        try:
            for index, value in enumerate(values):
                self._producer.produce(topic, value, f"{index}-{value[-4:].hex()}", on_delivery=report(index))
            self._producer.flush(20)
        except (KafkaException, BufferError):
            failed = True
        if failed:
            self._producer.purge()
            self._producer.flush(1)
            self._producer = None
        return delivered


def corrupt(kind: str, number: int, settings: Settings) -> bytes:
    """A record value that no event can be read from: `magic`, `truncated`, `schema`, `deep` or `oversize`."""
    event = FeedbackEvent(event_id=f"corrupt-{number}", interaction_id="corrupt", scores=(Score("thumbs", value=1.0),))
    match kind:
        case "magic":
            return b"\x07\x2a" + Codec().encode(event)[2:]
        case "truncated":
            return Codec().encode(event)[:-9]
        case "schema":
            return b"\x00" + (900_000 + number).to_bytes(4, "big") + Codec().encode(event)[10:]
        case "deep":
            return b'{"event_id":"deep","interaction_id":"corrupt","interaction":' + b"[" * 100 + b"]" * 100 + b"}"
        case _:
            text = "x" * settings.max_event_bytes
            return event_to_json(msgspec.structs.replace(event, scores=(Score("comment", text=text),)))


def _accepted(answer: Mapping[str, Any]) -> list[str]:
    return [told["event_id"] for told in answer.get("events", ()) if told["status"] == 202]
