"""Undoing disguises: values written so that people read them and patterns do not.

One view undoes all of them, in rounds: codes (`encodings`), then look-alike and invisible characters (`characters`),
then spelling (`spelling`), until nothing changes. One is enough because every rewrite is local and asks for its own
shape; what a rewrite might break is still whole in the original, which is always analysed too. More views would cost
one more analysis each, and could not undo one disguise inside another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from streams.redaction.disguises import characters, encodings, spelling
from streams.redaction.disguises.view import Rewrite, View, rewritten

__all__ = ["View", "undisguised"]

_ROUNDS: Final = 4
"""Disguises inside one another that are undone: `%2540` takes two."""

_FOR_ALL: Final[tuple[Callable[[str], Iterator[Rewrite]], ...]] = (
    spelling.apart,
    spelling.separated,
    spelling.grouped,
    spelling.one_by_one,
    spelling.spelled,
    spelling.worded,
)


def undisguised(text: str) -> View | None:
    """A view of the text without disguises, or None if it has none. Any text goes in; time is linear in its length.

    What the recognisers find in the view's text is in the original at `View.original(start, end)`.
    """
    if not ((not text.isascii() and characters.suspicious(text)) or encodings.coded(text) or spelling.suspicious(text)):
        return None
    view: View | None = None
    for _ in range(_ROUNDS):
        before = view
        for rewrites in _steps(text if view is None else view.text):
            current = text if view is None else view.text
            if (made := rewritten(current, rewrites(current))) is not None:
                view = made if view is None else made.of(view)
        if view is before:
            break
    return view if view is not None and view.text != text else None


def _steps(text: str) -> Iterator[Callable[[str], Iterator[Rewrite]]]:
    yield encodings.rewrites
    yield characters.rewrites
    yield characters.homoglyphs
    yield from _FOR_ALL
