"""Errors of training and serving. Each has a code, which the API hands on, and may name the field that is to blame.

TrainerError                    code
├── InvalidFileError            invalid_training_file, invalid_validation_file, invalid_n_examples
├── BaseModelError              model_not_found, unsafe_model, unsupported_model
├── DivergedError               training_diverged
├── OutOfMemoryError            out_of_memory
├── NotAvailableError           not_available: a GPU, bitsandbytes, or the extra `trainer` itself
├── BrokenAdapterError          broken_adapter: not the files that were published
├── InvalidMessagesError        invalid_messages: the base's chat template refuses them
├── ContextLengthError          context_length_exceeded
├── MissingFileError            (sql) file_not_found: a job names a file that is not there any more
├── UnknownCursorError          (sql) invalid_cursor: a page shall begin after what is not there
└── Refused                     (refused) a request is answered with this status, in the API's error shape
"""

from __future__ import annotations

from typing import ClassVar


class TrainerError(Exception):
    """Root of every error of this package; its text is meant for the client and quotes no data."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.failure_code = code or self.code


class InvalidFileError(TrainerError):
    """A file that cannot be trained on; names the line and what is wrong there."""

    code = "invalid_training_file"


class BaseModelError(TrainerError):
    """A base model that is not there, is not safe to load, or is none that can be trained."""

    code = "model_not_found"


class DivergedError(TrainerError):
    """The loss is no number any more."""

    code = "training_diverged"


class OutOfMemoryError(TrainerError):
    """The GPU or the host has no memory left."""

    code = "out_of_memory"


class NotAvailableError(TrainerError):
    """What the job asks for, this machine does not have."""

    code = "not_available"


class BrokenAdapterError(TrainerError):
    """A folder whose files are not those of its manifest."""

    code = "broken_adapter"


class InvalidMessagesError(TrainerError):
    """Messages that cannot be written as a prompt."""

    code = "invalid_messages"


class ContextLengthError(TrainerError):
    """A prompt that leaves no room for an answer."""

    code = "context_length_exceeded"
