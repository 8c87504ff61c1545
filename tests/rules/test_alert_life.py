"""The life of an alert, case by case: who did what, what it rests on, and what a resolved one has counted."""

import warnings
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from database.connections import open_engine
from rules.generation import Generated, generate
from rules.life import AlreadyDoneError, Outcome, UnknownAlertError, acknowledge, resolve
from rules.settings import thresholds
from tests.rules.generating import Generation
from tests.support.alerts import insert_alert
from tests.support.platform import NOW, Platform, naive
from tests.support.waiting import running, until_blocked

LATER = NOW + timedelta(hours=1)

NO_SHOW: dict[str, Any] = {"status": "no_show_tutor"}
RESCHEDULE: dict[str, Any] = {"status": "rescheduled", "rescheduled_by": "tutor"}
POOR_FIRST: dict[str, Any] = {"number": 1, "score": "5.0"}
TALKS: dict[str, Any] = {"audio": {"tutor_talk_ratio": "0.9", "tutor_checks_understanding_count": 5}}
LISTENS: dict[str, Any] = {"audio": {"tutor_talk_ratio": "0.6", "tutor_checks_understanding_count": 5}}
CHECKS_LITTLE: dict[str, Any] = {"audio": {"tutor_checks_understanding_count": 1}}
SCORED_LOW: dict[str, Any] = {"score": "5.0"}

counting = pytest.mark.parametrize(
    ("alert_type", "values", "enough"),
    [
        pytest.param("poor_first_session", POOR_FIRST, 1, id="poor_first_session"),
        pytest.param("no_show_pattern", NO_SHOW, 2, id="no_show_pattern"),
        pytest.param("high_reschedule_rate", RESCHEDULE, 5, id="high_reschedule_rate"),
    ],
)
averaging = pytest.mark.parametrize(
    ("alert_type", "values", "enough"),
    [
        pytest.param("high_talk_ratio", TALKS, 5, id="high_talk_ratio"),
        pytest.param("low_understanding_checks", CHECKS_LITTLE, 5, id="low_understanding_checks"),
        pytest.param("declining_performance", SCORED_LOW, 3, id="declining_performance"),
    ],
)


async def write(platform: Platform, values: dict[str, Any], *, days: range) -> list[UUID]:
    """A session on each of these days before now, latest first; and for a fall of scores, good ones before."""
    if values is SCORED_LOW and not await platform.rows("SELECT 1 FROM sessions WHERE overall_session_score = 9"):
        for day in (40, 41, 42):
            await platform.session(days_ago=day, score="9.0")
    return [await platform.session(days_ago=day, **values) for day in days]


@pytest.fixture
async def alert(platform: Platform, generation: Generation) -> UUID:
    """An open alert over two no-shows; and the users "ann" and "ben", who are admins."""
    for admin in ("ann", "ben"):
        await platform.user(admin, role="admin")
    await write(platform, NO_SHOW, days=range(1, 3))
    await generation()
    [alert_id] = await platform.rows("SELECT id FROM alerts")
    found: UUID = alert_id
    return found


# People


def first(error: AlreadyDoneError) -> tuple[str, str | None, datetime | None]:
    """What was done already, by whom and when."""
    return error.what, error.by, error.at


async def test_acknowledging_notes_who_and_when(alert: UUID, platform: Platform, engine: AsyncEngine) -> None:
    async with engine.begin() as conn:
        await acknowledge(conn, alert, by="ann", now=LATER)
    assert await platform.rows("SELECT acknowledged, acknowledged_by, acknowledged_at, resolved FROM alerts") == [
        (True, "ann", naive(LATER), False)
    ]


async def test_resolving_notes_who_when_the_action_and_the_outcome(
    alert: UUID, platform: Platform, engine: AsyncEngine
) -> None:
    async with engine.begin() as conn:
        await acknowledge(conn, alert, by="ann", now=NOW)
    async with engine.begin() as conn:
        await resolve(
            conn, alert, by="ben", action_taken="  Called the tutor. ", outcome=Outcome.NOT_ACTIONABLE, now=LATER
        )

    assert await platform.rows(
        "SELECT acknowledged_by, acknowledged_at, resolved, resolved_at, action_taken FROM alerts"
    ) == [("ann", naive(NOW), True, naive(LATER), "Called the tutor.")]
    assert await platform.rows("SELECT alert_id, tutor_id, resolved_by, outcome FROM tutorwatch.alert_resolutions") == [
        (alert, "tutor", "ben", "not_actionable")
    ]


