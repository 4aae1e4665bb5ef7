"""Answers of base models and of their adapters.

One lock around everything: which adapter is switched on is a state of the model that all threads share, and the random
state is the process's.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from trainer_trigger.trainer import train_base
from trainer_trigger.trainer.adapters import CONFIG, MANIFEST, WEIGHTS, verify
from trainer_trigger.trainer.errors import BrokenAdapterError, ContextLengthError
from trainer_trigger.trainer.train_chat import Chat, Message

ANSWER_TOKENS: Final = 256
"""Where a request does not say."""

UNTOLD_CONTEXT: Final = 32_768
"""Tokens of question and answer, where a base does not say how many it takes: an answer must end."""


class Completion(NamedTuple):
    """`finish_reason` is "stop" where the model or a stop text ended the answer, "length" where `max_tokens` did."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: Literal["stop", "length"]


class _Voice(NamedTuple):
    """How an adapter is called in the model, None for the base alone; its messages, and the tokens that end them."""

    name: str | None
    chat: Chat
    ends: list[int]


class _Loaded:
    """A base with its adapters; the least lately used come first."""

    def __init__(self, folder: Path, gpu: bool) -> None:
        self.tokenizer = train_base.tokenizer(folder)
        self.model: Any = train_base.model(folder, gpu=gpu)
        self.model.eval()
        self.context = train_base.context(train_base.check(folder)) or UNTOLD_CONTEXT
        self.alone = self.voice(None)
        self.adapters: OrderedDict[tuple[Path, bytes], _Voice] = OrderedDict()
        self.number = 0

    def voice(self, name: str | None, adapter: Path | None = None) -> _Voice:
        """The base's, or that of an adapter's folder. Raises BaseModelError."""
        chat = Chat(self.tokenizer, adapter)
        return _Voice(name, chat, _ends(chat, self.model))


