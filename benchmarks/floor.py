"""What the way itself takes: the real agents, topics and sink, with stages that do nothing. For `pipeline.py`.

    python benchmarks/floor.py redact|curate|overflow

An agent process with the settings of the environment, as `millrace worker --agent` is one. Records are taken in,
decoded, encoded, produced and acknowledged by the agents' own code; nothing is redacted, joined, judged or compared,
and no state is asked. Each interaction is a sample at once, so that as many rows of the same texts reach the tables.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from schemas.codec import Codec
from schemas.events import FeedbackEvent, Interaction, Position, RedactedEvent
from schemas.outcomes import Outcome, Sample, SourceEvent
from streams import agents, logs
from streams.brokers import Outgoing, read_by, topic_ids
from streams.runners import Batch, RawRecord, timed
from streams.settings import Settings, load


class Redact:
    """`feedback.events` → `feedback.redacted`, the texts as they are."""

    def __init__(self, settings: Settings, ids: Mapping[str, str]) -> None:
        self._codec = Codec()
        self._ids = ids
        self._redacted = settings.topic("redacted")

    def process(self, records: Sequence[RawRecord]) -> Batch:
        """See `agents.Runner`."""
        return Batch(tuple(map(self._one, records)), {})

    def _one(self, record: RawRecord) -> Outgoing:
        with timed("decode"):
            event = self._codec.decode(record.value or b"", FeedbackEvent)
        entry = Position(self._ids[record.topic], record.partition, record.offset)
        passed = RedactedEvent(
            event_id=event.event_id,
            source=event.source,
            occurred_at=event.occurred_at or record.timestamp_ms * 1_000,
            received_at=record.timestamp_ms * 1_000,
            clock="ok",
            tenant=event.tenant,
            interaction_id=event.interaction_id,
            entry=entry,
            digest="",
            redactor="none",
            interaction=event.interaction,
            scores=event.scores,
        )
        key = f"{event.tenant}/{event.interaction_id or event.event_id}"
        with timed("encode"):
            return Outgoing(self._redacted, key.encode(), self._codec.encode(passed))


class Curate:
    """`feedback.redacted` → `feedback.curated`: each interaction a sample."""

    def __init__(self, settings: Settings) -> None:
        self._codec = Codec()
        self._curated = settings.topic("curated")

    def process(self, records: Sequence[RawRecord]) -> Batch:
        """See `agents.Runner`."""
        return Batch(tuple(filter(None, map(self._one, records))), {})

    def _one(self, record: RawRecord) -> Outgoing | None:
        with timed("decode"):
            event = self._codec.decode(record.value or b"", RedactedEvent)
        if event.interaction is None:
            return None
        outcome = _outcome(event, event.interaction)
        with timed("encode"):
            return Outgoing(self._curated, outcome.sample_id.encode(), self._codec.encode(outcome), record.partition)


def _outcome(event: RedactedEvent, interaction: Interaction) -> Outcome:
    *prompt, answer = interaction.messages
    name = f"{event.tenant}/{event.interaction_id}"
    sample = Sample(
        instruction=(prompt[-1].content if prompt else None) or "",
        input="\n".join(f"{message.role}: {message.content}" for message in prompt[:-1]),
        output=answer.content or "",
        messages=interaction.messages,
        tools=interaction.tools,
        score=None,
        confidence=0.0,
        scores=(),
        quality=0.0,
        gates=(),
        origin="unknown",
        rejected_output=None,
        preferred_over=(),
        duplicate_of=None,
        similarity=None,
        cluster=name,
        role=interaction.role,
        task_type=interaction.task_type,
        intent=interaction.intent,
        language=None,
        model=interaction.model,
        model_version=interaction.model_version,
        variant=interaction.variant,
        user=None,
        tags=interaction.tags,
        consent=interaction.consent,
        sensitive=interaction.sensitive,
        pii={},
    )
    return Outcome(
        sample_id=name,
        revision=1,
        tenant=event.tenant,
        interaction_id=event.interaction_id,
        event_id=event.event_id,
        entry=event.entry,
        occurred_at=event.occurred_at,
        received_at=event.received_at,
        sources=(SourceEvent(event.event_id, event.entry),),
        redactor="none",
        rules="none",
        sample=sample,
    )


def runner(settings: Settings, agent: agents.AgentName) -> agents.Runner:
    """The pass-through runner of an agent."""
    if agent == "curate":
        return Curate(settings)
    return Redact(settings, topic_ids(settings, read_by(settings, agent)))


def main() -> None:
    """Run one agent until SIGTERM."""
    settings = load()
    logs.configure(settings.log_level)
    agent = next(name for name in agents.AGENTS if name == sys.argv[1])
    setattr(agents._AgentWorker, "_build_runner", lambda _: runner(settings, agent))  # noqa: B010  # instead of its own
    agents.serve(settings, agent, report=True, parent=os.getppid())


if __name__ == "__main__":
    main()
