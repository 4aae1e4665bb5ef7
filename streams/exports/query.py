"""Which rows an export reads, in which order, and the lines that they become, in constant memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import duckdb
import msgspec
from msgspec import Struct

from schemas.tables import TABLES
from streams.errors import LakeUnavailable
from streams.exports import FORMATS, lineage
from streams.exports.format import NotInFormat, PairFormat, SampleFormat
from streams.exports.rows import Exported, Pair, exported
from streams.exports.trl_kto import NEUTRAL
from streams.lake.delta import DeltaLake
from streams.lake.query import connect

MIN_SCORE: Final = 0.5
"""What the formats of good answers ask for, if nothing else is said: three stars of five."""

MEMORY_BYTES: Final = 1_000_000_000
"""What DuckDB takes at most; sorting beyond it goes to disk."""

_BATCH_ROWS: Final = 500
_TRIES: Final = 10
_WRITTEN: Final = "(origin = 'human' OR rejected_output IS NOT NULL)"
"""That the answer was written in place of the model's; the score is of that one. A model's correction was reviewed,
for nothing that awaits review gets here."""

_GOOD: Final = f"CASE WHEN {_WRITTEN} THEN true ELSE score >= {{}} END"

_KEYS: Final = """
    CREATE TEMP TABLE exported_keys AS
    SELECT sample_id, revision, entry_topic_id, entry_partition, entry_offset, cluster_id, duplicates, place
    FROM current_keys JOIN clusters USING (sample_id)
"""
"""Where the rows of `samples_latest` are: worked out once, so that whole rows are only looked up and sorted."""

_MEMBERS: Final = """
    SELECT s.*, k.cluster_id, k.duplicates FROM samples s
    JOIN exported_keys k USING (sample_id, revision, entry_topic_id, entry_partition, entry_offset)
"""
_PAIRS: Final = f"""
    SELECT p.place, 1 AS half, kind, margin, m.* FROM ({_MEMBERS}) m JOIN exported_pairs p ON p.chosen = m.sample_id
    UNION ALL
    SELECT p.place, 2 AS half, kind, margin, m.* FROM ({_MEMBERS}) m JOIN exported_pairs p ON p.rejected = m.sample_id
    ORDER BY place, half
