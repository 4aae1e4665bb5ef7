"""The memo: asked once a text, bounded, and without the text."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from streams.redaction import Finding
from streams.redaction.memo import Memo
from tests.fakes import AtAnalyzer


class Counting(AtAnalyzer):
    def __init__(self) -> None:
        self.asked: list[str] = []

    def analyze(self, text: str) -> list[Finding]:
        self.asked.append(text)
        return super().analyze(text)


def test_a_text_is_analysed_once_and_each_hit_and_miss_is_told() -> None:
    counting, seen = Counting(), list[bool]()
    memo = Memo(counting, 10, seen.append)
    assert memo.analyze("@ada") == memo.analyze("@ada") == [Finding("AT", 0, 4, 1.0)]
    assert (counting.asked, seen) == (["@ada"], [False, True])


def test_only_what_is_not_remembered_is_prepared_and_that_is_no_hit() -> None:
    class Prepared(Counting):
        def prepare(self, texts: Iterable[str]) -> None:
            prepared.extend(texts)

    prepared, seen = list[str](), list[bool]()
    memo = Memo(Prepared(), 10, seen.append)
    memo.analyze("old")
    memo.prepare(["old", "new"])
    memo.analyze("new")
    assert (prepared, seen) == (["new"], [False, False])


def test_the_text_that_was_not_asked_for_longest_is_forgotten() -> None:
    counting = Counting()
    memo = Memo(counting, 2)
    for text in ("a", "b", "a", "c", "a", "b"):
        memo.analyze(text)
    assert counting.asked == ["a", "b", "c", "b"]


def test_a_caller_that_changes_its_answer_changes_nobody_elses() -> None:
    memo = Memo(AtAnalyzer(), 10)
    memo.analyze("@ada").clear()
    memo.analyze("@ada").clear()
    assert memo.analyze("@ada")


def test_the_memo_holds_no_text() -> None:
    memo = Memo(AtAnalyzer(), 10)
    memo.analyze("secret @ada")
    assert "ada" not in repr(vars(memo)["_found"])


@given(st.lists(st.text(max_size=5), max_size=30))
def test_with_and_without_a_memo_the_findings_are_the_same(texts: list[str]) -> None:
    memo = Memo(AtAnalyzer(), 3)
    assert [memo.analyze(text) for text in texts] == [AtAnalyzer().analyze(text) for text in texts]
