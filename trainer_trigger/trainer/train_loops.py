"""TRL's loops for SFT and DPO: fed in the planned order, and validated whatever the batches are.

TRL's validation is a mean of the means of batches, in which a token counts for more the fewer its batch has. Here each
token that is learnt counts once, and each pair once.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch.utils.data import DataLoader
from trl import DPOTrainer, SFTTrainer

from trainer_trigger.trainer.data import NOT_LEARNT, Example


class Mean:
    """A mean of means, each with the number of what it is the mean of."""

    def __init__(self) -> None:
        self._total = 0.0
        self._count = 0

    def add(self, value: float, count: int) -> None:
        """One more."""
        self._total += value * count
        self._count += count

    @property
    def value(self) -> float:
        """0 of nothing."""
        return self._total / max(1, self._count)


class Planned:
    """For both loops: the data comes tokenised, and in the planned order."""

    def plan(self, examples: list[Example], order: list[list[int]]) -> None:
        """What the training sees, batch by batch."""
        self._planned = (examples, order)

    def get_train_dataloader(self) -> Any:
        """The library's own would shuffle by a random state that a resume must find again."""
        examples, order = self._planned
        return DataLoader(
            examples,
            batch_sampler=order,
            collate_fn=self.data_collator,  # type: ignore[attr-defined]
            pin_memory=torch.cuda.is_available(),
        )

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """None is written: it says nothing about the model."""

    def evaluation_loop(self, *args: Any, **given: Any) -> Any:
        """The library's, but for the means."""
        self._losses: defaultdict[str, Mean] = defaultdict(Mean)
        self._accuracy = Mean()
        found = super().evaluation_loop(*args, **given)  # type: ignore[misc]
        found.metrics["eval_loss"] = sum(mean.value for mean in self._losses.values())
        self._metrics["eval"]["mean_token_accuracy"] = [self._accuracy.value]  # type: ignore[attr-defined]
        return found

    def _scored(self, tokens: int, **losses: tuple[float, int]) -> None:
        """Take in a batch with so many learnt tokens: the parts of its loss, and what each is the mean of."""
        for name, part in losses.items():
            self._losses[name].add(*part)
        self._accuracy.add(self._metrics["eval"]["mean_token_accuracy"][-1], tokens)  # type: ignore[attr-defined]


class Supervised(Planned, SFTTrainer):
    """Next-token loss on the labels that `data` has set."""

    def prediction_step(self, model: Any, inputs: Any, *args: Any, **given: Any) -> Any:
        """Validate a batch: nats a learnt token."""
        tokens = int((inputs["labels"][:, 1:] != NOT_LEARNT).sum())
        told = super().prediction_step(model, inputs, *args, **given)
        self._scored(tokens, loss=(float(told[0]), tokens))
        return told


class Preference(Planned, DPOTrainer):
    """DPO against the base itself, the adapter switched off, and the likelihood of the preferred answer."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset

    def prediction_step(self, model: Any, inputs: Any, *args: Any, **given: Any) -> Any:
        """Validate a batch: a mean over its pairs, plus nats a token of the preferred answers."""
        outputs: list[Any] = []
        hook = model.register_forward_hook(lambda _model, _args, output: outputs.append(output))
        try:
            told = super().prediction_step(model, inputs, *args, **given)
        finally:
            hook.remove()
        log_probs = outputs[0].log_probs  # of the adapter; those of the base follow
        chosen = inputs["completion_mask"][:, 1:].chunk(2)[0].bool().to(log_probs.device)
        likelihood = float(-log_probs[:, -chosen.shape[1] :].chunk(2)[0][chosen].mean())
        pairs, tokens = len(chosen), int(chosen.sum())
        self._scored(tokens, preference=(float(told[0]) - likelihood, pairs), likelihood=(likelihood, tokens))
        return told
