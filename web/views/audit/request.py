"""Which entries of the audit trail are asked for: the filters of the page, of its CSV and of its JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from web.auth.audit import Action
from web.http.inputs import (
    DEFAULT_PAGE_SIZE,
    LARGEST_PAGE_SIZE,
    FieldError,
    InvalidInputError,
    PlainText,
    pack_cursor,
    parse_input,
    unpack_cursor,
)
from web.queries.paging import Place


class AuditOutcome(StrEnum):
    """What came of what somebody did."""

    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are asked for. They are listed newest first: by the time, then by the id."""

    person: str | None = None
    """Who did it, or whom it concerns: a part of the name or of the e-mail address, or the id."""
    action: Action | None = None
    outcome: AuditOutcome | None = None
    first_day: date | None = None
    """In UTC, and so is the last one; both included."""
    last_day: date | None = None

    @property
    def since(self) -> datetime | None:
        """The first instant that is asked for."""
        return _midnight(self.first_day) if self.first_day else None

    @property
    def until(self) -> datetime | None:
        """The first instant after those that are asked for."""
        if self.last_day is None or self.last_day == date.max:
            return None
        return _midnight(self.last_day + timedelta(days=1))

    @property
    def parts(self) -> list[str | None]:
        """The filter in texts, in an order of its own."""
        days = [day.isoformat() if day else None for day in (self.first_day, self.last_day)]
        return [self.person, self.action, self.outcome, *days]

    def query(self) -> dict[str, str]:
        """The filter as parameters of a URL."""
        names = ("person", "action", "outcome", "from", "to")
        return {name: value for name, value in zip(names, self.parts, strict=True) if value}


AuditPosition = tuple[datetime, int]
"""When an entry was made, and its id."""
AuditPlace = Place[AuditPosition]


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """One page of entries, as asked for in a query string."""

    filter: AuditFilter
    place: AuditPlace | None
    limit: int


def _to_day(value: Any) -> Any:
    """Only as `2026-11-29`: a number isn't taken for seconds since 1970."""
    try:
        return date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError("must be a day, such as 2026-11-29") from None


Day = Annotated[date, BeforeValidator(_to_day)]


class AuditFilterQuery(BaseModel):
    """The filters in a query string."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    person: Annotated[PlainText, Field(max_length=255)] | None = Field(
        None, description="Who did it, or whom it concerns: part of the name or e-mail address, or the id"
    )
    action: Action | None = None
    outcome: AuditOutcome | None = None
    first_day: Day | None = Field(None, alias="from", description="In UTC; this day included")
    last_day: Day | None = Field(None, alias="to", description="In UTC; this day included")


class AuditQuery(AuditFilterQuery):
    """The query string of the audit trail."""

    cursor: Annotated[str, Field(max_length=500)] | None = Field(
        None, description="`next` or `previous` of another page; valid for the same filters only"
    )
    limit: int = Field(DEFAULT_PAGE_SIZE, ge=1, le=LARGEST_PAGE_SIZE)


def parse_audit_request(query: Mapping[str, str]) -> AuditRequest:
    """What a query string asks for; a filter that is given empty (`?person=`) is none.

    Raises InvalidInputError for unknown filters and values, and for a cursor of another query.
    """
    asked = parse_input(AuditQuery, _given(query))
    wanted = _to_filter(asked)
    return AuditRequest(wanted, _decode(wanted, asked.cursor) if asked.cursor else None, asked.limit)


def parse_audit_filter(query: Mapping[str, str]) -> AuditFilter:
    """The filters in a query string that knows no pages. Raises InvalidInputError."""
    return _to_filter(parse_input(AuditFilterQuery, _given(query)))


def encode_place(wanted: AuditFilter, place: AuditPlace) -> str:
    """A place as text for a URL, bound to the filter."""
    at, entry_id = place.at
    return pack_cursor(wanted.parts, at, str(entry_id), is_backwards=place.is_backwards)


def _decode(wanted: AuditFilter, text: str) -> AuditPlace:
    place = unpack_cursor(wanted.parts, text, int)
    if not 0 <= place.at[1] < 2**63:
        raise InvalidInputError([FieldError("cursor", "is not a cursor of this list")])
    return place


def _given(query: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in query.items() if value != ""}


def _to_filter(asked: AuditFilterQuery) -> AuditFilter:
    person = (asked.person or "").strip() or None
    return AuditFilter(person, asked.action, asked.outcome, asked.first_day, asked.last_day)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
