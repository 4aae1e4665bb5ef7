"""Text to tokens: words, numbers and single marks; a URL, a mail address, a @handle or a line break is one token.

`words` is the fast half (no offsets); `spans` gives the same tokens with their places, for texts that hold a name.
"""

from __future__ import annotations

import re
from typing import Final

MAX_TOKEN: Final = 64
"""Characters: a longer run of letters is cut into pieces, so that no token costs more than a bounded time."""

_WORD: Final = r"[^\W\d_][\w\u0300-\u036f]{0,63}"

PATTERN: Final = (
    r"(?:https?://|www\.)[^\s<>\"]{1,500}"  # URL
    r"|[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]{1,64}"  # mail
    r"|@\w{1,64}"  # handle
    r"|\n[\s]{0,64}"  # line break with the blanks around it
    r"|[OoDdLlNn]['’](?=[A-Z])"
    + _WORD  # O'Brien, D'Angelo
    + r"|"
    + _WORD
    + r"(?:['’]t\b)?"  # don't is one word, John's is two
    r"|['’][a-zA-Z]{1,2}\b"  # 's, 'll
    r"|\d[\d.,:]{0,63}\d(?:st|nd|rd|th|[a-z])?\b|\d\w{0,63}"
    r"|[:;=][-'^]?[DdPpOoSsXx3](?!\w)"  # :D
    r"|[^\w\s]|_"
)
"""Every alternative is bounded and starts with another kind of character, so a scan is linear."""

_TOKEN: Final = re.compile(PATTERN)


def words(text: str) -> list[str]:
    """The tokens of a text in order; blanks other than line breaks separate them and are left out."""
    return _TOKEN.findall(text)


def spans(text: str) -> list[tuple[int, int]]:
    """The same tokens as `words`, as characters [start, end)."""
    return [match.span() for match in _TOKEN.finditer(text)]
