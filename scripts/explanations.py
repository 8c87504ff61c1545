"""The message for an error that isn't a bug of ours: one line, with what to do."""

from collections.abc import Iterator
from typing import Any

import psycopg
from sqlalchemy.exc import OperationalError, PendingRollbackError

from database.errors import TransientError, TutorwatchError, first_line, single_errors
from migrations.upgrade import SchemaError
from scripts import output
from scripts.errors import CommandError
from web.service import AddressError

INTERRUPTED = "Interrupted; run the command again to go on"
LOST = "The connection to the database was lost; run the command again to go on"
READ_ONLY = (
    "The database is read-only ({}). A replica stays so. Where default_transaction_read_only is on, add "
    "?options=-c%20default_transaction_read_only%3Doff to TUTORWATCH_DATABASE_URL to do it all the same, or end it "
    "by ALTER DATABASE (or ROLE) ... SET default_transaction_read_only = off"
)
ROWS_HIDDEN = (
    "Row-level security hides rows from the database's role ({}), and nothing is done on a part of them: "
    "give it BYPASSRLS, or run this as the tables' owner, with no FORCE ROW LEVEL SECURITY on them (see docs/rights.md)"
)
NO_RIGHT = "The database's role may not do that ({}): see docs/rights.md"
NOT_THERE = (
    "Something isn't there ({}): Tutorwatch isn't installed in this database, or tables have changed since; "
    "`tutorwatch migrate --check` says what is to be done"
)
NOT_IN_THIS_ENCODING = (
    "The database's encoding can't hold or give some text ({}): Tutorwatch reads and writes UTF-8, "
    "so correct that row, or keep the platform in a database whose encoding is UTF8"
)
REFUSED = "The database can't be reached, or refuses: {}"

_BY_CODE = {
    "25006": READ_ONLY,
    "42501": NO_RIGHT,
    "22021": NOT_IN_THIS_ENCODING,  # bytes that are no text, as a SQL_ASCII database may hold
    "22P05": NOT_IN_THIS_ENCODING,  # a character that the database's encoding lacks
} | dict.fromkeys(("42P01", "42703", "42704", "42883", "3F000"), NOT_THERE)


def explain_all(error: Exception) -> list[str] | None:
    """Return a line for each error of a group, each line once; None if one of them is a bug of ours."""
    messages = [explain(each) for each in single_errors(error)]
    return None if None in messages else list(dict.fromkeys(filter(None, messages)))


def explain(error: BaseException) -> str | None:
    """Return the message for an error of the other packages, of the database or of stdout; None for our own bugs."""
    if _was_interrupted(error):
        return INTERRUPTED
    if isinstance(error, CommandError):
        return str(error)
    is_transient = isinstance(error, TransientError)  # then it is the database's answer that explains it
    if isinstance(error, SchemaError | TutorwatchError | AddressError) and not is_transient:
        return str(error)
    if message := explain_database(error):
        return message
    if is_transient:
        return REFUSED.format(first_line(error))
    if isinstance(error, OSError):
        return output.explain(error)
    if isinstance(error, PendingRollbackError):  # what Alembic makes of a connection lost in its middle
        return LOST
    if isinstance(error, OperationalError | psycopg.OperationalError):
        return REFUSED.format(first_line(getattr(error, "orig", None) or error))
    return None


def explain_database(error: BaseException) -> str | None:
    """Return the message for an answer of the database that a person can do something about; None for others."""
    for each in _answers(error):
        message = ROWS_HIDDEN if each.diag.source_function == "check_enable_rls" else _BY_CODE.get(each.sqlstate or "")
        if message:
            return message.format(each.diag.message_primary)
    return None


def _answers(error: BaseException) -> Iterator[psycopg.Error]:
    at: Any = error
    while at is not None:
        original = getattr(at, "orig", None) or at
        if isinstance(original, psycopg.Error):
            yield original
        at = at.__cause__


def _was_interrupted(error: BaseException) -> bool:
    """Return whether somebody interrupted it, also where a library has replaced that error by one of its own."""
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, KeyboardInterrupt):
            return True
        at = at.__cause__ or at.__context__
    return False
