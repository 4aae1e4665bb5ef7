"""Redacting an interaction: every text in it, JSON stays JSON, each finding what the policy says.

A placeholder holds keyed hashes within its interaction (`placeholders`); `stages.normalise` numbers them after the
join, so that a late comment names the same person as the interaction did.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from schemas.events import ContentPart, Interaction, Message, Review, Score, ToolCall
from streams.errors import RedactionError
from streams.redaction import Analyzer, Finding, Preparing, placeholders
from streams.redaction.hashing import KeyedHasher
from streams.redaction.policy import Action, Policy
from streams.redaction.rest import Rest, beside, merged
from streams.redaction.surrogates import surrogate

_NAME_WORD: Final = re.compile(r"[^\W\d_]+")
_TITLES: Final = frozenset(
    (
        "mr",
        "mrs",
        "ms",
        "miss",
        "mx",
        "dr",
        "prof",
        "sir",
        "madam",
        "lady",
        "lord",
        "mister",
        "doctor",
        "professor",
        "s",
    )
)
"""No part of who a person is; the s is that of a genitive."""

_MAX_NAME_WORDS: Final = 4
_MIN_KNOWN_CHARS: Final = 3


class Redactor:
    """Redacts the texts of one interaction after another.

    Left as they are, because the app's configuration writes them and not a person: model, model version, variant,
    role, and all ids. Ids must be opaque: the contract says so.
    """

    def __init__(
        self, analyzer: Analyzer, hasher: KeyedHasher, max_text_chars: int, policy: Policy | None = None
    ) -> None:
        self._policy = policy or Policy()
        self.version = hashlib.sha256(f"{analyzer.version}:{self._policy.version}".encode()).hexdigest()[:16]
        self._analyzer = analyzer
        self._hasher = hasher
        self._max_text_chars = max_text_chars

    def within(self, tenant: str, interaction_id: str) -> InteractionRedactor:
        """A redactor whose placeholders belong to one interaction of a tenant."""
        return InteractionRedactor(self, tenant, interaction_id)

    def prepare(self, texts: Iterable[str]) -> None:
        """Told the texts of a batch before it is redacted: it then costs less."""
        if isinstance(self._analyzer, Preparing):
            self._analyzer.prepare(text for text in texts if len(text) <= self._max_text_chars)

    def person(self, tenant: str, user: str) -> str:
        """See `KeyedHasher.person`."""
        return self._hasher.person(tenant, user)

    def replace(
        self, text: str, tenant: str, interaction_id: str, counts: Counter[str], known: dict[str, str] | None = None
    ) -> str:
        """A text with every finding replaced, and every value in `known` (value → type), which grows by those found.

        `counts` grows by type. Raises `RedactionError` for a text that is too long.
        """
        if len(text) > self._max_text_chars:
            raise RedactionError(f"a text is longer than {self._max_text_chars} characters")
        if not text.strip():
            return text
        scope = f"{tenant}\x00{interaction_id}"

        def replacement(finding: Finding, value: str) -> str:
            counts[finding.type] += 1
            match self._policy.action(finding.type):
                case Action.SURROGATE:
                    return surrogate(
                        finding.type, value, lambda part: self._hasher.surrogate(scope, finding.type, part)
                    )
                case Action.MASK:
                    return "".join("*" if char.isalnum() else char for char in value)
                case Action.HASH:
                    return placeholders.tenant_wide(
                        finding.type, self._hasher.tenant_value(tenant, finding.type, value)
                    )
            parts = _name_words(value) if finding.type == "PERSON" else [value]
            hashes = [self._hasher.value(scope, finding.type, part) for part in parts]
            return placeholders.hashed(finding.type, hashes)

        return replaced(text, self._found(text, {} if known is None else known), replacement)

    def _found(self, text: str, known: dict[str, str]) -> list[Finding]:
        """What is to be replaced: what is found, where known values stand, and what shows when those are gone."""
        found = self._actionable(text)
        while True:
            for each in covering(found):
                value = text[each.start : each.end]
                if _says_enough(value):
                    known.setdefault(value, each.type)
            more = beside(found, _known_in(text, known))
            if not more:
                return found
            found += more
            rest = Rest(text, merged((each.start, each.end) for each in found))
            found += map(rest.in_original, self._actionable(rest.text))

    def _actionable(self, text: str) -> list[Finding]:
        return [each for each in self._analyzer.analyze(text) if self._policy.action(each.type) is not Action.KEEP]


def _says_enough(value: str) -> bool:
    """Whether a value is sought where nothing found it: not what could be another word, or a part of many."""
    return sum(map(str.isalnum, value)) >= _MIN_KNOWN_CHARS and not (value.isalpha() and value.islower())


def _known_in(text: str, known: Mapping[str, str]) -> Iterator[Finding]:
    for value, kind in known.items():
        start = text.find(value)
        while start >= 0:
            end = start + len(value)
            if not (text[start - 1 : start].isalnum() or text[end : end + 1].isalnum()):
                yield Finding(kind, start, end, 0.0, "found elsewhere")
            start = text.find(value, end)


def _name_words(value: str) -> list[str]:
    """The words of a person's name without titles; the whole value where nothing is left."""
    words = [word for word in _NAME_WORD.findall(value) if word.casefold() not in _TITLES]
    return words[:_MAX_NAME_WORDS] or [value]


class InteractionRedactor:
    """Redacts the parts of one interaction.

    `counts` is what was replaced, by type; `known` are the values that were found, with their types: one that is found
    in one text goes from all texts after it.
    """

    def __init__(self, redactor: Redactor, tenant: str, interaction_id: str) -> None:
        self.counts: Counter[str] = Counter()
        self.known: dict[str, str] = {}
        self._redactor = redactor
        self._tenant = tenant
        self._interaction_id = interaction_id

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
        """The text of a correction, demonstration or comment; who judged becomes a keyed hash."""
        return msgspec.structs.replace(score, text=self._optional(score.text), by=self.user(score.by))

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
        return self._redactor.replace(text, self._tenant, self._interaction_id, self.counts, self.known)

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
