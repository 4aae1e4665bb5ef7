"""dedup: near duplicates, prompt *and* output alike, within one lane (tenant and role).

Candidates come from MinHash bands; what the texts share is then counted on sketches of their shingles, so that the
bands only have to find and not to judge. A band's rows come half from the prompt and half from the output, all from
the one that is there where the other has no words: two samples meet where both are alike, and neither a shared prompt
nor a stock answer brings together what differs in the other half. The store keeps bands as a forest
(`streams.state`): a crowded one is told apart by the rows of the next ones.

A sample's name is the hash of its lane and words. So an exact copy is found whatever the bands hold, a replayed sample
finds itself, and a corrected one is another document.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Final, NamedTuple
from zlib import crc32

import numpy as np
from datasketch import MinHash
from msgspec import Struct
from numpy.typing import NDArray

from streams.stages.normalise import Normalised

VERSION: Final = "dedup-3:minhash-crc-affine32-w3-b16x2+2-s512x16"

SEED: Final = 1
BANDS: Final = 16
ROWS: Final = 2
"""Of each half. 1 - (1 - 0.7⁴)¹⁶ = 0.988 where prompt and output are both 0.7 alike, which is the worst case."""

PERMUTATIONS: Final = 2 * BANDS * ROWS
"""Of a text that stands alone; one with a counterpart needs the first half of them."""

_LANE_BYTES: Final = 6
SHINGLE_WORDS: Final = 3

SKETCH: Final = 512
"""Hashes kept of a text. A text of no more shingles is compared exactly but for chance collisions of 16 bits (below
0.005); a longer one by 256 to 512 of its shingles, with a standard error of at most 0.03."""

COMPARED: Final = 16
"""Candidates that are compared at most: those that share most bands. Few texts have more than two."""

_AT_ONCE_CHARS: Final = 200_000
"""Characters whose hashes are permuted at once: they stay in the processor's cache, and memory is bounded."""

_PERSON: Final = hashlib.blake2b(VERSION.encode(), digest_size=16).digest()

_CJK: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD: Final = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+")
"""A character of a script without spaces is a word."""

_PUNCTUATION: Final = re.compile(r"[\u2000-\u206f]+")
"""Curly quotes, dashes and the like, which are no words: without them most texts that are not ASCII become so."""

_ASCII_WORDS: Final = bytes(
    ord(char.lower()) if (char := chr(at)).isalnum() or char == "_" else 32 for at in range(256)
)
"""Translates ASCII to lower-case words between spaces: a third of the pattern's time."""

_NO_WORDS: Final = (b"",) * SHINGLE_WORDS
_MULTIPLIERS: Final = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)
"""Odd, one a word of a shingle: what a word adds to its shingle's hash depends on its place."""

_ODD: Final = np.random.default_rng(SEED).integers(2**63, size=2 * ROWS + BANDS, dtype=np.uint64) * 2 + 1
_PLACES: Final = _ODD[: 2 * ROWS]
"""One a row of a band: multilinear hashing."""

_BAND_SALTS: Final = _ODD[2 * ROWS :]
_A, _B = MinHash(num_perm=PERMUTATIONS, seed=SEED, scheme="affine32").permutations

Hashes = NDArray[np.uint32]


class Said(NamedTuple):
    """What makes two samples near duplicates. Only those of one lane are compared."""

    lane: str
    prompt: str
    output: str


def said_by(tenant: str, normalised: Normalised) -> Said:
    """What a sample says: the conversation up to its last question, and the answer with the tools that it calls."""
    calls = (f"{call.name} {call.arguments}" for call in normalised.messages[-1].tool_calls)
    return Said(
        f"{tenant}/{normalised.joined.interaction.role or ''}",
        f"{normalised.input}\n{normalised.instruction}",
        "\n".join((normalised.output, *calls)),
    )


class Fingerprint(Struct, frozen=True):
    """What is kept of what a sample said, and what finds it.

    `name`: 6 bytes of the lane's hash, 8 of the words'. `bands`: `BANDS` hashes of 8 bytes, or none of a sample
    without words. `prompt` and `output`: their sketches, the level as a byte, then uint16 (≤ 512,), little-endian.
    """

    name: bytes
    bands: bytes
    prompt: bytes
    output: bytes


class Compared(NamedTuple):
    """An earlier sample, and the Jaccard similarities of its prompt and output to this one's."""

    sample_id: str
    prompt: float
    output: float

    @property
    def similarity(self) -> float:
        """The lesser of the two: both must be alike."""
        return min(self.prompt, self.output)


class Duplicate(Struct, frozen=True):
    """Whose duplicate, and how similar: the lesser of prompt's and output's Jaccard similarity."""

    of: str
    similarity: float


def fingerprints(said: Sequence[Said]) -> list[Fingerprint]:
    """The fingerprint of each sample; many at once take a third of the time of one by one."""
    return list(chain.from_iterable(map(_fingerprints, _portions(said))))