async def test_resolving_leaves_a_note_of_type_system(alert: UUID, platform: Platform, engine: AsyncEngine) -> None:
    async with engine.begin() as conn:
        await resolve(conn, alert, by="ann", action_taken="Called", outcome=Outcome.NOT_ACTIONABLE, now=LATER)
    assert await platform.rows(
        "SELECT tutor_id, note_type::text, content, created_by, created_at FROM coaching_notes"
    ) == [("tutor", "system", "Alert resolved (not actionable): Tutor no-shows. Called", "ann", naive(LATER))]


async def test_resolving_warns_of_nothing(alert: UUID, database_url: str) -> None:
    engine = open_engine(database_url, application_name="tutorwatch-test")
    async with engine.begin() as conn:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            await resolve(conn, alert, by="ann", action_taken="Called", outcome=Outcome.OTHER, now=LATER)


async def test_resolving_acknowledges_what_nobody_has(alert: UUID, platform: Platform, engine: AsyncEngine) -> None:
    async with engine.begin() as conn:
        await resolve(conn, alert, by="ann", action_taken="Called", outcome=Outcome.OTHER, now=LATER)
    assert await platform.rows("SELECT acknowledged, acknowledged_by, acknowledged_at FROM alerts") == [
        (True, "ann", naive(LATER))
    ]


async def test_second_person_to_acknowledge_learns_who_was_first(
    alert: UUID, platform: Platform, engine: AsyncEngine
) -> None:
    async with engine.begin() as conn:
        await acknowledge(conn, alert, by="ann", now=NOW)
    async with engine.connect() as conn:
        with pytest.raises(AlreadyDoneError) as raised:
            await acknowledge(conn, alert, by="ben", now=LATER)
    assert first(raised.value) == ("acknowledged", "ann", NOW)
    assert str(raised.value) == "The alert is acknowledged already"
    assert await platform.rows("SELECT acknowledged_by, acknowledged_at FROM alerts") == [("ann", naive(NOW))]


async def test_second_person_to_resolve_learns_who_was_first(
    alert: UUID, platform: Platform, engine: AsyncEngine
) -> None:
    async with engine.begin() as conn:
        await resolve(conn, alert, by="ann", action_taken="Called", outcome=Outcome.COACHED, now=NOW)
    async with engine.begin() as conn:
        with pytest.raises(AlreadyDoneError) as raised:
            await resolve(conn, alert, by="ben", action_taken="Wrote", outcome=Outcome.OTHER, now=LATER)
    assert first(raised.value) == ("resolved", "ann", NOW)
    assert await platform.rows("SELECT action_taken, resolved_at FROM alerts") == [("Called", naive(NOW))]
    assert await platform.rows("SELECT resolved_by FROM tutorwatch.alert_resolutions") == ["ann"]
    assert await platform.rows("SELECT count(*) FROM coaching_notes") == [1]


async def test_resolved_alert_is_not_acknowledged_any_more(alert: UUID, engine: AsyncEngine) -> None:
    async with engine.begin() as conn:
        await resolve(conn, alert, by="ann", action_taken="Called", outcome=Outcome.COACHED, now=NOW)
    async with engine.connect() as conn:
        with pytest.raises(AlreadyDoneError) as raised:
            await acknowledge(conn, alert, by="ben", now=LATER)
    assert first(raised.value) == ("resolved", "ann", NOW)


async def test_alert_resolved_by_another_client_names_nobody(
    alert: UUID, platform: Platform, engine: AsyncEngine
) -> None:
    await platform.rows("UPDATE alerts SET resolved = true, resolved_at = %s RETURNING id", naive(NOW))
    async with engine.connect() as conn:
        with pytest.raises(AlreadyDoneError) as raised:
            await resolve(conn, alert, by="ben", action_taken="Called", outcome=Outcome.OTHER, now=LATER)
    assert first(raised.value) == ("resolved", None, NOW)


