"""The head of the model on the CPU: only the positions that are learnt are scored.

TRL does so on a GPU. On the CPU it scores every position, in tiles, and once more for the gradient, which for a small
model is most of the work.
"""

from __future__ import annotations

import types
from typing import Any, Final

import torch
from trl.trainer.utils import FusedCausalLMOutput

LIMIT_LOGITS: Final = 1 << 28
"""Beyond these (1 GiB in float32) TRL's tiles are used, which need less memory."""

_SCALED: Final = (
    "final_logit_softcapping",
    "logit_scale",
    "output_multiplier",
    "lm_head_multiplier",
    "logits_scaling",
    "output_router_logits",
)
"""Of a configuration: what makes more of the head's output than its product; TRL knows how."""


def score_labels_only(model: Any) -> None:
    """Change the forward of a model that TRL has prepared; with the same answers."""
    config = model.config.get_text_config()
    if any(getattr(config, name, None) for name in _SCALED):
        return
    prepared = model.forward

    def forward(self: Any, *args: Any, fused_lm_head: bool = False, labels: Any = None, **given: Any) -> Any:
        few = fused_lm_head and int((labels != -100).sum()) * config.vocab_size <= LIMIT_LOGITS
        if not few or "shift_labels" in given or "num_items_in_batch" in given:
            return prepared(*args, fused_lm_head=fused_lm_head, labels=labels, **given)
        states = self.base_model(*args, **(given | {"use_cache": False})).last_hidden_state[:, :-1]
        mask = labels[:, 1:] != -100
        learnt = labels[:, 1:][mask]
        logits = self.get_output_embeddings()(states[mask]).float()
        log_probs = -torch.nn.functional.cross_entropy(logits, learnt, reduction="none")
        with torch.no_grad():
            top = logits.argmax(-1) == learnt
            mean = logits.mean(-1)

        def placed(values: Any) -> Any:
            return values.new_zeros(mask.shape).masked_scatter(mask, values)

        told = placed(log_probs)
        return FusedCausalLMOutput(
            loss=-told.sum() / mask.sum().clamp(min=1),
            log_probs=told,
            entropy=torch.zeros_like(told),  # a metric that we do not tell
            mean_logits=placed(mean),
            is_top1=placed(top),
            label_mask=mask,
        )

    model.forward = types.MethodType(forward, model)
