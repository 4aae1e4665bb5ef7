"""score: raw judgements of every method become one score in [0, 1], an interval that holds it, and a confidence.

1. A judge's last word by a method counts, by event time, then event id. The judge is `by`, else the interaction's user.
2. It has a unit value; rankings, texts and comments have none.
3. It weighs what its rater's weight is, an implicit signal a share of that; but all that one judge says weighs no more
   than the rater's weight together, so that nobody swings a score by saying much.
4. The score is the weighted mean. Its 95 % interval is Wilson's, of as many observations as the judgements are worth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from schemas.curation import Scoring
from schemas.events import Interaction, Score
from schemas.scores import METHODS, battles, stars
from streams.edits import kept
from streams.stages.join import Scored
from streams.stages.normalise import text_of, tidy

VERSION: Final = "score-2" + "".join(
    f"+{name}.{method.version}" for name, method in sorted(METHODS.items()) if method.version > 1
)
"""Of the combination, and of each method that once meant something else."""

Z_95: Final = 1.959963984540054
"""The standard normal's 97.5 % quantile."""

_TEXTS: Final = frozenset({"correction", "demonstration", "comment"})


class Judgement(Struct, frozen=True):
    """What one score says: `value` in [0, 1], None if it rates nothing, and `weight`, the part of it that counts.

    `judge` None is someone unknown, the same throughout an interaction. `superseded_by` is the id of the event with
    the judge's later word; then there is no value.
    """

    held: Scored
    judge: str | None
    value: float | None
    weight: float
    superseded_by: str | None


class Combined(Struct, frozen=True):
    """`score` in [0, 1] within [`low`, `high`], all None if nothing rates; `confidence` in [0, 1).

    `preferred_over` are ids of interactions. `judgements` are all scores, by event time and event id.
    """

    score: float | None
    confidence: float
    preferred_over: tuple[str, ...]
    low: float | None = None
    high: float | None = None
    judgements: tuple[Judgement, ...] = ()


def combine(scores: Sequence[Scored], rules: Scoring = Scoring(), interaction: Interaction | None = None) -> Combined:
    """All scores of one interaction as one. The interaction, redacted as they are, has its user and the answer."""
    judgements = _judgements(scores, rules, interaction)
    over = tuple(sorted({other for each in judgements if (other := _preferred_over(each)) is not None}))
    rated = [(each.held.score, each.value, each.weight) for each in judgements if each.value is not None]
    evidence = sum(weight for _, _, weight in rated)
    if not evidence:
        return Combined(None, 0.0, over, judgements=judgements)
    mean = proportion = variance = 0.0
    for score, value, weight in rated:
        share = weight / evidence
        rate, count = _observed(score, value)
        mean += share * value
        proportion += share * rate
        # A judgement is worth weight × count observations; it adds share² / that to the variance of the mean.
        variance += share / (evidence * count)
    mean, proportion = min(1.0, mean), min(1.0, proportion)
    low, high = wilson(proportion, 1 / variance)
    return Combined(mean, evidence / (evidence + rules.prior), over, min(low, mean), max(high, mean), judgements)


def unit_value(score: Score, answer: str | None = None) -> float | None:
    """A score on [0, 1]; None for what does not rate. `answer` is the model's own, which an edited text began as.

    win_rate is the posterior mean under a uniform prior, ties counting half: (wins + ties/2 + 1) / (battles + 2).
    """
    match score.method:
        case "thumbs" | "success":
            return score.value
        case "stars":
            assert score.value is not None
            return (score.value - 1) / (stars(score) - 1)
        case "numeric":
            assert score.value is not None and score.minimum is not None and score.maximum is not None
            return min(1.0, (score.value - score.minimum) / (score.maximum - score.minimum))
        case "win_rate":
            rate, count = _observed(score, 0.0)
            return (rate * count + 1) / (count + 2)
        case "copied":
            return 1.0
        case "regenerated" | "abandoned":
            return 0.0
        case "edited":
            if score.value is not None or score.text is None or answer is None:
                return score.value
            return kept(tidy(answer), tidy(score.text))
        case "tests_passed":
            return score.value if score.wins is None else score.wins / battles(score)
        case "pairwise" | "correction" | "demonstration" | "comment":
            return None


