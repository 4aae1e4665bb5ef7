from __future__ import annotations

from pathlib import Path

import pytest

from streams.errors import SettingError
from trainer_trigger.targets import load

WHOLE = """
version: 1
targets:
  support-chat:
    version: v3
    filter: {tenants: [acme], roles: [support]}
    policy: {any: [{volume: {samples: 500}}, {all: [{drift: {}}, {time: {every_days: 7}}]}]}
    dataset: {min_score: 0.7, golden: golden/support.jsonl, harm: s3://sets/harm.jsonl}
    training: {base_model: llama, epochs: 3, learning_rate: 1.0e-3, lora_rank: 8}
    launcher: {openai: {base_url: "http://localhost:8090/v1", provider: millrace}}
  notes:
    dataset: {golden: none, harm: none, format: kto}
    training: {base_model: llama}
    launcher: {command: {argv: [./train], runs: runs}}
"""


def written(folder: Path, text: str) -> str:
    path = folder / "targets.yaml"
    path.write_text(text)
    return str(path)


def test_a_whole_file_is_read_with_its_paths_beside_it(tmp_path: Path) -> None:
    targets = load(written(tmp_path, WHOLE))
    support, notes = targets["support-chat"], targets["notes"]
    assert support.dataset.golden == str(tmp_path / "golden/support.jsonl")
    assert support.dataset.harm == "s3://sets/harm.jsonl"
    assert support.format == "sft"
    assert notes.dataset.golden == "none"
    assert notes.format == "kto"
    assert notes.launcher.command is not None and notes.launcher.command.runs == str(tmp_path / "runs")


def test_the_hash_is_that_of_the_content_however_it_was_written(tmp_path: Path) -> None:
    one = load(written(tmp_path, WHOLE))["support-chat"]
    swapped = WHOLE.replace("{tenants: [acme], roles: [support]}", "{roles: [support], tenants: [acme]}")
    assert load(written(tmp_path, swapped))["support-chat"].hash == one.hash
    other = WHOLE.replace("samples: 500", "samples: 501")
    assert load(written(tmp_path, other))["support-chat"].hash != one.hash


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("version: 1\n", "version: 2\n", "$.version"),
        ("targets:", "tragets:", "unknown field `tragets`"),
        ("lora_rank: 8", "lora_rank: 0", r"training.lora_rank"),
        ("samples: 500", "samples: 0", "volume.samples"),
        ("{volume: {samples: 500}}", "{volume: {}, time: {}}", "a policy is exactly one of"),
        ("{any: [{volume", "{all: [], any: [{volume", "a policy is exactly one of"),
        ("{drift: {}}", "{drift: {rows: 299}}", "drift.rows"),
        ("provider: millrace", "provider: mine", "launcher.openai.provider"),
        ("{command: {argv: [./train], runs: runs}}", "{}", "a launcher is exactly one of"),
        ("golden: golden/support.jsonl", "format: dpo", "dataset.format dpo"),
        ("support-chat:", "Support Chat:", "targets"),
        ("training: {base_model: llama, epochs: 3", "training: {epochs: 3", "base_model"),
        ("    version: v3\n", "    version: latest\n", "version"),
        ("    version: v3\n", "    min_samples: 99\n", "min_samples"),
        ("  support-chat:", "  support-chat: [", "line"),
        (
            "    version: v3\n",
            "    cooldown_hours: .inf\n",
            "$.targets.support-chat.cooldown_hours is no finite number",
        ),
        ("    version: v3\n", "    cooldown_hours: 1.0e+400\n", "cooldown_hours is no finite number"),
        ("    version: v3\n", "    cooldown_hours: 1.0e+308\n", "cooldown_hours"),
        ("{drift: {}}", "{performance: {below: .nan}}", "any[1].all[0].performance.below is no finite number"),
        ("learning_rate: 1.0e-3", "learning_rate: -.inf", "training.learning_rate is no finite number"),
        ("  notes:", "  support-chat:", "'support-chat' stands twice"),
        ("    version: v3\n", "    version: v3\n    version: v4\n", "'version' stands twice"),
        ("lora_rank: 8", "lora_rank: 8, lora_rank: 9", "'lora_rank' stands twice"),
        ("  notes:", "  more: &more\n    again: *more\n  notes:", "recursion"),
        ("    version: v3\n", "    version: 2026-13-45\n", "month"),
        ("{drift: {}}", "{event: {kinds: [Incident]}}", "event.kinds[0]"),
        ("{drift: {}}", "{event: {kinds: [manual]}}", "it is no event"),
        ("http://localhost:8090/v1", "localhost:8090/v1", "base_url is no http:// or https:// URL"),
        ("http://localhost:8090/v1", "ftp://localhost/v1", "base_url is no"),
        ("http://localhost:8090/v1", "http:///v1", "base_url is no"),
        ("http://localhost:8090/v1", "http://:8090/v1", "base_url is no"),
        ("http://localhost:8090/v1", "http://localhost:http/v1", "base_url is no"),
        ("http://localhost:8090/v1", "http://localhost:99999/v1", "base_url is no"),
        ("http://localhost:8090/v1", "http://[::1/v1", "base_url is no"),
    ],
)
def test_what_is_wrong_is_said_with_its_field(tmp_path: Path, before: str, after: str, told: str) -> None:
    assert before in WHOLE
    with pytest.raises(SettingError) as failed:
        load(written(tmp_path, WHOLE.replace(before, after)))
    assert told in str(failed.value)
    assert "MILLRACE_TARGETS" in str(failed.value)


def test_what_a_merge_brings_may_be_said_again(tmp_path: Path) -> None:
    merged = WHOLE.replace("    version: v3\n", "    <<: {version: v4, cost_cents: 3}\n    version: v3\n")
    support = load(written(tmp_path, merged))["support-chat"]
    assert (support.version, support.cost_cents) == ("v3", 3)


def test_no_file_and_a_missing_one_are_said(tmp_path: Path) -> None:
    for path in ("", str(tmp_path / "none.yaml")):
        with pytest.raises(SettingError, match="MILLRACE_TARGETS"):
            load(path)
