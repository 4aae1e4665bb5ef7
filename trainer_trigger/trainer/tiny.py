"""A tiny base model with random weights, for tests and the demo: made in a moment, trained in seconds."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from trainer_trigger.trainer.train_base import go_offline, quiet

VOCABULARY: Final = 1024
CONTEXT: Final = 512
SPECIAL: Final = ("<|pad|>", "<|start|>", "<|end|>")
TEMPLATE: Final = (
    "{% for message in messages %}<|start|>{{ message.role }}\n{{ message.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
SHARPENED: Final = 8
"""The frozen head times this: with random weights as they are, no adapter could make the model sure of anything."""


def make_tiny(
    folder: Path,
    texts: Iterable[str],
    seed: int = 0,
    *,
    hidden: int = 64,
    layers: int = 2,
    context: int = CONTEXT,
    vocabulary: int = VOCABULARY,
) -> None:
    """Write the base into `folder`, its tokenizer learnt from `texts`; the same for the same seed and texts.

    The benchmark makes larger ones. Of a `vocabulary` beyond 1,024 the tokenizer uses only so many.
    """
    go_offline()
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    quiet()
    learnt = Tokenizer(models.BPE())
    learnt.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learnt.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    learnt.train_from_iterator(texts, trainer)
    pad, _, end = SPECIAL
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=learnt,
        pad_token=pad,
        eos_token=end,
        additional_special_tokens=list(SPECIAL[1:]),
        chat_template=TEMPLATE,
        model_max_length=context,
    )
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=max(1, hidden // 16) if hidden <= 256 else hidden // 64,
        num_key_value_heads=max(1, hidden // 32) if hidden <= 256 else hidden // 128,
        max_position_embeddings=context,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight.mul_(SHARPENED)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    """`python -m trainer_trigger.trainer.tiny FOLDER`, with the texts as a JSON list on stdin."""
    make_tiny(Path(sys.argv[1]), json.loads(sys.stdin.buffer.read()))


if __name__ == "__main__":
    main()
