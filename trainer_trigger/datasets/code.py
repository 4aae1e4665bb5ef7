"""Which code built a training set."""

from __future__ import annotations

import hashlib
import subprocess
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Final

from schemas.datasets import Code

_ROOT: Final = Path(__file__).parents[2]
_PACKAGES: Final = ("schemas", "streams", "trainer_trigger")
_GIT_S: Final = 10


@lru_cache(maxsize=1)
def running() -> Code:
    """The version of the package, the commit if this is a checkout, and a hash of the source as it is. Never fails."""
    digest = hashlib.sha256()
    try:
        for path in sorted(path for name in _PACKAGES for path in (_ROOT / name).rglob("*.py")):
            data = path.read_bytes()
            digest.update(f"{path.relative_to(_ROOT).as_posix()} {len(data)}\n".encode() + data)
    except OSError:
        digest = hashlib.sha256(b"unreadable")
    return Code(_version(), _commit(), digest.hexdigest())


def _version() -> str:
    try:
        return metadata.version("millrace")
    except metadata.PackageNotFoundError:
        return "not installed"


def _commit() -> str | None:
    if not (_ROOT / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(_ROOT), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=_GIT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
