from __future__ import annotations

import pytest

from streams import errors as streams
from trainer_trigger import errors as trigger
from trainer_trigger.api.problems import KNOWN, problem_of
from trainer_trigger.datasets import errors as datasets
from trainer_trigger.launchers import errors as launchers
from trainer_trigger.ledger import errors as ledger

ROOTS = {trigger.TriggerError, ledger.LedgerError, launchers.LauncherError}
DEFINED = [
    found
    for module in (trigger, ledger, launchers, datasets)
    for found in vars(module).values()
    if isinstance(found, type) and issubclass(found, Exception) and found not in ROOTS | {datasets.DatasetError}
]


@pytest.mark.parametrize("kind", DEFINED)
def test_every_error_of_the_trigger_has_a_problem_of_its_own(kind: type[Exception]) -> None:
    assert any(parent in KNOWN for parent in kind.__mro__)


@pytest.mark.parametrize("kind", [kind for kind, known in KNOWN.items() if known.status >= 500])
def test_what_may_quote_a_dependency_is_never_quoted(kind: type[Exception]) -> None:
    exc = kind("psycopg: secret")
    problem = problem_of(exc)
    assert "secret" not in problem.detail
    assert problem.retry_after_s is not None


def test_a_provider_that_says_when_is_listened_to() -> None:
    assert problem_of(launchers.LauncherUnavailable("slow down", 77.0)).retry_after_s == 77.0
    assert problem_of(streams.LakeUnavailable("x")).retry_after_s is not None
