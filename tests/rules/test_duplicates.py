"""Several open alerts of a tutor and type, or active insights of a category: other clients insert, move and merge."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from rules.generation import Generated
from tests.rules.generating import Generation
from tests.rules.test_alert_life import LATER, NO_SHOW, TALKS, counting, write
from tests.support.alerts import insert_alert
from tests.support.platform import NOW, Platform, naive

TITLES = """
    SELECT title, resolved, outcome, resolved_by FROM alerts AS a
    LEFT JOIN tutorwatch.alert_resolutions AS r ON r.alert_id = a.id AND r.resolved_at = a.resolved_at
    ORDER BY triggered_date, title
"""
DUPLICATE = (True, "duplicate", None)
OPEN = (False, None, None)


async def states(platform: Platform, *titles: str) -> list[tuple[Any, ...]]:
    """Of the alerts, oldest first: title, whether resolved, with what outcome, by whom; ours are titled `ours`."""
    rows = await platform.rows(TITLES)
    return [(title if title in titles else "ours", *rest) for title, *rest in rows]


async def consumed_by(platform: Platform) -> list[UUID]:
    return await platform.rows("SELECT DISTINCT alert_id FROM tutorwatch.consumed_sessions")


# Inserted


@pytest.mark.parametrize(
    ("hours_ago", "acknowledged", "kept"),
    [
        pytest.param(1, False, "theirs", id="theirs is older"),
        pytest.param(-1, False, "ours", id="ours is older"),
        pytest.param(-1, True, "theirs", id="theirs is newer and acknowledged"),
    ],
)
async def test_of_two_open_alerts_an_acknowledged_one_is_kept_else_the_oldest(
    platform: Platform, generation: Generation, hours_ago: int, acknowledged: bool, kept: str
) -> None:
    sessions = await write(platform, NO_SHOW, days=range(1, 3))
    await generation()
    await insert_alert(platform, title="theirs", at=NOW - timedelta(hours=hours_ago), acknowledged=acknowledged)

    assert await generation(now=LATER) == Generated()

    # What is kept says what is true now: its title is ours from then on.
    [kept_id] = await platform.rows("SELECT id FROM alerts WHERE NOT resolved")
    ended = await platform.rows(
        "SELECT a.title = 'theirs', resolved_by, outcome, a.resolved_at, action_taken FROM alerts AS a"
        " JOIN tutorwatch.alert_resolutions AS r ON r.alert_id = a.id WHERE resolved"
    )
    assert ended == [
        (kept == "ours", None, "duplicate", naive(LATER),
         f"Resolved by Tutorwatch: a duplicate of the open alert {kept_id}"),
    ]  # fmt: skip
    assert await generation.evidence("no_show_pattern") == sessions
    assert await consumed_by(platform) == [kept_id], "a duplicate consumes nothing"
    assert await generation(now=LATER) == Generated(), "and nothing more happens"

    await generation.resolve("no_show_pattern")
    assert await generation() == Generated(), "what the kept one rested on is consumed"
    await write(platform, NO_SHOW, days=range(3, 4))
    assert [alert.alert_type for alert in (await generation()).alerts] == ["no_show_pattern"]


async def test_of_several_open_alerts_from_before_one_is_kept(platform: Platform, generation: Generation) -> None:
    """Where nothing holds: then what is kept stays as its client wrote it."""
    await platform.user("tutor")
    await insert_alert(platform, title="oldest", at=NOW - timedelta(hours=9))
    await insert_alert(platform, title="acknowledged", at=NOW - timedelta(hours=5), acknowledged=True)
    await insert_alert(platform, title="acknowledged later", at=NOW - timedelta(hours=4), acknowledged=True)
    await insert_alert(platform, title="newest", at=NOW - timedelta(hours=1), action_taken="called twice")
    await insert_alert(platform, title="resolved", at=NOW - timedelta(hours=8), resolved=True, resolved_at=naive(NOW))
    await insert_alert(platform, title="another type", at=NOW - timedelta(hours=3), alert_type="high_talk_ratio")
    await insert_alert(platform, title="no type of ours", at=NOW - timedelta(hours=2), alert_type="student_churn_risk")
    await insert_alert(
        platform, title="no type of ours either", at=NOW - timedelta(hours=2), alert_type="student_churn_risk"
    )

    await generation()

    assert await platform.rows(TITLES) == [
        ("oldest", *DUPLICATE),
        ("resolved", True, None, None),
        ("acknowledged", *OPEN),
        ("acknowledged later", *DUPLICATE),
        ("another type", *OPEN),
        ("no type of ours", *OPEN),
        ("no type of ours either", *OPEN),
        ("newest", *DUPLICATE),
    ]
    [action] = await platform.rows("SELECT action_taken FROM alerts WHERE title = 'newest'")
    [kept] = await platform.rows("SELECT id FROM alerts WHERE title = 'acknowledged'")
    assert action == f"called twice\nResolved by Tutorwatch: a duplicate of the open alert {kept}"


async def test_a_duplicate_that_a_client_reopens_ends_again(platform: Platform, generation: Generation) -> None:
    await write(platform, NO_SHOW, days=range(1, 3))
    await generation()
    await insert_alert(platform, title="theirs", at=NOW - timedelta(hours=-1))
    await generation(now=LATER)
    await platform.rows("UPDATE alerts SET resolved = false, resolved_at = NULL WHERE title = 'theirs' RETURNING 1")

    await generation(now=LATER + timedelta(hours=1))

    assert await states(platform, "theirs") == [("ours", *OPEN), ("theirs", *DUPLICATE)]
    assert await consumed_by(platform) == await platform.rows("SELECT id FROM alerts WHERE NOT resolved")


# Moved and merged


@counting
async def test_an_alert_moved_to_a_tutor_who_has_one_ends_and_its_sessions_open_no_other(
    platform: Platform, generation: Generation, alert_type: str, values: dict[str, Any], enough: int
) -> None:
    for tutor in ("heir", "tutor"):
        for day in range(1, enough + 1):
            await platform.session(tutor, days_ago=day, **values)
        await generation(tutor, now=NOW if tutor == "heir" else LATER)
    await platform.rows("UPDATE alerts SET tutor_id = 'heir' WHERE tutor_id = 'tutor' RETURNING 1")

    assert await generation("heir", "tutor", now=LATER) == Generated()

    assert await platform.open_alerts("heir") == [alert_type]
    assert await platform.open_alerts("tutor") == [], "its sessions are evidence of an alert that moved"
    assert sorted(await platform.rows("SELECT outcome FROM tutorwatch.alert_resolutions")) == ["duplicate"]


MERGING = {
    "sessions": "UPDATE sessions SET tutor_id = 'heir' WHERE tutor_id = 'tutor'",
    "alerts": "UPDATE alerts SET tutor_id = 'heir' WHERE tutor_id = 'tutor'",
    "insights": "UPDATE tutor_insights SET tutor_id = 'heir' WHERE tutor_id = 'tutor'",
    "user": "DELETE FROM users WHERE id = 'tutor'",
}


@pytest.mark.parametrize(
    "order", [("sessions", "alerts", "insights", "user"), ("alerts", "insights", "sessions", "user")]
)
@pytest.mark.parametrize("between", [False, True], ids=["at once", "a generation after each statement"])
async def test_accounts_that_are_merged_in_several_statements_leave_one_open_alert(
    platform: Platform, generation: Generation, order: tuple[str, ...], between: bool
) -> None:
    for tutor in ("heir", "tutor"):
        for day in range(1, 3):
            await platform.session(tutor, days_ago=day, **NO_SHOW)
        for day in range(1, 6):
            await platform.session(tutor, days_ago=day, **TALKS)
        await generation(tutor, now=NOW if tutor == "heir" else LATER)
    kept = sorted(await platform.rows("SELECT id FROM alerts WHERE tutor_id = 'heir'"))

    for step in order:
        await platform.connection.execute(MERGING[step].encode())
        if between:
            await generation("heir", "tutor", now=LATER)
    await generation("heir", now=LATER)

    assert sorted(await platform.rows("SELECT id FROM alerts WHERE NOT resolved")) == kept
    assert await platform.open_alerts("heir") == ["high_talk_ratio", "no_show_pattern"]
    assert await platform.active_insights("heir") == ["high_talk_ratio"]
    assert await platform.rows("SELECT count(*) FROM alerts WHERE resolved") == [2]
    assert await platform.rows("SELECT DISTINCT outcome FROM tutorwatch.alert_resolutions") == ["duplicate"]
    missed = await platform.rows("SELECT id FROM sessions WHERE status = 'no_show_tutor'")
    assert set(await generation.evidence("no_show_pattern", tutor="heir")) == set(missed)
    assert await generation("heir", now=LATER) == Generated()

    await generation.resolve("no_show_pattern", tutor="heir")
    assert await generation("heir", now=LATER) == Generated(), "all four no-shows are consumed"
    await platform.session("heir", days_ago=3, **NO_SHOW)
    assert [alert.alert_type for alert in (await generation("heir", now=LATER)).alerts] == ["no_show_pattern"]


async def test_a_resolved_alert_that_changes_hands_goes_on_consuming(
    platform: Platform, generation: Generation
) -> None:
    await write(platform, NO_SHOW, days=range(1, 3))
    await platform.user("heir")
    await generation()
    await generation.resolve("no_show_pattern")
    await platform.rows("UPDATE alerts SET tutor_id = 'heir' RETURNING 1")

    assert await generation("tutor", "heir") == Generated()
    await platform.rows("UPDATE sessions SET tutor_id = 'heir' RETURNING 1")
    assert await generation("tutor", "heir") == Generated()


async def test_what_a_deleted_open_alert_rested_on_opens_no_other(platform: Platform, generation: Generation) -> None:
    await write(platform, NO_SHOW, days=range(1, 3))
    await generation()
    await platform.rows("DELETE FROM alerts RETURNING 1")

    assert await generation() == Generated()
    await write(platform, NO_SHOW, days=range(3, 4))
    assert [alert.alert_type for alert in (await generation()).alerts] == ["no_show_pattern"]


# Insights


async def test_of_several_active_insights_the_oldest_stays(platform: Platform, generation: Generation) -> None:
    await write(platform, TALKS, days=range(1, 6))
    await generation()
    for minutes, words in ((-1, "older"), (1, "newer"), (2, "newest")):
        await platform.insert(
            "tutor_insights",
            tutor_id="tutor",
            insight_type="growth_area",
            category="high_talk_ratio",
            display_text=words,
            detected_at=naive(NOW + timedelta(minutes=minutes)),
        )
    [oldest] = await platform.rows("SELECT id FROM tutor_insights WHERE display_text = 'older'")

    assert await generation(now=LATER) == Generated(), "a duplicate isn't an insight that ended"

    assert await platform.rows("SELECT id FROM tutor_insights WHERE is_active") == [oldest]
    assert await platform.rows("SELECT count(*) FROM tutor_insights WHERE resolved_at = %s", naive(LATER)) == [3]
    assert await generation(now=LATER) == Generated()
