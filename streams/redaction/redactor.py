"""Redacting an interaction: every text in it, JSON stays JSON, each finding a placeholder.

A placeholder is `<TYPE:8 hex digits>`, a keyed hash within its interaction; `stages.normalise` numbers them after the
join, so that a late comment names the same person as the interaction did.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from schemas.events import ContentPart, Interaction, Message, Review, Score, ToolCall
from streams.errors import RedactionError
from streams.redaction import Analyzer, Finding
from streams.redaction.hashing import KeyedHasher


class Redactor:
    """Redacts the texts of one interaction after another.

    Left as they are, because the app's configuration writes them and not a person: model, model version, variant,
    role, and all ids. Ids must be opaque: the contract says so.
    """

    def __init__(self, analyzer: Analyzer, hasher: KeyedHasher, max_text_chars: int) -> None:
        self.version = analyzer.version
        self._analyzer = analyzer
        self._hasher = hasher
        self._max_text_chars = max_text_chars

    def within(self, tenant: str, interaction_id: str) -> InteractionRedactor:
        """A redactor whose placeholders belong to one interaction of a tenant."""
        return InteractionRedactor(self, tenant, interaction_id)

    def person(self, tenant: str, user: str) -> str:
        """See `KeyedHasher.person`."""
        return self._hasher.person(tenant, user)

    def replace(self, text: str, scope: str, counts: Counter[str]) -> str:
        """A text with every finding replaced; `counts` grows by type. Raises `RedactionError` for one too long."""
        if len(text) > self._max_text_chars:
            raise RedactionError(f"a text is longer than {self._max_text_chars} characters")
        if not text.strip():
            return text

        def placeholder(finding: Finding, value: str) -> str:
            counts[finding.type] += 1
            return f"<{finding.type}:{self._hasher.value(scope, finding.type, value)}>"

        return replaced(text, self._analyzer.analyze(text), placeholder)


class InteractionRedactor:
    """Redacts the parts of one interaction and counts what it found by type in `counts`."""

    def __init__(self, redactor: Redactor, tenant: str, interaction_id: str) -> None:
        self.counts: Counter[str] = Counter()
        self._redactor = redactor
        self._tenant = tenant
        self._scope = f"{tenant}\x00{interaction_id}"

    def interaction(self, interaction: Interaction) -> Interaction:
        """All messages, tools, tags and labels; the user becomes a keyed hash."""
        return msgspec.structs.replace(
            interaction,
            messages=tuple(self._message(message) for message in interaction.messages),
            tools=self._json(interaction.tools),
            tags=tuple(self.text(tag) for tag in interaction.tags),
            task_type=self._optional(interaction.task_type),
            intent=self._optional(interaction.intent),
            user=self.user(interaction.user),
        )

    def score(self, score: Score) -> Score:
        """The text of a correction, demonstration or comment."""
        return msgspec.structs.replace(score, text=self._optional(score.text))

    def review(self, review: Review) -> Review:
        """The edit and the comment; the reviewer becomes a keyed hash."""
        return msgspec.structs.replace(
            review,
            reviewer=self.user(review.reviewer),
            output=self._optional(review.output),
            comment=self._optional(review.comment),
        )

    def user(self, user: str | None) -> str | None:
        """A person's keyed hash."""
        return None if user is None else self._redactor.person(self._tenant, user)

    def _message(self, message: Message) -> Message:
        return msgspec.structs.replace(
            message,
            content=self._optional(message.content),
            parts=tuple(self._part(part) for part in message.parts),
            name=self._optional(message.name),
            tool_calls=tuple(self._tool_call(call) for call in message.tool_calls),
        )

    def _part(self, part: ContentPart) -> ContentPart:
        return msgspec.structs.replace(
            part, type=self.text(part.type), text=self._optional(part.text), data=self._json(part.data)
        )

    def _tool_call(self, call: ToolCall) -> ToolCall:
        return msgspec.structs.replace(
            call, name=self.text(call.name), type=self.text(call.type), arguments=self._json(call.arguments) or ""
        )

    def _json(self, text: str | None) -> str | None:
        """JSON text with its leaves and keys redacted; text that is no JSON is redacted as text."""
        if text is None:
            return None
        try:
            # A key that comes twice must not hide its first value: all pairs are looked at.
            parsed = json.loads(text, object_pairs_hook=_Pairs)
        except (ValueError, RecursionError):
            return self.text(text)
        found_before = sum(self.counts.values())
        redacted = self._leaves(parsed)
        return text if sum(self.counts.values()) == found_before else json.dumps(redacted, ensure_ascii=False)

    def _leaves(self, node: object) -> object:
        if isinstance(node, str):
            return self.text(node)
        if isinstance(node, _Pairs):
            return {self.text(key): self._leaves(child) for key, child in node}
        if isinstance(node, list):
            return [self._leaves(child) for child in node]
        if isinstance(node, (int, float)) and not isinstance(node, bool):
            written = str(node)
            redacted = self.text(written)
            return node if redacted == written else redacted
        return node

    def text(self, text: str) -> str:
        """Any text of the interaction."""
        return self._redactor.replace(text, self._scope, self.counts)

    def _optional(self, text: str | None) -> str | None:
        return None if text is None else self.text(text)


class _Pairs(list[tuple[str, object]]):
    """A JSON object as its pairs, in order."""


def replaced(text: str, findings: Sequence[Finding], placeholder: Callable[[Finding, str], str]) -> str:
    """A text with all that was found replaced; `placeholder` is asked with each disjoint finding and its value."""
    pieces, end = [], 0
    for finding in covering(findings):
        pieces += [text[end : finding.start], placeholder(finding, text[finding.start : finding.end])]
        end = finding.end
    return "".join((*pieces, text[end:]))


def covering(findings: Sequence[Finding]) -> list[Finding]:
    """Disjoint findings, by start, that cover all that were given: overlapping ones become one of the surest type."""
    merged: list[Finding] = []
    for finding in sorted(findings, key=lambda finding: (finding.start, -finding.end)):
        if merged and finding.start < merged[-1].end:
            last = merged[-1]
            surest = max(last, finding, key=lambda either: (either.score, either.end - either.start))
            merged[-1] = Finding(surest.type, last.start, max(last.end, finding.end), surest.score)
        else:
            merged.append(finding)
    return merged