class Serving:
    """Keeps at most `max_loaded` adapters a base and `max_bases` bases in memory, those last asked for."""

    def __init__(
        self,
        max_loaded: int = 16,
        max_bases: int = 1,
        threads: int = 1,
        device: Literal["auto", "cpu", "cuda"] = "auto",
    ) -> None:
        if max_loaded < 1 or max_bases < 1:
            raise ValueError("at least one adapter and one base must be loaded")
        train_base.go_offline()
        self._max_loaded = max_loaded
        self._max_bases = max_bases
        self._threads = threads
        self._device: Literal["auto", "cpu", "cuda"] = device
        self._bases: OrderedDict[Path, _Loaded] = OrderedDict()
        self._lock = threading.Lock()

    def complete(
        self,
        base_folder: Path,
        adapter_folder: Path | None,
        messages: Sequence[Message],
        *,
        max_tokens: int | None = None,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
        tools: Sequence[Any] | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> Completion:
        """The assistant's next message. The likeliest tokens at temperature 0; else the same for the same seed.

        `stopping` is asked after each token: whether nobody waits for the answer any more.
        Raises BaseModelError, BrokenAdapterError, InvalidMessagesError, ContextLengthError.
        """
        with self._lock:
            loaded = self._base(base_folder)
            voice = self._switch(base_folder, loaded, adapter_folder)
            prompt, _ = voice.chat.tokens(voice.chat.text(messages, tools, prompts=True))
            room = min(max_tokens or ANSWER_TOKENS, loaded.context - len(prompt))
            if room < 1:
                raise ContextLengthError(f"{len(prompt)} tokens of {loaded.context} leave no room", "messages")
            with loaded.model.disable_adapter() if voice.name is None and loaded.adapters else nullcontext():
                ids = _generated(loaded.model, voice, prompt, room, temperature, top_p, seed, stop, stopping)
        return _completion(voice, ids, len(prompt), stop)

    def loaded(self, base_folder: Path) -> int:
        """How many adapters of a base are in memory."""
        with self._lock:
            found = self._bases.get(base_folder)
            return len(found.adapters) if found is not None else 0

    def _base(self, folder: Path) -> _Loaded:
        found = self._bases.get(folder)
        if found is None:
            import torch

            torch.set_num_threads(self._threads)
            while len(self._bases) >= self._max_bases:
                self._bases.popitem(last=False)
            found = self._bases[folder] = _Loaded(folder, train_base.has_gpu(self._device))
        self._bases.move_to_end(folder)
        return found

    def _switch(self, base: Path, loaded: _Loaded, adapter: Path | None) -> _Voice:
        """Switch the adapter on."""
        if adapter is None:
            return loaded.alone
        try:
            key = adapter, (adapter / MANIFEST).read_bytes()
        except OSError as exc:
            raise BrokenAdapterError(f"{adapter.name} has no manifest", "model") from exc
        if key not in loaded.adapters:
            self._load(base, loaded, adapter, key)
        loaded.adapters.move_to_end(key)
        voice = loaded.adapters[key]
        loaded.model.set_adapter(voice.name)
        return voice

    def _load(self, base: Path, loaded: _Loaded, adapter: Path, key: tuple[Path, bytes]) -> None:
        import msgspec
        from peft import PeftModel

        files = verify(adapter).files
        if not {WEIGHTS, CONFIG} <= files.keys():
            raise BrokenAdapterError(f"{adapter.name} is no adapter", "model")
        if msgspec.json.decode((adapter / CONFIG).read_bytes()).get("peft_type") != "LORA":
            raise BrokenAdapterError(f"{adapter.name} is no LoRA adapter", "model")
        loaded.number += 1
        name = f"adapter-{loaded.number}"
        try:
            if loaded.adapters:
                loaded.model.load_adapter(str(adapter), adapter_name=name, is_trainable=False)
            else:
                loaded.model = PeftModel.from_pretrained(
                    loaded.model, str(adapter), adapter_name=name, is_trainable=False
                )
        except (ValueError, RuntimeError, KeyError) as exc:
            del self._bases[base]  # parts of the adapter may be in it
            raise BrokenAdapterError(f"{adapter.name} does not fit this base model", "model") from exc
        loaded.model.eval()
        loaded.adapters[key] = loaded.voice(name, adapter)
        # The new one first: without any adapter the model would be another object.
        while len(loaded.adapters) > self._max_loaded:
            _, oldest = loaded.adapters.popitem(last=False)
            loaded.model.set_adapter(name)
            loaded.model.delete_adapter(oldest.name)


def _generated(
    model: Any,
    voice: _Voice,
    prompt: list[int],
    room: int,
    temperature: float,
    top_p: float,
    seed: int | None,
    stop: Sequence[str],
    stopping: Callable[[], bool],
) -> list[int]:
    import torch
    from transformers import GenerationConfig, StoppingCriteriaList

    # The base's own generation_config may have sampling habits that nobody asked for here.
    sampling: dict[str, Any] = (
        {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0} if temperature > 0 else {}
    )
    settings = GenerationConfig(
        max_new_tokens=room,
        eos_token_id=voice.ends,
        pad_token_id=voice.chat.tokenizer.pad_token_id,
        **({"do_sample": False} | sampling),
    )

    def stops(ids: Any, scores: Any, **_: Any) -> Any:
        over = stopping()
        if stop and not over:
            said = voice.chat.tokenizer.decode(ids[0, len(prompt) :], skip_special_tokens=True)
            over = any(each in said for each in stop)
        return torch.full((1,), over, device=ids.device, dtype=torch.bool)

    with torch.inference_mode():
        if temperature > 0:
            torch.seed() if seed is None else torch.manual_seed(seed)
        ids = torch.tensor([prompt], device=model.device)
        told = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            generation_config=settings,
            stopping_criteria=StoppingCriteriaList([stops]),
        )
    return [int(token) for token in told[0, len(prompt) :]]


def _completion(voice: _Voice, ids: list[int], prompt_tokens: int, stop: Sequence[str]) -> Completion:
    ended = bool(ids) and ids[-1] in voice.ends
    text = str(voice.chat.tokenizer.decode(ids[:-1] if ended else ids, skip_special_tokens=True))
    found = [place for each in stop if each and (place := text.find(each)) >= 0]
    if found:
        text = text[: min(found)]
    if voice.chat.is_plain:
        text = text.removeprefix(" ")  # the plain template has one there
    return Completion(text, prompt_tokens, len(ids), "stop" if ended or found else "length")


def _ends(chat: Chat, model: Any) -> list[int]:
    given = model.generation_config.eos_token_id
    more = given if isinstance(given, list) else [given]
    return sorted({*chat.ends(), *(token for token in more if token is not None)})
