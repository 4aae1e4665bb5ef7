"""The API beside the trigger, in the same process.

    with serving(trigger, database, settings) as address:   # in the thread of `millrace trigger run`
        loop()

The address is taken and the keys are read before anything starts, so that a wrong setting is told at once. At the end
requests in flight are answered, for at most `drain_s`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvicorn

from streams.collector.server import listen_on
from streams.settings import Settings
from trainer_trigger.api.app import create_app
from trainer_trigger.api.desk import Desk
from trainer_trigger.api.keys import KeyFile, Keyring
from trainer_trigger.api.sql import SqlAudit
from trainer_trigger.database import Database

_LOG: Final = logging.getLogger("millrace.api")


@contextmanager
def serving(desk: Desk, database: Database, settings: Settings) -> Iterator[tuple[str, int]]:
    """Serve from a thread until the block ends; gives host and port. Everything may be in use by other threads.

    Raises `SettingError` where the address cannot be had, `KeyFileError`, DatabaseUnavailable.
    """
    file = KeyFile(Path(settings.trigger_keys_file))
    keys = Keyring(file, time.monotonic)
    audit = SqlAudit(database)
    if not file.listed():
        _LOG.warning(
            "there are no API keys yet: every request is answered 401; see `millrace keys create --for trigger`"
        )
    listening = listen_on(settings.trigger_host, settings.trigger_port, "MILLRACE_TRIGGER_PORT")
    config = uvicorn.Config(
        create_app(desk, audit, keys),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(settings.drain_s)),
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="api", daemon=True)
    host, port = listening.getsockname()[:2]
    thread.start()
    _LOG.info("listening", extra={"fields": {"host": host, "port": port}})
    try:
        yield host, port
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