"""
"""Two rows a pair, the chosen sample and then the rejected one; sorting goes to disk where it must."""


class Wanted(Struct, frozen=True):
    """What to export. `where` is a condition on the columns of `samples_current`; both halves of a pair meet it."""

    format: str
    min_score: float | None = None
    role: str | None = None
    tenant: str | None = None
    tools_only: bool = False
    where: str | None = None


class Source(NamedTuple):
    """A lake at one moment, and the versions of its tables then."""

    connection: duckdb.DuckDBPyConnection
    versions: Mapping[str, int]


class Written(NamedTuple):
    """One line, and its lineage where the line has no room for it."""

    line: bytes
    lineage: bytes | None


def source(root: str) -> Source:
    """The lake under a folder or `s3://` path. Raises `LakeUnavailable`."""
    lake = DeltaLake(root)
    before = _versions(lake)
    for _ in range(_TRIES):
        connection = connect(root, MEMORY_BYTES)
        after = _versions(lake)
        if before == after:
            return Source(connection, after)
        before = after
    raise LakeUnavailable("the lake changes too fast to be read at one version")


def lines(lake: Source, wanted: Wanted, left_out: Counter[str]) -> Iterator[Written]:
    """The lines in the order of sample ids, for pairs of prompt ids.

    What the format has no room for is counted in `left_out` by reason. Raises `duckdb.Error` for a wrong condition.
    """
    form = FORMATS[wanted.format]
    for row in _rows(lake.connection, wanted):
        try:
            if isinstance(form, PairFormat):
                assert isinstance(row, Pair)
                line, meta = form.line(row), lineage.of_pair(row, lake.versions)
            else:
                assert isinstance(row, Exported)
                line, meta = form.line(row), lineage.of_sample(row, lake.versions)
        except NotInFormat as exc:
            left_out[str(exc)] += 1
            continue
        whole = line if form.with_meta is None else form.with_meta(line, meta)
        if problems := form.check(whole):
            left_out[problems[0]] += 1
            continue
        yield Written(msgspec.json.encode(whole), msgspec.json.encode(meta) if form.with_meta is None else None)


def _rows(connection: duckdb.DuckDBPyConnection, wanted: Wanted) -> Iterator[Exported | Pair]:
    of_pairs = isinstance(FORMATS[wanted.format], PairFormat)
    condition, parameters = _condition(wanted)
    connection.execute(_KEYS)
    if of_pairs:
        connection.execute(_keys_of_pairs(wanted, condition), parameters)
        rows = connection.sql(_PAIRS)
    else:
        rows = connection.sql(_samples(wanted, condition), params=parameters)
    chosen: Exported | None = None
    for batch in rows.to_arrow_reader(_BATCH_ROWS):
        for row in batch.to_pylist():
            one = exported(row)
            if not of_pairs:
                yield one
            elif chosen is None:
                chosen = one
            else:
                yield Pair(row["kind"], row["margin"], chosen, one)
                chosen = None


def _samples(wanted: Wanted, condition: str) -> str:
    """One row a sample, in order."""
    form = FORMATS[wanted.format]
    assert isinstance(form, SampleFormat)
    judged = " AND ".join(["awaits_review IS NOT TRUE", *_judged(form.judged, wanted.min_score)])
    return f"SELECT * FROM ({_MEMBERS} WHERE k.place = 1) WHERE {judged} AND {condition} ORDER BY sample_id"


def _keys_of_pairs(wanted: Wanted, condition: str) -> str:
    """A table of the pairs' ids in order, for `_PAIRS`."""
    good = "true" if wanted.min_score is None else _GOOD.format(wanted.min_score)
    return f"""
        CREATE TEMP TABLE exported_pairs AS
        WITH wanted AS MATERIALIZED (
            SELECT sample_id, coalesce({good}, false) AS good FROM ({_MEMBERS}) WHERE {condition}
        )
        SELECT kind, margin, chosen_sample_id AS chosen, rejected_sample_id AS rejected,
            row_number() OVER (ORDER BY tenant, prompt_id, chosen_sample_id, rejected_sample_id) AS place
        FROM preference_pairs
        SEMI JOIN (FROM wanted WHERE good) w ON w.sample_id = chosen_sample_id
        SEMI JOIN wanted v ON v.sample_id = rejected_sample_id
    """


def _condition(wanted: Wanted) -> tuple[str, list[str]]:
    conditions, parameters = ["true"], list[str]()
    for column in ("role", "tenant"):
        if (value := getattr(wanted, column)) is not None:
            conditions.append(f"{column} = ?")
            parameters.append(value)
    if wanted.tools_only:
        conditions.append("list_bool_or(list_transform(messages, lambda x: len(x.tool_calls) > 0))")
    if wanted.where is not None:
        conditions.append(f"({wanted.where}\n)")  # a comment in it ends with its line
    return " AND ".join(conditions), parameters


def _judged(judged: str, min_score: float | None) -> list[str]:
    good = _GOOD.format(MIN_SCORE if min_score is None else min_score)
    match judged:
        case "both":
            least = f"> {NEUTRAL}" if min_score is None else f">= {min_score}"
            return [f"({_WRITTEN} OR score {least} OR score < {NEUTRAL})"]
        case "good":
            return [good]
        case _:
            return [] if min_score is None else [good]


def _versions(lake: DeltaLake) -> dict[str, int]:
    stores = {name: lake.find(table) for name, table in TABLES.items() if name != "dead_letters"}
    return {name: store.size().version for name, store in stores.items() if store is not None}
