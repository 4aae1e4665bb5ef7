"""Errors of the stream.

StreamError
├── SettingError            a setting is missing or wrong: names the variable, the value and the mend
├── KeyFileError            a file of API keys is broken, or cannot be read or written
├── InvalidKeyError         an API key is asked for that cannot be: bad name, tenant or scope, unknown id
├── TransientError          a dependency is away: the caller waits and tries the same again
│   ├── BrokerUnavailable
│   ├── StateUnavailable
│   ├── RegistryUnavailable
│   └── LakeUnavailable
├── CommitStateUnknown      a table commit may or may not have landed: look, never repeat blindly
├── FencedError             another writer has the partition: drop the buffer
├── VersionGone             a table is no longer there as it was at a version
├── DeliveryFailed          the producer gave up for good: end the process, acknowledge nothing
├── OversizeError           a record is larger than it may be
├── UnreadableRecord        (sink) a record of our own topics cannot be decoded: stop, skip nothing
├── LostRecord              (sink) a record was read and did not reach the buffers: stop
├── ProcessDied             (pipeline) a role ended by itself
├── StalledError            (pipeline) what was waited for did not come within its deadline
└── RedactionError          a text could not be redacted: the event is sealed away, never passed on
"""

from __future__ import annotations


class StreamError(Exception):
    """Root of every error that `streams` raises."""


class SettingError(StreamError):
    """A setting is missing or wrong. `variable` names it, `mend` says what to set instead."""

    def __init__(self, variable: str, value: object, mend: str) -> None:
        super().__init__(f"{variable}={value!r}: {mend}")
        self.variable = variable
        self.value = value
        self.mend = mend


class KeyFileError(StreamError):
    """A file of API keys is broken, or cannot be read or written."""


class InvalidKeyError(StreamError):
    """A key was asked for that cannot be: a name, tenant or scope that is not allowed, or an unknown id."""


class TransientError(StreamError):
    """A dependency does not answer. Nothing was lost; try again after a while."""


class BrokerUnavailable(TransientError):
    """Kafka does not answer, or did not acknowledge in time."""


class StateUnavailable(TransientError):
    """Redis or the state file does not answer."""


class RegistryUnavailable(TransientError):
    """The schema registry does not answer."""


class LakeUnavailable(TransientError):
    """The lake's storage does not answer."""


class CommitStateUnknown(StreamError):
    """A table commit ended without an answer: reload the table and look whether it landed."""


class FencedError(StreamError):
    """The table's watermark is not the one that this writer left: another writer has the partition."""


class VersionGone(StreamError):
    """A version of a table cannot be read any more, or never was: a purge or a clean-up of the log took it."""

    def __init__(self, table: str, version: int, why: str) -> None:
        super().__init__(f"{table} cannot be read as it was at version {version}: {why}")
        self.table = table
        self.version = version


class DeliveryFailed(StreamError):
    """The producer reported a fatal error; what it was given may be partly delivered."""


class OversizeError(StreamError):
    """A record is larger than `max_event_bytes`."""


class RedactionError(StreamError):
    """A text could not be redacted within its bounds."""
