"""Training speed: a LoRA run of the trainer against the same run in a plain transformers and PEFT loop.

    python benchmarks/trainer.py [--base FOLDER | --hidden 256 --layers 4] [--examples 256] [--rounds 3]

Both train the same adapter on the same examples: dialogues under MILLRACE_TEST_DATA, else made-up ones, with all that
the assistant says learnt. Without `--base` the model is made here with random weights, so nothing is fetched. Both use
the GPU where there is one, in bfloat16, else the CPU in float32 with `--threads`.

The plain loop is what one writes by hand: shuffled batches padded to their longest, the model's own loss, AdamW, a
linear schedule, clipped gradients; no metrics, no events, no checkpoint but at the end. The trainer runs as its service
runs it.

| figure | what |
|---|---|
| tokens_per_s | tokens without padding of all steps but the first, by the time from its end to the end of the last |
| tokens_per_cpu_s | the same, by the time of the processor: what else runs on the machine matters less |
| job_s | seconds for all: weights, tokens, training, the adapter written; not the import of the libraries |
| valid_loss | of the finished adapter on held-out dialogues, nats a token, computed the same way for both |
| ratio, cpu_ratio | tokens_per_s and tokens_per_cpu_s of the trainer, divided by those of the plain loop |

Rounds alternate, and medians count. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

from rich.console import Console
from rich.table import Table

from benchmarks import texts
from benchmarks.loads import dialogues
from trainer_trigger.trainer import data, train_base
from trainer_trigger.trainer.job import (
    ADAPTER,
    Hyperparameters,
    Resolved,
    TrainJob,
    read_result,
    write_job,
)
from trainer_trigger.trainer.tiny import make_tiny
from trainer_trigger.trainer.train import work
from trainer_trigger.trainer.train_chat import Chat
from trainer_trigger.trainer.train_plan import batches

HELD_OUT: Final = 32
MAX_GRAD_NORM: Final = 1.0


class Timed(NamedTuple):
    """One run."""

    tokens_per_s: float
    tokens_per_cpu_s: float
    job_s: float
    valid_loss: float


class Clock:
    """Reads the clock and the processor's time at the end of each step."""

    def __init__(self) -> None:
        self._read: list[tuple[float, float]] = []

    def stepped(self) -> bool:
        """A step has ended; and no, the run shall not stop."""
        self._read.append((time.perf_counter(), time.process_time()))
        return False

    def rates(self, tokens: int) -> tuple[float, float]:
        """Tokens a second since the first step, by either."""
        (began, idle), (ended, busy) = self._read[0], self._read[-1]
        return tokens / (ended - began), tokens / (busy - idle)


