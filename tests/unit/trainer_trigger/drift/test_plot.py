"""The report as a picture."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from tests.unit.trainer_trigger.drift.made_up import rows
from trainer_trigger.drift import DriftError, Report, Share, check, png, prepare, report
from trainer_trigger.drift.plot import NAME_CHARS


@pytest.fixture(scope="module")
def told() -> Report:
    before, after = prepare(rows("before", 300)), prepare(rows("after", 300, topics=(10, 1, 1)))
    return report(before, after, check(before, after))


def size(picture: bytes) -> tuple[int, int]:
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(picture[16:20]), int.from_bytes(picture[20:24])


def test_a_report_becomes_a_picture_and_the_same_one_each_time(told: Report) -> None:
    picture = png(told)
    width, height = size(picture)
    assert 1_000 < width < 4_000
    assert 300 < height < 1_000
    assert png(told) == picture


def test_another_report_becomes_another_picture(told: Report) -> None:
    still = tuple(msgspec.structs.replace(each, moved=False) for each in told.features)
    assert png(msgspec.structs.replace(told, features=still)) != png(told)


@pytest.mark.parametrize("name", ["$x^{", "$\\frac$", "日本語", "a\nb\x00\u202e", "<b>&", "x" * 5_000, "", "\ud800"])
def test_any_label_can_be_drawn(told: Report, name: str) -> None:
    first, *others = told.features
    hostile = msgspec.structs.replace(first, shares=(Share(name, 0.1, 0.9), Share("plain", 0.9, 0.1)))
    width, height = size(png(msgspec.structs.replace(told, features=(hostile, *others))))
    assert width < 4_000
    assert height < 1_000


def test_a_long_label_is_cut_off(told: Report) -> None:
    def drawn(name: str) -> bytes:
        return png(
            msgspec.structs.replace(told, features=(msgspec.structs.replace(told.features[0], shares=named(name)),))
        )

    def named(name: str) -> tuple[Share, ...]:
        return (Share(name, 0.1, 0.9),)

    assert drawn("x" * 5_000) == drawn("x" * (NAME_CHARS - 1) + "…") != drawn("x" * NAME_CHARS)


def test_one_feature_alone_can_be_drawn(told: Report) -> None:
    alone = msgspec.structs.replace(told.features[0], shares=())
    assert size(png(msgspec.structs.replace(told, features=(alone,))))


def test_without_enough_data_there_is_nothing_to_draw() -> None:
    few = prepare(rows("few", 20))
    with pytest.raises(DriftError, match="not enough data"):
        png(report(few, few, check(few, few)))


def test_nothing_that_draws_is_imported_before_something_is_drawn() -> None:
    asked = "import sys, trainer_trigger.drift; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
