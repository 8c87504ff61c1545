"""The pages: each handler reads what its page shows, and renders it."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from aiohttp import web
from markupsafe import Markup

from database.platform import Missing
from rules.explanation import explain_tutor
from web import queries
from web.auth.identity import IDENTITY
from web.http.cursors import instant, number, page_cursor, page_urls
from web.http.inputs import LONGEST_ID, LONGEST_TEXT, CursorText, Input, parse_page_query
from web.http.paths import id_in_path
from web.http.rendering import AS_OF, flash_of, render_for_all, render_page, zone_of
from web.keys import CONDITION, ENGINE, THRESHOLDS
from web.live.kept import Kept
from web.live.platform_statistics import PLATFORM_STATISTICS
from web.queries.alerts.lists import AlertStatus
from web.queries.dashboard import DashboardData
from web.reading import reading
from web.views.alert_requests import parse_alerts_page
from web.views.charts import opened_on, trend_charts
from web.views.labels import ALERT_TYPES, Severity
from web.views.presentation import place_in_list
from web.views.tutors import with_found_tutors

SESSIONS_IN_LISTS = 3
"""How many of an alert's sessions a list shows; the tutor's page shows more."""
DASHBOARD_SECONDS = 1.0
"""How old the dashboard may be in what no notification announces."""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """What is kept of the dashboard: its data, and the lists made of it, the same for everybody in a time zone."""

    data: DashboardData
    now: datetime
    lists: dict[ZoneInfo, Markup] = field(default_factory=dict)
    """Those rendered so far, by zone."""


MOST_ZONES = 24
"""For how many time zones the lists are kept, as long as the data is."""
DASHBOARDS: web.AppKey[Kept[Dashboard]] = web.AppKey("dashboards")

SESSIONS_OF_AN_ALERT = 50
"""How many of its sessions an alert's own page lists."""


class DashboardQuery(Input):
    """The query string of the dashboard."""

    sessions: queries.SessionsShown = queries.SessionsShown.ALL


class TutorQuery(Input):
    """The query string of a tutor's page."""

    cursor: CursorText | None = None
    """Of the sessions."""
    history: CursorText | None = None
    """Of the resolved alerts."""


class AlertQuery(Input):
    """The query string of an alert's page."""

    cursor: CursorText | None = None


async def dashboard(request: web.Request) -> web.StreamResponse:
    """`/`: the platform's statistics, critical alerts, who stands out, recent sessions."""
    asked, left_out = parse_page_query(DashboardQuery, request.query)
    shown, now, missing = asked.sessions, datetime.now(UTC), _missing(request)
    statistics = await request.app[PLATFORM_STATISTICS].get(now)

    async def read() -> Dashboard:
        ranking = statistics.known.ranking if statistics else None
        async with reading(request) as conn:
            data = await queries.dashboard_data(conn, now, shown, ranking, missing=missing)
        return Dashboard(replace(data, as_of=request[AS_OF]), now)

    # Who has just acted sees what they did, whatever was announced by now.
    kept = await (read() if flash_of(request) else request.app[DASHBOARDS].get(shown, read))
    data, request[AS_OF] = kept.data, kept.data.as_of
    return render_page(
        "dashboard.html",
        request,
        now,
        critical_count=data.summary.total,
        left_out=left_out,
        statistics=statistics,
        data=data,
        lists=_lists(request, kept, shown),
    )


def _lists(request: web.Request, kept: Dashboard, shown: queries.SessionsShown) -> Markup:
    """The lists in the viewer's zone, rendered by the first who asks; in rare zones by each."""
    zone = zone_of(request)
    if zone in kept.lists:
        return kept.lists[zone]
    values = {"data": kept.data, "now": kept.now, "sessions_shown": shown}
    lists = render_for_all("dashboard_lists.html", request.app, zone, values)
    if len(kept.lists) < MOST_ZONES:
        kept.lists[zone] = lists
    return lists


async def alerts(request: web.Request) -> web.StreamResponse:
    """`/alerts`: all alerts, filtered and paged."""
    asked, left_out = parse_alerts_page(request.query)
    now = datetime.now(UTC)
    async with reading(request) as conn:
        wanted = await with_found_tutors(request, conn, asked.filter)
        page = await queries.alerts_page(conn, wanted, asked.cursor, asked.limit, missing=_missing(request))
        evidence = await queries.evidence_of(
            conn, [alert.id for alert in page.rows], sessions_each=SESSIONS_IN_LISTS, missing=_missing(request)
        )
        count = await queries.count_alerts(conn, wanted, page.previous)
        tutor_name = await queries.tutor_name(conn, wanted.tutor_id) if wanted.tutor_id else None
        critical_count = await queries.critical_count(conn)
    return render_page(
        "alerts.html",
        request,
        now,
        critical_count=critical_count,
        wanted=wanted,
        tutor_name=tutor_name,
        left_out=left_out,
        count=count,
        page=page,
        shown=None if count.before is None else place_in_list(count.before, page, count.value, is_more=count.is_more),
        evidence=evidence,
        **page_urls(request, page, asked.filter.parts),
        statuses=list(AlertStatus),
        severities=list(Severity),
        types=ALERT_TYPES,
    )


