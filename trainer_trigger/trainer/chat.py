"""Chat completions of base models and tuned ones."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Protocol

import msgspec
from msgspec import Meta, Struct

from trainer_trigger.trainer.errors import ContextLengthError, InvalidMessagesError, NotAvailableError, TrainerError
from trainer_trigger.trainer.models import Model
from trainer_trigger.trainer.refused import Refused, converted

if TYPE_CHECKING:
    from trainer_trigger.trainer.serving import Completion

MAX_WAITING: Final = 32
"""Completions are made one at a time; so many may wait."""

MAX_TOKENS: Final = 256
"""Of an answer, where the request names no bound."""

NEUTRAL: Final[dict[str, tuple[object, ...]]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logprobs": (False,),
    "parallel_tool_calls": (True,),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "logit_bias": ({},),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "store": (False,),
}
"""Parameters that are taken only as long as they ask for nothing."""

IGNORED: Final = frozenset({"user", "metadata", "safety_identifier", "prompt_cache_key", "service_tier"})


class _Text(Struct):
    type: Literal["text"]
    text: str


class _Message(Struct):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_Text]
    name: str | None = None


class _StreamOptions(Struct):
    include_usage: bool = False


class Ask(Struct, kw_only=True):
    """A request. `max_completion_tokens` counts before `max_tokens`."""

    model: str
    messages: Annotated[list[_Message], Meta(min_length=1)]
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: (
        Annotated[str, Meta(min_length=1)]
        | Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(max_length=4)]
        | None
    ) = None
    n: Literal[1] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None


class Answering(Protocol):
    """What `serving.Serving` does."""

    def complete(
        self,
        base_folder: Path,
        adapter_folder: Path | None,
        messages: Sequence[dict[str, str]],
        *,
        max_tokens: int,
        temperature: float,
        top_p: float,
        seed: int | None,
        stop: Sequence[str],
        stopping: Callable[[], bool],
    ) -> Completion:
        """The answer, or its beginning where `stopping` says that nobody waits for it. Raises TrainerError."""


def read(body: object) -> Ask:
    """The request in a body's JSON. Raises `Refused` (400), which names the field."""
    if isinstance(body, dict):
        known = {field.name for field in msgspec.structs.fields(Ask)} | IGNORED
        for name, value in body.items():
            if name in known or value is None or value in NEUTRAL.get(name, ()):
                continue
            problem = f"'{name[:64]}' is not supported here."
            raise Refused(400, problem, param=name[:64], code="unsupported_parameter")
    return converted(body, Ask)


