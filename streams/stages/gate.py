"""gate: what must not be trained on, and what is no use. The outcome of each is kept, passed or not.

1 transformers → 2 safety gates → 3 quality gates and the user's own → 4 `quality`, the weighted mean of their grades,
against the profile's threshold. A gate runs if it can drop, counts or signals in this profile; the first that did not
pass is the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from schemas.curation import Gating
from schemas.outcomes import GateOutcome, Origin
from schemas.reasons import Reason
from streams.errors import SettingError
from streams.gates import Gate, candidate, classifier, plugins
from streams.gates.consent import Consent
from streams.gates.form import Format, SystemPrompt
from streams.gates.grounding import Grounding
from streams.gates.language import Language
from streams.gates.length import Length, LowSignal, Words
from streams.gates.markers import Hallucination, Refusal
from streams.gates.origin import Origination
from streams.gates.pii import BarredPii, ResidualPii
from streams.gates.policy import Classifier, Policy, PolicyModel, Terms
from streams.gates.repetition import Repetition
from streams.gates.truncation import Truncated
from streams.redaction.policy import Policy as Redaction
from streams.stages import Drop, Keep
from streams.stages.normalise import Normalised

VERSION: Final = "gate-3"

BUNDLED: Final = "bundled"

QUALITY: Final = "quality"
"""The last outcome: the mean of the grades."""


class Gated(Struct, frozen=True):
    """An interaction that passed, with all gate outcomes and its `quality` in [0, 1].

    `language` is an ISO 639 code. `origin`, `reviewed`, `awaits_review` and `profile` are as in `Sample`.
    """

    normalised: Normalised
    gates: tuple[GateOutcome, ...]
    quality: float
    language: str | None
    origin: Origin
    reviewed: bool
    awaits_review: bool
    profile: str


class Gates:
    """All gates, compiled once from their configuration."""

    def __init__(self, rules: Gating = Gating(), redaction: Redaction = Redaction()) -> None:
        """`redaction` says which types no sample may have held, and which stay in a text on purpose.

        Raises `SettingError` for a plugin that is not there and a term list that is wrong.
        """
        profile = rules.chosen
        self._profile_name = rules.profile
        self._threshold = profile.threshold
        self._weights: dict[str, float] = {name: weight for name, weight in profile.weights.items() if weight > 0}
        self._total_weight = sum(self._weights.values())
        transformers = [plugins.load("transformers", name) for name in rules.transformers]
        self._transform = plugins.Transform(transformers) if transformers else None
        self._originate = Origination(rules.tuned_models)
        safety: list[Gate] = [
            Consent(),
            BarredPii(redaction.barred),
            ResidualPii(redaction),
            Policy(rules.policy, _terms(rules.policy.terms) if rules.policy.terms else None),
        ]
        if rules.policy.classifier is not None:
            safety.append(PolicyModel(rules.policy, _classifier(rules.policy.classifier)))
        gates: Sequence[Gate] = (
            *safety,
            Format(profile),
            Length(profile),
            Words(profile),
            SystemPrompt(),
            Truncated(profile),
            Repetition(profile),
            Language(profile),
            Hallucination(profile),
            Refusal(profile),
            Grounding(),
            LowSignal(profile),
            *(plugins.FilterGate(name, plugins.load("filters", name)) for name in rules.filters),
            *(plugins.ValidatorGate(name, plugins.load("validators", name)) for name in rules.validators),
        )
        self.gates = [gate for gate in gates if not gate.idle or gate.name in self._weights]
        self._by_name = {gate.name: gate for gate in self.gates}
        places = {gate.name: place for place, gate in enumerate(self.gates)}
        self._graded = [(places[name], self._by_name[name], weight) for name, weight in self._weights.items()]
        self._language = places[Language.name]

    def __call__(self, normalised: Normalised) -> Keep[Gated] | Drop:
        """Judge one interaction. Raises what a plugin raises."""
        # 1 transformers
        if self._transform is not None:
            normalised = self._transform(normalised)
            if not normalised.instruction.strip():
                return Drop(Reason.EMPTY_PROMPT)
            if not normalised.output.strip() and not normalised.messages[-1].tool_calls:
                return Drop(Reason.EMPTY_OUTPUT)
        # 2 safety gates → 3 quality gates and the user's own
        sample = candidate(normalised)
        outcomes = [gate.judge(sample) for gate in self.gates]
        # 4 quality
        grades = [weight * _grade(gate, outcomes[place]) for place, gate, weight in self._graded]
        quality = round(sum(grades) / self._total_weight, 6) if grades else 1.0
        low = Reason.LOW_QUALITY if quality < self._threshold else None
        outcomes.append(GateOutcome(QUALITY, "quality", low is None, low, quality))
        for outcome in outcomes:
            if outcome.reason is not None:
                return Drop(outcome.reason, tuple(outcomes))
        origin = self._originate(normalised)
        return Keep(
            Gated(
                normalised,
                tuple(outcomes),
                quality,
                outcomes[self._language].detail,
                origin.origin,
                origin.reviewed,
                origin.awaits_review,
                self._profile_name,
            )
        )

    def explain(self, verdict: Keep[Gated] | Drop) -> list[str]:
        """In words, a line an outcome: what was measured, what is wanted, what it counts; then the verdict."""
        lines = [
            self._line(outcome) for outcome in (verdict.gates if isinstance(verdict, Drop) else verdict.record.gates)
        ]
        if isinstance(verdict, Drop):
            return [*lines, f"dropped: {verdict.reason}"]
        gated = verdict.record
        review = "awaits a person's review" if gated.awaits_review else "reviewed" if gated.reviewed else "not reviewed"
        return [
            *lines,
            f"kept: quality {gated.quality:g}, language {gated.language or 'unknown'}, origin {gated.origin}, "
            f"{review}, profile {gated.profile}",
        ]

    def _line(self, outcome: GateOutcome) -> str:
        gate = self._by_name.get(outcome.gate)
        says = []
        if outcome.value is not None:
            says.append(f"{outcome.value:g} {gate.unit if gate is not None else ''}".rstrip())
        if outcome.detail is not None:
            says.append(outcome.detail)
        if gate is not None:
            says.append(f"wanted: {gate.wants}")
            if weight := self._weights.get(gate.name):
                says.append(f"grade {_grade(gate, outcome):.3g} of 1 counts {weight:g} of {self._total_weight:g}")
        elif outcome.gate == QUALITY:
            says.append(f"wanted: at least {self._threshold:g}")
        said = "passed" if outcome.passed else f"not passed ({outcome.reason})"
        return f"{outcome.family} {outcome.gate}: {said}" + "".join(f"; {each}" for each in says)


def _grade(gate: Gate, outcome: GateOutcome) -> float:
    """Where nothing was measured there is nothing to complain of."""
    return 1.0 if outcome.value is None else gate.grade(outcome.value)


def _classifier(name: str) -> Classifier:
    return classifier.bundled() if name == BUNDLED else plugins.load("classifiers", name)


def _terms(lists: Mapping[str, tuple[str, ...] | str]) -> Terms:
    inline = {category: terms for category, terms in lists.items() if not isinstance(terms, str)}
    if len(inline) < len(lists):
        raise SettingError("MILLRACE_CURATION", min(lists.keys() - inline.keys()), "its file of terms was not read")
    try:
        return Terms(inline)
    except ValueError as exc:
        raise SettingError("MILLRACE_CURATION", "gates.policy.terms", str(exc)) from exc
