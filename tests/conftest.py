"""What all tests share: the servers, the real data where there is any, and a last word on what was left out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import LEFT_OUT, Servers

DIALOGUES = Path("dialogues/hh_rlhf_harmless_test.jsonl.gz")


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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which suites were left out, and what to install for them."""
    if not LEFT_OUT:
        return
    terminalreporter.section("left out on this machine")
    for install, tests in sorted(LEFT_OUT.items()):
        terminalreporter.line(f"{', '.join(sorted(tests))}")
        terminalreporter.line(f"    needs {install}")
