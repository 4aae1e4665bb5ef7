"""Rows of made-up dialogues, and their copies."""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec

from trainer_trigger.drift import Row

TOPICS = {
    "kitchen": ("bake the bread", "knead the dough", "heat an oven", "chop some onions", "salt the soup"),
    "garage": ("patch a tyre", "oil the chain", "adjust some brakes", "drain the tank", "swap a bulb"),
    "office": ("write a letter", "book the room", "file a claim", "thank my team", "print the form"),
}
OPENINGS = ("How do I", "Can you tell me how to", "What is the best way to", "I forgot how to", "Please help me to")
ENDINGS = ("when it rains", "in one afternoon", "without any help", "on a small budget", "before my guests come")


def rows(
    name: str,
    count: int,
    *,
    topics: Sequence[float] = (1, 1, 1),
    intents: Sequence[float] = (5, 3, 2),
    score: float = 0.5,
) -> list[Row]:
    """`count` rows, each a cluster of its own; `topics` and `intents` are weights, `score` a mean. By name the same."""
    chance = random.Random(name)
    made = []
    for number in range(count):
        deeds = TOPICS[chance.choices(list(TOPICS), topics)[0]]
        asked = [
            f"{chance.choice(OPENINGS)} {chance.choice(deeds)} {chance.choice(ENDINGS)}?"
            for _ in range(chance.randint(1, 3))
        ]
        text = " ".join(asked)
        made.append(
            Row(
                sample_id=f"{name}-{number}",
                cluster=f"{name}-{number}",
                text=text,
                intent=chance.choices(("ask", "complain", None), intents)[0],
                language=chance.choices(("en", "de"), (9, 1))[0],
                task_type=chance.choice(("chat", "qa")),
                words=float(len(text.split())),
                score=min(1.0, max(0.0, chance.gauss(score, 0.2))),
            )
        )
    return made


def copied(sources: Sequence[Row], times: int) -> list[Row]:
    """Each source `times` times, all in its cluster."""
    return [
        msgspec.structs.replace(row, sample_id=f"{row.sample_id}.{copy}") for row in sources for copy in range(times)
    ]


def alone(copies: Sequence[Row]) -> list[Row]:
    """The same rows as if none were another's duplicate."""
    return [msgspec.structs.replace(row, cluster=row.sample_id) for row in copies]
