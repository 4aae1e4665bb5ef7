"""Made-up events for the demo: every kind of feedback, with personal data, near duplicates and things to refuse."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

from schemas.events import Consent, FeedbackEvent, Interaction, Message, Retraction, Score

MAX_TEXT_CHARS: Final = 20_000
"""The demo's own bound on a text, so that one made-up event is too long and shows a sealed dead letter."""

_NAMES: Final = ("Ada Fischer", "Noor Haddad", "Tomás Silva", "Mei Tanaka", "Ben Okafor", "Ida Lund")
_PRODUCTS: Final = ("the Pro plan", "my router", "the mobile app", "the API gateway", "our invoice export", "the beta")
_PROBLEMS: Final = (
    "stopped working after the last update",
    "shows an error when I log in",
    "is much slower than last week",
    "does not sync with my calendar",
    "charged me twice this month",
    "keeps asking for a password reset",
)
_STEPS: Final = (
    "restart it and clear the cache",
    "check the status page for an ongoing incident",
    "sign out on all devices and sign in again",
    "open Settings, choose Integrations and reconnect",
    "send us the log file, and we will look into it",
    "ask your administrator to renew the licence",
)
_LIKED: Final = {"support": 0.7, "billing": 0.45, "troubleshooting": 0.6, "how-to": 0.85}
"""Task type → the share of thumbs that point up."""


def events(interactions: int, seed: int = 7) -> Iterator[FeedbackEvent]:
    """Interactions and their feedback, in the order in which an app would send them; the same for the same seed."""
    rng = random.Random(seed)
    for number in range(interactions):
        name = f"chat-{number:06d}"
        interaction = _interaction(rng, number)
        yield FeedbackEvent(
            event_id=f"{name}-interaction",
            source="demo",
            interaction_id=name,
            interaction=interaction,
        )
        if number % 12 != 0:  # the others never get any feedback, and wait
            yield from _feedback(rng, name, number, interaction.task_type or "")


def _interaction(rng: random.Random, number: int) -> Interaction:
    if number % 10 == 9:  # people ask the same thing again
        rng = random.Random(number % 3)
    person, product, problem = rng.choice(_NAMES), rng.choice(_PRODUCTS), rng.choice(_PROBLEMS)
    mail = f"{person.split()[0].lower()}.{rng.randrange(100)}@example.com"
    ask = f"Hi, {product} {problem}. You can reach me at {mail} or 212-555-{rng.randrange(10_000):04d}. What can I do?"
    steps = rng.sample(_STEPS, 3)
    answer = (
        f"Sorry that {product} {problem}. Please {steps[0]}; if that does not help, {steps[1]}, and then {steps[2]}."
    )
    if number % 97 == 50:
        answer = ""  # the model was cut off
    if number == 5:
        ask = "a very long log: " + "0123456789 " * (MAX_TEXT_CHARS // 10)
    return Interaction(
        messages=(
            Message("system", "You are the friendly support assistant of an internet company."),
            Message("user", ask),
            Message("assistant", answer),
        ),
        model="support-base",
        model_version="2026-10",
        variant=rng.choice(("a", "b")),
        role="support",
        task_type=rng.choice(tuple(_LIKED)),
        user=mail,
        latency_ms=float(rng.randrange(300, 3_000)),
        sensitive=number % 41 == 7,
        consent=True if number % 82 == 7 else None,
    )


def _feedback(rng: random.Random, name: str, number: int, task: str) -> Iterator[FeedbackEvent]:
    def event(what: str, **parts: object) -> FeedbackEvent:
        return FeedbackEvent(event_id=f"{name}-{what}", source="demo", interaction_id=name, **parts)  # type: ignore[arg-type]

    kind = rng.random()
    liked = _LIKED[task]
    if kind < 0.6:
        yield event("thumb", scores=(Score("thumbs", value=float(rng.random() < liked)),))
    elif kind < 0.8:
        yield event(
            "stars", scores=(Score("stars", value=float(min(5, rng.randrange(1, 4) + round(2 * liked))), maximum=5.0),)
        )
    elif kind < 0.9:
        yield event("ticket", scores=(Score("success", value=float(rng.random() < 0.5), rater="metric"),))
    else:
        phone = f"212-555-{rng.randrange(10_000):04d}"
        better = f"I am sorry about that. Please {rng.choice(_STEPS)}. A colleague will call you at {phone}."
        yield event("edit", scores=(Score("correction", text=better, rater="expert"),))
    if number % 29 == 3:
        yield event("thumb-again", scores=(Score("thumbs", value=1.0),))
        yield event("taken-back", retraction=Retraction(f"{name}-thumb-again"))
    if number % 53 == 11:
        yield event("no-training", consent=Consent(granted=False))