def candidates(own: Fingerprint, shared: Sequence[bytes]) -> list[bytes]:
    """The names to compare with: of those that share bands, named once a band, the `COMPARED` that share most."""
    if not shared:
        return []
    lane = own.name[:_LANE_BYTES]  # a name of another lane in a band is chance or ill will
    return [name for name, _ in Counter(shared).most_common(COMPARED) if name.startswith(lane)]


def record(sample_id: str, own: Fingerprint) -> bytes:
    """What a store keeps under the sample's name: whose it is and the sketches."""
    identity = sample_id.encode()
    return b"".join(
        (len(own.prompt).to_bytes(2, "big"), len(identity).to_bytes(4, "big"), identity, own.prompt, own.output)
    )


def compare(own: Fingerprint, records: Sequence[bytes]) -> list[Compared]:
    """How similar a sample is to each of those whose records were kept."""
    if not records:
        return []
    prompt, output = _Sketch.of(own.prompt), _Sketch.of(own.output)
    return [
        Compared(other, prompt.jaccard(its_prompt), output.jaccard(its_output))
        for other, its_prompt, its_output in map(_read, records)
    ]


def decide(sample_id: str, compared: Sequence[Compared], threshold: float) -> Duplicate | None:
    """The most similar of the earlier samples, the first of equals, if it is alike; a sample is none of itself."""
    best = _closest(sample_id, compared)
    return Duplicate(best.sample_id, best.similarity) if best is not None and best.similarity >= threshold else None


def explain(sample_id: str, compared: Sequence[Compared], threshold: float) -> str:
    """Why a sample is a duplicate or none, in words."""
    best = _closest(sample_id, compared)
    if best is None:
        return "no duplicate: nothing before it is like it in both prompt and output"
    said = f"prompt {best.prompt:.2f}, output {best.output:.2f}, threshold {threshold:.2f}"
    if best.similarity == 1:
        return f"duplicate of {best.sample_id}: the same runs of words in prompt and output"
    if best.similarity >= threshold:
        return f"near duplicate of {best.sample_id}: both are alike ({said})"
    halves = " and the ".join(
        half for half, alike in (("prompt", best.prompt), ("output", best.output)) if alike < threshold
    )
    return f"no duplicate: of the closest, {best.sample_id}, the {halves} is another ({said})"


def shingle_hashes(texts: Sequence[str]) -> list[Hashes]:
    """For each text the hash of each run of three words, case-folded, or of all of a shorter one: uint32, (runs,).

    A text without words, such as a thumb, is one word as it stands; white space is none.
    """
    words = list(map(_words, texts))
    # A text of one or two words gets empty ones behind it; where one text ends and the next begins is left out below.
    padded = [[*run, *_NO_WORDS[len(run) :]] if 0 < len(run) < SHINGLE_WORDS else run for run in words]
    hashes = _mixed(np.fromiter(map(crc32, chain.from_iterable(padded)), np.uint64))
    runs = max(0, len(hashes) - SHINGLE_WORDS + 1)
    sums: NDArray[np.uint64] = sum(hashes[at : at + runs] * _MULTIPLIERS[at] for at in range(SHINGLE_WORDS))
    shingles, start, found = (sums >> np.uint64(32)).astype(np.uint32), 0, []
    for run in padded:
        found.append(shingles[start : start + max(0, len(run) - SHINGLE_WORDS + 1)])
        start += len(run)
    return found


def signatures(hashes: Sequence[Hashes], start: int = 0, stop: int = PERMUTATIONS) -> Hashes:
    """MinHash values as datasketch's scheme `affine32` has them, permutations `start` to `stop`: (texts, stop - start).

    Every text must have hashes.
    """
    mixed = _murmur_finalized(np.concatenate(hashes))
    starts = np.cumsum([0, *map(len, hashes[:-1])])
    found = np.empty((stop - start, len(hashes)), np.uint32)
    permuted = np.empty_like(mixed)
    for row, (a, b) in enumerate(zip(_A[start:stop], _B[start:stop], strict=True)):
        np.multiply(mixed, a, out=permuted)
        np.add(permuted, b, out=permuted)
        np.minimum.reduceat(permuted, starts, out=found[row])
    return found.T


def _portions(said: Sequence[Said]) -> Iterator[list[Said]]:
    portion, chars = list[Said](), 0
    for one in said:
        portion.append(one)
        chars += len(one.prompt) + len(one.output)
        if chars >= _AT_ONCE_CHARS:
            yield portion
            portion, chars = [], 0
    if portion:
        yield portion


def _fingerprints(said: Sequence[Said]) -> list[Fingerprint]:
    hashes = shingle_hashes([text for one in said for text in (one.prompt, one.output)])
    pairs = list(zip(hashes[::2], hashes[1::2], strict=True))
    lanes = {lane: _digest(lane.encode()) for lane in {one.lane for one in said}}
    bands = _bands(pairs, [lanes[one.lane] for one in said])
    return [
        Fingerprint(_name(lanes[one.lane], *pair), bands.get(at, b""), *map(_sketch, pair))
        for at, (one, pair) in enumerate(zip(said, pairs, strict=True))
    ]


