"""The curation file: what makes an interaction a sample, as YAML with a version, checked in every field.

Every section and field has a default, so that an empty file is the built-in curation. `streams.curation` reads it.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

Share = Annotated[float, Meta(ge=0, le=1)]
Weight = Annotated[float, Meta(ge=0, le=1_000)]
Positive = Annotated[int, Meta(gt=0)]


class Normalising(Struct, frozen=True, forbid_unknown_fields=True):
    """`max_turns`: of a longer conversation the last so many user turns are kept, and the system prompt."""

    max_turns: Positive | None = None


class Weights(Struct, frozen=True, forbid_unknown_fields=True):
    """What all that one judge of a kind says of an interaction weighs at most: a user's is the unit."""

    expert: Weight = 4.0
    user: Weight = 1.0
    metric: Weight = 1.0
    model: Weight = 0.5


class Scoring(Struct, frozen=True, forbid_unknown_fields=True):
    """`weights`: what a judge weighs, by rater. `implicit`: the share of it that a signal weighs.

    `prior`: the weight of not knowing; confidence = evidence / (evidence + prior). `burst_per_hour`: scores of one
    person beyond so many in an hour are held.
    """

    weights: Weights = Weights()
    implicit: Share = 0.25
    prior: Annotated[float, Meta(gt=0)] = 1.0
    burst_per_hour: Positive = 100


Graded = Literal[
    "format",
    "words",
    "system_prompt",
    "hallucination",
    "refusal",
    "grounding",
    "repetition",
    "truncated",
    "low_signal",
]
"""The quality gates that give a grade in [0, 1]; `quality` is their weighted mean."""

LanguageCode = Annotated[str, Meta(pattern=r"\A[a-z]{2,3}\Z")]
Words = Annotated[int, Meta(ge=0)]


