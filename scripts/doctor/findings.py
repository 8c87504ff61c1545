"""The result of a check: one line, `ok` or what to do."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psycopg

from database.errors import first_line
from listener.settings import ListenerSettings

MOST_NAMED = 4
"""How many of a kind a finding names."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one question. `message` is one line; where not `is_ok`, it says what to do."""

    check: str
    is_ok: bool
    message: str

    def __str__(self) -> str:
        return f"{'ok' if self.is_ok else '!!':4}{self.check:15}{self.message}"

    def as_json(self) -> dict[str, Any]:
        """The finding as JSON for programs."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class DoctorContext:
    """The installation that is checked, as the role in its URL sees it. The connection is in autocommit mode."""

    connection: psycopg.Connection
    url: str
    version: str
    listener: ListenerSettings
    pooled_url: str | None = None
    """TUTORWATCH_DATABASE_URL, where the connection leads past it: see `variable`."""
    openid: bool = False
    """Whether people are to sign in with OpenID Connect, as far as the settings here say."""

    def row(self, query: str, *values: Any) -> tuple[Any, ...]:
        """The only row of a query."""
        row = self.connection.execute(query.encode(), values or None).fetchone()
        if row is None:
            raise LookupError(query)
        return row

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return self.connection.execute(query.encode(), values or None).fetchall()


Check = Callable[[DoctorContext], Finding]
"""Named by its function; raises psycopg.Error where the database doesn't let it check."""


def ok(check: str, message: str) -> Finding:
    """The finding that there is nothing to do."""
    return Finding(check, is_ok=True, message=message)


def problem(check: str, message: str) -> Finding:
    """The finding that somebody must do something: the message says what."""
    return Finding(check, is_ok=False, message=message)


def listed(names: Sequence[str]) -> str:
    """Return the first of the names, and how many more there are."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def variable(listener: ListenerSettings) -> str:
    """The environment variable that says where the context's connection leads."""
    return "TUTORWATCH_LISTEN_URL" if listener.listen_url else "TUTORWATCH_DATABASE_URL"


def reason(error: BaseException) -> str:
    """Return an error's first line, to be put in brackets."""
    return first_line(error).removesuffix(":")


def duration(seconds: float) -> str:
    """Return the time as an operator reads it: `12 s`, `5 min`, `3 h`, `2 days`."""
    for unit, size in (("days", 172_800), ("h", 7_200), ("min", 120)):
        if seconds >= size:
            return f"{seconds / {'days': 86_400, 'h': 3_600, 'min': 60}[unit]:.0f} {unit}"
    return f"{seconds:.0f} s"
