"""Which samples belong together for good, and which of them are held out.

A cluster of near duplicates is named by a sample that may be rejected or withdrawn tomorrow; then it falls apart, and
its parts have other names. So a *family* joins all that were ever linked as duplicates, in any revision, whatever
became of them. Of preference data (`by_prompt`) a family joins all answers to one prompt as well, so that a prompt is
on one side.

A family is held out if a keyed hash falls below the share for any of its *firsts*: samples that were once nobody's
duplicate, or that another one was a duplicate of (`by_prompt`: the prompts of the former). While rows are only added,
families only grow together, and firsts and task types only become more, so what is held out stays so. What rows cannot
tell any more, since they were removed or the share was another one, the store remembers
(`trainer_trigger.datasets.memory`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import duckdb

from trainer_trigger.datasets.keyed import HOLDOUT, MEMBER, PROMPT, REMEMBERED_CHARS

_LINKS: Final = """
    CREATE TEMP TABLE links AS
    SELECT DISTINCT unnest([a, b]) AS a, unnest([b, a]) AS b FROM (
        SELECT sample_id AS a, duplicate_of AS b FROM samples WHERE duplicate_of <> sample_id
        {prompts}
    )
"""
_PROMPTS: Final = "UNION ALL SELECT sample_id, 'prompt ' || prompt_id FROM samples WHERE prompt_id <> ''"

_STEP: Final = """
    CREATE OR REPLACE TEMP TABLE nearer AS
    WITH least AS MATERIALIZED (
        SELECT node, min(label) AS label FROM (
            FROM labels UNION ALL SELECT links.a, labels.label FROM links JOIN labels ON labels.node = links.b
        ) GROUP BY node
    )
    SELECT least.node, least(least.label, further.label) AS label
    FROM least JOIN labels further ON further.node = least.label
"""

_FAMILIES: Final = """
    CREATE TEMP TABLE families AS
    SELECT sample_id, coalesce(label, sample_id) AS family
    FROM (SELECT DISTINCT sample_id FROM samples) LEFT JOIN labels ON node = sample_id
"""

_FIRST_SAMPLES: Final = """
    SELECT sample_id, sample_id AS first FROM samples WHERE coalesce(duplicate_of, sample_id) = sample_id
    UNION
    SELECT sample_id, duplicate_of FROM samples WHERE duplicate_of IS NOT NULL
"""
"""Whoever is named as the original was one: its own row may come later than those of its duplicates, or be gone."""

_FIRST_PROMPTS: Final = """
    SELECT DISTINCT sample_id, coalesce('prompt ' || nullif(prompt_id, ''), sample_id) AS first FROM samples
    WHERE coalesce(duplicate_of, sample_id) = sample_id
"""

_HELD: Final = f"""
    CREATE TEMP TABLE held_families AS
    WITH lowest AS (
        SELECT family, min(point(keyed('{HOLDOUT}', first))) AS lowest
        FROM ({{firsts}}) JOIN families USING (sample_id) GROUP BY family
    ), shares AS (
        SELECT family, max({{share}}) AS share FROM (SELECT DISTINCT sample_id, task_type FROM samples)
        JOIN families USING (sample_id) GROUP BY family
    )
    SELECT family FROM lowest JOIN shares USING (family) WHERE lowest < share
    UNION
    SELECT family FROM families JOIN ({{remembered}}) USING (sample_id)
"""
_NOTHING: Final = "SELECT NULL::VARCHAR AS sample_id WHERE false"
_REMEMBERED: Final = f"""
    SELECT sample_id FROM (SELECT DISTINCT sample_id FROM samples)
    SEMI JOIN remembered ON hash = substr(keyed('{MEMBER}', sample_id), 1, {REMEMBERED_CHARS})
    UNION
    SELECT sample_id FROM (SELECT DISTINCT sample_id, prompt_id FROM samples WHERE prompt_id <> '')
    SEMI JOIN remembered ON hash = substr(keyed('{PROMPT}', prompt_id), 1, {REMEMBERED_CHARS})
"""


def make(connection: duckdb.DuckDBPyConnection, *, by_prompt: bool) -> None:
    """The table `families(sample_id, family)` of every sample there ever was, named by the family's least member."""
    connection.execute(_LINKS.format(prompts=_PROMPTS if by_prompt else ""))
    connection.execute("CREATE TEMP TABLE labels AS SELECT DISTINCT a AS node, a AS label FROM links")
    # Each label becomes the least around it and then that one's own: paths halve, so a long chain takes few rounds.
    while True:
        connection.execute(_STEP)
        moved = connection.execute(
            "SELECT count(*) FROM labels JOIN nearer USING (node) WHERE labels.label <> nearer.label"
        ).fetchall()[0][0]
        connection.execute("CREATE OR REPLACE TEMP TABLE labels AS FROM nearer")
        if not moved:
            break
    connection.execute(_FAMILIES)


def hold_out(
    connection: duckdb.DuckDBPyConnection,
    *,
    by_prompt: bool,
    share: float,
    weights: Mapping[str, float],
    remembered: bool,
) -> None:
    """The table `held_families(family)`: those of which nothing may be trained on.

    Weights multiply the share by task type; of several in a family the highest counts. With `remembered` the table of
    that name has the hashes of what was held out before.
    """
    cases = "".join(f" WHEN {_quoted(name)} THEN {share * weight!r}" for name, weight in sorted(weights.items()))
    connection.execute(
        _HELD.format(
            firsts=_FIRST_PROMPTS if by_prompt else _FIRST_SAMPLES,
            share=f"CASE coalesce(task_type, ''){cases} ELSE {share!r} END" if cases else repr(share),
            remembered=_REMEMBERED if remembered else _NOTHING,
        )
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
