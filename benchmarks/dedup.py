"""Near duplicates: found against exact Jaccard, cost beside datasketch's own Redis LSH, memory, and growth.

    python benchmarks/dedup.py [FILE] [--quick]

Starts the Redis that it needs, on a free port, as `deploy/local` does, and stops it. FILE is hh-rlhf NDJSON; default
the dialogues under MILLRACE_TEST_DATA, else made-up ones. Everything goes the way that curate takes:
`streams.runners.duplicates.find`, 500 samples at once, state in that Redis.

**Found.** Truth is counted apart from the stage, on sets of three words: a sample is a duplicate if prompt and output
of an earlier one both have a Jaccard similarity of at least 0.7. `recall`: of these, how many are called so;
`precision`: of those called so, how many are that similar to the one they point to. The headline is of all cases
together:

| case | what |
|---|---|
| texts | texts of 20 words or more without a prompt, and edited copies |
| both | dialogues, and copies with prompt and output edited |
| shared_prompt | answers to one prompt, and edited copies |
| stock_answer | prompts with one answer, and edited copies |
| template | prompts made from one template, one answer, and edited copies |
| short | texts of 1 to 10 words, and edited copies |

An edit replaces, drops, adds or swaps up to one in ten words.

**Cost.** Dialogues, a third of them edited copies, all new to an empty state. `docs_per_s` counts by the clock, with
one client: it and Redis take turns, so at no time is more than one core busy with it. `docs_per_cpu_s` divides by the
CPU time of both, which changes less with what else runs on the machine; `cpu_us` is CPU time a document by process.
datasketch gets the same texts, prompt and output as one, the same shingles, and is asked before it is told; it has no
TTL and knows no halves.

**Growth.** Documents put together from random sentences of the dialogues, measured in blocks when so many are there; a
fifth of a block are edited copies of any that were there before, of which `recall` says how many were found. The clock
is the median of a block's batches.

The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import re
import statistics
import sys
import tempfile
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

import redis
from datasketch import MinHash, MinHashLSH
from rich.console import Console
from rich.table import Table

from benchmarks import texts
from benchmarks.loads import dialogues
from benchmarks.ways import cpu_s
from deploy.local.servers import Redis
from streams.runners import duplicates
from streams.stages.dedup import Said
from streams.state.redis import RedisState

THRESHOLD: Final = 0.7
BATCH: Final = 500
"""As many samples as curate takes at once by default."""

TTL_S: Final = 90 * 86_400
LANE: Final = "bench/"
MAX_EDITED: Final = 0.1
GROWN: Final = (10_000, 100_000, 1_000_000)
BLOCK: Final = 4_000
ROUNDS: Final = 3
"""Of ours, of which the median by the clock counts: one takes less than a second."""


_WORD: Final = re.compile(r"\w+")
Sample = tuple[str, Said]


class Found(NamedTuple):
    """How a case was told. `true` of its `documents` are duplicates, of which `hits` were `called` so."""

    documents: int = 0
    true: int = 0
    hits: int = 0
    called: int = 0
    correct: int = 0

    def shares(self) -> dict[str, Any]:
        """Recall and precision, with how many there were."""
        recall, precision = self.hits / max(1, self.true), self.correct / max(1, self.called)
        return {
            "documents": self.documents,
            "true": self.true,
            "recall": round(recall, 4),
            "precision": round(precision, 4),
        }


class Cost(NamedTuple):
    """Of one document: CPU time of the client and of Redis, and the clock."""

    client_us: float
    redis_us: float
    wall_us: float


class Bench:
    """A Redis, and what is measured on it."""

    def __init__(self, server: Redis) -> None:
        self._server = server
        self._client = redis.Redis.from_url(server.url)

    def empty(self) -> RedisState:
        """A store on an empty Redis, with its scripts loaded."""
        self._client.flushall()
        state = RedisState(self._server.url)
        list(self.verdicts(state, [("warm", Said("warm/", "warm", "warm"))]))
        return state

    def used_bytes(self) -> int:
        """Redis's `used_memory`."""
        return int(self._client.info("memory")["used_memory"])

    def verdicts(self, state: RedisState, samples: Iterable[Sample]) -> Iterator[duplicates.Verdict]:
        """The verdict of each sample, in order."""
        remaining = iter(samples)
        while batch := list(itertools.islice(remaining, BATCH)):
            yield from duplicates.find(state, batch, THRESHOLD, TTL_S)

    def found(self, samples: Sequence[Sample]) -> Found:
        """How they are told on an empty state."""
        truth = Truth()
        verdicts = list(self.verdicts(self.empty(), samples))
        true = hits = called = correct = 0
        for (name, said), verdict in zip(samples, verdicts, strict=True):
            is_one, duplicate = truth.best(said) >= THRESHOLD, verdict.duplicate
            true += is_one
            hits += is_one and duplicate is not None
            if duplicate is not None:
                called += 1
                correct += truth.similarity(said, duplicate.of) >= THRESHOLD
            truth.add(name, said)
        return Found(len(samples), true, hits, called, correct)

    def cost(self, documents: int, work: Callable[[], object]) -> Cost:
        """What some work on so many documents costs."""
        pids = {"client": [os.getpid()], "redis": [self._server.pid or 0]}
        before, start = cpu_s(pids), time.perf_counter()
        work()
        wall, after = time.perf_counter() - start, cpu_s(pids)
        each_us = 1e6 / documents
        client, server = (round((after[name] - before[name]) * each_us, 1) for name in pids)
        return Cost(client, server, round(wall * each_us, 1))

    def ours(self, samples: Sequence[Sample]) -> tuple[Cost, float]:
        """Cost of new documents on an empty state, and the bytes that each leaves."""
        state = self.empty()
        before = self.used_bytes()
        cost = self.cost(len(samples), lambda: list(self.verdicts(state, samples)))
        return cost, (self.used_bytes() - before) / len(samples)

    def datasketch(self, samples: Sequence[Sample]) -> tuple[Cost, float]:
        """The same of datasketch's LSH in its own Redis layout."""
        self._client.flushall()
        host, port = self._server.address.split(":")
        storage = {"type": "redis", "basename": b"near", "redis": {"host": host, "port": int(port)}}
        index = MinHashLSH(threshold=THRESHOLD, num_perm=128, storage_config=storage)

        def work() -> None:
            for name, said in samples:
                sketch = MinHash(num_perm=128)
                runs = shingles(f"{said.prompt}\n{said.output}")
                sketch.update_batch([" ".join(run).encode() for run in runs])
                index.query(sketch)
                index.insert(name, sketch)

        before = self.used_bytes()
        return self.cost(len(samples), work), (self.used_bytes() - before) / len(samples)

    def growth(self, sentences: Sequence[str], sizes: Sequence[int]) -> list[dict[str, Any]]:
        """Cost, bytes and recall when so many documents are there."""
        # An append-only file of what no one reads back would be gigabytes and forks for its rewriting.
        self._client.config_set("appendonly", "no")
        state, chance = self.empty(), random.Random(5)
        empty_bytes, there, measured = self.used_bytes(), 0, []
        for size in sizes:
            filled = (put_together(sentences, number) for number in range(there, size - BLOCK))
            for _ in self.verdicts(state, filled):
                pass
            block = []
            for number in range(max(there, size - BLOCK), size):
                if number % 5:
                    block.append((put_together(sentences, number), False))
                else:
                    original = put_together(sentences, chance.randrange(size - BLOCK))[1]
                    copy = edited_both(original, chance)
                    alike = Truth.of(original, copy) >= THRESHOLD
                    block.append(((f"copy-{number}", copy), alike))
            verdicts: list[duplicates.Verdict] = []
            samples = [sample for sample, _ in block]
            walls: list[float] = []

            def work() -> None:
                for start in range(0, len(samples), BATCH):  # noqa: B023
                    before = time.perf_counter()
                    verdicts.extend(self.verdicts(state, samples[start : start + BATCH]))  # noqa: B023
                    walls.append((time.perf_counter() - before) / BATCH)  # noqa: B023

            cost = self.cost(len(block), work)._replace(wall_us=round(1e6 * statistics.median(walls), 1))
            there = size
            hits = [each.duplicate is not None for each, (_, alike) in zip(verdicts, block, strict=True) if alike]
            measured.append(
                {
                    "documents": size,
                    **cost._asdict(),
                    "recall": round(sum(hits) / max(1, len(hits)), 4),
                    "bytes_per_doc": round((self.used_bytes() - empty_bytes) / size),
                }
            )
        return measured