@pytest.fixture
async def reopened(alert: UUID, platform: Platform, engine: AsyncEngine) -> UUID:
    """Ann has resolved it, another client has opened it again."""
    async with engine.begin() as conn:
        await resolve(conn, alert, by="ann", action_taken="Called", outcome=Outcome.COACHED, now=NOW)
    await platform.rows("UPDATE alerts SET resolved = false, resolved_at = NULL RETURNING id")
    return alert


async def test_reopened_alert_is_resolved_again(reopened: UUID, platform: Platform, engine: AsyncEngine) -> None:
    async with engine.begin() as conn:
        await resolve(conn, reopened, by="ben", action_taken="Met", outcome=Outcome.OTHER, now=LATER)
    assert await platform.rows("SELECT resolved_by, outcome, resolved_at FROM tutorwatch.alert_resolutions") == [
        ("ben", "other", naive(LATER))
    ]
    assert await platform.rows("SELECT resolved, action_taken FROM alerts") == [(True, "Met")]
    assert await platform.rows("SELECT created_by FROM coaching_notes ORDER BY created_at") == ["ann", "ben"]


async def test_message_to_the_tutor_belongs_to_one_resolution(
    alert: UUID, platform: Platform, engine: AsyncEngine
) -> None:
    for message, now in (("See you on Monday", NOW), (None, LATER)):
        async with engine.begin() as conn:
            outcome = Outcome.CONDITION_CLEARED
            await resolve(
                conn, alert, by="ann", action_taken="Called", outcome=outcome, message_to_tutor=message, now=now
            )
        assert await platform.rows("SELECT message_to_tutor FROM tutorwatch.alert_resolutions") == [message]
        await platform.rows("UPDATE alerts SET resolved = false, resolved_at = NULL RETURNING id")


async def test_reopened_alert_resolved_by_another_client_names_nobody(
    reopened: UUID, platform: Platform, engine: AsyncEngine
) -> None:
    await platform.rows("UPDATE alerts SET resolved = true, resolved_at = %s RETURNING id", naive(LATER))
    async with engine.connect() as conn:
        with pytest.raises(AlreadyDoneError) as raised:
            await resolve(conn, reopened, by="ben", action_taken="Met", outcome=Outcome.OTHER, now=LATER)
    assert first(raised.value) == ("resolved", None, LATER)


async def test_two_people_who_resolve_at_once_are_told_apart(
    alert: UUID, platform: Platform, engine: AsyncEngine
) -> None:
    async def resolve_as_ben() -> AlreadyDoneError:
        async with engine.begin() as conn:
            with pytest.raises(AlreadyDoneError) as raised:
                await resolve(conn, alert, by="ben", action_taken="Wrote", outcome=Outcome.OTHER, now=LATER)
            return raised.value

    async with engine.connect() as conn:
        await resolve(conn, alert, by="ann", action_taken="Called", outcome=Outcome.COACHED, now=NOW)
        async with running(resolve_as_ben()) as ben:
            await until_blocked(platform.connection)
            await conn.commit()
            assert first(await ben) == ("resolved", "ann", NOW)
    assert await platform.rows("SELECT resolved_by, outcome FROM tutorwatch.alert_resolutions") == [("ann", "coached")]


async def test_person_learns_who_was_first_also_outside_of_the_transaction(alert: UUID, engine: AsyncEngine) -> None:
    async with engine.begin() as conn:
        await resolve(conn, alert, by="ann", action_taken="Called", outcome=Outcome.COACHED, now=NOW)
    with pytest.raises(AlreadyDoneError, match="resolved already"):
        async with engine.begin() as conn:
            await resolve(conn, alert, by="ben", action_taken="Wrote", outcome=Outcome.OTHER, now=LATER)


async def test_unknown_alert_is_neither_acknowledged_nor_resolved(engine: AsyncEngine) -> None:
    async with engine.connect() as conn:
        with pytest.raises(UnknownAlertError):
            await acknowledge(conn, uuid4(), by="ann", now=NOW)
        with pytest.raises(UnknownAlertError):
            await resolve(conn, uuid4(), by="ann", action_taken="Called", outcome=Outcome.OTHER, now=NOW)


@pytest.mark.parametrize("action", [pytest.param("", id="empty"), pytest.param(" \n\t", id="blank")])
async def test_alert_is_not_resolved_without_an_action(
    action: str, alert: UUID, platform: Platform, engine: AsyncEngine
) -> None:
    async with engine.begin() as conn:
        with pytest.raises(ValueError, match="Say which action was taken"):
            await resolve(conn, alert, by="ann", action_taken=action, outcome=Outcome.COACHED, now=NOW)
    assert await platform.rows("SELECT resolved FROM alerts") == [False]


