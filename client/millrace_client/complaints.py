"""Log lines of the client: each kind of trouble once, until it is over."""

from __future__ import annotations

import contextlib
import logging
import threading

logger = logging.getLogger("millrace_client")


class Complaints:
    """What has been said already. No line ever holds a payload, an exception's text or the key."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._said: set[str] = set()

    def say(self, kind: str, message: str, *args: object) -> None:
        """Warn, unless this kind has been warned of and is not over yet."""
        with self._lock:
            if kind in self._said:
                return
            self._said.add(kind)
        with contextlib.suppress(Exception):  # an app's own log filter must not make our calls raise
            logger.warning(message, *args)

    def over(self, kind: str, message: str) -> None:
        """Say that this kind of trouble is over, if it was ever said to be there."""
        with self._lock:
            if kind not in self._said:
                return
            self._said.discard(kind)
        with contextlib.suppress(Exception):
            logger.info(message)
