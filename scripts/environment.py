"""The settings of all packages, read from the environment; each mistake in them is a line of the error."""

import difflib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args

from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from database.connections import DatabaseSettings
from database.urls import DatabaseUrl
from listener.settings import ListenerSettings
from rules.settings import RuleSettings
from scripts.errors import UsageError
from telling.settings import TellingSettings
from web.settings import WebSettings

logger = logging.getLogger(__name__)

PREFIX = "TUTORWATCH_"
FILE_SUFFIX = "_FILE"
SETTINGS: tuple[type[BaseSettings], ...] = (
    DatabaseSettings,
    ListenerSettings,
    WebSettings,
    RuleSettings,
    TellingSettings,
)
FOR_THE_COMMAND_LINE = {
    "TUTORWATCH_LOG_FORMAT": "How logs are written: auto, text or json",
    "TUTORWATCH_LOG_LEVEL": "The least level that is logged: debug, info, warning or error",
    "TUTORWATCH_TEST_DATABASE_URL": "For the tests: a server whose role may create databases",
    "TUTORWATCH_TEST_BROWSER": "For the tests: a browser of Chromium's family, where it isn't found by its name",
    "TUTORWATCH_TEST_SOAK": "For the tests: 1 for the long forms (`make soak`)",
}
RENAMED = {"TUTORWATCH_DEAF_POLL_SECONDS": "TUTORWATCH_FALLBACK_POLL_SECONDS"}
"""Deprecated names of settings, which go on working, and what they are called now."""
EMBEDDED_URL_FILE = Path(".data/url")
"""Where a running `tutorwatch run` notes the URL of its embedded server, for the other commands."""

PackageSettings = TypeVar("PackageSettings", bound=BaseSettings)


def variable(field_name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + field_name.upper()


def is_secret(setting: FieldInfo) -> bool:
    """Return whether a setting may hold a password or token: a file can hold it, too, and it is never shown."""
    return any(kind in (SecretStr, DatabaseUrl) for kind in (setting.annotation, *get_args(setting.annotation)))


def read(settings_class: type[PackageSettings]) -> PackageSettings:
    """The settings of one package. Raises UsageError that lists the mistakes of all packages, a line each."""
    given, mistakes = _given_otherwise(os.environ)
    mistakes += _unknown_variables(os.environ)
    found: PackageSettings | None = None
    for each in SETTINGS:
        try:
            settings = each(**_values(each, given))
        except ValidationError as error:
            mistakes += [_describe(each, dict(problem), given) for problem in error.errors()]
        else:
            found = settings if isinstance(settings, settings_class) else found
    if mistakes or found is None:
        raise UsageError("\n".join(dict.fromkeys(mistakes)))
    return found


@dataclass(frozen=True, slots=True)
class _Given:
    """A setting's value that its own variable doesn't hold, and the variable that led to it."""

    by: str
    value: str = field(repr=False)


def _given_otherwise(environment: Mapping[str, str]) -> tuple[dict[str, _Given], list[str]]:
    """The values of files and of deprecated names, by the variables that they stand for; and the mistakes in them."""
    given: dict[str, _Given] = {}
    mistakes = []
    for other, name in (_files() | RENAMED).items():
        if other not in environment:
            continue
        if name in environment:
            mistakes.append(f"{other} and {name} are the same setting: keep one of them")
        elif other in RENAMED:
            _warn_renamed(other, name)
            given[name] = _Given(other, environment[other])
        else:
            try:
                given[name] = _Given(other, _read_secret(Path(environment[other])))
            except ValueError as error:
                mistakes.append(f"{other}: {error}")
    return given, mistakes


def _values(package: type[BaseSettings], given: Mapping[str, _Given]) -> dict[str, Any]:
    return {name: given[variable(name)].value for name in package.model_fields if variable(name) in given}


def _files() -> dict[str, str]:
    """The variables that name a file with a secret, and whose."""
    secrets = [variable(name) for package in SETTINGS for name, each in package.model_fields.items() if is_secret(each)]
    return {name + FILE_SUFFIX: name for name in secrets}


def _read_secret(file: Path) -> str:
    """Return the file's text without line breaks at its end. Raises ValueError, which doesn't repeat it."""
    try:
        secret = file.read_text(encoding="utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"{file} isn't text in UTF-8") from None
    except OSError as error:
        raise ValueError(f"{file} can't be read ({error.strerror})") from None
    if not secret.strip():
        raise ValueError(f"{file} is empty")
    return secret


@cache
def _warn_renamed(old: str, new: str) -> None:
    logger.warning("%s is deprecated: it is called %s now", old, new, extra={"action": "deprecated_setting"})


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


def dashboard_url() -> str:
    """The dashboard's address, as far as the settings say: where links lead."""
    web = read(WebSettings)
    return web.web_url or f"http://{web.web_host}:{web.web_port}"


def _unknown_variables(environment: Mapping[str, str]) -> list[str]:
    known = {variable(name) for package in SETTINGS for name in package.model_fields} | set(FOR_THE_COMMAND_LINE)
    also_known = {*_files(), *RENAMED}
    mistakes = []
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known | also_known:
            near = difflib.get_close_matches(name, known, n=1) or difflib.get_close_matches(name, also_known, n=1)
            mistakes.append(f"{name}: there is no such setting" + (f"; did you mean {near[0]}?" if near else ""))
    return mistakes


def _describe(package: type[BaseSettings], problem: Mapping[str, object], given: Mapping[str, _Given]) -> str:
    location, message = problem["loc"], str(problem["msg"]).removeprefix("Value error, ")
    if not isinstance(location, tuple) or not location:  # of several settings together: the message names them
        return message
    name = variable(str(location[0]))
    shown = "" if is_secret(package.model_fields[str(location[0])]) else f" (it is {problem['input']!r})"
    return f"{given[name].by if name in given else name}: {message}{shown}"