# Evidence


async def test_alert_stores_why_it_stands(alert: UUID, platform: Platform) -> None:
    sessions = await platform.rows("SELECT id FROM sessions ORDER BY scheduled_start DESC")
    assert await platform.rows(
        "SELECT alert_id, tutor_id, value, threshold, session_ids FROM tutorwatch.alert_evidence"
    ) == [(alert, "tutor", Decimal(2), Decimal(2), sessions)]
    assert await platform.rows(
        "SELECT severity::text, title, triggered_date, session_id, acknowledged, action_taken FROM alerts"
    ) == [("critical", "Tutor no-shows", naive(NOW), None, False, None)]


async def test_three_poor_first_sessions_are_one_alert_that_names_the_latest(
    platform: Platform, generation: Generation
) -> None:
    sessions = await write(platform, POOR_FIRST, days=range(1, 4))
    generated = await generation()
    assert [alert.alert_type for alert in generated.alerts] == ["poor_first_session"]
    assert await generation.evidence("poor_first_session") == sessions
    assert await platform.rows("SELECT session_id FROM alerts") == [sessions[0]]


async def test_open_alert_is_refreshed_and_none_added(platform: Platform, generation: Generation) -> None:
    [earlier] = await write(platform, POOR_FIRST, days=range(3, 4))
    await generation()
    [alert_id] = await platform.rows("SELECT id FROM alerts")
    latest = await platform.session(days_ago=1, number=1, score="4.0")

    assert await generation(now=LATER) == Generated()

    assert await platform.rows("SELECT id, description, triggered_date, session_id FROM alerts") == [
        (
            alert_id,
            "2 first sessions with students scored below 6.5 in the last 7 days (lowest 4.0)",
            naive(NOW),
            latest,
        )
    ]
    assert await platform.rows("SELECT value, session_ids FROM tutorwatch.alert_evidence") == [
        (Decimal("4.0"), [latest, earlier])
    ]


async def test_acknowledged_alert_is_refreshed_too(alert: UUID, platform: Platform, generation: Generation) -> None:
    await platform.rows("UPDATE alerts SET acknowledged = true RETURNING id")
    await write(platform, NO_SHOW, days=range(5, 6))
    assert await generation() == Generated()
    assert await platform.rows("SELECT id, acknowledged, description FROM alerts") == [
        (alert, True, "3 no-shows in 30 days (alert from 2)")
    ]


async def test_generating_again_writes_no_evidence(alert: UUID, platform: Platform, generation: Generation) -> None:
    before = await platform.rows("SELECT alert_id, refreshed_at, xmin::text FROM tutorwatch.alert_evidence")
    row = await platform.rows("SELECT xmin::text FROM alerts WHERE id = %s", alert)
    await generation(now=LATER)
    assert await platform.rows("SELECT alert_id, refreshed_at, xmin::text FROM tutorwatch.alert_evidence") == before
    assert await platform.rows("SELECT xmin::text FROM alerts") == row


async def test_open_alert_of_the_averages_moves_with_the_recent_ten(platform: Platform, generation: Generation) -> None:
    first = await write(platform, TALKS, days=range(11, 16))
    await generation()
    more = await write(platform, TALKS, days=range(1, 11))
    await generation()
    assert await generation.evidence("high_talk_ratio") == more
    assert set(await platform.rows("SELECT session_id FROM tutorwatch.consumed_sessions")) == {*first, *more}


# What a resolved alert has counted


@counting
async def test_counted_sessions_never_open_another_alert_and_one_unconsumed_does(
    alert_type: str, values: dict[str, Any], enough: int, platform: Platform, generation: Generation
) -> None:
    counted = await write(platform, values, days=range(1, enough + 1))
    await generation()
    await generation.resolve(alert_type)

    for _ in range(2):
        assert await generation(now=LATER) == Generated()
    assert await platform.open_alerts() == []

    # Recorded after the resolution, though it happened before: a matter of evidence, not of clocks.
    [unconsumed] = await write(platform, values, days=range(6, 7))
    generated = await generation(now=LATER)

    assert [alert.alert_type for alert in generated.alerts] == [alert_type]
    assert await generation.evidence(alert_type) == [*counted, unconsumed]
    assert await generation.opened(alert_type) == 2
    assert str(enough + 1) in generated.alerts[0].description


