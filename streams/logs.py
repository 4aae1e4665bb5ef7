"""Structured logs: one JSON object a line on stderr, without payloads.

A log call passes names and numbers in `extra={"fields": {...}}`; exception *texts* are left out, because they may
quote an event: only the type and the place are logged.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Final

_QUIET: Final = ("faust", "mode", "aiokafka", "uvicorn.access", "httpx2", "botocore")


class JsonFormatter(logging.Formatter):
    """Formats a log record as one JSON line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line: time, level, logger, message, the call's fields, and where an exception came from."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            frames = traceback.extract_tb(record.exc_info[2])
            line["error"] = record.exc_info[0].__name__
            line["at"] = [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in frames[-5:]]
        return json.dumps(line, default=str)


def configure(level: str) -> None:
    """Send all logs to stderr as JSON lines; libraries speak from WARNING on, with DEBUG from INFO on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.INFO if level == "DEBUG" else logging.WARNING)
