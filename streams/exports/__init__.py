"""Exports: the lake's samples and preference pairs as lines that others train on, one module a format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from streams.exports import openai_dpo, openai_sft, sample, trl_kto, trl_preference, trl_sft
from streams.exports.format import PairFormat, SampleFormat

FORMATS: Final[Mapping[str, SampleFormat | PairFormat]] = {
    module.FORMAT.name: module.FORMAT for module in (sample, openai_sft, openai_dpo, trl_sft, trl_preference, trl_kto)
}