@counting
async def test_unconsumed_session_opens_none_when_too_few_are_left_in_the_window(
    alert_type: str, values: dict[str, Any], enough: int, platform: Platform, generation: Generation
) -> None:
    await write(platform, values, days=range(1, enough + 1))
    await generation()
    await generation.resolve(alert_type)

    much_later = NOW + timedelta(days=60)
    for day in range(enough - 1):
        await platform.session(at=much_later - timedelta(days=day), **values)
    await generation(now=much_later)
    assert await platform.open_alerts() == []

    await platform.session(at=much_later, **values)
    await generation(now=much_later)
    assert await platform.open_alerts() == [alert_type]


@averaging
async def test_averages_need_their_least_data_anew_after_a_resolution(
    alert_type: str, values: dict[str, Any], enough: int, platform: Platform, generation: Generation
) -> None:
    await write(platform, values, days=range(10, 10 + enough))
    await generation()
    await generation.resolve(alert_type)

    fewer = await write(platform, values, days=range(2, enough + 1))
    await generation(now=LATER)
    assert await platform.open_alerts() == []

    one_more = await write(platform, values, days=range(1, 2))
    await generation(now=LATER)
    assert await platform.open_alerts() == [alert_type]
    assert await generation.evidence(alert_type) == one_more + fewer


async def test_counted_sessions_keep_their_place_among_the_recent_ten(
    platform: Platform, generation: Generation
) -> None:
    old = await write(platform, TALKS, days=range(20, 24))
    counted = await write(platform, TALKS, days=range(1, 10))
    await generation()
    [evidence] = await platform.rows("SELECT session_ids FROM tutorwatch.alert_evidence")
    assert evidence == [*counted, old[0]]
    await generation.resolve("high_talk_ratio")

    # Of the recent ten, four are unconsumed; three more lie behind and are not recent.
    await write(platform, TALKS, days=range(-4, 0))
    await generation()
    assert await platform.open_alerts() == []
    await write(platform, TALKS, days=range(-5, -4))
    await generation()
    assert await platform.open_alerts() == ["high_talk_ratio"]


async def test_unconsumed_sessions_alone_make_the_average(platform: Platform, generation: Generation) -> None:
    await write(platform, TALKS, days=range(10, 15))
    await generation()
    await generation.resolve("high_talk_ratio")
    # With the five counted ones it would be eight of ten.
    await write(platform, TALKS, days=range(1, 4))
    await write(platform, LISTENS, days=range(4, 6))
    await generation()
    assert await platform.open_alerts() == []


async def test_counted_scores_still_count_in_the_window_before(platform: Platform, generation: Generation) -> None:
    await write(platform, {"score": "10.0"}, days=range(40, 43))
    await write(platform, {"score": "8.0"}, days=range(1, 4))
    await generation()
    await generation.resolve("declining_performance")

    month = NOW + timedelta(days=32)
    new = [await platform.session(at=month, score="6.0") for _ in range(3)]
    generated = await generation(now=month)

    assert [alert.description for alert in generated.alerts] == [
        "Average score 6.0 in the last 30 days, 25% below the 8.0 of the 30 days before (alert above 15%)"
    ]
    assert set(await generation.evidence("declining_performance")) == set(new)


async def test_sessions_counted_while_open_count_though_no_longer_in_the_evidence(
    platform: Platform, generation: Generation
) -> None:
    once = await write(platform, NO_SHOW, days=range(29, 30))
    always = await write(platform, NO_SHOW, days=range(20, 22))
    await generation()
    in_two_days = NOW + timedelta(days=2)
    await generation(now=in_two_days)
    assert await generation.evidence("no_show_pattern") == always
    await generation.resolve("no_show_pattern", now=in_two_days)

    # An importer corrects the date of the one that had left the window.
    await platform.rows("UPDATE sessions SET scheduled_start = %s WHERE id = %s RETURNING id", naive(NOW), once[0])
    await generation(now=in_two_days)

    assert await platform.open_alerts() == []