class Truth:
    """Exact Jaccard similarity, prompt and output, to all that was added."""

    def __init__(self) -> None:
        self._by_name: dict[str, tuple[frozenset[Any], frozenset[Any]]] = {}
        self._order: list[tuple[frozenset[Any], frozenset[Any]]] = []
        self._having: dict[Any, list[int]] = defaultdict(list)

    def add(self, name: str, said: Said) -> None:
        """Remember a sample."""
        halves = self._by_name[name] = self._halves(said)
        for shingle in halves[1]:
            self._having[shingle].append(len(self._order))
        self._order.append(halves)

    def best(self, said: Said) -> float:
        """The similarity of the most similar one; every output must have words."""
        prompt, output = self._halves(said)
        shared = Counter(itertools.chain.from_iterable(self._having.get(shingle, ()) for shingle in output))
        best = 0.0
        for at, count in shared.items():
            its_prompt, its_output = self._order[at]
            if count / (len(output) + len(its_output) - count) >= THRESHOLD:
                best = max(best, min(_jaccard(prompt, its_prompt), _jaccard(output, its_output)))
        return best

    def similarity(self, said: Said, name: str) -> float:
        """To the one of that name; 0 if there is none before."""
        if name not in self._by_name:
            return 0.0
        return min(itertools.starmap(_jaccard, zip(self._halves(said), self._by_name[name], strict=True)))

    @classmethod
    def of(cls, one: Said, other: Said) -> float:
        """Of two samples to each other."""
        return min(itertools.starmap(_jaccard, zip(cls._halves(one), cls._halves(other), strict=True)))

    @staticmethod
    def _halves(said: Said) -> tuple[frozenset[Any], frozenset[Any]]:
        return frozenset(shingles(said.prompt)), frozenset(shingles(said.output))


