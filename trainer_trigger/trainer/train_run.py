"""One run, from a checked job to a published adapter: LoRA with PEFT, on TRL's loops for SFT and DPO."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import torch
from datasets import Dataset
from peft import LoraConfig, prepare_model_for_kbit_training
from transformers import PrinterCallback
from trl import DPOConfig, SFTConfig

from trainer_trigger.trainer import checkpoints, data, train_base
from trainer_trigger.trainer.adapters import CONFIG, WEIGHTS, publish
from trainer_trigger.trainer.job import ADAPTER, CANCEL, Checkpoint, Resolved, TrainJob, resolve
from trainer_trigger.trainer.train_chat import Chat
from trainer_trigger.trainer.train_head import score_labels_only
from trainer_trigger.trainer.train_loops import Preference, Supervised
from trainer_trigger.trainer.train_plan import batches, stops, valid_losses
from trainer_trigger.trainer.train_watch import LOGGED, EventLog, Watch, at, chosen

WORK: Final = "work"
"""Where the library writes its checkpoints, before they are whole."""


class Outcome(NamedTuple):
    """How the run ended; `stopped`: by a signal, to go on later. `tokens` were seen in `steps` optimizer steps."""

    status: Literal["succeeded", "cancelled", "stopped"]
    tokens: int
    steps: int
    resolved: Resolved | None


def run(folder: Path, job: TrainJob, log: EventLog, stopping: Callable[[], bool]) -> Outcome:
    """Train, or go on from the last whole checkpoint. Raises TrainerError, and what the libraries raise."""
    torch.set_num_threads(job.threads)
    base = Path(job.base_model)
    config = train_base.check(base)
    gpu = train_base.has_gpu(job.device)
    lines = data.read(Path(job.train_file), job.method)
    valid_lines = (
        data.read(Path(job.validation_file), job.method, "validation_file", least=1) if job.validation_file else []
    )
    resolved = resolve(job.hyperparameters, job.method, len(lines), train_base.width(base))
    chat = Chat(train_base.tokenizer(base))
    longest = min(job.max_length, train_base.context(config) or job.max_length)
    train = _examples(lines, job, chat, longest, "training_file", log)
    valid = _examples(valid_lines, job, chat, longest, "validation_file", log) if valid_lines else None

    order = batches(train.lengths, resolved.batch_size, resolved.n_epochs, job.seed)
    total = -(-len(order) // resolved.gradient_accumulation_steps)
    resume = _resume(folder, log)
    if resume is not None and _is_over(checkpoints.history(folder, resume), resume, total, resolved):
        return _published(folder, job, resolved, chat, resume)
    if (folder / CANCEL).exists():
        return Outcome("cancelled", checkpoints.tokens(folder, resume) if resume else 0, resume or 0, resolved)

    _tell(log, job, resolved, len(train.examples), total, gpu, chat, validates=valid is not None)
    written = folder / WORK
    shutil.rmtree(written, ignore_errors=True)
    watch = Watch(
        folder,
        job,
        resolved,
        log,
        total_steps=total,
        written=written,
        templates=chat.write_templates,
        validates=valid is not None,
        stopping=stopping,
    )
    model = train_base.model(base, gpu=gpu, load_in_4bit=job.load_in_4bit)
    if job.load_in_4bit:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=job.activation_checkpointing)
    trainer = _trainer(job, resolved, model, chat, train, valid, written, watch, gpu=gpu, total=total)
    trainer.plan(train.examples, order)
    trainer.train(resume_from_checkpoint=str(checkpoints.place(folder, resume)) if resume else None)

    state = trainer.state
    shutil.rmtree(written, ignore_errors=True)
    if watch.cancelled or watch.stopped:
        status: Literal["cancelled", "stopped"] = "cancelled" if watch.cancelled else "stopped"
        return Outcome(status, int(state.num_input_tokens_seen), int(state.global_step), resolved)
    return _published(folder, job, resolved, chat, int(state.global_step))


def kept(folder: Path) -> list[Checkpoint]:
    """The whole checkpoints that a job has."""
    whole = [step for step in checkpoints.steps(folder) if checkpoints.damage(folder, step) is None]
    return [Checkpoint(step=step, metrics=at(checkpoints.history(folder, step), step)) for step in whole]


def _examples(
    lines: list[dict[str, Any]], job: TrainJob, chat: Chat, longest: int, field: str, log: EventLog
) -> data.Examples:
    made = data.tokenized(lines, job.method, chat, longest, field)
    if made.truncated or made.left_out:
        log.say(
            f"{field}: of {len(lines)} examples {made.truncated} were cut off at {longest} tokens and {made.left_out} "
            "left out, as nothing to learn remained",
            "warn",
            truncated=made.truncated,
            left_out=made.left_out,
            max_length=longest,
        )
    return made


def _resume(folder: Path, log: EventLog) -> int | None:
    step, problems = checkpoints.newest(folder)
    for problem in problems:
        log.say(f"A damaged checkpoint is passed over: {problem}", "warn")
    if step is not None:
        log.say(f"Resumed from step {step}")
    return step


def _is_over(history: list[dict[str, Any]], step: int, total: int, resolved: Resolved) -> bool:
    """Whether a killed process had trained to the end, and only not published yet."""
    return step >= total or stops([loss for _, loss in valid_losses(history)], resolved.early_stopping)


def _published(folder: Path, job: TrainJob, resolved: Resolved, chat: Chat, last: int) -> Outcome:
    step = chosen(checkpoints.history(folder, last), resolved) or last
    source = checkpoints.place(folder, step)

    def filled(target: Path) -> None:
        for name in (WEIGHTS, CONFIG):
            shutil.copyfile(source / name, target / name)
        chat.write_templates(target)

    publish(folder / ADAPTER, filled, job.job_id, job.base_model, step)
    return Outcome("succeeded", checkpoints.tokens(folder, last), last, resolved)


def _tell(
    log: EventLog, job: TrainJob, resolved: Resolved, examples: int, total: int, gpu: bool, chat: Chat, validates: bool
) -> None:
    where = f"on the GPU{', the base in 4 bits' if job.load_in_4bit else ''}" if gpu else "on the CPU"
    log.say(f"Training {examples} examples in {total} steps, {where}", examples=examples, total_steps=total)
    if chat.is_plain:
        log.say("The base has no chat template; a plain one is used and kept with the adapter", "warn")
    if resolved.early_stopping is not None and not validates:
        log.say("Early stopping needs a validation file; all epochs are trained", "warn")


def _trainer(
    job: TrainJob,
    resolved: Resolved,
    model: Any,
    chat: Chat,
    train: data.Examples,
    valid: data.Examples | None,
    written: Path,
    watch: Watch,
    *,
    gpu: bool,
    total: int,
) -> Any:
    arguments: dict[str, Any] = {
        "output_dir": str(written),
        "num_train_epochs": 1,  # the plan has all of them
        "per_device_train_batch_size": resolved.batch_size,
        "per_device_eval_batch_size": resolved.batch_size,
        "gradient_accumulation_steps": resolved.gradient_accumulation_steps,
        "learning_rate": resolved.learning_rate,
        "lr_scheduler_type": "constant_with_warmup" if resolved.lr_scheduler == "constant" else resolved.lr_scheduler,
        "warmup_steps": resolved.warmup_steps,
        "weight_decay": resolved.weight_decay,
        "seed": job.seed,
        "use_cpu": not gpu,
        "bf16": gpu,
        "gradient_checkpointing": job.activation_checkpointing,
        "max_length": None,  # `data` has seen to it
        "logging_steps": max(1, total // LOGGED),
        "logging_nan_inf_filter": False,
        "include_num_input_tokens_seen": "non_padding",
        "save_strategy": "no",  # `Watch` says when
        "eval_strategy": "no",
        "prediction_loss_only": True,
        "disable_tqdm": True,
        "report_to": "none",
        "remove_unused_columns": False,
    }
    together: dict[str, Any] = {
        "model": model,
        "processing_class": chat.tokenizer,
        "train_dataset": Dataset.from_list(train.examples),
        "eval_dataset": Dataset.from_list(valid.examples) if valid is not None else None,
        "peft_config": LoraConfig(
            r=resolved.lora_rank,
            lora_alpha=resolved.lora_alpha,
            lora_dropout=0.0,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
        "callbacks": [watch],
    }
    trainer: Any
    if job.method == "dpo":
        # With the likelihood of the preferred answer in the loss, both answers cannot become unlikely together.
        trainer = Preference(args=DPOConfig(beta=resolved.beta, loss_type=["sigmoid", "sft"], **arguments), **together)
    else:
        trainer = Supervised(args=SFTConfig(dataset_kwargs={"skip_prepare_dataset": True}, **arguments), **together)
    trainer.remove_callback(PrinterCallback)
    if not gpu:
        score_labels_only(trainer.model.get_base_model())
    return trainer
