"""What a target can be trained on, out of the lake's tables at given versions: tables of ids in DuckDB, no texts.

Consent and erasure are those of now, whatever versions are read: who has withdrawn since is in no training set that is
made from here on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import duckdb
import pyarrow as pa

from schemas.datasets import Exclusion
from schemas.reasons import Reason
from schemas.tables import TABLES
from schemas.targets import Filter, Target
from streams.errors import LakeUnavailable, VersionGone
from streams.exports.query import MEMORY_BYTES
from streams.exports.trl_kto import NEUTRAL
from streams.lake.delta import DeltaLake
from streams.lake.query import NO_TABLE, connect
from streams.lake.views import VIEWS
from trainer_trigger.datasets import families, keyed
from trainer_trigger.datasets.errors import DatasetUnavailable, LakeMissingError
from trainer_trigger.drift.rows import MOST_CLUSTERS, MOST_OF_CLUSTER

READ: Final = ("samples", "rejected", "events")
"""The tables whose versions make a training set."""

_NO_CONSENT: Final = (Reason.CONSENT_MISSING, Reason.CONSENT_WITHDRAWN)
_ENTRY: Final = "entry_topic_id, entry_partition, entry_offset"
_COLUMNS: Final[Mapping[str, str]] = {
    "tenants": "tenant",
    "roles": "role",
    "task_types": "task_type",
    "intents": "intent",
    "languages": "language",
    "models": "model",
}

_WRITTEN: Final = "(origin = 'human' OR rejected_output IS NOT NULL)"
"""As the exports have it: the answer was written in place of the model's; the score is of that one."""

_LATEST: Final = f"""
    CREATE TEMP TABLE latest AS
    SELECT s.sample_id, s.revision, {_ENTRY}, cluster_id, tenant, prompt_id, coalesce(task_type, '') AS task_type,
        score, coalesce(score, (origin = 'human')::DOUBLE) AS standing, confidence, duplicate_of IS NOT NULL AS copy,
        coalesce(awaits_review, false) AS awaits, coalesce({{condition}}, false) AS wanted,
        coalesce({_WRITTEN} OR {{good}}, false) AS good
    FROM samples s SEMI JOIN current_keys USING (sample_id, revision, {_ENTRY}) JOIN clusters USING (sample_id)
"""

_STANDING: Final = """
    CREATE TEMP TABLE candidates AS
    SELECT row_number() OVER (ORDER BY l.sample_id) - 1 AS place, l.sample_id AS chosen, l.sample_id AS rejected,
        l.sample_id AS name, NULL AS kind, l.score AS margin, task_type, l.score, prompt_id, members - 1 AS duplicates
    FROM (
        SELECT *, count(*) OVER (PARTITION BY cluster_id) AS members, row_number() OVER (
            PARTITION BY cluster_id ORDER BY standing DESC NULLS LAST, confidence DESC, copy, sample_id
        ) AS stands FROM latest WHERE wanted AND NOT awaits AND good
    ) l WHERE stands = 1
"""
"""One row a cluster, by the sample that stands for it among those that can be trained on; ordered as the view is."""

_PAIRS: Final = """
    CREATE TEMP TABLE pairs AS
    SELECT p.tenant, p.prompt_id, p.kind, p.margin, p.chosen_sample_id AS chosen, p.rejected_sample_id AS rejected,
        c.wanted AND r.wanted AS wanted, c.good AS good, c.task_type, c.score
    FROM (SELECT tenant, prompt_id, kind, margin, chosen_sample_id, rejected_sample_id FROM preference_pairs) p
    JOIN latest c ON c.sample_id = p.chosen_sample_id JOIN latest r ON r.sample_id = p.rejected_sample_id
"""
_PAIRED: Final = """
    CREATE TEMP TABLE candidates AS
    SELECT row_number() OVER (ORDER BY tenant, prompt_id, chosen, rejected) - 1 AS place, chosen, rejected,
        chosen || ' ' || rejected AS name, kind, margin, task_type, score, prompt_id, 0 AS duplicates
    FROM pairs WHERE wanted AND good
"""

