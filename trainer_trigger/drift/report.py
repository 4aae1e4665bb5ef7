"""What moved, by how much, and which samples show it."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from trainer_trigger.drift.categorical import Shares
from trainer_trigger.drift.check import Outcome, Shortage, feature_columns
from trainer_trigger.drift.errors import DriftError
from trainer_trigger.drift.rows import Prepared, Row, limited
from trainer_trigger.drift.text import shortened

EXAMPLES: Final = 5
EXCERPT_CHARS: Final = 300
MOST_SHARES: Final = 8

FEWEST_CLUSTERS: Final = 5
"""A word of fewer clusters is not named: it says little, and may name somebody."""

_CJK: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD: Final = re.compile(rf"<\w+>|[{_CJK}]|[^\W{_CJK}]+")
"""A placeholder is a word, and so is a character of a script without spaces."""


class Share(Struct, frozen=True):
    """Of clusters in a category, or with a word in them, in [0, 1]."""

    name: str
    before: float
    after: float


class Example(Struct, frozen=True):
    """A sample that is typical of one side and not of the other."""

    sample_id: str
    text: str
    """Its first EXCERPT_CHARS."""


class FeatureReport(Struct, frozen=True, kw_only=True):
    """One feature; see `FeatureTest` for the numbers."""

    feature: str
    moved: bool
    p: float
    adjusted: float
    distance: float
    by_chance: float
    shares: tuple[Share, ...]
    """The categories, bins or words whose share changed most, the greatest change first; of words the clearest."""
    new: tuple[Example, ...] = ()
    """Of the window: where there is more now. Only of what moved, as is `gone`."""
    gone: tuple[Example, ...] = ()
    """Of the reference: where there is less now."""


class Report(Struct, frozen=True, kw_only=True):
    """One window against the reference, for people. Holds texts: keep it where the samples are kept."""

    alpha: float
    reference_rows: int
    reference_clusters: int
    window_rows: int
    window_clusters: int
    features: tuple[FeatureReport, ...]
    """The lowest p-value first; none where there were too few rows."""
    shortages: tuple[Shortage, ...] = ()


def report(reference: Prepared, window: Prepared, outcome: Outcome) -> Report:
    """Raises DriftError where `outcome` is not of these rows."""
    if (outcome.reference, outcome.window) != (reference.digest.hex(), window.digest.hex()):
        raise DriftError("the outcome is not of these rows")
    window = limited(window, len(reference.text))
    known = feature_columns(reference, window) if outcome.tests else {}
    split = len(window.text)
    found = []
    for test in sorted(outcome.tests, key=lambda test: (test.adjusted, test.p)):
        columns = known.get(test.feature)
        features = np.concatenate([window.text, reference.text]) if columns is None else columns.shares
        after, before = features[:split].mean(axis=0), features[split:].mean(axis=0)
        shares = _words(reference, window) if columns is None else _largest(columns.names, before, after)
        moved = test.feature in outcome.moved
        witness = features @ (after - before)  # where the density of one side is above the other's
        found.append(
            FeatureReport(
                feature=test.feature,
                moved=moved,
                p=test.p,
                adjusted=test.adjusted,
                distance=test.distance,
                by_chance=test.by_chance,
                shares=shares,
                new=_examples(window, -witness[:split]) if moved else (),
                gone=_examples(reference, witness[split:]) if moved else (),
            )
        )
    return Report(
        alpha=outcome.alpha,
        reference_rows=outcome.reference_rows,
        reference_clusters=outcome.reference_clusters,
        window_rows=outcome.window_rows,
        window_clusters=outcome.window_clusters,
        features=tuple(found),
        shortages=outcome.shortages,
    )


def explain(told: Report) -> str:
    """The report in lines of words."""
    lines = [
        f"reference: {told.reference_rows} rows in {told.reference_clusters} clusters; "
        f"window: {told.window_rows} in {told.window_clusters}"
    ]
    lines += [
        f"not enough data: the {each.side} has {each.rows} rows, {each.missing} are missing to {each.needed}"
        for each in told.shortages
    ]
    for each in told.features:
        lines.append(
            f"{each.feature.replace('_', ' ')} {'moved' if each.moved else 'did not move'}: "
            f"p = {each.adjusted:.3g} after Holm, distance {each.distance:.3f}, by chance {each.by_chance:.3f}"
        )
        if each.moved:
            lines += [f"  {share.name}: {share.before:.1%} → {share.after:.1%}" for share in each.shares]
            for title, examples in (("new", each.new), ("gone", each.gone)):
                lines += [f"  {title}: {example.sample_id}: {' '.join(example.text.split())}" for example in examples]
    return "\n".join(lines)


def _largest(names: tuple[str, ...], before: Shares, after: Shares) -> tuple[Share, ...]:
    order = np.argsort(-np.abs(after - before), kind="stable")[:MOST_SHARES]
    return tuple(Share(names[at], float(before[at]), float(after[at])) for at in order)


def _words(reference: Prepared, window: Prepared) -> tuple[Share, ...]:
    """Words by how surely the share of clusters with them changed: z of two proportions."""
    before, after = _clusters_by_word(reference), _clusters_by_word(window)
    known = sorted(word for word, count in (before + after).items() if count >= FEWEST_CLUSTERS)
    if not known:
        return ()
    sides = np.array([len(reference.firsts), len(window.firsts)])
    counts = np.array([(before[word], after[word]) for word in known])
    shares = counts / sides
    pooled = counts.sum(axis=1) / sides.sum()
    spread = np.sqrt(pooled * (1 - pooled) * (1 / sides).sum())
    certainty = np.abs(shares[:, 1] - shares[:, 0]) / np.where(spread > 0, spread, 1)
    order = np.argsort(-certainty, kind="stable")[:MOST_SHARES]
    return tuple(Share(known[at], float(shares[at, 0]), float(shares[at, 1])) for at in order)


def _clusters_by_word(side: Prepared) -> Counter[str]:
    found: Counter[str] = Counter()
    for first in side.firsts:
        found.update(set(_WORD.findall(shortened(side.rows[first].text).lower())))
    return found


def _examples(side: Prepared, order: NDArray[np.floating]) -> tuple[Example, ...]:
    chosen: list[Row] = [side.rows[side.firsts[unit]] for unit in np.argsort(order, kind="stable")[:EXAMPLES]]
    return tuple(Example(row.sample_id, row.text[:EXCERPT_CHARS]) for row in chosen)
