"""The list of all tutors, `/tutors`: what is asked for, and the page."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any
from urllib.parse import urlencode

from aiohttp import web
from pydantic import AfterValidator, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from web import queries
from web.http.cursors import page_cursor, page_urls, words
from web.http.inputs import Input, PlainText, parse_page_query
from web.http.rendering import render_page
from web.keys import CONDITION
from web.live.directory import DIRECTORY
from web.live.platform_statistics import PLATFORM_STATISTICS
from web.queries.alerts.lists import AlertFilter
from web.queries.tutors import TutorFilter, TutorSort, TutorsWanted
from web.reading import reading
from web.views.presentation import place_in_list
from web.views.tutor_list import is_found, needs_months, tutors_page

TUTORS_PER_PAGE = 50
LONGEST_CURSOR = 4_000
"""Characters of a cursor: names and ids may have any characters, each of which takes several."""

FILTERS = {
    TutorFilter.ALL: "All tutors",
    TutorFilter.ATTENTION: "Needing attention",
    TutorFilter.UNATTENDED: "Unattended alerts",
    TutorFilter.CRITICAL: "Critical alerts",
    TutorFilter.OPEN_ALERTS: "Open alerts",
    TutorFilter.CHURN_RISK: "At churn risk",
    TutorFilter.LOW_AVERAGE: "Low average",
    TutorFilter.TOP_PERFORMERS: "Top performers",
    TutorFilter.NO_INSIGHT: "No active insight",
    TutorFilter.NO_SHOWS: "With a no-show",
    TutorFilter.RESCHEDULES: "With a reschedule",
    TutorFilter.FIRST_SESSIONS: "With a first session",
    TutorFilter.SCORED: "With a scored session",
}
"""What the filter offers, in words."""
ORDERS = {
    "name": "Name",
    "average": "Lowest average first",
    "-average": "Highest average first",
    "-alerts": "Most alerts first",
    "-no_shows": "Most no-shows first",
    "-no_show_rate": "Highest no-show rate first",
    "-reschedules": "Most reschedules first",
    "conversion": "Lowest conversion first",
    "-conversion": "Highest conversion first",
    "-sessions": "Most sessions first",
    "sessions": "Fewest sessions first",
    "-name": "Name, backwards",
}
"""The orders that the form offers, in words; addresses may ask for the others, too."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table by which it can be sorted: its order when its heading is chosen first, then the other."""

    title: str
    sort: TutorSort
    is_descending_first: bool = True


COLUMNS = (
    Column("Tutor", TutorSort.NAME, is_descending_first=False),
    Column("Average", TutorSort.AVERAGE, is_descending_first=False),
    Column("Sessions", TutorSort.SESSIONS),
    Column("Open alerts", TutorSort.ALERTS),
    Column("No-shows", TutorSort.NO_SHOWS),
    Column("Reschedules", TutorSort.RESCHEDULES),
    Column("Conversion", TutorSort.CONVERSION, is_descending_first=False),
)


def _is_order(text: str) -> str:
    if text.removeprefix("-") not in set(TutorSort):
        raise ValueError("must be a column, with a minus before it where the largest come first")
    return text


class TutorsQuery(Input):
    """The query string of the list of tutors."""

    name: Annotated[PlainText, Field(max_length=255)] = ""
    filter: TutorFilter = TutorFilter.ALL
    sort: Annotated[str, AfterValidator(_is_order)] = TutorSort.NAME
    cursor: Annotated[PlainText, Field(max_length=LONGEST_CURSOR)] | None = None


async def tutors(request: web.Request) -> web.StreamResponse:
    """`/tutors`: all tutors, searched, filtered, sorted and paged."""
    asked, left_out = parse_page_query(TutorsQuery, request.query)
    wanted = TutorsWanted(
        search=asked.name.strip(),
        filter=asked.filter,
        sort=TutorSort(asked.sort.removeprefix("-")),
        is_descending=asked.sort.startswith("-"),
    )
    cursor = page_cursor(asked.cursor, wanted.parts, left_out, _value, words, words)
    now = datetime.now(UTC)
    kept = await request.app[PLATFORM_STATISTICS].get(now)
    async with reading(request) as conn:
        facts = await queries.tutor_facts(conn, wanted.filter, kept.known if kept else None)
        critical_count = await queries.critical_count(conn)
        entries = await _directory(request, conn, facts.alerts.keys())
    page = tutors_page(entries, facts, wanted, cursor, limit=TUTORS_PER_PAGE)
    return render_page(
        "tutors.html",
        request,
        now,
        critical_count=critical_count,
        wanted=wanted,
        left_out=left_out,
        page=page,
        shown=place_in_list(page.first - 1, page, page.total),
        read_at=kept and kept.read_at,
        is_calculating=kept is None and needs_months(wanted),
        filters=FILTERS,
        orders=ORDERS,
        columns=[_heading(column, wanted) for column in COLUMNS],
        **page_urls(request, page, wanted.parts),
    )


async def with_found_tutors(request: web.Request, conn: AsyncConnection, wanted: AlertFilter) -> AlertFilter:
    """The filter with the ids of the tutors whom its words find."""
    if not wanted.tutor:
        return wanted
    entries = await _directory(request, conn)
    found = (tutor_id for tutor_id, entry in entries.items() if is_found(entry.searched, wanted.tutor))
    return replace(wanted, found=tuple(found))


async def _directory(
    request: web.Request, conn: AsyncConnection, expected: AbstractSet[str] = frozenset()
) -> Mapping[str, queries.TutorEntry]:
    missing = request.app[CONDITION].missing
    return await request.app[DIRECTORY].get(lambda: queries.every_tutor_by_name(conn, missing=missing), expected)


def _heading(column: Column, wanted: TutorsWanted) -> dict[str, Any]:
    """The column's title, how the table is sorted by it, and where it is sorted so, or the other way round."""
    is_sorted = wanted.sort is column.sort
    is_descending = not wanted.is_descending if is_sorted else column.is_descending_first
    query = {
        "name": wanted.search,
        "filter": wanted.filter.value,
        "sort": f"{'-' if is_descending else ''}{column.sort}",
    }
    kept = {name: value for name, value in query.items() if value and value != TutorFilter.ALL}
    direction = ("descending" if wanted.is_descending else "ascending") if is_sorted else None
    return {"title": column.title, "url": f"/tutors?{urlencode(kept)}", "direction": direction}


def _value(text: str) -> str:
    """Of a cursor, what the list is sorted by; empty where a tutor has none."""
    try:
        if text and not Decimal(text).is_finite():
            raise ValueError
    except InvalidOperation:
        raise ValueError from None
    return text