_LINES: Final = """
    SELECT family IN (FROM held_families) AS held, family IN (FROM older) AS older, task_type,
        ('0x' || substr(keyed('{choice}', '{salt}:' || name), 1, 16))::UBIGINT AS choice,
        point(keyed('{validation}', family)) AS point, score, duplicates, hash(prompt_id) AS prompt
    FROM candidates JOIN families ON families.sample_id = candidates.chosen ORDER BY place
"""

_ROWS: Final = f"""
    SELECT place, half, kind, margin, l.cluster_id, c.duplicates, s.* FROM (
        SELECT place, 1 AS half, kind, margin, chosen AS sample_id, duplicates FROM candidates
        UNION ALL
        SELECT place, 2 AS half, kind, margin, rejected AS sample_id, duplicates FROM candidates WHERE {{of_pairs}}
    ) c JOIN latest l USING (sample_id) JOIN samples s USING (sample_id, revision, {_ENTRY})
    ORDER BY place, half
"""

_SNAPSHOT: Final = f"""
    CREATE TEMP TABLE snapshot AS
    WITH qualified AS (
        SELECT sample_id, cluster_id FROM latest {{among}} WHERE wanted AND NOT awaits
    ), clusters_kept AS (
        SELECT DISTINCT cluster_id FROM qualified ORDER BY sha256(cluster_id), cluster_id LIMIT {MOST_CLUSTERS}
    )
    SELECT sample_id, cluster_id FROM qualified SEMI JOIN clusters_kept USING (cluster_id)
    QUALIFY row_number() OVER (PARTITION BY cluster_id ORDER BY sha256(sample_id), sample_id) <= {MOST_OF_CLUSTER}
"""
_SNAPSHOT_ROWS: Final = f"""
    SELECT 0 AS duplicates, s.*, k.cluster_id FROM snapshot k JOIN latest l USING (sample_id)
    JOIN samples s USING (sample_id, revision, {_ENTRY}) ORDER BY sample_id
"""

BATCH_ROWS: Final = 500


class Gone(NamedTuple):
    """Whose data must not be used as of now."""

    persons: pa.Table
    """Columns `tenant`, `user`."""
    samples: pa.Table
    """Column `sample_id`: whose consent was taken back."""