class Chat:
    """Answers, one at a time. The models are loaded when the first one is asked for."""

    def __init__(self, answering: Answering | None = None, threads: int = 1) -> None:
        self._answering = answering
        self._threads = threads
        self._alone = asyncio.Lock()
        self._requests: set[asyncio.Task[Completion]] = set()
        self._stopped = False
        self.threads: set[threading.Thread] = set()
        self.tokens = 0

    def stop(self) -> None:
        """Refuse (503) whatever waits for an answer or comes yet. What is being made ends at its next token."""
        self._stopped = True
        for request in self._requests:
            request.cancel()

    async def answer(self, ask: Ask, model: Model) -> dict[str, Any]:
        """The completion object of the API. Raises `Refused`."""
        completion = await self._complete(ask, model)
        return {
            **_head("chat.completion", model.name),
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": completion.text, "refusal": None},
                    "logprobs": None,
                    "finish_reason": completion.finish_reason,
                }
            ],
            "usage": _usage(completion),
        }

    async def stream(self, ask: Ask, model: Model) -> AsyncIterator[bytes]:
        """The same as server-sent events: the answer is made whole and sent in one piece. Raises `Refused` at once."""
        completion = await self._complete(ask, model)
        head = _head("chat.completion.chunk", model.name)
        with_usage = ask.stream_options is not None and ask.stream_options.include_usage
        usage = {"usage": None} if with_usage else {}

        def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
            return _event({**head, "choices": [choice], **usage})

        async def chunks() -> AsyncIterator[bytes]:
            yield chunk({"role": "assistant", "content": ""})
            if completion.text:
                yield chunk({"content": completion.text})
            yield chunk({}, completion.finish_reason)
            if with_usage:
                yield _event({**head, "choices": [], "usage": _usage(completion)})
            yield b"data: [DONE]\n\n"

        return chunks()

    async def _complete(self, ask: Ask, model: Model) -> Completion:
        if len(self._requests) >= MAX_WAITING:
            problem = "Too many requests wait for an answer."
            raise Refused(429, problem, kind="rate_limit_error", code="busy", headers={"Retry-After": "1"})
        if self._stopped:
            raise _ends()
        request = asyncio.create_task(self._in_turn(ask, model))
        self._requests.add(request)
        try:
            completion = await request
        except asyncio.CancelledError as exc:
            if self._stopped:
                raise _ends() from exc
            raise
        except NotAvailableError as exc:
            raise Refused(503, exc.message, kind="server_error", code=exc.failure_code) from exc
        except (ContextLengthError, InvalidMessagesError) as exc:
            raise Refused(400, exc.message, param="messages", code=exc.failure_code) from exc
        except TrainerError as exc:
            raise Refused(500, exc.message, kind="server_error", code=exc.failure_code) from exc
        finally:
            self._requests.discard(request)
        self.tokens += completion.completion_tokens
        return completion

    async def _in_turn(self, ask: Ask, model: Model) -> Completion:
        """Made in a thread that holds up no exit. When this is cancelled, the thread ends at its next token."""
        future: Future[Completion] = Future()
        nobody_waits = threading.Event()

        def work() -> None:
            future.set_running_or_notify_cancel()
            try:
                future.set_result(self._made(ask, model, nobody_waits.is_set))
            except BaseException as exc:  # for whoever waits
                future.set_exception(exc)
            finally:
                self.threads.discard(threading.current_thread())

        async with self._alone:
            thread = threading.Thread(target=work, name="answer", daemon=True)
            self.threads.add(thread)
            thread.start()
            try:
                return await asyncio.wrap_future(future)
            finally:
                nobody_waits.set()

    def _made(self, ask: Ask, model: Model, stopping: Callable[[], bool]) -> Completion:
        if self._answering is None:
            try:  # only now: a service that is never asked never loads PyTorch
                from trainer_trigger.trainer.serving import Serving

                self._answering = Serving(threads=self._threads)
            except ImportError as exc:
                raise NotAvailableError(f"{exc.name} is not installed: pip install 'millrace[trainer]'") from exc
        stop = [ask.stop] if isinstance(ask.stop, str) else ask.stop or []
        return self._answering.complete(
            model.base,
            model.adapter,
            [_plain(message) for message in ask.messages],
            max_tokens=ask.max_completion_tokens or ask.max_tokens or MAX_TOKENS,
            temperature=1.0 if ask.temperature is None else ask.temperature,
            top_p=1.0 if ask.top_p is None else ask.top_p,
            seed=ask.seed,
            stop=stop,
            stopping=stopping,
        )


def _ends() -> Refused:
    problem = "The service is being stopped: ask again when it is back."
    return Refused(503, problem, kind="server_error", code="stopping", headers={"Retry-After": "5"})


def _plain(message: _Message) -> dict[str, str]:
    content = message.content
    text = content if isinstance(content, str) else "".join(part.text for part in content)
    return {"role": "system" if message.role == "developer" else message.role, "content": text}


def _head(kind: str, model: str) -> dict[str, Any]:
    completion_id = f"chatcmpl-{secrets.token_hex(12)}"
    return {"id": completion_id, "object": kind, "created": int(time.time()), "model": model}


def _usage(completion: Completion) -> dict[str, int]:
    made, asked = completion.completion_tokens, completion.prompt_tokens
    return {"prompt_tokens": asked, "completion_tokens": made, "total_tokens": asked + made}


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(content) + b"\n\n"