class Bench:
    """The same task for both."""

    def __init__(self, folder: Path, asked: argparse.Namespace) -> None:
        self._folder = folder
        self._asked = asked
        lines = list(_lines(asked.examples + HELD_OUT))
        if len(lines) < HELD_OUT + 10:
            raise SystemExit("too few dialogues")
        self._lines, self._held_out = lines[HELD_OUT:], lines[:HELD_OUT]
        self._file = folder / "train.jsonl"
        self._file.write_text("".join(json.dumps(line) + "\n" for line in self._lines))
        self._base = asked.base or self._made(folder / "base")
        self._gpu = train_base.has_gpu(asked.device)
        self._asks = Hyperparameters(
            n_epochs=asked.epochs,
            batch_size=asked.batch,
            learning_rate=asked.learning_rate,
            lr_scheduler="linear",
            lora_rank=asked.rank,
        )
        self._rounds = 0

    def _made(self, folder: Path) -> Path:
        said = (message["content"] for line in self._lines for message in line["messages"])
        make_tiny(
            folder,
            said,
            hidden=self._asked.hidden,
            layers=self._asked.layers,
            context=self._asked.max_length,
            vocabulary=self._asked.vocabulary,
        )
        return folder

    def about(self) -> dict[str, Any]:
        """What was trained, and on what."""
        import torch

        examples, model = self._tokenized(self._lines), train_base.model(self._base, gpu=False)
        return {
            "device": torch.cuda.get_device_name() if self._gpu else f"cpu, {self._asked.threads} threads",
            "parameters": sum(each.numel() for each in model.parameters()),
            "examples": len(examples.examples),
            "tokens": sum(examples.lengths),
            "batch_size": self._asked.batch,
            "epochs": self._asked.epochs,
            "valid_loss_before": round(self._loss(None), 3),
        }

    def ours(self) -> Timed:
        """A job in a folder, as the service runs it."""
        self._rounds += 1
        folder = self._folder / f"job-{self._rounds}"
        write_job(
            folder,
            TrainJob(
                job_id=folder.name,
                base_model=str(self._base),
                hyperparameters=self._asks,
                train_file=str(self._file),
                threads=self._asked.threads,
                device=self._asked.device,
                max_length=self._asked.max_length,
                seed=self._rounds,
            ),
        )
        began = time.perf_counter()
        clock = Clock()
        work(folder, clock.stepped)
        job_s = time.perf_counter() - began
        result = read_result(folder)
        if result is None or result.status != "succeeded":
            raise SystemExit(f"the trainer failed: {result}")
        lengths = self._tokenized(self._lines).lengths
        first = batches(lengths, self._asked.batch, self._asked.epochs, self._rounds)[0]
        seen = result.trained_tokens - sum(lengths[index] for index in first)
        return Timed(*clock.rates(seen), job_s, self._loss(folder / ADAPTER))

    def plain(self, resolved: Resolved) -> Timed:
        """The loop by hand."""
        import torch
        from peft import LoraConfig, get_peft_model
        from torch.utils.data import DataLoader
        from transformers import get_linear_schedule_with_warmup

        began = time.perf_counter()
        self._rounds += 1
        torch.manual_seed(self._rounds)
        chat = self._chat()
        examples = self._tokenized(self._lines).examples
        base = train_base.model(self._base, gpu=self._gpu)
        adapter = LoraConfig(
            r=resolved.lora_rank,
            lora_alpha=resolved.lora_alpha,
            lora_dropout=0.0,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        model = get_peft_model(base, adapter)
        model.train()
        loader = DataLoader(
            examples,  # type: ignore[arg-type,unused-ignore]
            batch_size=resolved.batch_size,
            shuffle=True,
            collate_fn=lambda batch: _padded(batch, chat.tokenizer.pad_token_id),
            pin_memory=self._gpu,
        )
        parameters = [each for each in model.parameters() if each.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=resolved.learning_rate, weight_decay=resolved.weight_decay)
        schedule = get_linear_schedule_with_warmup(optimizer, resolved.warmup_steps, len(loader) * resolved.n_epochs)
        clock, seen = Clock(), -1
        for _ in range(resolved.n_epochs):
            for batch in loader:
                there = {name: values.to(model.device, non_blocking=True) for name, values in batch.items()}
                with torch.autocast("cuda", dtype=torch.bfloat16, enabled=self._gpu):
                    loss = model(**there, use_cache=False).loss
                loss.backward()
                torch.nn.utils.clip_grad_norm_(parameters, MAX_GRAD_NORM)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                if seen < 0:
                    self._wait()
                    clock.stepped()
                    seen = 0
                else:
                    seen += int(batch["attention_mask"].sum())
        self._wait()
        clock.stepped()
        written = self._folder / f"plain-{self._rounds}"
        model.save_pretrained(written)
        return Timed(*clock.rates(seen), time.perf_counter() - began, self._loss(written))

    def resolved(self) -> Resolved:
        """What the trainer trains with; from its last round."""
        jobs = sorted(self._folder.glob("job-*"))
        result = read_result(jobs[-1])
        assert result is not None
        assert result.hyperparameters is not None
        return result.hyperparameters

    def _loss(self, adapter: Path | None) -> float:
        import torch
        from peft import PeftModel

        model = train_base.model(self._base, gpu=self._gpu).eval()
        if adapter is not None:
            model = PeftModel.from_pretrained(model, str(adapter)).eval()
        lost, learnt = 0.0, 0
        with torch.no_grad():
            for example in self._tokenized(self._held_out).examples:
                batch = {name: torch.tensor([values], device=model.device) for name, values in example.items()}
                count = sum(label != data.NOT_LEARNT for label in example["labels"][1:])
                lost += float(model(**batch).loss) * count
                learnt += count
        return lost / learnt

    def _chat(self) -> Chat:
        return Chat(train_base.tokenizer(self._base))

    def _tokenized(self, lines: list[dict[str, Any]]) -> data.Examples:
        longest = min(self._asked.max_length, train_base.context(train_base.check(self._base)) or math.inf)
        return data.tokenized(lines, "supervised", self._chat(), int(longest))

    def _wait(self) -> None:
        if self._gpu:
            import torch

            torch.cuda.synchronize()


def _lines(count: int) -> Iterator[dict[str, Any]]:
    found = [
        {"messages": [{"role": message.role, "content": message.content or "-"} for message in interaction.messages]}
        for interaction, _ in dialogues(texts.dialogues(), None)
    ]
    usable = [line for line in found if line["messages"][-1]["role"] == "assistant"]
    random.Random(5).shuffle(usable)
    yield from usable[:count]


def _padded(batch: list[data.Example], pad: int) -> dict[str, Any]:
    import torch

    longest = max(len(example["input_ids"]) for example in batch)
    fill = {"input_ids": pad, "labels": data.NOT_LEARNT, "attention_mask": 0}
    rows = [example | {"attention_mask": [1] * len(example["input_ids"])} for example in batch]
    return {
        name: torch.tensor([row[name] + [value] * (longest - len(row[name])) for row in rows])
        for name, value in fill.items()
    }


def measure(bench: Bench, rounds: int) -> dict[str, Any]:
    """Alternating rounds, after one of each that is not counted."""
    bench.ours()
    resolved = bench.resolved()
    bench.plain(resolved)
    ours, plain = [], []
    for number in range(rounds):
        # Whoever goes first changes, so that what the machine does beside falls on both.
        if number % 2:
            plain.append(bench.plain(resolved))
            ours.append(bench.ours())
        else:
            ours.append(bench.ours())
            plain.append(bench.plain(resolved))
    middle, theirs = _medians(ours), _medians(plain)
    return {
        **bench.about(),
        "millrace": {name: round(value, 3) for name, value in middle._asdict().items()},
        "plain": {name: round(value, 3) for name, value in theirs._asdict().items()},
        "job_ratio": round(theirs.job_s / middle.job_s, 2),
        "loss_difference": round(abs(middle.valid_loss - theirs.valid_loss) / theirs.valid_loss, 4),
        "cpu_ratio": round(middle.tokens_per_cpu_s / theirs.tokens_per_cpu_s, 2),
        "ratio": round(middle.tokens_per_s / theirs.tokens_per_s, 2),
    }


def _medians(runs: list[Timed]) -> Timed:
    return Timed(*(statistics.median(values) for values in zip(*runs, strict=True)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, help="a Hugging Face model folder; else one is made")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=8192)
    parser.add_argument("--examples", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    asked = parser.parse_args()
    import torch

    torch.set_num_threads(asked.threads)
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(Bench(Path(folder), asked), asked.rounds)
    table = Table("", "millrace", "plain", title="LoRA")
    for name, value in measured["millrace"].items():
        table.add_row(name, f"{value:,}", f"{measured['plain'][name]:,}")
    Console(stderr=True).print(table)
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
