"""Origin: a tuned model's output waits for a person's review, and a thumb is none."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.curation import Gating
from schemas.events import Rater, Review, Score, ScoreMethod
from streams.stages.gate import Gated, Gates
from streams.stages.join import Scored
from tests.candidates import kept, normalised

GATES = Gates(Gating(tuned_models=("ft:*", "*-LoRA-*")))


def gated(**fields: Any) -> Gated:
    return kept(GATES(normalised("Because.", **fields)))


def shown(one: Gated) -> tuple[str, bool, bool]:
    return one.origin, one.reviewed, one.awaits_review


@pytest.mark.parametrize(
    ("model", "version", "origin"),
    [
        ("ft:base:acme", None, "tuned"),
        ("llama-lora-7", None, "tuned"),
        ("FT:base", None, "tuned"),
        ("base", "x-lora-1", "tuned"),
        (None, "ft:1", "tuned"),
        ("base-ft:1", None, "base"),
        ("base", "1", "base"),
        (None, None, "unknown"),
        (None, "1", "unknown"),
    ],
)
def test_the_origin_is_told_by_patterns_of_model_and_version(
    model: str | None, version: str | None, origin: str
) -> None:
    one = gated(model=model, model_version=version)
    assert shown(one) == (origin, False, origin == "tuned")


def test_without_patterns_no_model_is_tuned() -> None:
    assert shown(kept(Gates()(normalised(model="ft:1")))) == ("base", False, False)


@pytest.mark.parametrize("score", [Score("thumbs", value=1.0), Score("stars", value=5.0, maximum=5.0, rater="expert")])
def test_a_score_is_no_review(score: Score) -> None:
    assert gated(model="ft:1", scores=(Scored(score, 1, "score"),)).awaits_review


def test_an_approved_output_of_a_tuned_model_waits_no_longer() -> None:
    assert shown(gated(model="ft:1", review=Review("approve"))) == ("tuned", True, False)


def test_an_edited_output_is_the_persons() -> None:
    assert shown(gated(model="ft:1", review=Review("edit", output="Since."))) == ("human", True, False)


@pytest.mark.parametrize("rater", ["user", "expert"])
@pytest.mark.parametrize("method", ["correction", "demonstration"])
def test_a_persons_correction_is_theirs_and_waits_for_nobody(rater: Rater, method: ScoreMethod) -> None:
    better = Scored(Score(method, text="Since.", rater=rater), 2, "better")
    assert shown(gated(model="ft:1", scores=(better,))) == ("human", False, False)


@pytest.mark.parametrize("rater", ["model", "metric"])
def test_a_correction_by_a_model_is_no_persons_and_waits_for_one(rater: Rater) -> None:
    better = Scored(Score("correction", text="Since.", rater=rater), 2, "better")
    assert shown(gated(scores=(better,))) == ("unknown", False, True)
    assert shown(gated(scores=(better,), review=Review("approve"))) == ("unknown", True, False)
