"""Drift that can be trusted: how often it fires at nothing, and how often at a topic that grows.

    python benchmarks/drift.py [--quick] [--streams N] [--reference ROWS] [--window ROWS] [--evidently PYTHON]

A population of dialogues (those of MILLRACE_TEST_DATA, else made-up ones) is drawn from with replacement, so that
whatever is drawn twice comes from the same distribution. Labels and scores are drawn apart from the text: only the text
can tell a topic, while Holm's price is paid for all features.

- false_trigger_rate: share of streams of 30 checks against one reference, nothing moving, in which drift is declared
  at least once; also with five copies of each source, by cluster and, for one window, by row.
- power: share of pairs of windows, a topic moving from 14 to 45 %, in which drift is declared: both windows must say
  so. A topic is the dialogues that mention its words at least twice; the figure is the mean over topics.
- The same streams by Evidently's rule for text: a domain classifier with an AUC above 0.55. It needs a Python that has
  Evidently: this one, or the one named.

95 % intervals are Wilson's. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib.util
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"  # one core, Evidently's process too
os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.texts import dialogues
from trainer_trigger.drift import HashedNgrams, Outcome, Prepared, Row, check, judge, prepare
from trainer_trigger.drift.text import Floats, features

CHECKS = 30
COPIES = 5
BEFORE, AFTER = 0.14, 0.45
MENTIONS = 2
FEWEST_DIALOGUES = 100
"""Of a topic: from few dialogues the same ones come again and again, which is easier to see than a topic."""

TOPICS = {
    "drugs": "drug drugs cocaine heroin meth weed marijuana addict overdose pills alcohol drunk drinking drink smoke",
    "addresses": "address addresses phone residence lives live locate residential email find street",
    "insults": "insult insults insulting slur slurs offensive curse cuss swear rude mean names jerk",
    "theft": "steal stealing stole theft shoplift rob robbery thief store break lock car cars",
    "violence": "kill killing murder murdered shoot gun guns bomb weapon weapons knife fight hurt",
    "race": "black white racist racism race jews jewish muslim muslims asian mexican mexicans",
    "money": "money bank credit card pay tax taxes cash scam buy sell",
    "family": "wife husband kids kid child children mom mother dad father parents girlfriend boyfriend",
}

_INTENTS = ("ask", "complain", "chat", "order", "cancel", "other")
_TASKS = ("qa", "chat")
_LANGUAGES = ("en", "de", "fr")
_LANGUAGE_SHARES = (0.9, 0.06, 0.04)

_OPENINGS = ("How do I", "Can you tell me how to", "What is the best way to", "I don't know how to", "Why should I")
_DEEDS = {
    "baking": ("bake bread", "knead dough", "feed a sourdough", "heat the oven"),
    "bicycles": ("patch a tyre", "oil a bicycle chain", "adjust the brakes", "true a wheel"),
    "gardens": ("prune roses", "compost leaves", "sow beans", "water the seedlings"),
    "letters": ("write a letter", "thank my team", "decline an offer", "ask for a rise"),
    "music": ("tune a guitar", "read sheet music", "practise scales", "record a song"),
    "travel": ("pack a suitcase", "book a night train", "renew a passport", "find a hostel"),
}
_TURNS = ("in an afternoon", "when it rains", "on a small budget", "if nobody is there to help", "with my neighbour")
_ANSWERS = (
    "Start small and be patient.",
    "That depends on what you have.",
    "There are two ways.",
    "Ask a friend first.",
)

Picks = NDArray[np.intp]


class Population(NamedTuple):
    """Texts that are drawn from; `topics` has the places of each topic's."""

    name: str
    texts: Sequence[str]
    text: Floats
    """Random features of each text, made once."""
    words: NDArray[np.float64]
    topics: Mapping[str, Picks]

    def rest(self, topic: str) -> Picks:
        return np.setdiff1d(np.arange(len(self.texts)), self.topics[topic])


