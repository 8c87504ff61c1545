"""Which entries of the audit trail are asked for: the filters of the page, of its CSV and of its JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, tzinfo
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from web.auth.audit import Action
from web.http.cursors import decode_cursor, instant, page_cursor
from web.http.inputs import (
    DEFAULT_PAGE_SIZE,
    LARGEST_PAGE_SIZE,
    CursorText,
    Input,
    PlainText,
    parse_input,
    parse_page_query,
    without_empty,
)
from web.queries.audit import AuditCursor, AuditFilter, AuditOutcome


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """One page of entries, as asked for in a query string."""

    filter: AuditFilter
    cursor: AuditCursor | None
    limit: int


def _to_day(value: Any) -> Any:
    """Only as `2026-11-29`: a number isn't taken for seconds since 1970."""
    try:
        return date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError("must be a day, such as 2026-11-29") from None


Day = Annotated[date, BeforeValidator(_to_day)]


class AuditFilterQuery(Input):
    """The filters in a query string."""

    person: Annotated[PlainText, Field(max_length=255)] | None = Field(
        None, description="Who did it, or whom it concerns: part of the name or e-mail address, or the id"
    )
    action: Action | None = None
    outcome: AuditOutcome | None = None
    first_day: Day | None = Field(None, alias="from", description="In UTC; this day included")
    last_day: Day | None = Field(None, alias="to", description="In UTC; this day included")


class AuditQuery(AuditFilterQuery):
    """The query string of the audit trail."""

    cursor: CursorText | None = Field(
        None, description="`next` or `previous` of another page; valid for the same filters only"
    )
    limit: int = Field(DEFAULT_PAGE_SIZE, ge=1, le=LARGEST_PAGE_SIZE)


def parse_audit_request(query: Mapping[str, str], zone: tzinfo = UTC) -> AuditRequest:
    """What a query string asks for, its days in the zone; a filter that is given empty (`?person=`) is none.

    Raises InvalidInputError for unknown filters and values, and for a cursor of another query.
    """
    asked = parse_input(AuditQuery, without_empty(query))
    wanted = _to_filter(asked, zone)
    cursor = decode_cursor(asked.cursor, wanted.parts, instant, _entry_id) if asked.cursor else None
    return AuditRequest(wanted, cursor, asked.limit)


def parse_audit_page(query: Mapping[str, str], zone: tzinfo) -> tuple[AuditRequest, list[str]]:
    """What a page's query string asks for, and a sentence about each part that can't be used and was left out."""
    asked, said = parse_page_query(AuditQuery, query)
    wanted = _to_filter(asked, zone)
    cursor = page_cursor(asked.cursor, wanted.parts, said, instant, _entry_id)
    return AuditRequest(wanted, cursor, asked.limit), said


def parse_audit_filter(query: Mapping[str, str], zone: tzinfo) -> AuditFilter:
    """The filters in a query string that knows no pages. Raises InvalidInputError."""
    return _to_filter(parse_input(AuditFilterQuery, without_empty(query)), zone)


def _entry_id(text: str) -> int:
    entry_id = int(text)
    if not 0 <= entry_id < 2**63:
        raise ValueError
    return entry_id


def _to_filter(asked: AuditFilterQuery, zone: tzinfo) -> AuditFilter:
    person = (asked.person or "").strip() or None
    return AuditFilter(person, asked.action, asked.outcome, asked.first_day, asked.last_day, zone)
