"""A report as a picture."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Final

from trainer_trigger.drift.errors import DriftError
from trainer_trigger.drift.report import FeatureReport, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DETAILS: Final = 3
"""Features whose shares are drawn: those with the lowest p-values."""

NAME_CHARS: Final = 24
DPI: Final = 120
_BEFORE, _AFTER, _MOVED, _STILL = "#9aa5b1", "#2f6fab", "#c0392b", "#7f8c8d"


def png(told: Report) -> bytes:
    """p-values of all features, and shares before and after of those nearest to having moved. Same report, same bytes.

    Raises:
        DriftError: the report has no features, as there was not enough data.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not told.features:
        raise DriftError("there was not enough data, so there is nothing to draw")
    detailed = [each for each in told.features if each.shares][:DETAILS]
    figure = Figure(figsize=(4.5 * (1 + len(detailed)), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panes = figure.subplots(1, 1 + len(detailed), squeeze=False)[0]
    _p_values(panes[0], told)
    for pane, each in zip(panes[1:], detailed, strict=True):
        _shares(pane, each)
    drawn = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a glyph that the font lacks is drawn as a box
        figure.savefig(drawn, format="png", dpi=DPI, metadata={"Software": None})
    return drawn.getvalue()


def _p_values(pane: Axes, told: Report) -> None:
    names = [each.feature.replace("_", " ") for each in told.features]
    for place, each in enumerate(told.features):
        pane.plot(each.adjusted, place, "o", color=_MOVED if each.moved else _STILL)
    pane.axvline(told.alpha, color="black", linestyle="--", linewidth=1)
    pane.set_xscale("log")
    pane.set_xlim(min(told.alpha, told.features[0].adjusted) / 3, 2)
    pane.set_yticks(range(len(names)), names)
    pane.invert_yaxis()
    pane.set_title(f"p after Holm; moved at or below {told.alpha:g}", fontsize=9)


def _shares(pane: Axes, each: FeatureReport) -> None:
    places = range(len(each.shares))
    height = 0.4
    pane.barh(
        [at - height / 2 for at in places], [s.before for s in each.shares], height, color=_BEFORE, label="before"
    )
    pane.barh([at + height / 2 for at in places], [s.after for s in each.shares], height, color=_AFTER, label="after")
    # A label is somebody's text: "$" in it is no formula.
    pane.set_yticks(places, [_name(s.name) for s in each.shares], fontsize=8, parse_math=False)
    pane.invert_yaxis()
    pane.set_xlim(left=0)
    pane.set_title(
        f"{each.feature.replace('_', ' ')}: share of clusters, {'moved' if each.moved else 'not moved'}", fontsize=9
    )
    pane.legend(fontsize=8)


def _name(name: str) -> str:
    plain = "".join(char if char.isprintable() else " " for char in name)
    return plain if len(plain) <= NAME_CHARS else plain[: NAME_CHARS - 1] + "…"
