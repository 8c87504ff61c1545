"""What can go wrong in the rules' room, and which of it passes by itself."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.exc import DBAPIError


class RulesError(Exception):
    """Root of this package's errors."""


class TransientError(RulesError):
    """It passes: try the whole unit of work again, in a new transaction."""


class SchemaMismatchError(RulesError):
    """The database's schema isn't the one this program needs; the message says what to do."""


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
    """Whether a database error says nothing about the work itself."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or (error.orig is not None and is_transient(error.orig))
    if not isinstance(error, psycopg.Error):
        return isinstance(error, OSError | TimeoutError)
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate[:2] in _TRANSIENT_CLASSES or error.sqlstate in _TRANSIENT_CODES


@contextmanager
def translating_errors() -> Iterator[None]:
    """Raises TransientError from whatever passes by itself; other errors go through as they are."""
    try:
        yield
    except (DBAPIError, psycopg.Error, OSError) as error:
        if is_transient(error):
            raise TransientError(str(getattr(error, "orig", None) or error)) from error
        raise
