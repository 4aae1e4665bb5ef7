"""Errors of the launchers: what is known about the job after a failed call.

LauncherError
├── LaunchRefusedError        there is no job, and asking again changes nothing; names the field, where one is to blame
├── LaunchStateUnknownError   there may be a job or not: look for it, never create again blindly
├── LauncherUnavailable       there is no job, or nothing was changed: ask again after a while
└── UnknownJobError           the provider does not know this job
"""

from __future__ import annotations


class LauncherError(Exception):
    """Root of every error that a launcher raises."""


class LaunchRefusedError(LauncherError):
    """The launch cannot be; `field` names what is wrong in the configuration or data, where that is known."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message if field is None else f"{field}: {message}")
        self.field = field


class LaunchStateUnknownError(LauncherError):
    """Create was sent and no answer tells what became of it."""


class LauncherUnavailable(LauncherError):
    """The provider does not answer, or asks to wait: `retry_after_s`, where it says how long."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnknownJobError(LauncherError):
    """No such job."""
