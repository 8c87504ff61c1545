"""Which alerts are asked for: the filters and the cursor of the page and of its JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from pydantic import Field

from web.http.cursors import Parse, decode_cursor, instant, maybe, number, page_cursor
from web.http.inputs import (
    DEFAULT_PAGE_SIZE,
    LARGEST_PAGE_SIZE,
    LONGEST_ID,
    CursorText,
    Input,
    PlainText,
    parse_input,
    parse_page_query,
    without_empty,
)
from web.queries.alerts.lists import AlertCursor, AlertFilter, AlertStatus
from web.views.labels import AlertType, Severity


@dataclass(frozen=True, slots=True)
class AlertsRequest:
    """One page of alerts, as asked for in a query string."""

    filter: AlertFilter
    cursor: AlertCursor | None
    limit: int


class AlertsQuery(Input):
    """The query string of the list of alerts."""

    status: AlertStatus = Field(
        AlertStatus.OPEN, description="All but `resolved` and `all` are kinds of open alerts (until 0.2 `unresolved`)"
    )
    severity: Severity | None = None
    type: AlertType | None = None
    tutor: Annotated[PlainText, Field(max_length=255)] | None = Field(None, description="Part of the tutor's name")
    tutor_id: Annotated[PlainText, Field(max_length=LONGEST_ID)] | None = Field(None, description="The tutor's id")
    cursor: CursorText | None = Field(
        None, description="`next` or `previous` of another page; valid for the same filters only"
    )
    limit: int = Field(DEFAULT_PAGE_SIZE, ge=1, le=LARGEST_PAGE_SIZE)


def parse_alerts_request(query: Mapping[str, str]) -> AlertsRequest:
    """What a query string asks for; a filter that is given empty (`?severity=`) is none.

    Raises InvalidInputError for unknown filters and values, and for a cursor of another query.
    """
    asked = parse_input(AlertsQuery, without_empty(query))
    wanted = _to_filter(asked)
    cursor = decode_cursor(asked.cursor, wanted.parts, *_position(wanted)) if asked.cursor else None
    return AlertsRequest(wanted, cursor, asked.limit)


def parse_alerts_page(query: Mapping[str, str]) -> tuple[AlertsRequest, list[str]]:
    """What a page's query string asks for, and a sentence about each part that can't be used and was left out."""
    asked, said = parse_page_query(AlertsQuery, query)
    wanted = _to_filter(asked)
    cursor = page_cursor(asked.cursor, wanted.parts, said, *_position(wanted))
    return AlertsRequest(wanted, cursor, asked.limit), said


def _to_filter(asked: AlertsQuery) -> AlertFilter:
    tutor = (asked.tutor or "").strip() or None
    return AlertFilter(asked.status, asked.severity, asked.type, tutor, asked.tutor_id)


def _position(wanted: AlertFilter) -> tuple[Parse, ...]:
    at = maybe(instant) if wanted.is_by_resolution else instant
    return (number, at, UUID) if wanted.is_ranked else (at, UUID)