def _jaccard(one: frozenset[Any], other: frozenset[Any]) -> float:
    return len(one & other) / len(one | other) if one or other else 1.0


def shingles(text: str) -> set[tuple[str, ...]]:
    """Runs of three words, or all of a shorter text."""
    words = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    if len(words) < 3:
        return {tuple(words)} if words else set()
    return set(zip(words, words[1:], words[2:], strict=False))


def edited(text: str, share: float, chance: random.Random) -> str:
    """A text with about that share of its words replaced, dropped, followed by a new one, or swapped with the next."""
    words, made = text.split(), list[str]()
    for word in words:
        if chance.random() >= share:
            made.append(word)
            continue
        how, other = chance.randrange(4), chance.choice(words)
        if how == 0:
            made.append(f"{other}{chance.randrange(100)}")
        elif how == 1:
            made += [word, other]
        elif how == 2 and made:
            made.insert(-1, word)
    return " ".join(made) or text


def edited_both(said: Said, chance: random.Random) -> Said:
    """A sample with its halves edited, each by a share of its own."""
    shares = (chance.uniform(0, MAX_EDITED / 2), chance.uniform(0, MAX_EDITED / 2))
    return Said(said.lane, edited(said.prompt, shares[0], chance), edited(said.output, shares[1], chance))


def with_copies(originals: Sequence[Said], copies: int, chance: random.Random) -> list[Sample]:
    """Originals and edited copies of some, in any order."""

    def copy() -> Said:
        said = chance.choice(originals)
        shares = (chance.uniform(0, MAX_EDITED), chance.uniform(0, MAX_EDITED))
        return Said(said.lane, edited(said.prompt, shares[0], chance), edited(said.output, shares[1], chance))

    mixed = [*originals, *(copy() for _ in range(copies))]
    chance.shuffle(mixed)
    return [(f"s{number}", said) for number, said in enumerate(mixed)]


def put_together(sentences: Sequence[str], number: int) -> Sample:
    """The document of that number: always the same."""
    chance = random.Random(number)
    prompt, output = (" ".join(chance.choices(sentences, k=count)) for count in (2, 3))
    return f"d{number}", Said(LANE, prompt, output)


