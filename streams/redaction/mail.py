"""Mail addresses that Presidio lets go: it asks of all that its pattern took whether it is a domain that can be had.

So `jo@example.com.pdf`, `jo@build.internal` and the address in `?to=jo@example.com&size=1` keep their local part. Here
a local part, an at sign and a dotted domain are an address.
"""

from __future__ import annotations

import re
from typing import Final

from streams.redaction import Finding

SCORE: Final = 0.5
"""That of Presidio's own pattern, before it asks about the domain."""

_ADDRESS: Final = re.compile(r"(?<![\w.+%'-])[\w.+%'-]{0,255}\w@[^\W_](?:[\w-]{0,62}\.){1,8}[^\W\d_]{2,24}(?![\w@-])")


class MailAddresses:
    """`Analyzer` for mail addresses of any domain."""

    types: Final = frozenset(("EMAIL_ADDRESS",))
    version: Final = "mail-1"

    def analyze(self, text: str) -> list[Finding]:
        """See `Analyzer.analyze`."""
        if "@" not in text:
            return []
        return [
            Finding("EMAIL_ADDRESS", match.start(), match.end(), SCORE, "mail: any domain")
            for match in _ADDRESS.finditer(text)
        ]