async def test_session_that_came_between_the_last_generation_and_the_resolution_is_unconsumed(
    platform: Platform, generation: Generation
) -> None:
    await write(platform, NO_SHOW, days=range(2, 4))
    await generation()
    unseen = await write(platform, NO_SHOW, days=range(1, 2))
    await generation.resolve("no_show_pattern", now=LATER)

    await generation(now=LATER)

    assert await platform.open_alerts() == ["no_show_pattern"]
    assert (await generation.evidence("no_show_pattern"))[:1] == unseen


async def test_each_resolved_alert_has_counted_its_own(platform: Platform, generation: Generation) -> None:
    for days in (range(10, 12), range(8, 9), range(6, 7)):
        await write(platform, NO_SHOW, days=days)
        await generation()
        await generation.resolve("no_show_pattern")
    await generation()
    assert await platform.open_alerts() == []
    assert await generation.opened("no_show_pattern") == 3


async def test_alert_of_one_type_counts_for_no_other(platform: Platform, generation: Generation) -> None:
    silent_talker = {"audio": {"tutor_talk_ratio": "0.9", "tutor_checks_understanding_count": 0}}
    await write(platform, silent_talker, days=range(1, 6))
    await generation()
    await generation.resolve("high_talk_ratio")
    await generation()
    assert await platform.open_alerts() == ["low_understanding_checks"]


async def test_evidence_is_consumed_whoever_has_the_sessions_then(platform: Platform, generation: Generation) -> None:
    """As when accounts are merged: what one tutor was coached for opens nothing for the other."""
    await write(platform, NO_SHOW, days=range(1, 3))
    await generation()
    await generation.resolve("no_show_pattern")
    await platform.user("successor")
    await platform.rows("UPDATE sessions SET tutor_id = 'successor' RETURNING id")

    await generation("tutor", "successor")
    assert await platform.open_alerts("tutor") == await platform.open_alerts("successor") == []

    await platform.session("successor", days_ago=4, **NO_SHOW)
    await generation("successor")
    assert await platform.open_alerts("successor") == ["no_show_pattern"]


async def test_alert_resolved_by_another_client_has_counted_its_evidence(
    alert: UUID, platform: Platform, generation: Generation
) -> None:
    await platform.rows("UPDATE alerts SET resolved = true, resolved_at = %s RETURNING id", naive(LATER))
    await generation(now=LATER)
    assert await platform.open_alerts() == []
    assert await platform.rows("SELECT id FROM alerts") == [alert]


# Alerts from before Tutorwatch


@counting
async def test_resolved_alert_without_evidence_has_counted_up_to_its_resolution(
    alert_type: str, values: dict[str, Any], enough: int, platform: Platform, generation: Generation
) -> None:
    resolved_at = NOW - timedelta(days=1)
    await insert_alert(platform, alert_type=alert_type, resolved=True, resolved_at=naive(resolved_at))
    await write(platform, values, days=range(1, enough + 1))
    await generation()
    assert await platform.open_alerts() == []

    later = await platform.session(at=resolved_at + timedelta(microseconds=1), **values)
    await generation()
    assert (await generation.evidence(alert_type))[0] == later


@averaging
async def test_averages_need_their_least_data_since_a_resolution_without_evidence(
    alert_type: str, values: dict[str, Any], enough: int, platform: Platform, generation: Generation
) -> None:
    resolved_at = NOW - timedelta(days=enough)
    await insert_alert(platform, alert_type=alert_type, resolved=True, resolved_at=naive(resolved_at))
    await write(platform, values, days=range(1, enough + 1))
    await generation()
    assert await platform.open_alerts() == []

    await platform.session(at=resolved_at + timedelta(microseconds=1), **values)
    await generation()
    assert len(await generation.evidence(alert_type)) == enough


async def test_latest_of_the_resolutions_without_evidence_is_the_line(
    platform: Platform, generation: Generation
) -> None:
    for days in (20, 2, 11):
        await insert_alert(
            platform, alert_type="no_show_pattern", resolved=True, resolved_at=naive(NOW - timedelta(days=days))
        )
    await write(platform, NO_SHOW, days=range(2, 6))
    await generation()
    assert await platform.open_alerts() == []


