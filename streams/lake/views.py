"""The views over the lake's tables, as DuckDB's SQL. Each says what one row of it is."""

from __future__ import annotations

from typing import Final

_EVENT: Final = "day, tenant, interaction_id, event_id, source, occurred_at, received_at"
_ENTRY: Final = "entry_topic_id, entry_partition, entry_offset"

MARGIN: Final = 0.25
"""How far apart two scores are at least before one answer counts as the better: one star of five."""

PAIRS_A_PROMPT: Final = 8
"""A prompt that everybody sends shall not outweigh the others."""

HIGH: Final = 0.75
"""Four stars of five."""

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
        "One row a sample in its latest revision, if that is no rejection and its person has not withdrawn: where its "
        "row is in `samples`.",
        f"""
        SELECT sample_id, revision, {_ENTRY}, duplicate_of, score, confidence, origin = 'human' AS human, awaits_review
        FROM samples SEMI JOIN (SELECT * FROM latest_outcomes WHERE reason IS NULL)
            USING (sample_id, revision, {_ENTRY})
            ANTI JOIN withdrawn_persons USING (tenant, "user")
        """,
    ),
    "clusters": (
        "One row a sample of `current_keys`: its cluster of near duplicates, and `place` 1 for the member that stands "
        "for it: not one that awaits review, if there is another; what a person wrote, then the best score.",
        """
        WITH RECURSIVE chain(sample_id, ancestor) AS (
            SELECT sample_id, duplicate_of FROM current_keys WHERE duplicate_of IS NOT NULL
            UNION
            SELECT chain.sample_id, k.duplicate_of FROM chain JOIN current_keys k ON k.sample_id = chain.ancestor
            WHERE k.duplicate_of IS NOT NULL
        ), roots AS (
            SELECT c.sample_id, coalesce(min(c.ancestor) FILTER (k.duplicate_of IS NULL), min(c.ancestor)) AS root
            FROM chain c LEFT JOIN current_keys k ON k.sample_id = c.ancestor GROUP BY c.sample_id
        )
        SELECT sample_id, coalesce(root, sample_id) AS cluster_id,
            row_number() OVER (
                PARTITION BY coalesce(root, sample_id)
                ORDER BY awaits_review, coalesce(score, human::DOUBLE) DESC NULLS LAST, confidence DESC,
                    duplicate_of IS NOT NULL, sample_id
            ) AS place,
            count(*) OVER (PARTITION BY coalesce(root, sample_id)) - 1 AS duplicates
        FROM current_keys LEFT JOIN roots USING (sample_id)
        """,
    ),
    "samples_latest": (
        "One row a sample: its latest revision, if that is no rejection and its person has not withdrawn; near "
        "duplicates too.",
        f"SELECT * FROM samples SEMI JOIN current_keys USING (sample_id, revision, {_ENTRY})",
    ),
    "samples_current": (
        "One row a cluster of near duplicates: the row of `samples_latest` that stands for it (see `clusters`), with "
        "how many others there are as `duplicates`.",
        """
        SELECT s.*, c.cluster_id, c.duplicates
        FROM samples_latest s JOIN clusters c ON c.sample_id = s.sample_id AND c.place = 1
        """,
    ),
    "held": (
        "One row a score that is held since its person brought too many in an hour: `millrace held` lets it in.",
        """
        WITH holds AS (
            SELECT DISTINCT ON (tenant, event_id) tenant, interaction_id, event_id, occurred_at, received_at
            FROM rejected WHERE scope = 'event' AND reason = 'burst_held' ORDER BY tenant, event_id, received_at
        )
        SELECT * FROM holds ANTI JOIN (
            SELECT tenant, unnest(sources).event_id AS event_id FROM (
                SELECT tenant, interaction_id, sources FROM samples
                UNION ALL
                SELECT tenant, interaction_id, sources FROM rejected WHERE scope = 'interaction'
            ) SEMI JOIN holds USING (tenant, interaction_id)
        ) USING (tenant, event_id)
        """,
    ),
    "interaction_events": (
        "One row an interaction: how many events it has, and whether they are `decidable`: enough for a sample or a "
        "rejection. Without what is held, and without what `curate` could not process.",
        f"""
        SELECT tenant, interaction_id, count(DISTINCT event_id) AS events, min(received_at) AS first_received_at,
            max(received_at) AS last_received_at, bool_or(interaction IS NOT NULL) AS has_interaction,
            has_interaction AND (
                bool_or(len(scores) > 0) OR bool_or(coalesce(review.decision = 'edit', false))
                OR coalesce(arg_max(review.decision, row(occurred_at, event_id)) = 'reject', false)
                OR NOT coalesce(
                    arg_max(consent.granted, row(occurred_at, NOT consent.granted, event_id))
                        FILTER (WHERE consent."user" IS NULL),
                    arg_max_null(interaction.consent, row(occurred_at, event_id))
                        FILTER (WHERE interaction IS NOT NULL),
                    true
                )
            ) AS decidable
        FROM events ANTI JOIN dead_letters USING ({_ENTRY}) ANTI JOIN held USING (tenant, event_id)
        WHERE interaction_id <> '' GROUP BY tenant, interaction_id
        """,
    ),
    "unapplied": (
        "One row an interaction whose latest outcome lacks `missing` of its events, though there is enough to decide "
        "it: on its way, or forgotten by the state, then `millrace lake reconcile` makes it good.",
        """
        SELECT tenant, interaction_id, events - coalesce(revision, 0) AS missing, last_received_at
        FROM interaction_events LEFT JOIN latest_outcomes USING (tenant, interaction_id)
        WHERE decidable AND coalesce(revision, 0) < events
        """,
    ),
    "unscored": (
        "One row an interaction that waits for feedback: nothing decides it, and it was not rejected for that before.",
        """
        SELECT tenant, interaction_id, first_received_at, last_received_at
        FROM interaction_events LEFT JOIN latest_outcomes USING (tenant, interaction_id)
        WHERE has_interaction AND NOT decidable AND reason IS DISTINCT FROM 'no_feedback'
        """,
    ),
    "interaction_states": (
        "One row an interaction: `state` is sample (in `samples_current`), duplicate, rejected (why: `reason`) or "
        "waiting (for a score, or for the interaction itself).",
        """
        SELECT tenant, interaction_id,
            CASE
                WHEN o.sample_id IS NULL OR undone THEN 'waiting'
                WHEN o.reason IS NOT NULL OR c.sample_id IS NULL THEN 'rejected'
                WHEN c.place > 1 THEN 'duplicate'
                ELSE 'sample'
            END AS state,
            CASE
                WHEN o.sample_id IS NULL OR undone THEN if(e.interaction, 'no_score', 'no_interaction')
                WHEN o.reason IS NULL AND c.sample_id IS NULL THEN 'consent_withdrawn'
                ELSE o.reason
            END AS reason,
            o.sample_id, o.revision,
            e.events, e.first_received_at, e.last_received_at
        FROM (
            SELECT tenant, interaction_id, bool_or(kind = 'interaction') AS interaction, count(*) AS events,
                min(received_at) AS first_received_at, max(received_at) AS last_received_at
            FROM events WHERE interaction_id <> '' GROUP BY tenant, interaction_id
        ) e
        FULL JOIN (
            SELECT o.*, coalesce(reason <> 'no_feedback' AND NOT decidable AND revision < events, false) AS undone
            FROM latest_outcomes o LEFT JOIN interaction_events USING (tenant, interaction_id)
        ) o USING (tenant, interaction_id)
        LEFT JOIN clusters c ON c.sample_id = o.sample_id
        """,
    ),
    "prompt_answers": (
        "One row a sample of `samples_latest`: which prompt it answers, its cluster, and `place` 1 if it stands for "
        "its cluster, and for its words, among the answers to this prompt. `rating` is its score, NULL where the "
        "answer was `written` in place of the model's: what was scored is that one.",
        """
        WITH answers AS (
            SELECT l.tenant, l.prompt_id, l.sample_id, c.cluster_id, l.preferred_over,
                coalesce(l.awaits_review, false) AS awaits_review,
                l.origin = 'human' OR l.rejected_output IS NOT NULL AS written,
                coalesce(l.rejected_output <> l.output, false) AS corrected,
                CASE WHEN NOT written THEN l.score END AS rating, l.confidence,
                hash(l.output, list_transform(l.messages[-1].tool_calls, lambda x: row(x.name, x.arguments))) AS answer
            FROM samples_latest l JOIN clusters c ON c.sample_id = l.sample_id WHERE l.prompt_id <> ''
        )
        SELECT *, greatest(row_number() OVER (PARTITION BY prompt_id, cluster_id ORDER BY awaits_review,
                rating DESC NULLS LAST, confidence DESC, sample_id),
            row_number() OVER (PARTITION BY prompt_id, answer ORDER BY awaits_review,
                rating DESC NULLS LAST, confidence DESC, sample_id)) AS place
        FROM answers
        """,
    ),
    "preference_pairs": (
        "One row a pair of answers to one prompt, of which the chosen one is better. `kind`: correction (a person "
        "replaced the rejected answer), pairwise (preferred in a comparison), or scores (`margin` apart, the best "
        "answer against each worse one). An unreviewed answer of a tuned model is only ever rejected.",
        f"""
        WITH answers AS MATERIALIZED (
            FROM prompt_answers
        ), best AS (
            FROM answers WHERE place = 1
        ), corrections AS (
            SELECT tenant, prompt_id, sample_id AS chosen, sample_id AS rejected, cluster_id AS one,
                cluster_id AS other, NULL::DOUBLE AS margin, 1 AS rank, 'correction' AS kind
            FROM answers WHERE corrected AND NOT awaits_review
        ), preferred AS (
            SELECT DISTINCT c.tenant, c.prompt_id, c.sample_id AS chosen, r.sample_id AS rejected, c.cluster_id AS one,
                r.cluster_id AS other, c.rating - r.rating AS margin, c.awaits_review AS barred
            FROM (
                SELECT prompt_id, cluster_id, tenant || '/' || unnest(preferred_over) AS over
                FROM answers WHERE len(preferred_over) > 0 AND NOT written
            ) winner
            JOIN answers loser ON loser.sample_id = winner.over AND NOT loser.written
                AND loser.prompt_id = winner.prompt_id
            JOIN best c ON c.prompt_id = winner.prompt_id AND c.cluster_id = winner.cluster_id
            JOIN best r ON r.prompt_id = loser.prompt_id AND r.cluster_id = loser.cluster_id
            WHERE c.cluster_id <> r.cluster_id AND NOT c.written AND NOT r.written
        ), pairwise AS (
            SELECT p.* EXCLUDE (barred), 2 AS rank, 'pairwise' AS kind
            FROM preferred p ANTI JOIN preferred back ON back.chosen = p.rejected AND back.rejected = p.chosen
            WHERE NOT barred
        ), favourites AS (
            SELECT * FROM best WHERE rating IS NOT NULL AND NOT awaits_review
            QUALIFY row_number() OVER (PARTITION BY prompt_id ORDER BY rating DESC, confidence DESC, sample_id) = 1
        ), scored AS (
            SELECT c.tenant, c.prompt_id, c.sample_id AS chosen, r.sample_id AS rejected, c.cluster_id AS one,
                r.cluster_id AS other, c.rating - r.rating AS margin, 3 AS rank, 'scores' AS kind
            FROM favourites c JOIN best r ON r.prompt_id = c.prompt_id AND c.rating - r.rating >= {MARGIN}
            WHERE c.cluster_id <> r.cluster_id
        ), pairs AS (
            SELECT * FROM (FROM corrections UNION ALL FROM pairwise UNION ALL FROM scored)
            QUALIFY row_number() OVER (
                PARTITION BY least(one, other), greatest(one, other)
                ORDER BY rank, margin DESC NULLS LAST, chosen, rejected
            ) = 1
        )
        SELECT tenant, prompt_id, kind, margin, c.sample_id AS chosen_sample_id, c.revision AS chosen_revision,
            c.messages AS chosen_messages, c.output AS chosen_output,
            CASE WHEN kind <> 'correction' THEN c.score END AS chosen_score,
            r.sample_id AS rejected_sample_id, r.revision AS rejected_revision,
            CASE WHEN kind = 'correction' THEN list_append(r.messages[:-2], {{
                role: 'assistant', content: r.rejected_output, parts: [], name: NULL, tool_calls: [], tool_call_id: NULL
            }}) ELSE r.messages END AS rejected_messages,
            CASE WHEN kind = 'correction' THEN r.rejected_output ELSE r.output END AS rejected_output,
            r.score AS rejected_score
        FROM (
            SELECT * FROM pairs QUALIFY row_number() OVER (
                PARTITION BY prompt_id ORDER BY rank, margin DESC NULLS LAST, chosen, rejected
            ) <= {PAIRS_A_PROMPT}
        ) p
        JOIN (SELECT sample_id, revision, messages, output, score FROM samples_latest) c ON c.sample_id = p.chosen
        JOIN (SELECT sample_id, revision, messages, output, score, rejected_output FROM samples_latest) r
            ON r.sample_id = p.rejected
        """,
    ),
    "contradictions": (
        "One row an answer that is scored high while another answer to the same prompt is too: `answers` is how many "
        "there are, near duplicates counted once.",
        f"""
        SELECT tenant, prompt_id, a.sample_id, s.revision, s.output, a.rating AS score, a.answers FROM (
            SELECT *, count(*) OVER (PARTITION BY prompt_id) AS answers
            FROM prompt_answers WHERE place = 1 AND rating >= {HIGH}
        ) a JOIN (SELECT sample_id, revision, output FROM samples_latest) s ON s.sample_id = a.sample_id
        WHERE answers > 1
        """,
    ),
}
"""View → (what one row is, its query), each standing on the tables and on views before it."""
