"""Launches through the OpenAI fine-tuning API, at any base URL that speaks it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, Final, cast

import httpx2
import openai
from msgspec import Struct
from openai.types.fine_tuning import FineTuningJobEvent

from trainer_trigger.launchers.errors import (
    LauncherError,
    LauncherUnavailable,
    LaunchRefusedError,
    LaunchStateUnknownError,
    UnknownJobError,
)
from trainer_trigger.launchers.port import DataFile, JobState, LaunchRequest, Progress, finite, is_step, place
from trainer_trigger.launchers.providers import Provider, check, hyperparameters
from trainer_trigger.ledger import Event, Point

LAUNCH_KEY: Final = "millrace_launch"
"""The metadata field by which a job is found again."""

PAGE: Final = 100
MAX_S: Final = 1e12
"""Epoch seconds; more is no time."""

CHUNK_BYTES: Final = 1024 * 1024
CLEAR_NO: Final = frozenset({400, 401, 403, 404, 405, 413, 415, 422})
"""Answers that another try does not change: a bad file, a wrong key, a wrong path."""
CURVES: Final = frozenset({"train_loss", "valid_loss", "full_valid_loss", "train_mean_token_accuracy"})
NOT_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)
UNREADABLE: Final = (ValueError, AttributeError, TypeError)
"""What the client raises, early or late, at an answer that is not the API's; it checks little by itself."""

MAYBE_DONE: Final = frozenset({408, 409})
"""Client errors after which the job may be there all the same; every other one is a no."""


class OpenAISettings(Struct, frozen=True, kw_only=True):
    """Where the API is. With `api_version` the endpoint is Azure's, and `base_url` is its resource.

    `settles_s` is the promise of `Launcher`; the trainer of Millrace keeps it with 0. Time-outs are seconds a call.
    """

    base_url: str
    api_key: str
    provider: Provider = "openai"
    api_version: str | None = None
    settles_s: float | None = None
    create_timeout_s: float = 60.0
    upload_timeout_s: float = 900.0
    timeout_s: float = 30.0

    def __repr__(self) -> str:
        return f"OpenAISettings(base_url={self.base_url!r}, provider={self.provider!r})"


def _open(place: str) -> BinaryIO:
    return open(place, "rb")


class OpenAILauncher:
    """A `Launcher` over the `openai` package. `opened` reads a dataset's file from where it lies."""

    def __init__(self, settings: OpenAISettings, opened: Callable[[str], BinaryIO] = _open) -> None:
        self.settles_s = settings.settles_s
        self._settings = settings
        self._opened = opened
        # No retries: the client's own would send create three times.
        if settings.api_version is None:
            self._client = openai.OpenAI(
                base_url=settings.base_url, api_key=settings.api_key, max_retries=0, timeout=settings.timeout_s
            )
        else:
            self._client = openai.AzureOpenAI(
                azure_endpoint=settings.base_url,
                api_version=settings.api_version,
                api_key=settings.api_key,
                max_retries=0,
                timeout=settings.timeout_s,
            )

    @property
    def identity(self) -> str:
        return place(self._settings.provider, self._settings.base_url)

    def check(self, request: LaunchRequest) -> None:
        check(request, self._settings.provider)

    def upload(self, request: LaunchRequest, key: str, attempt: int) -> tuple[str, ...]:
        files = [each for each in (request.train_file, request.validation_file) if each is not None]
        names = [f"{each.sha256}-{key}-{attempt}.jsonl" for each in files]
        with _repeatable(refuses=True):
            listed = self._client.files.list(purpose="fine-tune", limit=PAGE, timeout=self._settings.timeout_s)
            known = {each.filename: each.id for each in listed if each.filename in names}
        try:
            return tuple(known.get(name) or self._send(file, name) for file, name in zip(files, names, strict=True))
        except FileNotFoundError as exc:
            raise LaunchRefusedError(f"the dataset is gone: {exc}") from exc
        except OSError as exc:
            raise LauncherUnavailable(f"the dataset cannot be read: {exc}") from exc

    def _send(self, file: DataFile, name: str) -> str:
        with self._opened(file.place) as data:
            digest = hashlib.sha256()
            while chunk := data.read(CHUNK_BYTES):
                digest.update(chunk)
            if digest.hexdigest() != file.sha256:
                raise LaunchRefusedError(f"{file.place} has changed: its SHA-256 is {digest.hexdigest()}")
            data.seek(0)
            with _repeatable(refuses=True):
                timeout_s = self._settings.upload_timeout_s
                return _text(self._client.files.create(file=(name, data), purpose="fine-tune", timeout=timeout_s).id)

    def create(self, request: LaunchRequest, key: str, files: Sequence[str]) -> str:
        training = request.training
        body: dict[str, Any] = {
            "model": training.base_model,
            "training_file": files[0],
            "method": {"type": training.method, training.method: {"hyperparameters": hyperparameters(request)}},
            "metadata": {
                LAUNCH_KEY: key,
                "millrace_target": request.target,
                "millrace_dataset": request.dataset_hash,
            },
        }
        if len(files) > 1:
            body["validation_file"] = files[1]
        body |= {name: value for name in ("suffix", "seed") if (value := getattr(training, name)) is not None}
        try:
            job = self._client.fine_tuning.jobs.create(**body, timeout=self._settings.create_timeout_s)
            return _text(job.id)
        except Exception as exc:  # whatever it is, the request may have been sent
            raise _after_create(exc) from exc

    def find(self, key: str) -> list[str]:
        # The filter is asked for and applied again here: some servers leave it out.
        with _repeatable():
            jobs = self._client.fine_tuning.jobs.list(metadata={LAUNCH_KEY: key}, limit=PAGE)
            return [job.id for job in jobs if (job.metadata or {}).get(LAUNCH_KEY) == key]

    def revoke(self, files: Sequence[str]) -> None:
        for file in files:
            with _repeatable():
                try:
                    self._client.files.delete(file)
                except openai.NotFoundError:
                    continue

    def progress(self, job_id: str) -> Progress:
        with _repeatable(job_id):
            job = self._client.fine_tuning.jobs.retrieve(job_id)
            told = list(self._client.fine_tuning.jobs.list_events(job_id, limit=PAGE))
            failure = job.error.message if job.error is not None else None
            return Progress(
                state=JobState(job.status) if job.status in set(JobState) else JobState.RUNNING,
                model=job.fine_tuned_model,
                message=failure or ("" if job.status in set(JobState) else f"the provider says {job.status}"),
                events=tuple(_event(each) for each in told),
                points=tuple(point for each in told for point in _points(each)),
            )

    def cancel(self, job_id: str) -> None:
        with _repeatable(job_id, refuses=True):
            self._client.fine_tuning.jobs.cancel(job_id)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