async def test_resolution_without_a_date_counts_from_its_trigger(platform: Platform, generation: Generation) -> None:
    await insert_alert(
        platform, alert_type="no_show_pattern", resolved=True, triggered_date=naive(NOW - timedelta(days=2))
    )
    await write(platform, NO_SHOW, days=range(2, 4))
    await generation()
    assert await platform.open_alerts() == []
    await write(platform, NO_SHOW, days=range(1, 2))
    await generation()
    assert await platform.open_alerts() == ["no_show_pattern"]


async def test_resolution_with_evidence_draws_no_line_in_time(
    alert: UUID, platform: Platform, generation: Generation
) -> None:
    await generation.resolve("no_show_pattern", now=NOW)
    await write(platform, NO_SHOW, days=range(10, 11))
    await generation(now=LATER)
    assert await platform.open_alerts() == ["no_show_pattern"]
    assert alert not in await platform.rows("SELECT id FROM alerts WHERE NOT resolved")


async def test_duplicate_consumes_nothing(platform: Platform, generation: Generation) -> None:
    await insert_alert(platform, alert_type="no_show_pattern", resolved=True, resolved_at=naive(NOW))
    await platform.rows(
        "INSERT INTO tutorwatch.alert_evidence (alert_id, tutor_id, session_ids, refreshed_at)"
        " SELECT id, tutor_id, '{}', now() FROM alerts RETURNING alert_id"
    )
    await write(platform, NO_SHOW, days=range(1, 3))
    await generation()
    assert await platform.open_alerts() == ["no_show_pattern"]


async def test_open_alert_from_before_gets_evidence_and_counts_it_once_resolved(
    platform: Platform, generation: Generation
) -> None:
    await insert_alert(platform, alert_type="no_show_pattern")
    sessions = await write(platform, NO_SHOW, days=range(1, 3))

    assert await generation() == Generated()
    assert await generation.evidence("no_show_pattern") == sessions
    assert await generation.description("no_show_pattern") == "2 no-shows in 30 days (alert from 2)"

    await generation.resolve("no_show_pattern", now=NOW - timedelta(days=10))
    assert await generation() == Generated()


# Other clients


async def test_alerts_of_other_types_are_left_alone(platform: Platform, generation: Generation) -> None:
    for _ in range(2):
        await insert_alert(platform, alert_type="student_churn_risk")
    await insert_alert(platform, alert_type="student_frustration_detected", resolved=True, resolved_at=naive(NOW))
    before = await platform.rows("SELECT id, xmin::text FROM alerts ORDER BY id")
    await write(platform, NO_SHOW, days=range(1, 3))

    await generation()

    theirs = "SELECT id, xmin::text FROM alerts WHERE alert_type <> 'no_show_pattern' ORDER BY id"
    assert await platform.rows(theirs) == before
    assert await platform.open_alerts() == ["no_show_pattern", "student_churn_risk", "student_churn_risk"]


async def test_alert_that_a_client_gives_to_another_tutor_gets_evidence_there(
    alert: UUID, platform: Platform, generation: Generation
) -> None:
    """As when two accounts become one: once resolved, it has counted what it rested on there."""
    await platform.user("heir")
    for table in ("sessions", "alerts"):
        await platform.rows(f"UPDATE {table} SET tutor_id = 'heir' RETURNING id")
    sessions = await platform.rows("SELECT id FROM sessions ORDER BY scheduled_start DESC")

    assert await generation("heir") == Generated()
    theirs = "SELECT alert_id, session_ids FROM tutorwatch.alert_evidence WHERE tutor_id = 'heir'"
    assert await platform.rows(theirs) == [(alert, sessions)]

    assert await generation.resolve("no_show_pattern", tutor="heir", now=NOW - timedelta(days=10)) == alert
    assert await generation("heir") == Generated()


async def test_deleted_session_is_named_no_longer(platform: Platform, generation: Generation) -> None:
    latest, earlier = await write(platform, POOR_FIRST, days=range(1, 3))
    await generation()
    await platform.rows("DELETE FROM sessions WHERE id = %s RETURNING id", latest)
    assert await platform.rows("SELECT session_id FROM alerts") == [None]

    await generation()

    assert await platform.rows("SELECT session_id FROM alerts") == [earlier]
    assert await generation.evidence("poor_first_session") == [earlier]


# At the same time


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generation waits for a client's lock as long as a slow machine may need."""
    monkeypatch.setattr("rules.generation.WRITE_LOCK_WAIT", "20s")