def wilson(proportion: float, observations: float) -> tuple[float, float]:
    """The 95 % interval of a proportion (Wilson 1927) of any number of observations above 0; it holds the proportion.

    It also holds the posterior mean under a uniform prior, which lies between the proportion and its middle.
    """
    square = Z_95 * Z_95
    middle = observations * proportion + square / 2
    reach = Z_95 * math.sqrt(observations * proportion * (1 - proportion) + square / 4)
    low, high = (middle - reach) / (observations + square), (middle + reach) / (observations + square)
    return max(0.0, min(low, proportion)), min(1.0, max(high, proportion))


def explain(combined: Combined) -> list[str]:
    """In words: how the score came about, then each judgement with its value and weight, or why it does not count."""
    counted = [each for each in combined.judgements if each.weight]
    judges = len({(each.judge, each.held.score.rater) for each in counted})
    if combined.score is None or combined.low is None or combined.high is None:
        summary = "no score: nothing rates the answer"
    else:
        summary = (
            f"score {combined.score:.2f}, 95 % between {combined.low:.2f} and {combined.high:.2f}, confidence "
            f"{combined.confidence:.2f}: {_count(len(counted), 'judgement')} by {_count(judges, 'judge')}, "
            f"weighing {sum(each.weight for each in counted):.3g} in all"
        )
    return [summary, *map(_told, combined.judgements)]


def _judgements(scores: Sequence[Scored], rules: Scoring, interaction: Interaction | None) -> tuple[Judgement, ...]:
    """Each score with its value, and its weight after the cap on its judge."""
    user = None if interaction is None else interaction.user
    ordered = sorted(scores, key=lambda held: (held.occurred_at, held.event_id))
    last = {_subject(held.score, user): place for place, held in enumerate(ordered)}
    drafts = []
    said: dict[tuple[str | None, str], float] = {}
    for place, held in enumerate(ordered):
        score, latest = held.score, last[_subject(held.score, user)]
        judge = user if score.by is None else score.by
        value = unit_value(score, _answer(score, interaction)) if latest == place else None
        share = 0.0 if value is None else rules.implicit if METHODS[score.method].implicit else 1.0
        said[judge, score.rater] = said.get((judge, score.rater), 0.0) + share
        drafts.append((held, judge, value, share, None if latest == place else ordered[latest].event_id))
    return tuple(
        Judgement(
            held,
            judge,
            value,
            share / max(1.0, said[judge, held.score.rater]) * getattr(rules.weights, held.score.rater),
            later,
        )
        for held, judge, value, share, later in drafts
    )


def _subject(score: Score, user: str | None) -> tuple[str | None, ...]:
    """What a judge has one word on: each method, each opponent; each text is a word of its own."""
    about = score.over if score.method == "pairwise" else score.text if score.method in _TEXTS else None
    return user if score.by is None else score.by, score.rater, score.method, about


def _answer(score: Score, interaction: Interaction | None) -> str | None:
    """The model's own text that an edited one began as."""
    if score.method != "edited" or interaction is None or not interaction.messages:
        return None
    answer = interaction.messages[-1]
    return text_of(answer) if answer.role == "assistant" else None


def _preferred_over(each: Judgement) -> str | None:
    score = each.held.score
    counts = score.method == "pairwise" and score.value != 0.5 and each.superseded_by is None
    return score.over if counts else None


def _observed(score: Score, value: float) -> tuple[float, float]:
    """The bare share of what was counted, and how often it was: a win rate brings its battles, all else is one."""
    if score.method != "win_rate":
        return value, 1.0
    count = battles(score)
    return ((score.wins or 0) + (score.ties or 0) / 2) / count, float(count)


def _told(each: Judgement) -> str:
    score = each.held.score
    said = [f", {name} {getattr(score, name):g}" for name in METHODS[score.method].fields if _is_number(score, name)]
    begin = f"{score.method}{''.join(said)} ({score.rater} {each.judge or 'unknown'}, event {each.held.event_id}): "
    if each.superseded_by == each.held.event_id:
        return f"{begin}said again later in the event"
    if each.superseded_by is not None:
        return f"{begin}superseded by event {each.superseded_by}"
    if each.value is not None:
        return f"{begin}worth {each.value:.2f}, weighs {each.weight:.3g}"
    if score.method == "pairwise":
        return (
            f"{begin}{'as good as' if score.value == 0.5 else 'preferred over'} interaction {score.over}, rates nothing"
        )
    why = ", for there is no answer to compare it with" if score.method == "edited" else ""
    return f"{begin}rates nothing{why}"


def _is_number(score: Score, name: str) -> bool:
    return isinstance(getattr(score, name), (int, float))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + "s" * (number != 1)