def _bands(pairs: Sequence[tuple[Hashes, Hashes]], lanes: Sequence[bytes]) -> dict[int, bytes]:
    """The band hashes of each pair that has words, by its place."""
    both = [at for at, (prompt, output) in enumerate(pairs) if len(prompt) and len(output)]
    alone = [at for at, (prompt, output) in enumerate(pairs) if (len(prompt) > 0) != (len(output) > 0)]
    found: dict[int, bytes] = {}
    if both:
        halves = signatures([half for at in both for half in pairs[at]], stop=PERMUTATIONS // 2)
        rows = halves.reshape(len(both), 2, BANDS, ROWS).transpose(0, 2, 1, 3).reshape(len(both), BANDS, 2 * ROWS)
        found |= zip(both, _band_hashes(rows, [lanes[at] for at in both]), strict=True)
    if alone:
        rows = signatures([np.concatenate(pairs[at]) for at in alone]).reshape(len(alone), BANDS, 2 * ROWS)
        salts = [_digest(lanes[at] + (b"prompt" if len(pairs[at][0]) else b"output")) for at in alone]
        found |= zip(alone, _band_hashes(rows, salts), strict=True)
    return found


def _band_hashes(rows: Hashes, salts: Sequence[bytes]) -> Iterator[bytes]:
    """`rows`: (samples, bands, rows of a band)."""
    salted = np.frombuffer(b"".join(salts), "<u8")[:, None] * _BAND_SALTS
    keys = _mixed((rows * _PLACES).sum(axis=2, dtype=np.uint64) + salted).astype("<u8")
    return (row.tobytes() for row in keys)


def _name(lane: bytes, prompt: Hashes, output: Hashes) -> bytes:
    said = b"".join((len(prompt).to_bytes(8, "big"), prompt.tobytes(), output.tobytes()))
    return lane[:_LANE_BYTES] + _digest(lane + said)


def _digest(data: bytes) -> bytes:
    """8 bytes, others for each version of what is kept."""
    return hashlib.blake2b(data, digest_size=8, person=_PERSON).digest()


def _words(text: str) -> list[bytes]:
    plain = text if text.isascii() else _PUNCTUATION.sub(" ", text)
    if plain.isascii():
        words = plain.encode().translate(_ASCII_WORDS).split()
    else:
        words = [word.encode() for word in _WORD.findall(unicodedata.normalize("NFKC", plain).casefold())]
    return words or ["".join(text.split()).encode("utf-8", "replace")] * bool(text.strip())


def _sketch(hashes: Hashes) -> bytes:
    """The hashes that begin with `level` zero bits, so many that at most `SKETCH` do: the level and 16 bits of each.

    Which shingles are kept depends on the shingle alone, so that two sketches hold the same of what texts share.
    """
    level = 0
    if len(hashes) > SKETCH:
        hashes = np.unique(hashes)
        while np.searchsorted(hashes, 2 ** (32 - level)) > SKETCH:
            level += 1
        hashes = hashes[: int(np.searchsorted(hashes, 2 ** (32 - level)))]
    return bytes((level,)) + (hashes >> np.uint32(16 - level)).astype("<u2").tobytes()


class _Sketch(NamedTuple):
    """Of a text the shingles whose hashes begin with `level` zero bits: of each the 16 bits behind them."""

    level: int
    values: set[int]

    @classmethod
    def of(cls, kept: bytes) -> _Sketch:
        return cls(kept[0], set(np.frombuffer(kept, "<u2", offset=1).tolist()))

    def jaccard(self, other: _Sketch) -> float:
        """Jaccard similarity by what both would hold at the higher of their levels; of two empty texts 1."""
        fine, coarse = (self, other) if self.level <= other.level else (other, self)
        left, right = fine.values, coarse.values
        if bits := coarse.level - fine.level:
            left = {value for value in left if not value >> (16 - bits)}
            right = {value >> bits for value in right}
        shared = len(left & right)
        return shared / (len(left) + len(right) - shared) if left or right else 1.0


@lru_cache(maxsize=512)
def _read(kept: bytes) -> tuple[str, _Sketch, _Sketch]:
    """Whose record it is, and its sketches. In a crowd the same few are compared with over and over."""
    identity_end = 6 + int.from_bytes(kept[2:6], "big")
    prompt_end = identity_end + int.from_bytes(kept[:2], "big")
    sketches = _Sketch.of(kept[identity_end:prompt_end]), _Sketch.of(kept[prompt_end:])
    return kept[6:identity_end].decode(), *sketches


def _closest(sample_id: str, compared: Sequence[Compared]) -> Compared | None:
    others = [one for one in compared if one.sample_id != sample_id]
    return max(others, key=lambda one: one.similarity, default=None)


def _mixed(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finalizer: every bit of the input changes about half of the output's."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))


def _murmur_finalized(hashes: Hashes) -> Hashes:
    """MurmurHash3's 32-bit finalizer, which datasketch applies before it permutes."""
    hashes = (hashes ^ (hashes >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    hashes = (hashes ^ (hashes >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return hashes ^ (hashes >> np.uint32(16))