async def _resolve_in_between(
    engine: AsyncEngine, platform: Platform, generation: Generation, alert: UUID, *, now: datetime
) -> None:
    """A person resolves the alert while a generation that has read it as open is about to write."""
    async with engine.connect() as conn:
        await resolve(conn, alert, by="ann", action_taken="Called", outcome=Outcome.COACHED, now=now)
        async with running(generation(now=now)) as generating:
            await until_blocked(platform.connection)
            await conn.commit()
            await generating


@pytest.mark.usefixtures("_patient")
async def test_alert_resolved_while_it_is_refreshed_keeps_the_evidence_it_was_resolved_with(
    alert: UUID, platform: Platform, engine: AsyncEngine, generation: Generation
) -> None:
    kept = await platform.rows("SELECT session_ids FROM tutorwatch.alert_evidence")
    consumed = await platform.rows("SELECT session_id FROM tutorwatch.consumed_sessions ORDER BY 1")
    await write(platform, NO_SHOW, days=range(5, 6))

    await _resolve_in_between(engine, platform, generation, alert, now=LATER)

    assert await platform.rows(
        "SELECT a.description, e.session_ids FROM alerts AS a"
        " JOIN tutorwatch.alert_evidence AS e ON e.alert_id = a.id WHERE a.id = %s",
        alert,
    ) == [("2 no-shows in 30 days (alert from 2)", *kept)]
    assert await platform.rows("SELECT session_id FROM tutorwatch.consumed_sessions ORDER BY 1") == consumed
    assert await platform.rows("SELECT resolved FROM alerts WHERE id = %s", alert) == [True]


@pytest.mark.usefixtures("_patient")
async def test_alert_that_may_not_open_again_is_left_as_it_was_resolved(
    platform: Platform, engine: AsyncEngine, generation: Generation
) -> None:
    await platform.user("ann", role="admin")
    await insert_alert(platform, alert_type="no_show_pattern", resolved=True, resolved_at=naive(NOW))
    await insert_alert(platform, alert_type="no_show_pattern")
    await write(platform, NO_SHOW, days=range(1, 3))
    [open_alert] = await platform.rows("SELECT id FROM alerts WHERE NOT resolved")

    await _resolve_in_between(engine, platform, generation, open_alert, now=LATER)

    assert await platform.rows("SELECT description FROM alerts WHERE id = %s", open_alert) == [
        "2 no-shows in 30 days (alert from 2)"
    ]
    assert await platform.rows("SELECT alert_id FROM tutorwatch.alert_evidence") == []
    assert await platform.open_alerts() == []


@pytest.mark.usefixtures("_patient")
async def test_alert_resolved_while_a_generation_runs_opens_no_other_from_the_same_sessions(
    alert: UUID, platform: Platform, engine: AsyncEngine, generation: Generation
) -> None:
    await _resolve_in_between(engine, platform, generation, alert, now=LATER)
    assert await platform.open_alerts() == []
    assert await generation(now=LATER) == Generated()


@pytest.mark.usefixtures("_patient")
async def test_session_that_comes_while_a_person_resolves_opens_another_alert_soon(
    alert: UUID, platform: Platform, engine: AsyncEngine, generation: Generation
) -> None:
    await write(platform, NO_SHOW, days=range(5, 6))
    await _resolve_in_between(engine, platform, generation, alert, now=LATER)
    await generation(now=LATER)
    assert await generation.description("no_show_pattern") == "3 no-shows in 30 days (alert from 2)"
    assert await generation.opened("no_show_pattern") == 2


async def test_person_waits_for_a_generation_and_resolves_what_it_wrote(
    alert: UUID, platform: Platform, engine: AsyncEngine, generation: Generation
) -> None:
    [third] = await write(platform, NO_SHOW, days=range(5, 6))
    async with engine.connect() as conn:
        await generate(conn, ["tutor"], NOW, thresholds())
        async with running(generation.resolve("no_show_pattern")) as resolving:
            await until_blocked(platform.connection)
            await conn.commit()
            await resolving

    await generation(now=LATER)

    assert await platform.open_alerts() == []
    assert third in await platform.rows(
        "SELECT session_id FROM tutorwatch.consumed_sessions WHERE alert_id = %s", alert
    )
