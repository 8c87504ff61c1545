"""The errors of this package, and which of a database's errors are transient."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy.exc import DBAPIError


class TutorwatchError(Exception):
    """Root of this package's errors."""


class TransientError(TutorwatchError):
    """A retry may cure it: try the whole unit of work again, in a new transaction."""


class UnreachableError(TransientError):
    """The database is away, or has ended the connection."""


class StalePlanError(TransientError):
    """A plan that a connection had kept no longer fits the tables; that connection is dropped."""


class PooledError(TutorwatchError):
    """A pooler is between, where a session of one's own is needed."""

    def __init__(self) -> None:
        super().__init__(
            "A pooler is between this program and the database, and what it does needs a session of its own: "
            "set TUTORWATCH_LISTEN_URL to a URL that leads past it"
        )


class SchemaMismatchError(TutorwatchError):
    """The database's schema isn't the one this program needs; the message says what to do."""


class CannotEvaluateError(TutorwatchError):
    """No tutor can be evaluated as the database is now: book it on nobody, leave the changes, and try again later."""


_TRANSIENT_CLASSES = {
    "08",  # connection lost
    "40",  # rolled back: deadlock, serialization failure
    "53",  # out of connections, memory or disk
    "57",  # shutting down, terminated, cancelled by a timeout
}
_TRANSIENT_CODES = {
    "55P03",  # a lock was not to be had in time
    "25006",  # read-only: the server we are on is no longer the primary
    "23503",  # a tutor or session was deleted between our reading and our writing
}


def is_transient(error: BaseException) -> bool:
    """Return whether a database error says nothing about the work itself."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or (error.orig is not None and is_transient(error.orig))
    if not isinstance(error, psycopg.Error):
        return isinstance(error, OSError | TimeoutError)
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate[:2] in _TRANSIENT_CLASSES or error.sqlstate in _TRANSIENT_CODES


def is_stale_plan(error: BaseException | None) -> bool:
    """Return whether a kept plan no longer fits the tables, or is gone: without it the work may succeed."""
    if not isinstance(error, psycopg.Error):
        return False
    is_replaced = error.sqlstate == "0A000" and error.diag.source_function == "RevalidateCachedQuery"
    return is_replaced or error.sqlstate == "26000"  # the statement isn't prepared any more


def is_of_kept_plan(error: BaseException | None) -> bool:
    """Return whether an error may come of a kept plan, whose parameters have types that are no longer there.

    Most that look so are what they seem: a column that is gone is gone for new plans, too.
    """
    if is_stale_plan(error):
        return True
    code = error.sqlstate if isinstance(error, psycopg.Error) else None
    if code is None or code == "42501":  # a right that is missing
        return False
    return code.startswith("42") or code in {"0A000", "XX000", "22P02"}


def met_stale_plan(error: BaseException) -> bool:
    """Return whether a statement failed with the connection that had kept its plan: on another one it may succeed."""
    return isinstance(error, DBAPIError) and error.connection_invalidated and is_of_kept_plan(error.orig)


_LOST_CODES = {"57P01", "57P02", "57P03"}  # terminated, crashed, starting or stopping


def _is_lost(error: BaseException) -> bool:
    """Return whether a transient error means that there is no connection."""
    original: Any = getattr(error, "orig", None) or error
    code = getattr(original, "sqlstate", None)
    return code is None or code.startswith("08") or code in _LOST_CODES


def _kind_of(error: BaseException) -> type[TransientError]:
    if met_stale_plan(error):
        return StalePlanError
    return UnreachableError if _is_lost(error) else TransientError


_SCHEMA_CODES = {
    "22P02",  # an enum lacks a label
    "23502",  # a column must not be NULL
}


def sqlstate_of(error: BaseException) -> str | None:
    """The code of a database's error, however it is wrapped."""
    return getattr(getattr(error, "orig", None) or error, "sqlstate", None)


def is_about_schema(error: BaseException) -> bool:
    """Return whether a table, a column, a label or a right isn't as our statements need it, whoever they are about."""
    code = sqlstate_of(error) or ""
    return code.startswith("42") or code in _SCHEMA_CODES


SCHEMA_ERRORS = frozenset(
    kind.__name__
    for kind in vars(psycopg.errors).values()
    if isinstance(kind, type) and issubclass(kind, psycopg.Error) and is_about_schema(kind())
)
"""The names of such errors' classes, with which `failures.last_error` begins."""


def single_errors(error: Exception) -> list[Exception]:
    """Return the errors of a group and of the groups in it; of any other error, that one."""
    if isinstance(error, ExceptionGroup):
        return [single for each in error.exceptions for single in single_errors(each)]
    return [error]


def first_line(error: BaseException) -> str:
    """An error's first line, for a log line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def translating_errors() -> Iterator[None]:
    """Raise TransientError from whatever is transient; other errors go through as they are."""
    try:
        yield
    except (DBAPIError, psycopg.Error, OSError) as error:
        if is_transient(error):
            raise _kind_of(error)(str(getattr(error, "orig", None) or error)) from error
        raise