class Population:
    """The lake for one build. Close it."""

    def __init__(
        self, lake: str, versions: Mapping[str, int], secret: bytes, gone: Gone, erased: frozenset[str]
    ) -> None:
        self.connection = _connected(lake, versions)
        keyed.define(self.connection, secret)
        with _readable():
            self.outcomes = self._leave_out(gone, erased)

    def close(self) -> None:
        self.connection.close()

    def count(self, query: str) -> int:
        """The one number that a query answers."""
        with _readable():
            return int(self.connection.execute(query).fetchall()[0][0])

    def select(self, target: Target) -> None:
        """The table `latest`: samples whose latest outcome is one, with what the target thinks of them."""
        condition, parameters = _condition(target.filter)
        low = target.dataset.min_score
        good = (
            f"score >= {max(low, NEUTRAL)!r} OR score < {NEUTRAL!r}" if target.format == "kto" else f"score >= {low!r}"
        )
        with _readable():
            self.connection.execute(_LATEST.format(condition=condition, good=good), parameters)

    def candidates(self, *, of_pairs: bool) -> dict[Exclusion, int]:
        """The table `candidates`, one row a line that could be; what is none, by reason."""
        with _readable():
            if not of_pairs:
                self.connection.execute(_STANDING)
                found = self.connection.execute(
                    "SELECT count(*) FILTER (NOT wanted), count(*) FILTER (wanted AND awaits), "
                    "count(*) FILTER (wanted AND NOT awaits AND NOT good), count(*) FILTER (wanted AND NOT awaits AND "
                    "good) - (SELECT count(*) FROM candidates) FROM latest"
                ).fetchall()[0]
                reasons = (Exclusion.FILTER, Exclusion.AWAITS_REVIEW, Exclusion.MIN_SCORE, Exclusion.NEAR_DUPLICATE)
                left_out = dict(zip(reasons, map(int, found), strict=True))
                return {Exclusion.WITHDRAWN: self.outcomes - self.count("SELECT count(*) FROM latest"), **left_out}
            self.connection.execute(_PAIRS)
            self.connection.execute(_PAIRED)
            found = self.connection.execute(
                "SELECT count(*) FILTER (NOT wanted), count(*) FILTER (wanted AND NOT good) FROM pairs"
            ).fetchall()[0]
            return dict(zip((Exclusion.FILTER, Exclusion.MIN_SCORE), map(int, found), strict=True))

    def ids(self) -> pa.Table:
        """The samples (of pairs the chosen ones) that are candidates: column `sample_id`."""
        with _readable():
            return self.connection.sql("SELECT DISTINCT chosen AS sample_id FROM candidates").to_arrow_table()

    def divide(
        self,
        target: Target,
        *,
        by_prompt: bool,
        older: pa.Table,
        remembered: frozenset[str],
    ) -> None:
        """The tables `families`, `held_families` and `older`: families that are held out, and those that are not new.

        `older` has the column `sample_id`, `remembered` the hashes of what was held out before.
        """
        holdout = target.dataset.holdout
        with _readable():
            families.make(self.connection, by_prompt=by_prompt)
            if remembered:
                self.connection.register("remembered", _hashes(remembered))
            families.hold_out(
                self.connection,
                by_prompt=by_prompt,
                share=holdout.share,
                weights=holdout.weights,
                remembered=bool(remembered),
            )
            self.connection.register("older_samples", older)
            self.connection.execute(
                "CREATE TEMP TABLE older AS SELECT DISTINCT family FROM families SEMI JOIN older_samples "
                "USING (sample_id)"
            )

    def lines(self, salt: str) -> pa.Table:
        """What decides over each candidate, in order; no texts. `salt` makes another choice each time."""
        query = _LINES.format(choice=keyed.CHOICE, validation=keyed.VALIDATION, salt=salt)
        with _readable():
            return self.connection.sql(query).to_arrow_table()

    def rows(self, *, of_pairs: bool) -> Iterator[Mapping[str, object]]:
        """The samples of the candidates in order; of pairs two rows each, the chosen first."""
        yield from self._rows(_ROWS.format(of_pairs="true" if of_pairs else "false"))

    def snapshot(self, among: pa.Table | None = None) -> Iterator[Mapping[str, object]]:
        """Of all that the filter takes, whatever its score: at most so many clusters as a drift check reads.

        `among` has the column `sample_id`: of these samples only.
        """
        with _readable():
            if among is not None:
                self.connection.register("among", among)
            self.connection.execute(
                _SNAPSHOT.format(among="" if among is None else "SEMI JOIN among USING (sample_id)")
            )
        yield from self._rows(_SNAPSHOT_ROWS)

    def held_hashes(self, chosen: pa.Table, *, by_prompt: bool) -> list[str]:
        """What to remember of the families of the samples `chosen`: hashes of all members, and of their prompts."""
        with _readable():
            self.connection.register("held_out", chosen)
            self.connection.execute(
                "CREATE TEMP TABLE kept AS SELECT sample_id FROM families SEMI JOIN (SELECT DISTINCT family FROM "
                "families SEMI JOIN held_out USING (sample_id)) USING (family)"
            )
            queries = [f"SELECT substr(keyed('{keyed.MEMBER}', sample_id), 1, {keyed.REMEMBERED_CHARS}) FROM kept"]
            if by_prompt:
                queries.append(
                    f"SELECT DISTINCT substr(keyed('{keyed.PROMPT}', prompt_id), 1, {keyed.REMEMBERED_CHARS}) "
                    "FROM samples SEMI JOIN kept USING (sample_id) WHERE prompt_id <> ''"
                )
            return sorted(row[0] for query in queries for row in self.connection.execute(query).fetchall())

    def _rows(self, query: str) -> Iterator[Mapping[str, object]]:
        with _readable():
            for batch in self.connection.sql(query).to_arrow_reader(BATCH_ROWS):
                yield from batch.to_pylist()

    def _leave_out(self, gone: Gone, erased: frozenset[str]) -> int:
        """Let the lake's views stand on who is gone by now; how many samples there were with them."""
        run = self.connection.execute
        self.connection.register("gone_persons", gone.persons)
        self.connection.register("gone_samples", gone.samples)
        persons, samples = 'SELECT tenant, "user" FROM gone_persons', "SELECT sample_id FROM gone_samples"
        if erased:
            self.connection.register("erased", _hashes(erased))
            kept = keyed.REMEMBERED_CHARS
            persons += (
                ' UNION SELECT tenant, "user" FROM (SELECT DISTINCT tenant, "user" FROM samples WHERE "user" IS NOT '
                "NULL) SEMI JOIN erased ON hash = "
                f"""substr(keyed('{keyed.PERSON}', tenant || '/' || "user"), 1, {kept})"""
            )
            samples += (
                " UNION SELECT sample_id FROM (SELECT DISTINCT sample_id FROM samples) SEMI JOIN erased ON hash = "
                f"substr(keyed('{keyed.MEMBER}', sample_id), 1, {kept})"
            )
        run(f"CREATE TEMP TABLE persons_gone AS {VIEWS['withdrawn_persons'][1]} UNION {persons}")
        run(f"CREATE TEMP TABLE samples_gone AS {samples}")
        for name in ("withdrawn_persons", "latest_outcomes", "current_keys", "clusters"):
            run(f"DROP VIEW {name}")
        run("CREATE TEMP VIEW withdrawn_persons AS FROM persons_gone")
        # As tables, the views that stand on them ask for them many times and have them worked out once.
        run(f"CREATE TEMP TABLE latest_outcomes AS {VIEWS['latest_outcomes'][1]}")
        run(
            f"CREATE TEMP TABLE current_keys AS FROM ({VIEWS['current_keys'][1]}) ANTI JOIN samples_gone "
            "USING (sample_id)"
        )
        run(f"CREATE TEMP TABLE clusters AS {VIEWS['clusters'][1]}")
        return int(run("SELECT count(*) FROM latest_outcomes WHERE reason IS NULL").fetchall()[0][0])