class Profile(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a sample must be. `weights` say what each grade counts for; below `threshold` a sample is dropped.

    Hard limits, which drop by themselves: `max_chars` of prompt and answer, `min_words` and `max_words` of the answer,
    `format` if `require_format`, `max_repetition` (share of the answer that repeats), `drop_truncated` (`known`: the
    model said so; `suspected`: the text looks so), `languages` (none: any).

    Graded only: `fit_words`, from and to; `format`, a pattern searched in the answer; the markers, phrases that are
    looked for as whole words; `full_signal_words`, so many different words are a full answer.
    """

    threshold: Share = 0.3
    weights: dict[Graded, Weight] = msgspec.field(
        default_factory=lambda: {
            "low_signal": 0.5,
            "repetition": 0.15,
            "truncated": 0.15,
            "hallucination": 0.1,
            "refusal": 0.05,
            "grounding": 0.05,
        }
    )
    max_chars: Positive = 200_000
    min_words: Words = 0
    max_words: Positive | None = None
    max_repetition: Share = 0.8
    drop_truncated: Literal["known", "suspected", "never"] = "known"
    languages: tuple[LanguageCode, ...] = ()
    format: str | None = None
    require_format: bool = False
    fit_words: tuple[Words, Positive] = (1, 1_000)
    full_signal_words: Positive = 20
    hallucination_markers: tuple[str, ...] = (
        "i don't have access to",
        "i cannot verify",
        "as an ai",
        "i don't know your",
        "i'm not sure which",
    )
    refusal_markers: tuple[str, ...] = (
        "i can't help",
        "i cannot help",
        "i can't assist",
        "i cannot assist",
        "i'm not able to help",
        "i am not able to",
        "i'm unable to",
        "i am unable to",
        "i can't do that",
        "i cannot do that",
        "i won't",
        "i will not",
        "i'm not comfortable",
        "i'm not going to",
        "i must decline",
        "against my programming",
    )

    def __post_init__(self) -> None:
        if self.format is not None:
            try:
                re.compile(self.format)
            except re.error as exc:
                raise ValueError(f"format {self.format!r} is no regular expression: {exc}") from exc
        elif self.require_format:
            raise ValueError("require_format needs a format")
        if self.fit_words[0] > self.fit_words[1]:
            raise ValueError("fit_words must be from, to")
        if self.max_words is not None and self.min_words > self.max_words:
            raise ValueError("min_words is more than max_words")
        if not all(marker.strip() for marker in (*self.hallucination_markers, *self.refusal_markers)):
            raise ValueError("a marker is empty")


class Default(Profile, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="extends", tag="default"):
    """For chat: one word is enough, no system prompt is needed."""


class Strict(Profile, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="extends", tag="strict"):
    """For fine-tuning one task: a system prompt, 50 to 1,000 words, no hallucination markers, the format if one is set.

    An answer may fail one of system prompt and format, and neither of the others.
    """

    threshold: Share = 0.75
    weights: dict[Graded, Weight] = msgspec.field(
        default_factory=lambda: {"system_prompt": 0.2, "words": 0.3, "hallucination": 0.3, "format": 0.2}
    )
    fit_words: tuple[Words, Positive] = (50, 1_000)


class Policing(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What must not be said, and where: in the `output`, the `prompt` or both.

    `terms`: by category a list of words and phrases, each of which drops, or a file with one a line, `#` a comment.
    `classifier`: `bundled`, an entry point of `millrace.classifiers`, `module:attribute`, or none; its value is
    recorded, and drops from `threshold` on.
    """

    scope: Literal["output", "prompt", "both"] = "output"
    terms: dict[str, tuple[str, ...] | str] = {}
    classifier: str | None = "bundled"
    threshold: Share | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and self.classifier is None:
            raise ValueError("threshold needs a classifier")


class Gating(Struct, frozen=True, forbid_unknown_fields=True):
    """`profile`: whose criteria count, a built-in one or one of `profiles`, each of which extends a built-in one.

    `tuned_models`: patterns (`*` is anything) of models that were fine-tuned. `transformers`, `filters`, `validators`:
    plugins, by entry point or as `module:attribute`, that run in this order.
    """

    profile: str = "default"
    profiles: dict[str, Default | Strict] = {}
    policy: Policing = Policing()
    tuned_models: tuple[str, ...] = ()
    transformers: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    validators: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if taken := self.profiles.keys() & BUILT_IN.keys():
            raise ValueError(f"profile {min(taken)!r} is built in: give yours another name")
        if self.profile not in BUILT_IN | self.profiles:
            raise ValueError(f"there is no profile {self.profile!r}: {', '.join(BUILT_IN | self.profiles)}")

    @property
    def chosen(self) -> Profile:
        """The criteria of `profile`."""
        return (BUILT_IN | self.profiles)[self.profile]


BUILT_IN: Final[dict[str, Default | Strict]] = {"default": Default(), "strict": Strict()}
"""The profiles that there are without saying so."""


class Deduplicating(Struct, frozen=True, forbid_unknown_fields=True):
    """`threshold`: Jaccard similarity of runs of three words from which prompt and output each count as alike.

    At 0.7 one in a hundred is missed at most, where both are just so alike; at 0.6 one in eight, at 0.5 one in three.
    """

    threshold: Annotated[float, Meta(ge=0.5, le=1)] = 0.7


class Curation(Struct, frozen=True, forbid_unknown_fields=True):
    """All of it. `version` is the writer's own label; the hash tells two files with one label apart."""

    version: str = "built-in"
    normalise: Normalising = Normalising()
    scores: Scoring = Scoring()
    gates: Gating = Gating()
    dedup: Deduplicating = Deduplicating()

    def rules(self) -> str:
        """Lineage: the version, and the first 12 hex digits of the SHA-256 of all that it says."""
        said = msgspec.json.encode(self, order="deterministic")
        return f"{self.version}@{hashlib.sha256(said).hexdigest()[:12]}"
