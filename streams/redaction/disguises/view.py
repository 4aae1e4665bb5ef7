"""A rewritten text that knows where each of its characters came from."""

from __future__ import annotations

from collections.abc import Iterable


class View:
    """`text`, and for each of its characters the range of the original that made it.

    Ranges are half-open, in characters, and in order: both their starts and their ends never go back.
    """

    __slots__ = ("_ends", "_starts", "text")

    def __init__(self, text: str, starts: list[int], ends: list[int]) -> None:
        self.text = text
        self._starts = starts
        self._ends = ends

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The range of the original that covers all that made characters [start, end) of the view.

        Raises `ValueError` for a range that is empty or outside of the view.
        """
        if not 0 <= start < end <= len(self.text):
            raise ValueError(f"[{start}, {end}) is no range of a view of {len(self.text)} characters")
        return self._starts[start], self._ends[end - 1]

    def of(self, earlier: View) -> View:
        """This view, made of the text of an earlier one, as a view of what that one was made of."""
        starts = [earlier._starts[start] for start in self._starts]
        ends = [earlier._ends[end - 1] for end in self._ends]
        return View(self.text, starts, ends)


Rewrite = tuple[int, int, str | list[tuple[str, int, int]]]
"""Characters [start, end) of a text, and what they become: one string that all of them made ("" to leave them out), or
pieces, each with its own range."""


def rewritten(text: str, rewrites: Iterable[Rewrite]) -> View | None:
    """The text with rewrites in it, which are disjoint and in order; None if they change nothing.

    What is left out belongs to the character before it (at the start of the text: to the first one), so that cutting
    out a value takes along the marks and invisible characters on its last character.
    """
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for start, end, made in rewrites:
        pieces.append(text[at:start])
        starts.extend(range(at, start))
        ends.extend(range(at + 1, start + 1))
        for piece, piece_start, piece_end in [(made, start, end)] if isinstance(made, str) else made:
            if piece:
                pieces.append(piece)
                starts.extend([piece_start] * len(piece))
                ends.extend([piece_end] * len(piece))
            elif ends:
                ends[-1] = piece_end
        at = end
    pieces.append(text[at:])
    starts.extend(range(at, len(text)))
    ends.extend(range(at + 1, len(text) + 1))
    made_text = "".join(pieces)
    if starts:
        starts[0] = 0
    return None if made_text == text else View(made_text, starts, ends)
