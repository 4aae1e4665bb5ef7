"""Files of API keys, whatever a key may do: the collector's and the trigger's.

A key reads `mr_<id>_<secret>`; only the SHA-256 of it is stored. A slow password hash would add nothing: the secret
is 256 random bits, which nobody can guess however fast the hash is, and a key is checked at each request.

The file is JSON, mode 0600, replaced atomically under a lock, so that `millrace keys` may run beside a server.
Run it as the server's user.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import logging
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec
from msgspec import Struct

from schemas.events import Identifier
from streams.errors import InvalidKeyError, KeyFileError

RELOAD_S: Final = 1.0
"""The file is looked at this often at most, so a revoked key is refused at the latest after so long."""

_SECRET_BYTES: Final = 32
_LOG: Final = logging.getLogger("millrace.keys")


class StoredKey(Struct, frozen=True, kw_only=True):
    """What every key has. `sha256` is the hex digest of the whole key; times are RFC 3339, UTC."""

    id: str
    name: str
    sha256: str
    created_at: str
    revoked_at: str | None = None


K = TypeVar("K", bound=StoredKey)


class KeyFile(Generic[K]):
    """The stored keys of one kind: `listed`, `revoke`, and `add` for the kind's own `create`."""

    def __init__(self, path: Path, kind: type[K]) -> None:
        self.path = path.resolve()  # a link stays a link when the file is replaced
        self._kind = kind

    def add(self, name: str, now: datetime, **may: Any) -> str:
        """Store a new key, `may` being the fields of its kind; its plaintext, which is never to be had again.

        Raises `InvalidKeyError` for a name that cannot be, `KeyFileError`.
        """
        check("name", name, Identifier)
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(_SECRET_BYTES)
        plaintext = f"mr_{key_id}_{secret}"
        key = self._kind(id=key_id, name=name, sha256=_digest(plaintext), created_at=_rfc3339(now), **may)
        with self._locked():
            self._write((*self.listed(), key))
        return plaintext

    def listed(self) -> tuple[K, ...]:
        """All keys, oldest first, revoked ones too; none if there is no file yet. Raises `KeyFileError`."""
        try:
            book = msgspec.json.decode(self.path.read_bytes(), type=_Book)
            return msgspec.convert(book.keys, tuple[self._kind, ...])  # type: ignore[name-defined]
        except FileNotFoundError:
            return ()
        except OSError as exc:
            raise KeyFileError(f"{self.path} cannot be read: {exc.strerror}") from exc
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise KeyFileError(f"{self.path} is no file of these API keys: {exc}") from exc

    def revoke(self, key_id: str, now: datetime) -> K:
        """Revoke a key for good; a second time changes nothing. Raises `InvalidKeyError` for an unknown id."""
        with self._locked():
            keys = {key.id: key for key in self.listed()}
            if key_id not in keys:
                raise InvalidKeyError(f"there is no key with the id {key_id!r}; `millrace keys list` shows them")
            if keys[key_id].revoked_at is None:
                keys[key_id] = msgspec.structs.replace(keys[key_id], revoked_at=_rfc3339(now))
                self._write(tuple(keys.values()))
            return keys[key_id]

    def changed(self) -> tuple[int, int, int]:
        """What differs when the file does: inode, size in bytes, mtime in ns; zeros if there is none."""
        try:
            stat = self.path.stat()
        except OSError:
            return 0, 0, 0
        return stat.st_ino, stat.st_size, stat.st_mtime_ns

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # The lock is a file of its own: the key file is replaced, and a lock on what was replaced holds nobody.
        try:
            handle = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise KeyFileError(f"{self.path}.lock cannot be written: {exc.strerror}") from exc
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _write(self, keys: tuple[K, ...]) -> None:
        text = msgspec.json.format(msgspec.json.encode(_Book(1, msgspec.to_builtins(keys))), indent=2) + b"\n"
        try:
            handle, draft = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)  # mode 0600
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(draft, self.path)
            except BaseException:
                os.unlink(draft)
                raise
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as exc:
            raise KeyFileError(f"{self.path} cannot be written: {exc.strerror}") from exc


class _Book(Struct, frozen=True):
    version: Literal[1]
    keys: tuple[dict[str, Any], ...]


class Keyring(Generic[K]):
    """The keys as a server knows them: read again when the file has changed. For one thread.

    `clock` tells monotonic seconds. Raises `KeyFileError` if the file is broken at the start; when it breaks later
    the keys read last stay good and the error is logged, so that a slip of an editor stops no traffic. A file that
    is gone holds no keys.
    """

    def __init__(self, file: KeyFile[K], clock: Callable[[], float]) -> None:
        self._file = file
        self._clock = clock
        self._looked_s = clock()
        self._seen = file.changed()
        self._keys: Mapping[str, K] = _by_id(file)

    def find(self, presented: str) -> K | None:
        """The key with this plaintext; None if there is none or it is revoked."""
        self._look()
        prefix, _, rest = presented.partition("_")
        key = self._keys.get(rest.partition("_")[0]) if prefix == "mr" else None
        if key is None or not hmac.compare_digest(key.sha256, _digest(presented)):
            return None
        return key if key.revoked_at is None else None

    def named(self, key_id: str) -> K | None:
        """The key that has this id, revoked or not; that somebody says it proves nothing."""
        return self._keys.get(key_id)

    def _look(self) -> None:
        now_s = self._clock()
        if now_s - self._looked_s < RELOAD_S:
            return
        self._looked_s = now_s
        seen = self._file.changed()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._keys = _by_id(self._file)
        except KeyFileError as exc:
            _LOG.error("the key file is broken, the keys read last stay good", exc_info=exc)
        else:
            _LOG.info("API keys read", extra={"fields": {"keys": len(self._keys)}})


def _by_id(file: KeyFile[K]) -> dict[str, K]:
    return {key.id: key for key in file.listed()}


def _digest(plaintext: str) -> str:
    return hashlib.sha256(plaintext.encode()).hexdigest()


def check(what: str, name: str, kind: object) -> None:
    """Raise `InvalidKeyError` for a name that is none of its kind."""
    try:
        msgspec.convert(name, kind)
    except msgspec.ValidationError as exc:
        raise InvalidKeyError(f"{what} {name!r}: {str(exc)[:1].lower()}{str(exc)[1:]}") from exc
    if name != name.strip():
        raise InvalidKeyError(f"{what} {name!r}: begins or ends with white space")


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