class Streams(NamedTuple):
    """What streams of CHECKS windows without drift said."""

    tried: int
    fired: int
    """Streams in which drift was declared."""
    fired_any: int
    """The same if any feature in each of two windows were enough."""
    moved: int
    """Windows in which something moved."""


class Power(NamedTuple):
    """Of one topic: pairs of windows tried, and those in which drift was declared."""

    pairs: int
    found: int
    first: int
    """Pairs whose first window moved."""


def population(seed: int = 1) -> Population:
    """The real dialogues, where they are; else 2,000 made-up ones."""
    file = dialogues()
    texts, topics = made_up(2_000, random.Random(seed)) if file is None else _real(file)
    return Population(
        "made-up dialogues" if file is None else "dialogues",
        texts,
        np.concatenate(list(features(texts, HashedNgrams()))),
        np.array([len(text.split()) for text in texts], np.float64),
        topics,
    )


def made_up(count: int, chance: random.Random) -> tuple[list[str], dict[str, Picks]]:
    """Dialogues of one topic each, which share everything but what is asked for."""
    names = list(_DEEDS)
    drawn = [chance.choice(names) for _ in range(count)]
    texts = []
    for name in drawn:
        parts = (_OPENINGS, _DEEDS[name], _TURNS)
        asked = [" ".join(map(chance.choice, parts)) for _ in range(chance.randint(1, 4))]
        texts.append(" ".join(f"{each}? {chance.choice(_ANSWERS)}" for each in asked))
    return texts, {name: np.array([at for at, each in enumerate(drawn) if each == name], np.intp) for name in names}


def draw(
    people: Population, picks: Picks, rng: np.random.Generator, *, copies: int = 1, by_row: bool = False
) -> Prepared:
    """A side as `prepare` would make it, of `copies` rows a pick, out of features that are there already.

    `by_row` forgets the clusters: each row is then one of its own. Reports cannot be made of it: it has no rows.
    """
    rows = np.repeat(picks, copies)
    sources = np.repeat(np.arange(len(picks)), copies)
    units = np.arange(len(rows)) if by_row else sources
    name = rng.bytes(16)
    return Prepared(
        rows=(),
        units=units,
        firsts=np.flatnonzero(np.diff(units, prepend=-1)),
        text=people.text[rows if by_row else picks],
        labels={
            "intent": _labels(_INTENTS, rng.integers(len(_INTENTS), size=len(picks))[sources]),
            "language": _labels(_LANGUAGES, rng.choice(len(_LANGUAGES), len(picks), p=_LANGUAGE_SHARES)[sources]),
            "task_type": _labels(_TASKS, rng.integers(len(_TASKS), size=len(picks))[sources]),
        },
        numbers={"words": people.words[rows], "score": rng.random(len(picks))[sources]},
        row_count=len(rows),
        cluster_count=units[-1] + 1,
        digest=hashlib.blake2b(name, digest_size=16).digest(),
        members=name[:8],
        featuriser=HashedNgrams.name,
    )


