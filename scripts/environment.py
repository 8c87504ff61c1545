"""Reads every room's settings from the environment, and says of each mistake what it is, a line each."""

import difflib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from database.connections import DatabaseSettings
from listener.settings import ListenerSettings
from rules.settings import Thresholds
from scripts.errors import UsageError
from web.settings import WebSettings

logger = logging.getLogger(__name__)

PREFIX = "TUTORWATCH_"
ROOMS: tuple[type[BaseSettings], ...] = (DatabaseSettings, ListenerSettings, WebSettings, Thresholds)
FOR_THE_COMMAND_LINE = {
    "TUTORWATCH_LOG_FORMAT": "How logs are written: auto, text or json",
    "TUTORWATCH_TEST_DATABASE_URL": "For the tests: a server whose role may create databases",
    "TUTORWATCH_TEST_BROWSER": "For the tests: a browser of Chromium's family, where it isn't found by its name",
    "TUTORWATCH_TEST_SOAK": "For the tests: 1 for the long forms (`make soak`)",
}
EMBEDDED_URL_FILE = Path(".data/url")
"""Where a running `tutorwatch run` notes the URL of its embedded server, for the other commands."""

Room = TypeVar("Room", bound=BaseSettings)


def variable(field_name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + field_name.upper()


def read(room: type[Room]) -> Room:
    """A room's settings. Raises UsageError that lists the mistakes of all rooms, a line each."""
    mistakes = _unknown_variables(os.environ)
    found: Room | None = None
    for each in ROOMS:
        try:
            settings = each()
        except ValidationError as error:
            mistakes += [_describe(dict(problem)) for problem in error.errors()]
        else:
            found = settings if isinstance(settings, room) else found
    if mistakes or found is None:
        raise UsageError("\n".join(mistakes))
    return found


def database_url() -> str:
    """The platform's database: as set, else the embedded one if `tutorwatch run` is running here."""
    url = configured_database_url()
    if url is None and EMBEDDED_URL_FILE.exists():
        logger.info("Using the embedded database of the `tutorwatch run` in this folder")
        return EMBEDDED_URL_FILE.read_text(encoding="utf-8").strip()
    if url is None:
        raise UsageError(
            "TUTORWATCH_DATABASE_URL is not set: give the platform's database, such as "
            "postgresql://user:password@host/database (or start `make run` in this folder)"
        )
    return url


def direct_url() -> str:
    """The same for commands that need a session of their own: past a pooler, where TUTORWATCH_LISTEN_URL leads past it.

    As the role of TUTORWATCH_DATABASE_URL: the other is the listener's.
    """
    url, direct = database_url(), read(ListenerSettings).listen_url
    if direct is None:
        return url
    role = {name: value for name, value in conninfo_to_dict(url).items() if name in ("user", "password", "passfile")}
    return make_conninfo(direct, **role)


def configured_database_url() -> str | None:
    """TUTORWATCH_DATABASE_URL, or None."""
    return read(DatabaseSettings).database_url


def _unknown_variables(environment: Mapping[str, str]) -> list[str]:
    known = {variable(name) for room in ROOMS for name in room.model_fields} | set(FOR_THE_COMMAND_LINE)
    mistakes = []
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            mistakes.append(f"{name}: there is no such setting" + (f"; did you mean {near[0]}?" if near else ""))
    return mistakes


def _describe(problem: Mapping[str, object]) -> str:
    location = problem["loc"]
    if not location:  # of several settings together: the message names them
        return str(problem["msg"]).removeprefix("Value error, ")
    name = variable(str(location[0])) if isinstance(location, tuple) else PREFIX
    shown = "" if name.endswith(("_URL", "_TOKEN")) else f" (it is {problem['input']!r})"
    return f"{name}: {str(problem['msg']).removeprefix('Value error, ')}{shown}"
