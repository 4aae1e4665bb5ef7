"""The views over the lake's tables, as DuckDB's SQL. Each says what one row of it is."""

from __future__ import annotations

from typing import Final

_EVENT: Final = "day, tenant, interaction_id, event_id, source, occurred_at, received_at"
_ENTRY: Final = "entry_topic_id, entry_partition, entry_offset"

VIEWS: Final[dict[str, tuple[str, str]]] = {
    "interactions": (
        "One row an interaction event: what a model was given and answered.",
        f"""
        SELECT {_EVENT}, interaction.messages, interaction.tools, interaction.model, interaction.model_version,
            interaction.variant, interaction.role, interaction.task_type, interaction.intent, interaction."user",
            interaction.latency_ms, interaction.input_tokens, interaction.output_tokens, interaction.tags,
            interaction.consent, interaction.sensitive, pii, {_ENTRY}
        FROM events WHERE interaction IS NOT NULL
        """,
    ),
    "scores": (
        "One row a score, also of an event that was retracted later.",
        f"""
        SELECT {_EVENT}, score.*, {_ENTRY}
        FROM (SELECT * EXCLUDE (scores), unnest(scores) AS score FROM events WHERE len(scores) > 0)
        """,
    ),
    "reviews": (
        "One row a verdict of a person on an interaction.",
        f"SELECT {_EVENT}, review.*, {_ENTRY} FROM events WHERE review IS NOT NULL",
    ),
    "retractions": (
        "One row a retraction; `retracted` is the id of the event whose scores it takes back.",
        f"SELECT {_EVENT}, retraction.of AS retracted, {_ENTRY} FROM events WHERE retraction IS NOT NULL",
    ),
    "consents": (
        "One row a change of consent: of a person where `user` is set, else of one interaction.",
        f"""
        SELECT {_EVENT}, consent.granted, consent."user", {_ENTRY} FROM events WHERE consent IS NOT NULL
        """,
    ),
    "erasures": (
        "One row a demand to forget a person.",
        f"""SELECT {_EVENT}, erasure."user", {_ENTRY} FROM events WHERE erasure IS NOT NULL""",
    ),
    "withdrawn_persons": (
        "One row a person (keyed hash, within a tenant) whose data must not be used: erased, or whose last word is no.",
        """
        SELECT tenant, "user" FROM erasures
        UNION
        SELECT tenant, "user" FROM consents WHERE "user" IS NOT NULL
        GROUP BY tenant, "user" HAVING NOT arg_max(granted, row(occurred_at, NOT granted, event_id))
        """,
    ),
    "latest_outcomes": (
        "One row a sample id: which row of `samples` or `rejected` (then with its reason) is the latest.",
        """
        SELECT sample_id, unnest(max(outcome), recursive := true) FROM (
            SELECT sample_id, {
                revision: revision, received_at: received_at, entry_topic_id: entry_topic_id,
                entry_partition: entry_partition, entry_offset: entry_offset, tenant: tenant,
                interaction_id: interaction_id, reason: NULL::VARCHAR
            } AS outcome FROM samples
            UNION ALL
            SELECT sample_id, {
                revision: revision, received_at: received_at, entry_topic_id: entry_topic_id,
                entry_partition: entry_partition, entry_offset: entry_offset, tenant: tenant,
                interaction_id: interaction_id, reason: reason
            } FROM rejected WHERE scope = 'interaction'
        ) GROUP BY sample_id
        """,
    ),
    "current_keys": (
        "One row a current sample: where its row is in `samples`.",
        f"""
        SELECT sample_id, revision, {_ENTRY}, duplicate_of
        FROM samples SEMI JOIN (SELECT * FROM latest_outcomes WHERE reason IS NULL)
            USING (sample_id, revision, {_ENTRY})
            ANTI JOIN withdrawn_persons USING (tenant, "user")
        """,
    ),
    "samples_current": (
        "One row a sample: its latest revision, if that is no rejection and its person has not withdrawn. "
        "`duplicates` counts the current samples that are near duplicates of it.",
        f"""
        SELECT s.*, coalesce(d.duplicates, 0) AS duplicates
        FROM samples s SEMI JOIN current_keys USING (sample_id, revision, {_ENTRY})
        LEFT JOIN (
            SELECT duplicate_of AS sample_id, count(*) AS duplicates FROM current_keys
            WHERE duplicate_of IS NOT NULL GROUP BY duplicate_of
        ) d USING (sample_id)
        """,
    ),
    "unapplied": (
        "One row an interaction whose latest outcome lacks `missing` of its events, though there is enough to decide "
        "it: on its way, or forgotten by the state, then `millrace lake reconcile` makes it good.",
        f"""
        SELECT tenant, interaction_id, n - coalesce(revision, 0) AS missing, last_received_at
        FROM (
            SELECT tenant, interaction_id, count(DISTINCT event_id) AS n, max(received_at) AS last_received_at,
                bool_or(interaction IS NOT NULL) AND (
                    bool_or(len(scores) > 0)
                    OR arg_max(review.decision, row(occurred_at, event_id)) IN ('edit', 'reject')
                    OR NOT coalesce(
                        arg_max(consent.granted, row(occurred_at, NOT consent.granted, event_id))
                            FILTER (WHERE consent."user" IS NULL),
                        arg_max_null(interaction.consent, row(occurred_at, event_id))
                            FILTER (WHERE interaction IS NOT NULL),
                        true
                    )
                ) AS decidable
            FROM events ANTI JOIN dead_letters USING ({_ENTRY})
            WHERE interaction_id <> '' GROUP BY tenant, interaction_id
        ) LEFT JOIN latest_outcomes USING (tenant, interaction_id)
        WHERE decidable AND coalesce(revision, 0) < n
        """,
    ),
    "interaction_states": (
        "One row an interaction: `state` is sample, duplicate, rejected (why: `reason`) or waiting (for a score, or "
        "for the interaction itself).",
        """
        SELECT tenant, interaction_id,
            CASE
                WHEN o.sample_id IS NULL THEN 'waiting'
                WHEN o.reason IS NOT NULL OR c.sample_id IS NULL THEN 'rejected'
                WHEN c.duplicate_of IS NOT NULL THEN 'duplicate'
                ELSE 'sample'
            END AS state,
            CASE
                WHEN o.sample_id IS NULL THEN CASE WHEN e.interaction THEN 'no_score' ELSE 'no_interaction' END
                WHEN o.reason IS NULL AND c.sample_id IS NULL THEN 'consent_withdrawn'
                ELSE o.reason
            END AS reason,
            o.sample_id, o.revision, e.events, e.first_received_at, e.last_received_at
        FROM (
            SELECT tenant, interaction_id, bool_or(kind = 'interaction') AS interaction, count(*) AS events,
                min(received_at) AS first_received_at, max(received_at) AS last_received_at
            FROM events WHERE interaction_id <> '' GROUP BY tenant, interaction_id
        ) e
        FULL JOIN latest_outcomes o USING (tenant, interaction_id)
        LEFT JOIN current_keys c ON c.sample_id = o.sample_id
        """,
    ),
}
"""View → (what one row is, its query), each standing on the tables and on views before it."""
