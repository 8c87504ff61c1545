"""Open alerts are ranked: unattended ones first, those that are no longer met last."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.support.alerts import insert_alert
from tests.support.platform import NOW, Platform, naive
from web import queries
from web.auth.identity import Viewer
from web.queries.alerts.critical import critical_summary
from web.queries.alerts.lists import AlertFilter, AlertStatus, alerts_page
from web.queries.alerts.single import open_alerts_of

SEEN: dict[str, Any] = {"acknowledged": True, "acknowledged_by": "dana", "acknowledged_at": naive(NOW)}


@pytest.fixture
async def ranked(platform: Platform) -> dict[str, UUID]:
    """By what is the matter with it, an alert of a tutor each; from top to bottom the older ones come first."""
    await platform.user("dana", role="admin")
    ids = {}
    for place, (name, columns) in enumerate(
        {"worse": SEEN, "reopened": SEEN, "new": {}, "seen": SEEN, "lapsed": {}, "lapsed and worse": SEEN}.items()
    ):
        at = NOW - timedelta(days=10 - place)
        ids[name] = await insert_alert(platform, f"tutor {place}", at=at, evidence=[], **columns)
    execute = platform.connection.execute
    for name in ("worse", "lapsed and worse"):
        await execute(
            "INSERT INTO tutorwatch.alert_attention"
            " (alert_id, tutor_id, acknowledged_at, session_ids, shown, worse_since)"
            " VALUES (%s, '', %s, '{}', 2, now())",
            [ids[name], naive(NOW)],
        )
        await execute("UPDATE tutorwatch.alert_evidence SET shown = 6 WHERE alert_id = %s", [ids[name]])
    await execute(
        "INSERT INTO tutorwatch.alert_attention (alert_id, tutor_id, reopened_at) VALUES (%s, '', %s)",
        [ids["reopened"], naive(NOW + timedelta(seconds=1))],
    )
    for name in ("lapsed", "lapsed and worse"):
        await execute("UPDATE tutorwatch.alert_evidence SET not_met_since = now() WHERE alert_id = %s", [ids[name]])
    return ids


RANKED = ["new", "reopened", "worse", "seen", "lapsed and worse", "lapsed"]


async def test_open_alerts_are_ranked_from_page_to_page(conn: AsyncConnection, ranked: dict[str, UUID]) -> None:
    names = {alert_id: name for name, alert_id in ranked.items()}
    seen, cursor, pages = [], None, []
    while True:
        page = await alerts_page(conn, AlertFilter(), cursor, 2)
        seen += [names[row.id] for row in page.rows]
        pages.append([row.id for row in page.rows])
        if (cursor := page.next) is None:
            break
    assert seen == RANKED

    back = await alerts_page(conn, AlertFilter(), page.previous, 2)
    assert [row.id for row in back.rows] == pages[1]


async def test_each_status_has_its_alerts(conn: AsyncConnection, ranked: dict[str, UUID]) -> None:
    names = {alert_id: name for name, alert_id in ranked.items()}

    async def named(status: AlertStatus) -> set[str]:
        page = await alerts_page(conn, AlertFilter(status))
        count = await queries.count_alerts(conn, AlertFilter(status))
        assert count.value == len(page.rows)
        return {names[row.id] for row in page.rows}

    assert await named(AlertStatus.UNATTENDED) == {"new", "reopened", "worse", "lapsed", "lapsed and worse"}
    assert await named(AlertStatus.ACKNOWLEDGED) == {"seen"}
    assert await named(AlertStatus.NO_LONGER_MET) == {"lapsed", "lapsed and worse"}


async def test_rows_say_what_is_the_matter(conn: AsyncConnection, ranked: dict[str, UUID]) -> None:
    rows = {row.id: row for row in (await alerts_page(conn, AlertFilter())).rows}
    worse, lapsed = rows[ranked["worse"]], rows[ranked["lapsed and worse"]]

    assert (worse.is_unattended, worse.worse, worse.not_met_since) == (True, "2 → 6", None)
    assert lapsed.not_met_since is not None
    assert lapsed.worse_since is None, "it isn't even met"
    assert rows[ranked["seen"]].is_unattended is False

    [theirs] = await open_alerts_of(conn, worse.tutor_id, viewer=Viewer.TUTOR, limit=5)
    assert (theirs.is_unattended, theirs.worse_since, theirs.worse) == (None, None, None)


async def test_summary_counts_both_and_shows_unattended_ones_first(
    conn: AsyncConnection, ranked: dict[str, UUID]
) -> None:
    names = {alert_id: name for name, alert_id in ranked.items()}

    summary = await critical_summary(conn, NOW)

    assert (summary.total, summary.unattended, summary.tutor_count) == (6, 5, 6)
    assert [names[tutor.alert.id] for tutor in summary.tutors] == RANKED[:5]


async def test_of_a_tutors_alerts_the_summary_shows_the_unattended_one(
    conn: AsyncConnection, platform: Platform
) -> None:
    await platform.user("dana", role="admin")
    unattended = await insert_alert(platform, "ann", at=NOW - timedelta(days=3))
    await insert_alert(platform, "ann", at=NOW, alert_type="poor_first_session", **SEEN)

    [tutor] = (await critical_summary(conn, NOW)).tutors

    assert (tutor.alert.id, tutor.critical_count) == (unattended, 2)


async def test_resolved_alerts_are_listed_by_resolution_and_undated_ones_last(
    conn: AsyncConnection, platform: Platform
) -> None:
    dated = []
    for day in range(3):
        resolved_at = naive(NOW - timedelta(days=9 - day))
        alert = await insert_alert(
            platform, "ann", at=NOW - timedelta(days=day), resolved=True, resolved_at=resolved_at
        )
        dated.append(alert)
    undated = [await insert_alert(platform, "ann", at=NOW, resolved=True, resolved_at=None) for _ in range(3)]
    expected = [*reversed(dated), *sorted(undated, reverse=True)]
    wanted = AlertFilter(AlertStatus.RESOLVED)

    pages = [await alerts_page(conn, wanted, None, 2)]
    while cursor := pages[-1].next:
        pages.append(await alerts_page(conn, wanted, cursor, 2))
    assert [[row.id for row in page.rows] for page in pages] == [expected[:2], expected[2:4], expected[4:]]

    back = [await alerts_page(conn, wanted, pages[2].previous, 2)]
    back.append(await alerts_page(conn, wanted, back[0].previous, 2))
    assert [[row.id for row in page.rows] for page in back] == [expected[2:4], expected[:2]]
    counted = await queries.count_alerts(conn, wanted, pages[2].previous)
    assert (counted.value, counted.before) == (6, 4)