def newest(lake: str) -> dict[str, int]:
    """The versions of the tables now. Raises LakeMissingError, DatasetUnavailable."""
    with _readable():
        opened = DeltaLake(lake)
        stores = {name: opened.find(TABLES[name]) for name in READ}
        if not any(stores.values()):
            raise LakeMissingError(f"there is no lake at {lake}")
        return {name: NO_TABLE if store is None else store.version() for name, store in stores.items()}


def gone(lake: str) -> Gone:
    """Who has withdrawn or was erased by now, and which samples lost their consent."""
    with _readable(), connect(lake, MEMORY_BYTES) as connection:
        persons = connection.sql('SELECT tenant, "user" FROM withdrawn_persons').to_arrow_table()
        reasons = ", ".join(f"'{reason.value}'" for reason in _NO_CONSENT)
        samples = connection.sql(f"SELECT sample_id FROM latest_outcomes WHERE reason IN ({reasons})").to_arrow_table()
        return Gone(persons, samples)


def _connected(lake: str, versions: Mapping[str, int]) -> duckdb.DuckDBPyConnection:
    with _readable():
        return connect(lake, MEMORY_BYTES, versions)


def _condition(wanted: Filter) -> tuple[str, list[str]]:
    conditions, parameters = ["true"], list[str]()
    for field, column in _COLUMNS.items():
        if values := getattr(wanted, field):
            conditions.append(f"{column} IN ({', '.join('?' * len(values))})")
            parameters += values
    return " AND ".join(conditions), parameters


def _hashes(hashes: frozenset[str]) -> pa.Table:
    return pa.table({"hash": pa.array(sorted(hashes), pa.string())})


class _readable:
    """What fails inside can be tried again, or says that a version is gone."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if isinstance(exc, VersionGone):
            raise LakeMissingError(str(exc)) from exc
        if isinstance(exc, (LakeUnavailable, duckdb.Error, OSError)):
            raise DatasetUnavailable(f"the lake: {type(exc).__name__}: {exc}") from exc
