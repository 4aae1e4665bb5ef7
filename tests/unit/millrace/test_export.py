"""`millrace lake export`: a whole file or none, its lineage beside it, exit 2 for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from millrace.lake import app
from schemas.events import Message
from schemas.tables import SAMPLES, arrow_table, outcome_row
from streams.exports import FORMATS, query
from streams.lake.delta import DeltaLake
from tests.outcomes import outcome


@pytest.fixture
def lake(tmp_path: Path) -> str:
    root = str(tmp_path / "lake")
    rows = []
    for name, score in (("réponse", 1.0), ("worse", 0.0)):
        messages = (Message("user", "p"), Message("assistant", name))
        one = outcome(name, prompt_id="p", output=name, messages=messages, score=score)
        rows.append(outcome_row(one)[1])
    DeltaLake(root).create(SAMPLES).append(arrow_table(SAMPLES, rows), {}, {})
    return root


def run(lake: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["export", "--lake", lake, *arguments])


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_goes_to_stdout_as_json_lines_and_its_count_to_stderr(lake: str, form: str) -> None:
    done = run(lake, "--format", form)
    assert done.exit_code == 0
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found
    assert all(FORMATS[form].check(line) == [] for line in found)
    assert "réponse" in done.stdout
    assert done.stderr == f"{len(found)} lines\n"


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_is_what_stdout_would_be_and_has_its_lineage_inside_or_beside(
    lake: str, tmp_path: Path, form: str
) -> None:
    out = tmp_path / "out" / "set.jsonl"
    out.parent.mkdir()
    assert run(lake, "--format", form, "--out", str(out)).exit_code == 0
    assert out.read_bytes() == run(lake, "--format", form).stdout_bytes
    beside = out.with_name("set.jsonl.lineage.jsonl")
    assert beside.exists() == form.startswith("openai")
    assert len(list(out.parent.iterdir())) == 1 + beside.exists()
    if beside.exists():
        assert len(beside.read_text().splitlines()) == len(out.read_text().splitlines())
        assert "t/réponse" in beside.read_text()


def test_a_file_stays_as_it_was_until_all_is_written(
    lake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out" / "set.jsonl"
    out.parent.mkdir()
    out.write_text("before")
    lines = query.lines

    def broken(*arguments: object) -> object:
        yield next(iter(lines(*arguments)))  # type: ignore[arg-type]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(query, "lines", broken)
    done = run(lake, "--format", "openai-sft", "--out", str(out))
    assert done.exit_code != 0
    assert [path.name for path in out.parent.iterdir()] == ["set.jsonl"]
    assert out.read_text() == "before"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--format", "csv"],
        ["--format", "sample", "--where", "nonsense ="],
        ["--format", "sample", "--out", "/nowhere/at/all"],
        ["--format", "trl-kto", "--min-score", "0.2"],
        ["--format", "sample", "--min-score", "2"],
    ],
)
def test_a_wrong_option_is_told(lake: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from millrace import __main__ as command

    monkeypatch.setattr("sys.argv", ["millrace", "lake", "export", "--lake", lake, *arguments])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 2


def test_where_no_lake_is_it_says_so_and_exits_2(tmp_path: Path) -> None:
    done = run(str(tmp_path / "nowhere"), "--format", "sample")
    assert done.exit_code == 2
    assert "there is no lake at" in done.stderr
