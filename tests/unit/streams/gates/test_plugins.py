"""Plugins: only those named run, in that order; what they say is told, and what they raise goes on."""

from __future__ import annotations

import importlib.metadata

import msgspec
import pytest

from schemas.curation import Gating, Policing
from schemas.events import Message
from schemas.reasons import Reason
from streams.errors import SettingError
from streams.gates import plugins
from streams.stages.gate import Gates
from streams.stages.normalise import Normalised
from tests.candidates import dropped, kept, normalised, outcome

HERE = "tests.unit.streams.gates.made_up_plugins"


def gates(**named: list[str]) -> Gates:
    groups = {group: tuple(f"{HERE}:{name}" for name in names) for group, names in named.items()}
    return Gates(msgspec.convert(groups, Gating))


def test_a_filter_keeps_or_drops_with_its_name_and_its_reason() -> None:
    kept(gates(filters=["polite"])(normalised("Yes, please.")))
    verdict = dropped(gates(filters=["polite"])(normalised("Yes.")))
    assert verdict.reason == Reason.PLUGIN
    assert outcome(verdict, "filter").detail == f"{HERE}:polite: impolite"
    assert outcome(dropped(gates(filters=["never"])(normalised())), "filter").detail == f"{HERE}:never"


def test_a_validator_tells_a_problem_or_nothing() -> None:
    kept(gates(validators=["ends"])(normalised("Yes.")))
    verdict = dropped(gates(validators=["ends"])(normalised("Yes")))
    assert (verdict.reason, outcome(verdict, "validator").detail) == (Reason.PLUGIN, f"{HERE}:ends: no-full-stop")


def test_a_transformer_changes_every_text_before_the_gates_and_nothing_else() -> None:
    before = normalised("it <b>rains</b>", "<b>why</b>?", system="<b>be</b> kind", model="m")
    after = kept(gates(transformers=["untagged"], validators=["untagged_now"])(before)).normalised
    assert (after.system, after.instruction, after.output) == ("be kind", "why?", "it rains")
    assert after.messages == (Message("system", "be kind"), Message("user", "why?"), Message("assistant", "it rains"))
    assert after.joined == before.joined
    assert before.output == "it <b>rains</b>"


def test_transformers_run_in_the_order_of_the_file() -> None:
    assert kept(gates(transformers=["one", "two"])(normalised("x"))).normalised.output == "x12"
    assert kept(gates(transformers=["two", "one"])(normalised("x"))).normalised.output == "x21"


def test_a_transformer_that_leaves_nothing_is_a_drop_with_a_reason() -> None:
    assert dropped(gates(transformers=["silent_user"])(normalised())).reason == Reason.EMPTY_PROMPT
    assert dropped(gates(transformers=["silent_assistant"])(normalised())).reason == Reason.EMPTY_OUTPUT


@pytest.mark.parametrize(
    ("named", "error"),
    [
        ({"filters": ["raising"]}, RuntimeError),
        ({"filters": ["wordless"]}, TypeError),
        ({"filters": ["chatty"]}, ValueError),
        ({"validators": ["chatty"]}, ValueError),
        ({"validators": ["never"]}, TypeError),
        ({"transformers": ["nothing"]}, TypeError),
    ],
)
def test_what_a_plugin_raises_or_says_wrongly_goes_on(named: dict[str, list[str]], error: type[Exception]) -> None:
    with pytest.raises(error):
        gates(**named)(normalised("Something private."))


@pytest.mark.parametrize("name", ["no_such", "no.such:thing", f"{HERE}:no_such", f"{HERE}:NUMBER", ":", "a:"])
def test_a_plugin_that_is_not_there_is_a_setting_error(name: str) -> None:
    with pytest.raises(SettingError, match="plugin"):
        Gates(Gating(filters=(name,)))


def test_an_entry_point_is_found_by_its_name_and_only_if_the_file_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def entry_points(group: str, name: str) -> list[importlib.metadata.EntryPoint]:
        there = importlib.metadata.EntryPoint("polite", f"{HERE}:polite", "millrace.filters")
        return [there] if (group, name) == (there.group, there.name) else []

    monkeypatch.setattr(plugins, "entry_points", entry_points)
    assert outcome(dropped(Gates(Gating(filters=("polite",)))(normalised())), "filter").detail == "polite: impolite"
    kept(Gates()(normalised()))


def test_a_classifier_of_ones_own_is_asked() -> None:
    policy = Policing(classifier=f"{HERE}:certain", threshold=1.0)
    assert dropped(Gates(Gating(policy=policy))(normalised())).reason == Reason.POLICY


def test_plugins_see_the_whole_interaction() -> None:
    assert isinstance(normalised(), Normalised)
    kept(gates(filters=["has_model"])(normalised(model="m")))
    dropped(gates(filters=["has_model"])(normalised()))
