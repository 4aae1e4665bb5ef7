"""Presidio's recognizers: the stock engine, and one with the same findings at a fraction of the cost.

The only package that imports Presidio. From the outside in:

- `engine.PresidioAnalyzer`: what Millrace runs
- `finders`: one finder a recognizer: its patterns behind triggers that tell when they cannot match
- `hosts`, `phones`: URLs, mail addresses and phone numbers, where stock is slow
- `context`: the words before a finding, read from the text around it only
- `recognizers`: which recognizers there are; a user's own from YAML or Python
- `stock.StockAnalyzer`: the peer that tests and benchmarks compare with
"""

from streams.redaction.presidio.engine import MIN_SCORE, PresidioAnalyzer

__all__ = ["MIN_SCORE", "PresidioAnalyzer"]
