"""The gates in `curate`: what they find out is in the sample, and a plugin that raises costs its own event only."""

from __future__ import annotations

from schemas.codec import Codec
from schemas.curation import Curation, Gating
from schemas.events import Interaction, Message, Position, RedactedEvent, Review, Score
from schemas.outcomes import DeadLetter, Outcome, Sample
from schemas.reasons import Reason
from streams.redaction.hashing import KeyedHasher
from streams.redaction.sealing import Sealer, new_key_pair
from streams.runners import Batch
from streams.runners.curate import CurateRunner
from streams.runners.dead_letters import DeadLetters
from streams.settings import Settings
from streams.state.sqlite import SqliteState
from tests.events import record, redacted

CODEC = Codec()
HERE = "tests.unit.streams.gates.made_up_plugins"


def process(rules: Gating, *events: RedactedEvent, policy: tuple[str, ...] = ()) -> Batch:
    letters = DeadLetters("feedback.deadletter", CODEC, Sealer([new_key_pair().public]), 12)
    ids = {"feedback.redacted": "redacted-uuid"}
    store = SqliteState(":memory:")
    try:
        settings = Settings(redaction_policy=policy)
        runner = CurateRunner(settings, CODEC, store, KeyedHasher("k" * 32), letters, ids, Curation(gates=rules))
        return runner.process([record(event, at, "feedback.redacted") for at, event in enumerate(events)])
    finally:
        store.close()


def chat(name: str, answer: str, at: int = 0, model: str | None = None) -> RedactedEvent:
    body = Interaction((Message("user", "What is the best way to do this?"), Message("assistant", answer)), model=model)
    scores = (Score("thumbs", value=1.0),)
    return redacted(name, at, interaction_id=name, interaction=body, scores=scores)


def sample(batch: Batch) -> Sample:
    found = CODEC.decode(batch.outgoing[-1].value, Outcome).sample
    assert found is not None
    return found


def test_language_origin_review_and_profile_are_in_the_sample() -> None:
    rules = Gating(tuned_models=("ft:*",))
    answer = "You can do it with what you have at home."
    one = sample(process(rules, chat("a", answer, model="ft:1")))
    assert (one.language, one.origin, one.reviewed, one.awaits_review, one.profile) == (
        "en", "tuned", False, True, "default",
    )  # fmt: skip
    review = redacted("r", 1, interaction_id="a", review=Review("approve"))
    one = sample(process(rules, chat("a", answer, model="ft:1"), review))
    assert (one.origin, one.reviewed, one.awaits_review) == ("tuned", True, False)


def test_a_plugin_that_raises_seals_its_event_and_the_others_go_on() -> None:
    rules = Gating(filters=(f"{HERE}:raising_on_bad",))
    batch = process(rules, chat("bad", "bad"), chat("a", "Because.", 1))
    letter = CODEC.decode(batch.outgoing[0].value, DeadLetter)
    assert (letter.reason, letter.stage, letter.entry) == (Reason.STAGE_FAILED, "curate", Position("raw", 0, 0))
    assert sample(batch).output == "Because."


def test_a_sample_with_what_the_redaction_policy_leaves_is_kept_and_with_a_leak_is_dropped() -> None:
    leak = chat("a", "Write to jo@example.com.")
    dropped = CODEC.decode(process(Gating(), leak).outgoing[0].value, Outcome).rejection
    assert dropped is not None
    assert (dropped.reason, dropped.stage) == (Reason.PII_RESIDUAL, "gate")
    assert sample(process(Gating(), leak, policy=("EMAIL_ADDRESS=surrogate",))).output == "Write to jo@example.com."
