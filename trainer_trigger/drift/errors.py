"""What can be wrong with the input of a drift check.

DriftError
├── FeaturiserError        a featuriser answers another shape than (texts, width), or what is not finite
└── RepeatedSampleError    one sample id twice among the rows of one side
"""

from __future__ import annotations


class DriftError(ValueError):
    """The rows or the featuriser are not what a drift check takes."""


class FeaturiserError(DriftError):
    """A featuriser's answer cannot be used."""


class RepeatedSampleError(DriftError):
    """A sample id is there twice."""