def quiet_streams(
    people: Population, count: int, reference: int, window: int, *, copies: int = 1, seed: int = 1
) -> Streams:
    """Streams of CHECKS windows each, all drawn from the population as the reference is."""
    fired = fired_any = moved = 0
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        before = draw(people, _any(people, reference // copies, rng), rng, copies=copies)
        outcomes = [
            check(before, draw(people, _any(people, window // copies, rng), rng, copies=copies)) for _ in range(CHECKS)
        ]
        fired += "drift" in _kinds(outcomes)
        fired_any += any(one.moved and other.moved for one, other in pairwise(outcomes))
        moved += sum(bool(outcome.moved) for outcome in outcomes)
    return Streams(count, fired, fired_any, moved)


def by_row(people: Population, count: int, reference: int, window: int, seed: int = 2) -> int:
    """Single windows of COPIES rows a source, nothing moving, that move if rows are permuted and not clusters."""
    moved = 0
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        before, after = (
            draw(people, _any(people, rows // COPIES, rng), rng, copies=COPIES, by_row=True)
            for rows in (reference, window)
        )
        moved += bool(check(before, after).moved)
    return moved


def powers(people: Population, pairs: int, reference: int, window: int, seed: int = 3) -> dict[str, Power]:
    """Of each topic: `pairs` references, each with two windows after the move."""
    found = {}
    for at, topic in enumerate(people.topics):
        declared = first = 0
        for number in range(pairs):
            rng = np.random.default_rng((seed, at, number))
            sides = moving(people, topic, reference, window, rng)
            before, *after = (draw(people, picks, rng) for picks in sides)
            outcomes = [check(before, side) for side in after]
            declared += "drift" in _kinds(outcomes)
            first += bool(outcomes[0].moved)
        found[topic] = Power(pairs, declared, first)
    return found


def moving(people: Population, topic: str, reference: int, window: int, rng: np.random.Generator) -> list[Picks]:
    """A reference with BEFORE of the topic, and two windows with AFTER of it."""
    rest = people.rest(topic)

    def mixed(count: int, share: float) -> Picks:
        some = int(rng.binomial(count, share))
        return np.concatenate([rng.choice(people.topics[topic], some), rng.choice(rest, count - some)])

    return [mixed(reference, BEFORE), mixed(window, AFTER), mixed(window, AFTER)]


class Evidently(NamedTuple):
    """Evidently's rule, a window at a time as it is meant, and also in two windows running."""

    streams: int
    fired: int
    fired_twice: int
    """Streams in which two windows running were above the threshold."""
    moved: int
    pairs: int
    found: int
    """Of `pairs` first windows after the move, those above the threshold."""
    found_twice: int
    ms: float
    """A check."""


def evidently(python: str, people: Population, streams: int, pairs: int, reference: int, window: int) -> Evidently:
    """The texts of the first streams and pairs of `quiet_streams` and `powers`, given to Evidently."""
    quiet = []
    for number in range(streams):
        rng = np.random.default_rng((1, number))
        picks = _any(people, reference, rng)
        draw(people, picks, rng)  # so that the windows are those that our own rule saw
        for _ in range(CHECKS):
            after = _any(people, window, rng)
            draw(people, after, rng)
            quiet.append((picks, after))
    moved = []
    for at, topic in enumerate(people.topics):
        for number in range(pairs):
            before, *windows = moving(people, topic, reference, window, np.random.default_rng((3, at, number)))
            moved += [(before, each) for each in windows]
    started = time.perf_counter()
    fires = np.array(list(_aucs(python, people.texts, [*quiet, *moved]))) > 0.55
    spent = time.perf_counter() - started
    still, grown = fires[: len(quiet)].reshape(streams, CHECKS), fires[len(quiet) :].reshape(-1, 2)
    return Evidently(
        streams=streams,
        fired=int(still.any(axis=1).sum()),
        fired_twice=int((still[:, 1:] & still[:, :-1]).any(axis=1).sum()),
        moved=int(still.sum()),
        pairs=len(grown),
        found=int(grown[:, 0].sum()),
        found_twice=int(grown.all(axis=1).sum()),
        ms=1_000 * spent / len(fires),
    )


def wilson(count: int, of: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson, 1927)."""
    z, share = 1.96, count / of
    middle, spread = share + z * z / (2 * of), z * np.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    scale = 1 + z * z / of
    return round(max(0.0, float((middle - spread) / scale)), 4), round(min(1.0, float((middle + spread) / scale)), 4)


def cost(people: Population, reference: int, window: int, times: int = 10) -> tuple[float, float, float]:
    """Milliseconds to prepare a window, to check it where nothing moves, and where a topic does."""
    rng = np.random.default_rng(4)

    def rows(picks: Picks, name: str) -> list[Row]:
        return [
            Row(sample_id=f"{name}{at}", cluster=f"{name}{at}", text=people.texts[pick], words=people.words[pick])
            for at, pick in enumerate(picks)
        ]

    topic = next(iter(people.topics))
    preparing: list[float] = []
    still: list[float] = []
    grown: list[float] = []
    for number in range(times):
        before = draw(people, _any(people, reference, rng), rng)
        given = rows(_any(people, window, rng), f"{number}-")
        started = time.perf_counter()
        prepare(given)
        preparing.append(time.perf_counter() - started)
        base, after, _ = moving(people, topic, reference, window, rng)
        sides = [(before, _any(people, window, rng), still), (draw(people, base, rng), after, grown)]
        for side, picks, spent in sides:
            other = draw(people, picks, rng)
            started = time.perf_counter()
            check(side, other)
            spent.append(time.perf_counter() - started)
    one, two, three = (round(1_000 * float(np.median(each)), 1) for each in (preparing, still, grown))
    return one, two, three


def _real(file: Path) -> tuple[list[str], dict[str, Picks]]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        texts = [" ".join(json.loads(line)["chosen"].split()) for line in lines]
    said = [re.findall(r"[a-z]+", text.lower()) for text in texts]
    topics = {}
    for name, listed in TOPICS.items():
        wanted = set(listed.split())
        places = [at for at, words in enumerate(said) if sum(word in wanted for word in words) >= MENTIONS]
        if len(places) >= FEWEST_DIALOGUES:
            topics[name] = np.array(places, np.intp)
    return texts, topics


def _any(people: Population, count: int, rng: np.random.Generator) -> Picks:
    return rng.integers(len(people.texts), size=count)


def _labels(names: Sequence[str], drawn: Picks) -> tuple[str, ...]:
    return tuple(names[code] for code in drawn.tolist())


def _kinds(outcomes: Sequence[Outcome]) -> list[str]:
    kinds: list[str] = []
    history: Outcome | None = None
    for outcome in outcomes:
        verdict = judge(history, outcome)
        history = verdict.history
        kinds.append(verdict.kind)
    return kinds


_PEER = """
import json, sys, warnings
warnings.filterwarnings("ignore")
import pandas
from evidently.legacy.utils.data_drift_utils import calculate_text_drift_score
texts = json.loads(sys.stdin.readline())
for line in sys.stdin:
    before, after = (pandas.Series([texts[at] for at in side]) for side in json.loads(line))
    print(calculate_text_drift_score(before, after, bootstrap=False, threshold=0.55)[0], flush=True)
"""
"""Evidently's own function behind its method `abs_text_content_drift`, in a process of its own."""


def _aucs(python: str, texts: Sequence[str], checks: Sequence[tuple[Picks, Picks]]) -> Iterator[float]:
    sent = [json.dumps(list(texts)), *(json.dumps([one.tolist(), other.tolist()]) for one, other in checks)]
    done = subprocess.run(
        [python, "-c", _PEER], input="\n".join(sent) + "\n", stdout=subprocess.PIPE, text=True, check=True
    )
    yield from map(float, done.stdout.split())


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--quick", action="store_true", help="a tenth of everything: to see that it runs")
    asked.add_argument("--streams", type=int, help="of 30 checks each (500)")
    asked.add_argument("--reference", type=int, default=1_000, help="rows of the reference (1000)")
    asked.add_argument("--window", type=int, default=300, help="rows of a window (300)")
    asked.add_argument("--evidently", metavar="PYTHON", help="a Python that has Evidently; else this one, if it has")
    given = asked.parse_args()
    streams = given.streams or (50 if given.quick else 500)
    copied, rowed, pairs = (100, 10, 3) if given.quick else (1_000, 50, 25)
    theirs = (2, 2) if given.quick else (10, 6)
    python = given.evidently or (sys.executable if importlib.util.find_spec("evidently") else None)
    console = Console(stderr=not sys.stdout.isatty())

    began = time.perf_counter()
    people = population()
    sizes = given.reference, given.window
    preparing, still, grown = cost(people, *sizes)
    quiet = quiet_streams(people, streams, *sizes)
    console.print(f"{streams} streams without drift after {time.perf_counter() - began:.0f} s")
    twins = quiet_streams(people, copied, *sizes, copies=COPIES, seed=5)
    rows = by_row(people, rowed, *sizes)
    topics = powers(people, pairs, *sizes)
    equal = powers(people, pairs, given.window, given.window, seed=6)
    console.print(f"clusters and topics after {time.perf_counter() - began:.0f} s")
    peer = evidently(python, people, *theirs, *sizes) if python else None

    tried, found = sum(each.pairs for each in topics.values()), sum(each.found for each in topics.values())
    table = Table("", "share", "95 %", "of", title=f"{people.name}: {sizes[0]} rows of reference, {sizes[1]} a window")

    def line(name: str, count: int, of: int) -> None:
        low, high = wilson(count, of)
        table.add_row(name, f"{count / of:.4f}", f"{low:.4f} to {high:.4f}", str(of))

    line(f"fires in {CHECKS} checks without drift", quiet.fired, quiet.tried)
    line("  if any feature twice were enough", quiet.fired_any, quiet.tried)
    line("  one window moves", quiet.moved, quiet.tried * CHECKS)
    line(f"{COPIES} copies of each source: fires", twins.fired, twins.tried)
    line("  one window moves", twins.moved, twins.tried * CHECKS)
    line("  one window moves, permuted by row", rows, rowed)
    line(f"topic {BEFORE:.0%} → {AFTER:.0%}: found", found, tried)
    for name, power in topics.items():
        line(f"  {name} ({len(people.topics[name])} dialogues)", power.found, power.pairs)
    line("  first window alone", sum(each.first for each in topics.values()), tried)
    line(f"  reference of {sizes[1]} too", sum(each.found for each in equal.values()), tried)
    if peer:
        line(f"Evidently fires in {CHECKS} checks", peer.fired, peer.streams)
        line("  in two windows running", peer.fired_twice, peer.streams)
        line("  one window", peer.moved, peer.streams * CHECKS)
        line("  topic found in one window", peer.found, peer.pairs)
        line("  topic found in two running", peer.found_twice, peer.pairs)
    console.print(table)
    print(
        json.dumps(
            {
                "data": people.name,
                "reference_rows": sizes[0],
                "window_rows": sizes[1],
                "false_trigger_rate": quiet.fired / quiet.tried,
                "false_trigger_rate_95": wilson(quiet.fired, quiet.tried),
                "streams": quiet.tried,
                "false_trigger_rate_any_feature": quiet.fired_any / quiet.tried,
                "false_window_rate": round(quiet.moved / quiet.tried / CHECKS, 5),
                "copies": {
                    "false_trigger_rate": twins.fired / twins.tried,
                    "false_trigger_rate_95": wilson(twins.fired, twins.tried),
                    "false_window_rate": round(twins.moved / twins.tried / CHECKS, 5),
                    "false_window_rate_by_row": rows / rowed,
                },
                "power": round(found / tried, 3),
                "power_95": wilson(found, tried),
                "power_by_topic": {name: each.found / each.pairs for name, each in topics.items()},
                "power_one_window": round(sum(each.first for each in topics.values()) / tried, 3),
                "power_reference_as_window": round(sum(each.found for each in equal.values()) / tried, 3),
                "evidently": peer
                and {
                    "false_trigger_rate": peer.fired / peer.streams,
                    "false_trigger_rate_twice": peer.fired_twice / peer.streams,
                    "false_window_rate": round(peer.moved / peer.streams / CHECKS, 4),
                    "power": round(peer.found / peer.pairs, 3),
                    "power_twice": round(peer.found_twice / peer.pairs, 3),
                    "ms_per_check": round(peer.ms, 1),
                },
                "ms_per_check": still,
                "ms_per_check_moved": grown,
                "ms_to_prepare_window": preparing,
                "seconds": round(time.perf_counter() - began),
            }
        )
    )


if __name__ == "__main__":
    main()