async def alert(request: web.Request) -> web.StreamResponse:
    """`/alerts/{id}`: one alert with its evidence, what happened to it, and what can be done."""
    alert_id, now = UUID(request.match_info["id"]), datetime.now(UTC)
    asked, left_out = parse_page_query(AlertQuery, request.query)
    bound_to = ["history", str(alert_id)]
    cursor = page_cursor(asked.cursor, bound_to, left_out, number)
    async with reading(request) as conn:
        found = await queries.alert_by_id(conn, alert_id, missing=_missing(request))
        if found is None:
            raise web.HTTPNotFound
        evidence = await queries.evidence_of(
            conn, [alert_id], sessions_each=SESSIONS_OF_AN_ALERT, missing=_missing(request)
        )
        history = await queries.history_of(conn, alert_id, cursor)
        email = await queries.email_of(conn, found.tutor_id)
        critical_count = await queries.critical_count(conn)
    return render_page(
        "alert.html",
        request,
        now,
        critical_count=critical_count,
        alert=found,
        email=email,
        left_out=left_out,
        **page_urls(request, history, bound_to),
        evidence=evidence.get(alert_id),
        history=history,
    )


async def tutor(request: web.Request) -> web.StreamResponse:
    """`/tutors/{id}`: all about one tutor; for the tutor themself without the admins' controls and notes."""
    tutor_id = id_in_path(request)
    if not _may_be_user_id(tutor_id):
        raise web.HTTPNotFound
    bound_to = ["sessions", tutor_id]
    asked, left_out = parse_page_query(TutorQuery, request.query)
    cursor = page_cursor(asked.cursor, bound_to, left_out, instant, UUID)
    history_bound_to = ["resolved", tutor_id]
    history_cursor = page_cursor(asked.history, history_bound_to, left_out, instant, UUID)
    now, is_admin, missing = datetime.now(UTC), request[IDENTITY].is_admin, _missing(request)
    viewer = request[IDENTITY].viewer
    async with reading(request) as conn:
        overview = await queries.tutor_overview(
            conn,
            tutor_id,
            now,
            viewer=viewer,
            zone=zone_of(request),
            sessions_cursor=cursor,
            history_cursor=history_cursor,
            missing=missing,
        )
        if overview is None:
            raise web.HTTPNotFound
        explained = await explain_tutor(conn, tutor_id, now, request.app[THRESHOLDS], missing.off)
        notes = await queries.coaching_notes_of(conn, tutor_id, missing=missing) if is_admin else ()
        critical_count = await queries.critical_count(conn) if is_admin else 0
    opened = opened_on(overview, zone_of(request))
    return render_page(
        "tutor.html",
        request,
        now,
        critical_count=critical_count,
        left_out=left_out,
        tutor=overview,
        explained=explained,
        charts=trend_charts(overview, explained, opened, missing),
        opened=opened,
        notes=notes,
        longest_text=LONGEST_TEXT,
        **page_urls(request, overview.sessions, bound_to),
        history_urls=page_urls(request, overview.resolved_alerts, history_bound_to, name="history"),
    )


async def session(request: web.Request) -> web.StreamResponse:
    """`/sessions/{id}`: one session's metrics, and which alerts and insights rest on it."""
    session_id = _uuid(request.match_info["id"])
    now, missing = datetime.now(UTC), _missing(request)
    async with reading(request) as conn:
        details = await queries.session_details(conn, session_id, missing=missing)
        if details is None:
            raise web.HTTPNotFound
        tutor_id = details.row.tutor_id
        resting_alerts = await queries.alerts_resting_on(
            conn, tutor_id, session_id, viewer=request[IDENTITY].viewer, missing=missing
        )
        insights = await queries.insights_of(conn, tutor_id, shown_by=session_id, missing=missing)
        critical_count = await queries.critical_count(conn) if request[IDENTITY].is_admin else 0
    return render_page(
        "session.html",
        request,
        now,
        critical_count=critical_count,
        session=details,
        alerts=resting_alerts,
        insights=insights,
    )


async def system(request: web.Request) -> web.StreamResponse:
    """`/system`: how Tutorwatch itself is doing, in plain words."""
    async with request.app[ENGINE].begin() as conn:
        state = await queries.system_state(conn)
        critical_count = await queries.critical_count(conn)
    return render_page("system.html", request, datetime.now(UTC), critical_count=critical_count, state=state)


def _missing(request: web.Request) -> Missing:
    return request.app[CONDITION].missing


def _may_be_user_id(text: str) -> bool:
    return "\x00" not in text and len(text) <= LONGEST_ID


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise web.HTTPNotFound from None
