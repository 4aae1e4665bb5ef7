"""The trigger as a role: a tick again and again, metrics and health, and the API beside it."""

from __future__ import annotations

import logging
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from streams import metrics
from streams.metrics import Health
from streams.settings import Settings
from streams.waiting import Backoff
from streams.watchdog import Watchdog, on_signals
from trainer_trigger.errors import DatabaseUnavailable
from trainer_trigger.ledger.errors import LedgerUnavailable
from trainer_trigger.wiring import Opened, open_trigger

LOGGER: Final = logging.getLogger("millrace.trigger")
AWAY: Final = "the database does not answer"
FAILED: Final = "the last round failed; the log says why"


def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; what is under way is taken up by whoever runs next. Raises SettingError."""
    health = Health()
    watchdog = Watchdog(health, settings.stall_s)
    stop = threading.Event()
    on_signals(stop.set, watchdog, settings.drain_s)
    watchdog.start()
    stop_serving = metrics.serve(settings.metrics_host, settings.metrics_port, health)
    try:
        opened = _open(settings, health, stop)
        if opened is None:
            return
        try:
            with _api(opened, settings):
                _loop(opened, settings, health, stop)
        finally:
            opened.reporter.stop()
            opened.database.close()
    finally:
        stop_serving()


def _open(settings: Settings, health: Health, stop: threading.Event) -> Opened | None:
    backoff = Backoff()
    while not stop.is_set():
        try:
            return open_trigger(settings)
        except (DatabaseUnavailable, LedgerUnavailable):
            _say_away(health)
            stop.wait(backoff.next_s())
    return None


def _loop(opened: Opened, settings: Settings, health: Health, stop: threading.Event) -> None:
    LOGGER.info("watching", extra={"fields": {"every_s": settings.trigger_every_s}})
    while not stop.is_set():
        try:
            opened.trigger.tick()
            opened.reporter.start()
            health.ready()
        except (DatabaseUnavailable, LedgerUnavailable):
            _say_away(health)
        except Exception:  # whatever it is, the next round may go well; only a signal ends the role
            health.not_ready(FAILED)
            LOGGER.exception(FAILED)
        stop.wait(settings.trigger_every_s)


def _say_away(health: Health) -> None:
    health.not_ready(AWAY)
    LOGGER.warning(AWAY)


def _api(opened: Opened, settings: Settings) -> AbstractContextManager[object]:
    if settings.trigger_port == 0:
        return nullcontext()
    from trainer_trigger.api.server import serving

    return serving(opened.trigger, opened.database, settings)
