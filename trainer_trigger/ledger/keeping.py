"""Keeping a lease while something takes longer than a lease lives, such as an upload or a dataset's build."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from trainer_trigger.ledger import Lease, Ledger
from trainer_trigger.ledger.errors import FencedError, LedgerUnavailable

RENEWALS: Final = 3
"""A lease is renewed so many times in its life, so that one or two failures are no loss."""


@contextmanager
def kept(ledger: Ledger, lease: Lease, ttl_ms: int) -> Iterator[None]:
    """Renew the lease from a thread until the block ends. If it is lost, the next write that needs it is refused."""
    over = threading.Event()

    def renew() -> None:
        while not over.wait(ttl_ms / 1000 / RENEWALS):
            try:
                ledger.renew(lease, ttl_ms)
            except FencedError:
                return
            except LedgerUnavailable:
                continue

    keeper = threading.Thread(target=renew, daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()