@contextmanager
def _repeatable(job_id: str | None = None, *, refuses: bool = False) -> Iterator[None]:
    """Around calls that may be repeated as they are. Where it `refuses`, no job hangs on them: a no is a no."""
    try:
        yield
    except openai.APIStatusError as exc:
        if job_id is not None and exc.status_code == 404:
            raise UnknownJobError(f"the provider does not know job {job_id}") from exc
        if refuses and exc.status_code in CLEAR_NO:
            raise LaunchRefusedError(_words(exc), exc.param) from exc
        raise LauncherUnavailable(_words(exc), _retry_after_s(exc)) from exc
    except (openai.OpenAIError, httpx2.HTTPError, *UNREADABLE) as exc:
        raise LauncherUnavailable(_words(exc), _retry_after_s(exc)) from exc


def _after_create(exc: Exception) -> LauncherError:
    """What is known after create has failed: only a clear no, or a request that was never sent, is no job."""
    if isinstance(exc, openai.RateLimitError):
        return LauncherUnavailable(_words(exc), _retry_after_s(exc))
    if isinstance(exc, openai.APIStatusError) and 400 <= exc.status_code < 500 and exc.status_code not in MAYBE_DONE:
        return LaunchRefusedError(_words(exc), exc.param)
    if isinstance(exc, openai.APIConnectionError) and isinstance(exc.__cause__, NOT_SENT):
        return LauncherUnavailable(_words(exc))
    return LaunchStateUnknownError(_words(exc))


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise TypeError(f"an id that is {value!r}")
    return value


def _words(exc: Exception) -> str:
    if isinstance(exc, openai.APIStatusError):
        return f"HTTP {exc.status_code}: {exc.message}"
    return f"{type(exc).__name__}: {exc}"


def _retry_after_s(exc: Exception) -> float | None:
    told = exc.response.headers.get("retry-after", "") if isinstance(exc, openai.APIStatusError) else ""
    return float(told) if re.fullmatch(r"\d{1,5}(\.\d+)?", told) else None


def _event(told: FineTuningJobEvent) -> Event:
    at_s = finite(told.created_at) or 0.0  # the client checks no types
    at_ms = round(at_s * 1000) if 0 <= at_s < MAX_S else 0
    return Event(str(told.id), at_ms, str(told.level or "info"), str(told.message or ""))


def _points(event: FineTuningJobEvent) -> Iterator[Point]:
    if not isinstance(event.data, dict):
        return
    data = cast(dict[str, object], event.data)
    step = data.get("step")
    for name, told in data.items():
        value = finite(told)
        if name in CURVES and is_step(step) and value is not None:  # else the event's message says it
            yield Point(step, name, value)
