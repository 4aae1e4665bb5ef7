"""Redaction against stock Presidio: the same findings, and how much faster.

    python benchmarks/redaction.py [--texts N] [--seed N]

Both engines run in this process on the same recognizers, alternating by blocks of texts, in CPU time; a block's ratio
is stock's time over ours, and the median over the blocks is given. Both are warmed up on other texts, and what is
loaded by then is frozen for the garbage collector, as a worker does it. `differences` counts texts of which any finding
differs in type, start, end or score, at threshold 0.

`texts_per_s_with_names` is the whole detector (patterns, secrets, names, disguises, and again on what is left) on
300-character texts of dialogues, each seen once. `…_memo` is the same behind its memo, on the messages of the dialogues
as chat sends them: each turn with all turns before it. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

from rich.console import Console
from rich.table import Table

from benchmarks import texts
from streams.redaction import Analyzer, configured
from streams.redaction.memo import Memo
from streams.redaction.presidio import PresidioAnalyzer
from streams.redaction.presidio.stock import StockAnalyzer
from streams.settings import Settings

BLOCK = 100
WARM_UP = 10_000  # all others that there are, and a few dense ones: what a worker has seen after some seconds
MEMO_TEXTS = 50_000


class Comparison(NamedTuple):
    """One mix: microseconds of CPU a text, median over blocks, and the texts whose findings differ."""

    mix: str
    texts: int
    findings: int
    stock_us: float
    fast_us: float
    ratio: float
    differences: int


def main() -> None:
    """Run the benchmark and print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=2_000, help="of each mix")
    parser.add_argument("--seed", type=int, default=2, help="of the made-up PII")
    asked = parser.parse_args()
    if texts.dialogues() is None:
        print("MILLRACE_TEST_DATA is not set: made-up chat instead of the real dialogues")
    stock, fast, full = StockAnalyzer(), PresidioAnalyzer(min_score=0.0), configured.detector(Settings())
    mixes = {
        "clean": texts.clean(asked.texts),
        "mix": texts.mixed(asked.texts, asked.seed),
        "dense": texts.dense(asked.texts, asked.seed + 1),
    }
    warm = [*texts.clean(asked.texts + WARM_UP)[asked.texts :], *texts.dense(200, asked.seed + 2)]
    for engine in (stock, fast, full):
        _microseconds(engine, warm)
    gc.collect()
    gc.freeze()
    compared = [compare(mix, each, stock, fast) for mix, each in mixes.items()]
    speeds = {
        "texts_per_s_with_names": per_second(full, mixes["clean"]),
        "texts_per_s_with_names_mix": per_second(full, mixes["mix"]),
        "texts_per_s_with_names_dense": per_second(full, mixes["dense"]),
    }
    memo, hits = with_memo(full, texts.conversations(asked.texts))
    show(compared, speeds, memo, hits)
    result: dict[str, Any] = {"differences": sum(each.differences for each in compared)}
    result |= {"texts": sum(each.texts for each in compared), "findings": sum(each.findings for each in compared)}
    result |= {f"ratio_{each.mix}": round(each.ratio, 1) for each in compared}
    result |= {name: round(speed) for name, speed in speeds.items()}
    result |= {"texts_per_s_with_names_memo": round(memo), "memo_hit_rate": round(hits, 3)}
    result |= {"real_dialogues": texts.dialogues() is not None, "machine": platform.machine()}
    print(json.dumps(result))


def compare(mix: str, each: Sequence[str], stock: Analyzer, fast: Analyzer) -> Comparison:
    """Both engines over a mix, alternating."""
    stock_us, fast_us, differences, findings = [], [], 0, 0
    for number, block in enumerate(_blocks(each)):
        engines = (stock, fast) if number % 2 else (fast, stock)
        us = {engine: _microseconds(engine, block) for engine in engines}
        stock_us.append(us[stock])
        fast_us.append(us[fast])
        for text in block:
            expected = _comparable(stock, text)
            findings += len(expected)
            differences += expected != _comparable(fast, text)
    ratio = statistics.median(slow / quick for slow, quick in zip(stock_us, fast_us, strict=True))
    medians = statistics.median(stock_us), statistics.median(fast_us)
    return Comparison(mix, len(each), findings, *medians, ratio, differences)


def per_second(engine: Analyzer, each: Sequence[str]) -> float:
    """Texts of CPU second, median over blocks."""
    return 1e6 / statistics.median(_microseconds(engine, block) for block in _blocks(each))


def with_memo(engine: Analyzer, conversations: Iterable[Sequence[str]]) -> tuple[float, float]:
    """Messages a CPU second behind a memo, where each turn brings all turns before it; and the memo's hit rate."""
    seen = {True: 0, False: 0}

    def count(hit: bool) -> None:
        seen[hit] += 1

    memo = Memo(engine, MEMO_TEXTS, count)
    spent = 0.0
    for messages in conversations:
        for turn in range(2, len(messages) + 1, 2):
            spent += _microseconds(memo, messages[:turn]) * turn
    return sum(seen.values()) / spent * 1e6, seen[True] / sum(seen.values())


def show(compared: Sequence[Comparison], speeds: dict[str, float], memo: float, hits: float) -> None:
    """The tables."""
    table = Table("mix", "texts", "findings", "differences", "stock µs", "fast µs", "ratio")
    for each in compared:
        us = (f"{each.stock_us:.0f}", f"{each.fast_us:.0f}")
        table.add_row(each.mix, str(each.texts), str(each.findings), str(each.differences), *us, f"{each.ratio:.1f}")
    console = Console(width=100)
    console.print(table)
    for name, speed in speeds.items():
        console.print(f"{name}: {speed:,.0f}")
    console.print(f"texts_per_s_with_names_memo: {memo:,.0f} (hit rate {hits:.1%})")


def _blocks(each: Sequence[str]) -> Iterable[Sequence[str]]:
    return (each[start : start + BLOCK] for start in range(0, len(each), BLOCK))


def _microseconds(engine: Analyzer, block: Sequence[str]) -> float:
    """CPU time a text."""
    analyze: Callable[[str], object] = engine.analyze
    start = time.process_time()
    for text in block:
        analyze(text)
    return (time.process_time() - start) / len(block) * 1e6


def _comparable(engine: Analyzer, text: str) -> list[tuple[str, int, int, float]]:
    return sorted((each.type, each.start, each.end, round(each.score, 9)) for each in engine.analyze(text))


if __name__ == "__main__":
    main()