def cases(talks: Sequence[Said], quick: bool) -> dict[str, list[Sample]]:
    """The cases of the module's table."""
    chance, part = random.Random(3), 4 if quick else 1
    long = list({said.output: None for said in talks if len(said.output.split()) >= 20})
    prompts = list({said.prompt: None for said in talks if 5 <= len(said.prompt.split()) <= 150})
    short = [" ".join(said.output.split()[: chance.randint(1, 10)]) for said in talks]
    stock = "I am sorry, but I cannot help with that. Please write to our support team and tell them what happened."
    nouns = ("router", "phone", "laptop", "printer", "camera", "watch", "kettle", "lamp", "drill", "fridge")
    cities = ("Paris", "Oslo", "Lima", "Cairo", "Delhi", "Quito", "Turin", "Lagos", "Hanoi", "Boston")
    faults = ("hums", "leaks", "smells", "blinks", "clicks", "stops", "burns", "rattles", "freezes", "sparks")

    def templated() -> str:
        noun, city, fault = map(chance.choice, (nouns, cities, faults))
        days, order = chance.randrange(2, 40), chance.randrange(10_000, 99_999)
        return (
            f"Hello, {days} days ago I bought a {noun} in your shop in {city}, order {order}, and since yesterday it "
            f"{fault} whenever I use it for more than a few minutes, what should I do now?"
        )

    def said(pairs: Iterable[tuple[str, str]]) -> list[Said]:
        return [Said(LANE, prompt, output) for prompt, output in pairs if shingles(output)]

    originals = {
        "texts": said(("", text) for text in long[:3_000]),
        "both": said((one.prompt, one.output) for one in talks[: 3_000 // part]),
        "shared_prompt": said((prompts[0], text) for text in long[: 1_500 // part]),
        "stock_answer": said((prompt, stock) for prompt in prompts[: 1_500 // part]),
        "template": said((templated(), stock) for _ in range(800 // part)),
        "short": said(("", text) for text in short[: 2_000 // part]),
    }
    return {name: with_copies(each, len(each), chance) for name, each in originals.items()}


def talked(file: Path | None) -> list[Said]:
    """Dialogues: all but the last turn, and the last."""
    found = []
    for interaction, _ in dialogues(file, None):
        *before, last = (message.content or "" for message in interaction.messages)
        found.append(Said(LANE, "\n".join(before), last))
    return found


def measure(bench: Bench, talks: Sequence[Said], quick: bool) -> dict[str, Any]:
    """Everything."""
    by_case = {name: bench.found(samples) for name, samples in cases(talks, quick).items()}
    together = Found(*map(sum, zip(*by_case.values(), strict=True))).shares()
    chance = random.Random(4)
    load = with_copies(talks, len(talks) // 2, chance)
    ours, bytes_per_doc = sorted((bench.ours(load) for _ in range(ROUNDS)), key=lambda one: one[0].wall_us)[ROUNDS // 2]
    theirs, their_bytes = bench.datasketch(load[: 500 if quick else 2_000])
    sentences = list({part for said in talks for half in said[1:] for part in re.split(r"(?<=[.?!])\s+", half) if part})
    return {
        **{name: together[name] for name in ("recall", "precision", "documents")},
        "cases": {name: found.shares() for name, found in by_case.items()},
        "docs_per_s": round(1e6 / ours.wall_us),
        "docs_per_cpu_s": round(1e6 / (ours.client_us + ours.redis_us)),
        "cpu_us": ours._asdict(),
        "datasketch_docs_per_s": round(1e6 / theirs.wall_us),
        "datasketch_cpu_us": theirs._asdict(),
        "ratio": round(theirs.wall_us / ours.wall_us, 1),
        "bytes_per_doc": round(bytes_per_doc),
        "datasketch_bytes_per_doc": round(their_bytes),
        "growth": bench.growth(sentences, GROWN[:2] if quick else GROWN),
    }


def tables(measured: dict[str, Any]) -> Iterator[Table]:
    """The cases and the growth, for people."""
    for title, rows in (
        ("found", [{"case": name, **found} for name, found in measured["cases"].items()]),
        ("growth", measured["growth"]),
    ):
        table = Table(*rows[0], title=title)
        for row in rows:
            table.add_row(*(f"{value:,}" if isinstance(value, int | float) else value for value in row.values()))
        yield table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, help="hh-rlhf NDJSON, may be gzipped")
    parser.add_argument("--quick", action="store_true", help="fewer documents, and growth to 100,000")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Redis(Path(folder)).start()
        try:
            measured = measure(Bench(server), talked(asked.file or texts.dialogues()), asked.quick)
        finally:
            server.stop()
    for table in tables(measured):
        Console(stderr=True).print(table)
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
