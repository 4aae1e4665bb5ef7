"""Measures the names model: precision and recall of people, places and organisations on texts it was not trained on.

    python benchmarks/names.py [--data DIR]

`DIR` (or the environment's MILLRACE_TEST_DATA) holds `names/*.conll` and `pii/generated_small.json`. What is missing
is left out and said; with nothing there, three sentences of its own are measured and the exit status is still 0.

How it counts:

- By overlap: a labelled name is found if a finding of its type shares a character with it (recall), and a finding is
  right if it shares a character with a labelled name of its type (precision). `exact`: the same first and last one.
- CoNLL: person and PER are people, location and LOC places, corporation, group and ORG organisations (so a band or a
  team counts as one). `all` adds up the three types, each still to be of the right type.
- Tokens are joined as people write (no blank before a comma or `'s`, or after `#` or an opening bracket).
- A labelled name that lies in a @handle is left out: a handle is no name here. `handles` counts them.
- Of files that the model was trained on (wnut17train, btc_a, btc_b) only the held-out tenth of the sentences is
  measured, as `training.conll.held_out` says; `emerging.dev`, `btc_e` and the PII set are measured whole.
- `pii`: every labelled span of any type against all that the whole detector takes out, without asking for the
  type. `overlap`: the same rule as above. `iou_90`: presidio-research's way (its `SpanEvaluator` ignores the type and
  asks for an intersection over union of characters of 0.9, each finding used once, neighbouring spans joined across
  punctuation), but without its dropping of stop words before comparing.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

from streams.redaction import Analyzer, Finding
from streams.redaction.detector import Beside, Detector, Together
from streams.redaction.mail import MailAddresses
from streams.redaction.names import NamesModel
from streams.redaction.names.training.conll import Sentence, held_out, read
from streams.redaction.presidio import PresidioAnalyzer
from streams.redaction.redactor import covering
from streams.redaction.secrets import Secrets

TRAINED_ON: Final = ("wnut17train", "btc_a", "btc_b")
UNSEEN: Final = ("emerging.dev", "btc_e")
TYPES: Final = {"person": "PERSON", "location": "LOCATION", "organisation": "ORGANIZATION"}
PII_TYPES: Final = {"PERSON": "PERSON", "LOCATION": "LOCATION", "ADDRESS": "LOCATION", "ORGANIZATION": "ORGANIZATION"}
"""Labels of the PII set that are names; an address is a place."""

Span = tuple[int, int, str]


class Count(NamedTuple):
    """Numbers of labelled spans and of findings, and how many of each are matched."""

    labelled: int = 0
    found: int = 0
    found_right: int = 0
    labelled_found: int = 0
    exact: int = 0

    def plus(self, other: Count) -> Count:
        """Both together."""
        return Count(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def report(self) -> dict[str, Any]:
        """As the JSON has it; a ratio of nothing is None."""
        return {
            "precision": _ratio(self.found_right, self.found),
            "recall": _ratio(self.labelled_found, self.labelled),
            "exact": {"precision": _ratio(self.exact, self.found), "recall": _ratio(self.exact, self.labelled)},
            "labelled": self.labelled,
            "found": self.found,
        }


class Covering:
    """What the whole detector takes out of a text: patterns, secrets and names, overlapping findings as one."""

    def __init__(self, model: NamesModel) -> None:
        self._detector = Detector(Beside(Together(PresidioAnalyzer(), Secrets()), MailAddresses()), model)
        self.types = self._detector.types
        self.version = self._detector.version

    def analyze(self, text: str) -> list[Finding]:
        """Disjoint findings, in order."""
        return covering(self._detector.analyze(text))


def count(labelled: Sequence[Span], found: Sequence[Span]) -> Count:
    """Matches by type and overlap, and by type and place."""
    return Count(
        len(labelled),
        len(found),
        sum(any(_same(finding, label) for label in labelled) for finding in found),
        sum(any(_same(finding, label) for finding in found) for label in labelled),
        len(set(labelled) & set(found)),
    )


def measure(sentences: Iterable[Sentence], analyze: Callable[[str], list[Finding]]) -> dict[str, Any]:
    """One set by type and as a whole."""
    counts = dict.fromkeys(TYPES, Count())
    texts = handles = 0
    for text, spans in sentences:
        texts += 1
        labelled = [span for span in spans if not _is_handle(text, span)]
        handles += len(spans) - len(labelled)
        found = [(one.start, one.end, one.type) for one in analyze(text)]
        for name, kind in TYPES.items():
            only = [[span for span in spans if span[2] == kind] for spans in (labelled, found)]
            counts[name] = counts[name].plus(count(*only))
    total = Count()
    for one in counts.values():
        total = total.plus(one)
    return {
        "texts": texts,
        "handles": handles,
        **{name: it.report() for name, it in counts.items()},
        "all": total.report(),
    }


def measure_pii(texts: Sequence[tuple[str, list[Span]]], analyzer: Analyzer) -> dict[str, Any]:
    """All types against all findings, without asking for the type."""
    overlap, strict = Count(), Count()
    for text, spans in texts:
        labelled = [(start, end, "PII") for start, end, _ in spans]
        found = [(one.start, one.end, "PII") for one in analyzer.analyze(text)]
        overlap = overlap.plus(count(labelled, _joined(text, found)))
        strict = strict.plus(_by_iou(_joined(text, labelled), _joined(text, found)))
    return {"texts": len(texts), "overlap": overlap.report(), "iou_90": strict.report()}


def main() -> None:
    """Measures, prints a table, and last a line of JSON."""
    parser = argparse.ArgumentParser(description="Precision and recall of the names model.")
    parser.add_argument("--data", type=Path, default=os.environ.get("MILLRACE_TEST_DATA"), help="directory of the sets")
    parser.add_argument("--model", type=Path, help="another model file than the bundled one")
    arguments = parser.parse_args()
    model = NamesModel(arguments.model) if arguments.model else NamesModel.bundled()
    results: dict[str, Any] = {}
    for name in (*UNSEEN, *TRAINED_ON):
        path = _present(arguments.data, f"names/{name}.conll")
        if path is not None:
            sentences = [it for it in read(path) if name in UNSEEN or held_out(it.text)]
            results[name if name in UNSEEN else f"{name}.held_out"] = measure(sentences, model.analyze)
    path = _present(arguments.data, "pii/generated_small.json")
    if path is not None:
        results["generated_small"] = _templated(path, model, Covering(model))
    if not results:
        results["own_templates"] = measure(_OWN, model.analyze)
    for name, result in results.items():
        _print(name, result)
    print(json.dumps({"model": model.version, "group_counts_as": "organisation", "sets": results}))


def _templated(path: Path, model: NamesModel, everything: Analyzer) -> dict[str, Any]:
    texts = [
        (it["full_text"], [(span["start_position"], span["end_position"], span["entity_type"]) for span in it["spans"]])
        for it in json.loads(path.read_text(encoding="utf-8"))
    ]
    names = [
        Sentence(text, tuple((start, end, PII_TYPES[kind]) for start, end, kind in spans if kind in PII_TYPES))
        for text, spans in texts
    ]
    return {**measure(names, model.analyze), "pii": measure_pii(texts, everything)}


def _same(finding: Span, label: Span) -> bool:
    return finding[2] == label[2] and finding[0] < label[1] and label[0] < finding[1]


def _is_handle(text: str, span: Span) -> bool:
    return any(handle.start() <= span[0] and span[1] <= handle.end() for handle in _HANDLE.finditer(text))


def _joined(text: str, spans: Sequence[Span]) -> list[Span]:
    """Overlapping and neighbouring spans (only punctuation and blanks between them) as one."""
    joined: list[Span] = []
    for start, end, kind in sorted(spans):
        if joined and (start <= joined[-1][1] or not _LETTER.search(text, joined[-1][1], start)):
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]), kind)
        else:
            joined.append((start, end, kind))
    return joined


def _by_iou(labelled: Sequence[Span], found: Sequence[Span]) -> Count:
    free = list(found)
    matched = exact = 0
    for label in labelled:
        best = max(free, key=lambda finding: _iou(label, finding), default=None)
        if best is not None and _iou(label, best) >= 0.9:
            free.remove(best)
            matched += 1
            exact += best == label
    return Count(len(labelled), len(found), matched, matched, exact)


def _iou(one: Span, other: Span) -> float:
    shared = min(one[1], other[1]) - max(one[0], other[0])
    return max(shared, 0) / (max(one[1], other[1]) - min(one[0], other[0]))


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _present(data: Path | None, name: str) -> Path | None:
    path = None if data is None else Path(data) / name
    if path is not None and path.is_file():
        return path
    print(f"left out: {name} (no such file under --data or MILLRACE_TEST_DATA)")
    return None


def _print(name: str, result: dict[str, Any]) -> None:
    print(f"\n{name}: {result['texts']} texts")
    rows = {key: result[key] for key in (*TYPES, "all")}
    rows |= {f"pii, {key}": result["pii"][key] for key in ("overlap", "iou_90")} if "pii" in result else {}
    for label, row in rows.items():
        cells = (row["precision"], row["recall"], row["exact"]["precision"], row["exact"]["recall"])
        numbers = "  ".join("   –" if cell is None else f"{cell:.2f}" for cell in cells)
        print(f"  {label:14} P R {numbers[:10]}  exact P R {numbers[12:]}  of {row['labelled']}, found {row['found']}")


_HANDLE: Final = re.compile(r"@\w*")
_LETTER: Final = re.compile(r"\w")

_OWN: Final = (
    Sentence("My name is Maria Lopez and I live in Berlin.", ((11, 22, "PERSON"), (37, 43, "LOCATION"))),
    Sentence("Sorry, I did not mean that.", ()),
    Sentence("Thanks, David! I bought it from Microsoft.", ((8, 13, "PERSON"), (32, 41, "ORGANIZATION"))),
)

if __name__ == "__main__":
    main()
