"""What moved, in numbers, words and examples."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.trainer_trigger.drift.made_up import TOPICS, rows
from trainer_trigger.drift import DriftError, FeatureReport, Report, check, explain, prepare, report
from trainer_trigger.drift.report import EXAMPLES, EXCERPT_CHARS, FEWEST_CLUSTERS, MOST_SHARES
from trainer_trigger.drift.rows import Row

REFERENCE = prepare(rows("reference", 400))


def told(window: list[Row]) -> Report:
    prepared = prepare(window)
    return report(REFERENCE, prepared, check(REFERENCE, prepared))


def feature(name: str, given: Report) -> FeatureReport:
    return next(each for each in given.features if each.feature == name)


def test_of_the_text_the_words_that_came_and_went_are_named_with_their_shares() -> None:
    text = feature("text", told(rows("topic", 300, topics=(10, 1, 1))))
    assert text.moved
    assert len(text.shares) == MOST_SHARES
    kitchen = {word for deed in TOPICS["kitchen"] for word in deed.split()}
    others = {word for name in ("garage", "office") for deed in TOPICS[name] for word in deed.split()}
    for share in text.shares:
        assert share.name in (kitchen if share.after > share.before else others)
        assert abs(share.after - share.before) > 0.08


def test_examples_are_samples_of_the_window_that_are_new_and_of_the_reference_that_are_gone() -> None:
    text = feature("text", told(rows("topic", 300, topics=(10, 1, 1))))
    assert (len(text.new), len(text.gone)) == (EXAMPLES, EXAMPLES)
    for example in text.new:
        assert example.sample_id.startswith("topic-")
        assert any(deed in example.text for deed in TOPICS["kitchen"])
    for example in text.gone:
        assert example.sample_id.startswith("reference-")
        assert not any(deed in example.text for deed in TOPICS["kitchen"])


def test_of_a_label_the_categories_are_named_the_greatest_change_first() -> None:
    intent = feature("intent", told(rows("intent", 300, intents=(1, 5, 4))))
    assert [share.name for share in intent.shares] == ["ask", "(none)", "complain"] or [
        share.name for share in intent.shares
    ] == ["ask", "complain", "(none)"]
    assert intent.shares[0].before == pytest.approx(0.5, abs=0.1)
    assert intent.shares[0].after == pytest.approx(0.1, abs=0.05)
    assert sum(share.after for share in intent.shares) == pytest.approx(1)
    known = {row.sample_id: row.intent for row in (*REFERENCE.rows, *rows("intent", 300, intents=(1, 5, 4)))}
    assert {known[example.sample_id] for example in intent.gone} == {"ask"}
    assert "ask" not in {known[example.sample_id] for example in intent.new}


def test_of_a_number_the_bins_are_named() -> None:
    score = feature("score", told(rows("score", 300, score=0.8)))
    assert score.shares[0].name.startswith(">")
    assert score.shares[0].after > 2 * score.shares[0].before


def test_what_did_not_move_has_no_examples() -> None:
    for each in told(rows("same", 300)).features:
        assert (each.moved, each.new, each.gone) == (False, (), ())
        assert each.shares


def test_a_word_of_a_few_clusters_is_not_named() -> None:
    window = rows("word", 300)
    for count, word in ((FEWEST_CLUSTERS - 1, "zanzibar"), (40, "quito"), (40, "<person_1>")):
        window = [
            msgspec.structs.replace(row, text=f"{row.text} {word}") if at < count else row
            for at, row in enumerate(window)
        ]
    named = [share.name for share in feature("text", told(window)).shares]
    assert "zanzibar" not in named
    assert {"quito", "<person_1>"} <= set(named)


def test_a_character_of_a_script_without_spaces_is_a_word() -> None:
    window = [msgspec.structs.replace(row, text=f"{row.text} 東京へ行く") for row in rows("script", 300)]
    named = {share.name for share in feature("text", told(window)).shares}
    assert set("東京行") <= named


def test_excerpts_are_bounded() -> None:
    window = [msgspec.structs.replace(row, text="über " * 20_000) for row in rows("long", 300)]
    given = told(window)
    assert {len(example.text) for example in feature("text", given).new} == {EXCERPT_CHARS}


def test_the_report_in_words_has_the_feature_its_shares_and_examples() -> None:
    said = explain(told(rows("intent", 300, intents=(1, 5, 4))))
    assert "reference: 400 rows in 400 clusters; window: 300 in 300" in said
    assert "intent moved: p = 0.002 after Holm" in said
    assert "ask: " in said
    assert "new: intent-" in said
    assert "gone: reference-" in said
    assert "task type did not move" in said


def test_too_few_rows_are_told() -> None:
    given = told(rows("few", 120))
    assert given.features == ()
    assert "not enough data: the window has 120 rows, 180 are missing to 300" in explain(given)


def test_of_a_window_larger_than_the_reference_what_was_compared_is_reported() -> None:
    given = told(rows("large", 900, intents=(1, 5, 4)))
    assert given.window_clusters == 900
    intent = feature("intent", given)
    assert all(example.sample_id.startswith("large-") for example in intent.new)
    assert {round(400 * share.after, 6) % 1 for share in intent.shares} == {0}


def test_an_outcome_of_other_rows_is_refused() -> None:
    one, other = prepare(rows("one", 300)), prepare(rows("other", 300))
    with pytest.raises(DriftError, match="not of these rows"):
        report(REFERENCE, one, check(REFERENCE, other))


def test_a_report_survives_json() -> None:
    given = told(rows("topic", 300, topics=(10, 1, 1)))
    assert msgspec.json.decode(msgspec.json.encode(given), type=Report) == given
