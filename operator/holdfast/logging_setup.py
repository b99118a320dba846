"""Structured logs: one line per entry, as JSON for machines or as text for people.

What belongs to an entry beside its message is passed as `extra` and becomes fields. Secrets are never passed: tokens are read
where they are used and are in no object that is logged.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_QUIET: Final = {
    "kopf": logging.WARNING,  # it tells of every watch event that a handler took
    "aiohttp.access": logging.WARNING,
    "asyncio": logging.WARNING,
    "httpx": logging.WARNING,
    "huggingface_hub": logging.WARNING,
}


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        entry: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """Time, level, message and fields as ``name=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, followed by the traceback if there is one."""
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        line = f"{_time(record)} {record.levelname:<7} {record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure(style: Literal["json", "text"], stream: TextIO = sys.stderr) -> None:
    """Send all logs of the process to a stream in one form."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: _plain(value) for name, value in vars(record).items() if name not in _STANDARD and not name.startswith("_")}


def _plain(value: object) -> object:
    """Write a key as ``namespace/name``, as kubectl does."""
    if isinstance(value, tuple):
        return "/".join(str(part) for part in value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
