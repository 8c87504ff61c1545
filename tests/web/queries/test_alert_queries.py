"""The lists of alerts: which, in which order, with what behind them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.support.alerts import insert_alert
from tests.support.platform import NOW, Platform, naive
from web.auth.identity import Viewer
from web.queries import AlertsPage, alerts_page, alerts_resting_on, count_alerts, critical_summary, evidence_of
from web.queries.alerts.lists import MOST_COUNTED, AlertFilter, AlertsCount, AlertStatus
from web.views.labels import Severity


async def test_summary_shows_five_tutors_newest_alert_first(conn: AsyncConnection, platform: Platform) -> None:
    for number in range(6):
        await insert_alert(platform, f"tutor-{number}", at=NOW - timedelta(hours=number))
    newest = await insert_alert(platform, "tutor-3", at=NOW + timedelta(minutes=1))
    await insert_alert(platform, "tutor-3", at=NOW - timedelta(days=1), resolved=True)
    await insert_alert(platform, "tutor-3", severity="warning", at=NOW)

    summary = await critical_summary(conn, NOW)

    assert [tutor.tutor_id for tutor in summary.tutors] == ["tutor-3", "tutor-0", "tutor-1", "tutor-2", "tutor-4"]
    assert (summary.total, summary.tutor_count, summary.read_at) == (7, 6, NOW)
    assert (summary.tutors[0].alert.id, summary.tutors[0].critical_count) == (newest, 2)
    assert summary.tutors[0].name == "Tutor-3"


async def test_a_tutor_with_two_alerts_of_one_instant_is_shown_once(conn: AsyncConnection, platform: Platform) -> None:
    two = [
        await insert_alert(platform, "ann", alert_type=kind, at=NOW)
        for kind in ("no_show_pattern", "poor_first_session")
    ]

    summary = await critical_summary(conn, NOW)

    assert (summary.total, summary.tutor_count) == (2, 1)
    assert [(tutor.critical_count, tutor.alert.id) for tutor in summary.tutors] == [(2, max(two))]


async def test_summary_of_nothing(conn: AsyncConnection) -> None:
    summary = await critical_summary(conn, NOW)
    assert (summary.total, summary.tutor_count, summary.tutors) == (0, 0, ())


async def test_acknowledged_alerts_stay_in_the_summary(conn: AsyncConnection, platform: Platform) -> None:
    await platform.user("dana", role="admin", name="Dana")
    await insert_alert(platform, "ann", acknowledged=True, acknowledged_by="dana", acknowledged_at=naive(NOW), at=NOW)
    (tutor,) = (await critical_summary(conn, NOW)).tutors
    assert (tutor.alert.status, tutor.alert.acknowledged_by) == ("acknowledged", "Dana")
    assert tutor.alert.acknowledged_at == NOW


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param(AlertFilter(), ["open", "warned", "seen"], id="open by default"),
        pytest.param(AlertFilter(AlertStatus("unresolved")), ["open", "warned", "seen"], id="its name before"),
        pytest.param(AlertFilter(AlertStatus.UNATTENDED), ["open", "warned"], id="unattended"),
        pytest.param(AlertFilter(AlertStatus.NO_LONGER_MET), [], id="no longer met"),
        pytest.param(AlertFilter(AlertStatus.ACKNOWLEDGED), ["seen"], id="acknowledged"),
        pytest.param(AlertFilter(AlertStatus.RESOLVED), ["done"], id="resolved"),
        pytest.param(AlertFilter(AlertStatus.ALL), ["open", "seen", "done", "warned"], id="all"),
        pytest.param(AlertFilter(severity=Severity.WARNING), ["warned"], id="severity"),
        pytest.param(AlertFilter(type="high_talk_ratio"), ["warned"], id="type"),
        pytest.param(AlertFilter(tutor="ann", found=("ann",)), ["open", "seen"], id="of those who were found"),
        pytest.param(AlertFilter(tutor="xyz", found=()), [], id="nobody was found"),
        pytest.param(AlertFilter(tutor_id="ann"), ["open", "seen"], id="of a tutor"),
    ],
)
async def test_filter(conn: AsyncConnection, platform: Platform, wanted: AlertFilter, expected: list[str]) -> None:
    await platform.user("ann", name="Joanna Lee")
    await platform.user("bob", name="Bob 100% Stone")
    await insert_alert(platform, "ann", title="open", at=NOW)
    await insert_alert(platform, "ann", title="seen", at=NOW - timedelta(days=1), acknowledged=True)
    await insert_alert(platform, "ann", title="done", at=NOW - timedelta(days=2), acknowledged=True, resolved=True)
    await insert_alert(
        platform, "bob", title="warned", at=NOW - timedelta(days=3), severity="warning", alert_type="high_talk_ratio"
    )
    page = await alerts_page(conn, wanted)
    assert [alert.title for alert in page.rows] == expected


async def test_pages_follow_each_other_without_loss_even_at_one_instant(
    conn: AsyncConnection, platform: Platform
) -> None:
    everything = {await insert_alert(platform, "ann", at=NOW) for _ in range(5)}
    everything |= {await insert_alert(platform, "ann", at=NOW - timedelta(microseconds=number)) for number in range(4)}
    seen, cursor = [], None
    while True:
        page = await alerts_page(conn, AlertFilter(), cursor, 2)
        seen += [alert.id for alert in page.rows]
        cursor = page.next
        if cursor is None:
            break
    assert len(seen) == len(everything)
    assert set(seen) == everything


async def test_way_back_shows_the_same_pages(conn: AsyncConnection, platform: Platform) -> None:
    for number in range(7):
        await insert_alert(platform, "ann", at=NOW - timedelta(minutes=number // 2))
    there: list[AlertsPage] = []
    cursor = None
    while cursor or not there:
        there.append(await alerts_page(conn, AlertFilter(), cursor, 2))
        cursor = there[-1].next
    assert [len(page.rows) for page in there] == [2, 2, 2, 1]

    back = [there[-1]]
    while cursor := back[-1].previous:
        back.append(await alerts_page(conn, AlertFilter(), cursor, 2))
    assert [page.rows for page in reversed(back)] == [page.rows for page in there]
    assert [page.next for page in reversed(back)] == [page.next for page in there]


async def test_way_back_ends_with_a_whole_first_page(conn: AsyncConnection, platform: Platform) -> None:
    for number in range(4):
        await insert_alert(platform, "ann", title=f"{number}", at=NOW - timedelta(minutes=number))
    second = await alerts_page(conn, AlertFilter(), (await alerts_page(conn, AlertFilter(), None, 2)).next, 2)
    await insert_alert(platform, "ann", title="new", at=NOW + timedelta(minutes=1))
    await platform.connection.execute("DELETE FROM alerts WHERE title = '0'")
    await platform.connection.execute("UPDATE alerts SET resolved = true WHERE title IN ('2', '3')")

    page = await alerts_page(conn, AlertFilter(), second.previous, 2)

    assert [alert.title for alert in page.rows] == ["new", "1"]
    assert (page.previous, page.next) == (None, None)


async def test_page_that_has_become_empty_leads_back(conn: AsyncConnection, platform: Platform) -> None:
    for number in range(3):
        await insert_alert(platform, "ann", title=f"{number}", at=NOW - timedelta(minutes=number))
    first = await alerts_page(conn, AlertFilter(), None, 2)
    await platform.connection.execute("DELETE FROM alerts WHERE title = '2'")
    empty = await alerts_page(conn, AlertFilter(), first.next, 2)
    assert (empty.rows, empty.next) == ((), None)
    assert (await alerts_page(conn, AlertFilter(), empty.previous, 2)).rows == first.rows


async def test_alerts_are_counted_as_far_as_a_person_would(conn: AsyncConnection, platform: Platform) -> None:
    await platform.user("ann")
    await platform.connection.execute(
        "INSERT INTO alerts (tutor_id, alert_type, severity, title, description)"
        " SELECT 'ann', 'student_churn_risk', 'info', n::text, 'd' FROM generate_series(1, %s) AS n",
        [MOST_COUNTED + 5],
    )
    await insert_alert(platform, "bob", resolved=True, at=NOW)
    assert await count_alerts(conn, AlertFilter()) == AlertsCount(MOST_COUNTED + 5, is_more=False)
    assert await count_alerts(conn, AlertFilter(AlertStatus.ALL)) == AlertsCount(MOST_COUNTED, is_more=True)
    assert await count_alerts(conn, AlertFilter(AlertStatus.RESOLVED, tutor_id="bob")) == AlertsCount(1, is_more=False)


@pytest.mark.parametrize("status", [AlertStatus.OPEN, AlertStatus.ALL, AlertStatus.RESOLVED])
async def test_page_knows_how_many_alerts_come_before_it(
    status: AlertStatus, conn: AsyncConnection, platform: Platform
) -> None:
    for number in range(7):
        at, is_resolved = NOW - timedelta(minutes=number), status is AlertStatus.RESOLVED
        resolved_at = naive(NOW - timedelta(days=number % 3)) if is_resolved and number else None
        await insert_alert(platform, "ann", at=at, resolved=is_resolved, resolved_at=resolved_at)
    wanted, cursor, before = AlertFilter(status), None, []
    while page := await alerts_page(conn, wanted, cursor, 3):
        before.append((await count_alerts(conn, wanted, page.previous)).before)
        if (cursor := page.next) is None:
            break
    assert before == [0, 3, 6]


async def test_resolved_alerts_come_in_the_order_of_their_resolution(conn: AsyncConnection, platform: Platform) -> None:
    for title, triggered, resolved in (("first", 1, 3), ("last", 9, 1), ("middle", 5, 2)):
        await insert_alert(
            platform,
            "ann",
            title=title,
            at=NOW - timedelta(days=triggered),
            resolved=True,
            resolved_at=naive(NOW - timedelta(hours=resolved)),
        )
    there = [await alerts_page(conn, AlertFilter(AlertStatus.RESOLVED), None, 1)]
    while at := there[-1].next:
        there.append(await alerts_page(conn, AlertFilter(AlertStatus.RESOLVED), at, 1))
    assert [row.title for page in there for row in page.rows] == ["last", "middle", "first"]


async def test_resolved_alert_says_who_did_what(conn: AsyncConnection, platform: Platform) -> None:
    await platform.user("dana", role="admin", name="Dana")
    alert = await insert_alert(platform, "ann", resolved=True, resolved_at=naive(NOW), action_taken="Called", at=NOW)
    await platform.rows(
        "INSERT INTO tutorwatch.alert_resolutions VALUES (%s, 'ann', 'dana', 'coached', %s) RETURNING 1",
        alert,
        naive(NOW),
    )
    (row,) = (await alerts_page(conn, AlertFilter(AlertStatus.RESOLVED))).rows
    assert (row.resolved_by, row.resolved_at, row.action_taken, row.outcome) == ("Dana", NOW, "Called", "coached")


async def test_evidence_shows_the_latest_sessions_and_counts_the_others(
    conn: AsyncConnection, platform: Platform
) -> None:
    sessions = [await platform.session("ann", days_ago=days, score="5.5") for days in (1, 2, 3)]
    alert = await insert_alert(platform, "ann", evidence=[*sessions, uuid4()], at=NOW)
    evidence = (await evidence_of(conn, [alert], sessions_each=2))[alert]
    assert [session.id for session in evidence.sessions] == sessions[:2]
    assert (evidence.value, evidence.threshold) == (Decimal(2), Decimal(1))
    assert (evidence.session_count, evidence.more) == (4, 2)


async def test_alert_of_another_client_rests_on_the_session_it_names(conn: AsyncConnection, platform: Platform) -> None:
    session = await platform.session("ann")
    named, bare = (
        await insert_alert(platform, "ann", session_id=session, at=NOW),
        await insert_alert(platform, "ann", at=NOW),
    )
    evidence = await evidence_of(conn, [named, bare], sessions_each=3)
    assert [found.id for found in evidence[named].sessions] == [session]
    assert bare not in evidence


async def test_alerts_resting_on_a_session_are_those_that_ever_counted_it(
    conn: AsyncConnection, platform: Platform
) -> None:
    session, other = await platform.session("ann"), await platform.session("ann")
    counted = await insert_alert(platform, "ann", evidence=[session], resolved=True, at=NOW)
    await insert_alert(platform, "ann", evidence=[other], at=NOW)
    assert [alert.id for alert in await alerts_resting_on(conn, "ann", session, viewer=Viewer.ADMIN)] == [counted]


async def test_dates_beyond_reach_are_shown_as_the_farthest(conn: AsyncConnection, platform: Platform) -> None:
    await platform.user("ann")
    await platform.rows(
        "INSERT INTO alerts (tutor_id, alert_type, severity, title, description, triggered_date)"
        " VALUES ('ann', 'student_churn_risk', 'info', 't', 'd', 'infinity') RETURNING 1"
    )
    (row,) = (await alerts_page(conn, AlertFilter())).rows
    assert row.triggered_at == datetime(9999, 12, 31, tzinfo=UTC)
