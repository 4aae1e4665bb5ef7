"""Has the distribution of samples moved since the last training snapshot? Rarely a false alarm, and what moved is told.

    reference = prepare(rows_of_the_snapshot)
    window = prepare(newest_rows)
    outcome = check(reference, window)          one window: a p-value a feature, Holm over them
    verdict = judge(history, outcome)           two in a row: drift, suspected, steady, not enough data, overlap
    history = verdict.history                   kept by the caller until the next window
    told = report(reference, window, outcome)   what moved, how much, with examples; `explain` in words, `png` as a plot

Nothing here reads a clock, a file or a network, and the same rows give the same p-values in any order.
"""

from trainer_trigger.drift.check import FeatureTest, Outcome, Rule, Shortage, check
from trainer_trigger.drift.errors import DriftError, FeaturiserError, RepeatedSampleError
from trainer_trigger.drift.plot import png
from trainer_trigger.drift.report import Example, FeatureReport, Report, Share, explain, report
from trainer_trigger.drift.rows import Prepared, Row, prepare
from trainer_trigger.drift.text import Featuriser, HashedNgrams
from trainer_trigger.drift.verdict import Verdict, judge

__all__ = [
    "DriftError",
    "Example",
    "FeatureReport",
    "FeatureTest",
    "Featuriser",
    "FeaturiserError",
    "HashedNgrams",
    "Outcome",
    "Prepared",
    "RepeatedSampleError",
    "Report",
    "Row",
    "Rule",
    "Share",
    "Shortage",
    "Verdict",
    "check",
    "explain",
    "judge",
    "png",
    "prepare",
    "report",
]
