"""What an export is made of: a sample, or a pair of samples, as the lake has them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import NODEFAULT, Struct

from schemas.events import Message
from schemas.outcomes import Sample, SourceEvent

_REQUIRED: Final = {field.name: field.default is NODEFAULT for field in msgspec.structs.fields(Sample)}


class Exported(Struct, frozen=True):
    """A row of `samples_latest` with its cluster."""

    sample_id: str
    revision: int
    tenant: str
    occurred_at: datetime
    received_at: datetime
    sources: tuple[SourceEvent, ...]
    redactor: str
    rules: str
    cluster_id: str
    duplicates: int
    sample: Sample

    @property
    def written(self) -> bool:
        """Whether the answer was written in place of the model's; the score is of that one."""
        return self.sample.origin == "human" or self.sample.rejected_output is not None

    @property
    def prompt(self) -> tuple[Message, ...]:
        """All that comes before the answer."""
        return self.sample.messages[:-1]

    @property
    def answer(self) -> Message:
        return self.sample.messages[-1]


class Pair(Struct, frozen=True):
    """A row of `preference_pairs`."""

    kind: str
    margin: float | None
    chosen: Exported
    rejected: Exported

    @property
    def rejected_answer(self) -> Message:
        """For a correction the answer that the person replaced."""
        if self.kind == "correction":
            return Message("assistant", self.rejected.sample.rejected_output)
        return self.rejected.answer


def exported(row: Mapping[str, Any]) -> Exported:
    """The sample that a row stands for; what a row of an older table lacks has its default."""
    fields = {name: value for name in _REQUIRED if (value := row[name]) is not None or _REQUIRED[name]}
    own = {name: row[name] for name in Exported.__struct_fields__ if name != "sample"}
    return msgspec.convert({**own, "sample": {**fields, "pii": dict(row["pii"] or ())}}, Exported)
