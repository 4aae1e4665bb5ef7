"""What all tests share: the servers, the real data where there is any, and a last word on what was left out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings

from deploy.local import process
from tests.servers import LEFT_OUT, Servers

DIALOGUES = Path("dialogues/hh_rlhf_harmless_test.jsonl.gz")
LONGEST = (
    "tests/unit/trainer_trigger/trainer/",
    "tests/integration/test_run.py",
    "tests/integration/test_whole_way.py",
)

hypothesis_settings.register_profile("millrace", deadline=None)  # beside other workers an example's time says nothing
hypothesis_settings.load_profile("millrace")


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Real servers, started on demand; a test whose server this machine cannot run is left out."""
    servers = Servers(tmp_path_factory.mktemp("servers"))
    yield servers
    servers.stop()


@pytest.fixture
def dialogues() -> Path:
    """The real dialogues, if MILLRACE_TEST_DATA says where they are."""
    folder = os.environ.get("MILLRACE_TEST_DATA", "")
    if not folder:
        LEFT_OUT.setdefault("real data: set MILLRACE_TEST_DATA to a folder with dialogues/", set()).add(
            os.environ.get("PYTEST_CURRENT_TEST", "").partition("::")[0]
        )
        pytest.skip("needs MILLRACE_TEST_DATA")
    return Path(folder) / DIALOGUES


def pytest_configure(config: pytest.Config) -> None:
    """Each of several workers draws ports from a range of its own: no other takes one before a server has it."""
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        (first, end), count = process.PORT_RANGE, worker["workercount"]
        size = (end - first) // count
        first += int(worker["workerid"].removeprefix("gw")) % count * size
        process.PORT_RANGE = (first, first + size)
        pytest.MonkeyPatch().setattr("streams.pipeline._free_port", process.free_port)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What computes for minutes begins first, so that no worker is left alone with it in the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker tells what it left out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = {install: sorted(tests) for install, tests in LEFT_OUT.items()}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """The run gathers it."""
    for install, tests in getattr(node, "workeroutput", {}).get("left_out", {}).items():
        LEFT_OUT.setdefault(install, set()).update(tests)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which suites were left out, and what to install for them."""
    if not LEFT_OUT:
        return
    terminalreporter.section("left out on this machine")
    for install, tests in sorted(LEFT_OUT.items()):
        terminalreporter.line(f"{', '.join(sorted(tests))}")
        terminalreporter.line(f"    needs {install}")
