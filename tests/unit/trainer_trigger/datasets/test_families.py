"""What is held out stays held out, whatever becomes of the lake."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.training_sets import samples_table
from trainer_trigger.datasets import families
from trainer_trigger.datasets.keyed import define, keyed, subkey

SECRET = subkey("k" * 32)
Row = dict[str, Any]


def divided(
    rows: Iterable[Row],
    share: float = 0.5,
    weights: dict[str, float] | None = None,
    remembered: Iterable[str] = (),
    by_prompt: bool = False,
) -> tuple[dict[str, str], set[str]]:
    """The family of each sample, and the samples that are held out."""
    with duckdb.connect() as connection:
        define(connection, SECRET)
        connection.register("samples", samples_table(rows))
        known = sorted(remembered)
        connection.register("remembered", pa.table({"hash": pa.array(known, pa.string())}))
        families.make(connection, by_prompt=by_prompt)
        families.hold_out(connection, by_prompt=by_prompt, share=share, weights=weights or {}, remembered=bool(known))
        of = dict(connection.execute("SELECT sample_id, family FROM families").fetchall())
        held = {row[0] for row in connection.execute("FROM held_families").fetchall()}
    return of, {sample for sample, family in of.items() if family in held}


def remembered_of(samples: Iterable[str]) -> set[str]:
    return {keyed(SECRET, "member", sample)[:32] for sample in samples}


NAMES = st.sampled_from([f"t/{letter}" for letter in "abcdefgh"])
ROW = st.fixed_dictionaries(
    {
        "sample_id": NAMES,
        "duplicate_of": st.none() | NAMES,
        "prompt_id": st.sampled_from(["", "p1", "p2", "p3"]),
        "task_type": st.sampled_from([None, "a", "b"]),
    }
)


@given(st.lists(st.lists(ROW, max_size=5), max_size=5), st.booleans(), st.sampled_from([0.1, 0.3, 0.6]))
@example(  # a cluster whose root is found to be another one's duplicate later: its id changes
    [
        [{"sample_id": "t/b", "duplicate_of": None, "prompt_id": "", "task_type": None}],
        [{"sample_id": "t/b", "duplicate_of": "t/a", "prompt_id": "", "task_type": None}],
    ],
    False,
    0.6,
)
@example(  # the row of an original comes after its duplicate's, and is another one's duplicate itself
    [
        [{"sample_id": "t/b", "duplicate_of": "t/g", "prompt_id": "", "task_type": None}],
        [{"sample_id": "t/g", "duplicate_of": "t/a", "prompt_id": "p1", "task_type": None}],
    ],
    False,
    0.6,
)
@settings(max_examples=30, deadline=None)
def test_while_rows_only_come_what_is_held_out_stays_so(
    commits: list[list[Row]], by_prompt: bool, share: float
) -> None:
    """Revisions, links, merges, other task types: the rows of rejected or withdrawn samples stay in the table."""
    rows: list[Row] = []
    before: set[str] = set()
    for new in commits:
        rows += new
        of, held = divided(rows, share, {"a": 1.5}, by_prompt=by_prompt)
        assert before <= held
        assert {of[sample] for sample in held}.isdisjoint({of[sample] for sample in of.keys() - held})
        before = held


@given(
    st.lists(st.tuples(st.lists(ROW, max_size=4), st.sets(NAMES), st.sampled_from([0.0, 0.2, 0.6])), max_size=5),
    st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_with_what_the_store_remembers_it_stays_so_when_rows_go_and_the_share_shrinks(
    steps: list[tuple[list[Row], set[str], float]], by_prompt: bool
) -> None:
    """Rows of some samples are purged in each step; what was held out once and is still there is held out."""
    rows: list[Row] = []
    ever: set[str] = set()
    for new, purged, share in steps:
        rows = [row for row in [*rows, *new] if row["sample_id"] not in purged]
        of, held = divided(rows, share, remembered=remembered_of(ever), by_prompt=by_prompt)
        assert ever & of.keys() <= held
        ever |= held


@pytest.mark.parametrize("middle", ["rejected", "purged"])
def test_a_cluster_that_falls_apart_stays_on_one_side(middle: str) -> None:
    """The lake's view names the part behind the lost middle by another id."""
    chain: list[Row] = [{"sample_id": "t/c", "duplicate_of": "t/b"}, {"sample_id": "t/a", "duplicate_of": None}]
    whole = [*chain, {"sample_id": "t/b", "duplicate_of": "t/a"}]
    share = next(
        share for share in (x / 100 for x in range(1, 100)) if len(divided(whole, share)[1]) == 3
    )  # as low as holds it out
    rows = whole if middle == "rejected" else chain
    remembered = () if middle == "rejected" else remembered_of(divided(whole, share)[1])
    assert divided(rows, share, remembered=remembered)[1] == {"t/a", "t/c"} | ({"t/b"} if rows is whole else set())


def test_a_long_chain_is_one_family() -> None:
    rows: list[Row] = [{"sample_id": f"t/{n:05}", "duplicate_of": f"t/{n - 1:05}" if n else None} for n in range(3_000)]
    of, _ = divided(rows)
    assert set(of.values()) == {"t/00000"}


def test_a_duplicate_does_not_raise_the_chance_to_be_held_out() -> None:
    alone: list[Row] = [{"sample_id": f"t/{n}"} for n in range(3_000)]
    copies: list[Row] = [{"sample_id": f"t/{n}-{m}", "duplicate_of": f"t/{n}"} for n in range(3_000) for m in range(3)]
    held = divided(alone, 0.1)[1]
    assert 240 < len(held) < 360
    assert divided([*alone, *copies], 0.1)[1] & {row["sample_id"] for row in alone} == held


def test_answers_to_one_prompt_are_on_one_side_and_do_not_raise_its_chance() -> None:
    rows: list[Row] = [{"sample_id": f"t/{n}-{m}", "prompt_id": f"p{n}"} for n in range(2_000) for m in range(4)]
    of, held = divided(rows, 0.1, by_prompt=True)
    prompts = {sample.partition("-")[0] for sample in held}
    assert {f"{prompt}-{m}" for prompt in prompts for m in range(4)} == held
    assert 140 < len(prompts) < 260
    assert len(set(of.values())) == 2_000
    assert len(set(divided(rows, 0.1)[0].values())) == 8_000


def test_a_task_type_of_a_lower_weight_releases_nothing() -> None:
    before: list[Row] = [{"sample_id": f"t/{n}", "task_type": "a"} for n in range(1_000)]
    held = divided(before, 0.1, {"a": 3.0})[1]
    after = [*before, *({**row, "task_type": None} for row in before)]
    assert divided(after, 0.1, {"a": 3.0})[1] == held
    assert 240 < len(held) < 360


def test_weights_multiply_the_share_by_task_type() -> None:
    rows: list[Row] = [{"sample_id": f"t/{n}", "task_type": ("a", "b'", None)[n % 3]} for n in range(6_000)]
    _, held = divided(rows, 0.1, {"a": 3.0, "b'": 0.0})
    by_type = [sum(int(sample[2:]) % 3 == place for sample in held) for place in range(3)]
    assert 520 < by_type[0] < 680
    assert by_type[1] == 0
    assert 150 < by_type[2] < 250
    assert not divided(rows, 0.0)[1]
