"""The condition of the system: what isn't evaluated, since when, and what to do; as either service's role reads it."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from database.condition import Check, Condition, load_condition
from database.connections import open_engine
from database.recording import SWITCH_OFF
from tests.support.platform import Platform
from tests.support.roles import LISTENER, ROLES, WEB, Role

ALIVE = """
    INSERT INTO tutorwatch.listeners (listener_id, host, process_id, version, started_at, seen_at, figures)
    VALUES (gen_random_uuid(), 'host', 7, '1', now(), now() - make_interval(secs => %s), %s) RETURNING 1
"""
BLOCKED = '{"heartbeat_seconds": 60, "blocked": {"message": "No right", "since": "2026-11-29T14:03:00+00:00"}}'
SINCE = datetime.fromisoformat("2026-11-29T14:03:00+00:00")


async def condition_of(url: str, role: Role = WEB) -> Condition:
    engine: AsyncEngine = open_engine(role.url(url), application_name="tutorwatch-web")
    try:
        async with engine.connect() as conn:
            return await load_condition(conn)
    finally:
        await engine.dispose()


async def is_alive(platform: Platform, *, seconds_ago: float = 0, figures: str = '{"heartbeat_seconds": 60}') -> None:
    await platform.rows(ALIVE, seconds_ago, figures)


@pytest.mark.parametrize("role", ROLES, ids=["listener", "web"])
async def test_all_is_well(database_url: str, platform: Platform, role: Role) -> None:
    await is_alive(platform)
    await platform.connection.execute("DROP TABLE coaching_notes")  # a feature that is missing is no problem

    condition = await condition_of(database_url, role)

    assert (condition.problems, condition.is_well) == ((), True)
    (swept_at,) = await platform.rows("SELECT swept_at FROM tutorwatch.sweep")
    assert (condition.listeners, condition.waiting, condition.oldest_waiting_at) == (1, 0, None)
    assert (condition.failing, condition.dead_lettered, condition.swept_at) == (0, 0, swept_at)


PROBLEMS = [
    pytest.param(
        "ALTER TABLE sessions RENAME overall_session_score TO score",
        Check.PLATFORM,
        "The platform's schema doesn't fit (column sessions.overall_session_score is missing (a number)):"
        " change it back, or install a version that knows it",
        id="a renamed column",
    ),
    pytest.param(
        "ALTER TABLE sessions ENABLE ROW LEVEL SECURITY; ALTER TABLE coaching_notes ENABLE ROW LEVEL SECURITY",
        Check.ROWS,
        f"Row-level security hides rows of public.sessions from {LISTENER.name}: ALTER ROLE {LISTENER.name} BYPASSRLS,"
        " or disable row-level security there",
        id="hidden rows",
    ),
    pytest.param(
        "DROP TRIGGER tutorwatch_update ON sessions",
        Check.RECORDING,
        "Changes go unrecorded, because trigger tutorwatch_update on public.sessions is missing:"
        " run `tutorwatch migrate`",
        id="a trigger that is missing",
    ),
    pytest.param(
        "CREATE TABLE copy (LIKE sessions INCLUDING ALL); ALTER TABLE sessions RENAME TO sessions_old;"
        "ALTER TABLE copy RENAME TO sessions; GRANT SELECT ON sessions TO {listener}, {web}",
        Check.RECORDING,
        "Changes go unrecorded, because trigger tutorwatch_delete on public.sessions is missing (and 5 more):"
        " run `tutorwatch migrate`",
        id="a table that was swapped",
    ),
    pytest.param(
        "ALTER TABLE sessions DISABLE TRIGGER tutorwatch_update",
        Check.RECORDING,
        "Changes go unrecorded, because trigger tutorwatch_update on public.sessions is switched off:"
        " run `tutorwatch migrate`",
        id="a trigger that is disabled",
    ),
    pytest.param(
        "DELETE FROM tutorwatch.listeners",
        Check.LISTENERS,
        "No listener is alive: start `tutorwatch listen`",
        id="no listener",
    ),
]


@pytest.mark.parametrize(("change", "check", "said"), PROBLEMS)
async def test_each_problem_is_a_sentence_that_ends_with_what_to_do(
    database_url: str, platform: Platform, change: str, check: Check, said: str
) -> None:
    await is_alive(platform)
    await platform.connection.execute(change.format(listener=LISTENER.name, web=WEB.name).encode())

    problem, *more = (await condition_of(database_url)).problems

    assert (problem.check, problem.message) == (check, said)
    assert {each.check for each in more} <= {Check.ROWS}  # the dashboard's own


async def test_a_switch_that_is_off_is_told(database_url: str, platform: Platform) -> None:
    await is_alive(platform)
    await platform.connection.execute(SWITCH_OFF.encode())

    (problem,) = (await condition_of(database_url)).problems

    assert problem.message == ("Changes are not recorded, because automation is off: run `tutorwatch automation on`")


@pytest.mark.parametrize(
    ("seconds_ago", "figures", "alive"),
    [
        pytest.param(11, "{}", True, id="seen lately"),
        pytest.param(13, "{}", False, id="three heartbeats missed"),
        pytest.param(170, '{"heartbeat_seconds": 60}', True, id="slower heartbeats"),
        pytest.param(190, '{"heartbeat_seconds": 60}', False, id="three of the slower ones missed"),
        pytest.param(-3, "{}", True, id="a clock that was set back a little"),
        pytest.param(-3600, "{}", False, id="a clock that was ahead by an hour"),
    ],
)
async def test_a_listener_is_alive_for_three_heartbeats_and_not_in_the_future(
    database_url: str, platform: Platform, seconds_ago: float, figures: str, alive: bool
) -> None:
    await is_alive(platform, seconds_ago=seconds_ago, figures=figures)

    condition = await condition_of(database_url)

    assert condition.listeners == (1 if alive else 0)
    assert [problem.check for problem in condition.problems] == ([] if alive else [Check.LISTENERS])
    if not alive and seconds_ago > 0:
        (now,) = await platform.rows("SELECT now()")
        since = condition.problems[0].since
        assert since
        assert abs(now - since - timedelta(seconds=seconds_ago)) < timedelta(seconds=10)


async def test_listeners_that_all_say_that_they_cannot_evaluate_are_told(database_url: str, platform: Platform) -> None:
    await is_alive(platform, figures=BLOCKED)
    (problem,) = (await condition_of(database_url)).problems
    assert (problem.check, problem.message, problem.since) == (Check.LISTENERS, "No right", SINCE)

    await platform.connection.execute("ALTER TABLE sessions RENAME status TO state")
    (problem,) = (await condition_of(database_url)).problems
    assert (problem.check, problem.since) == (Check.PLATFORM, SINCE)
    await platform.connection.execute("ALTER TABLE sessions RENAME state TO status")

    await is_alive(platform)
    assert (await condition_of(database_url)).is_well


async def test_changes_that_wait_for_long_and_tutors_given_up_on_are_told(
    database_url: str, platform: Platform
) -> None:
    await is_alive(platform)
    (recorded_at,) = await platform.rows(
        "INSERT INTO tutorwatch.outbox (tutor_id, recorded_at) VALUES ('tutor', now() - interval '61 s')"
        " RETURNING recorded_at"
    )
    await platform.rows(
        "INSERT INTO tutorwatch.outbox (tutor_id, recorded_at) VALUES ('tutor', now()) RETURNING recorded_at"
    )
    parked_at, *_ = await platform.rows(
        "INSERT INTO tutorwatch.failures"
        " (tutor_id, attempts, last_error, first_failed_at, last_failed_at, next_attempt_at, parked_at)"
        " VALUES ('a', 5, 'x', now(), now(), NULL, now()), ('b', 1, 'x', now(), now(), now(), NULL),"
        " ('c', 0, 'set aside', now(), now(), now(), NULL) RETURNING parked_at"
    )

    condition = await condition_of(database_url)

    assert (condition.waiting, condition.oldest_waiting_at) == (2, recorded_at)
    assert (condition.failing, condition.dead_lettered) == (1, 1)
    assert [(problem.check, problem.since) for problem in condition.problems] == [
        (Check.WAITING, recorded_at),
        (Check.DEAD_LETTERED, parked_at),
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DROP SCHEMA tutorwatch CASCADE", "Tutorwatch isn't installed in this database: run `tutorwatch migrate`"),
        (
            "UPDATE tutorwatch.alembic_version SET version_num = '0001'",
            "The database's schema (0001) is older than this program",
        ),
        (
            "UPDATE tutorwatch.alembic_version SET version_num = '9999'",
            "The database's schema (9999) is newer than this program",
        ),
        ("DROP TABLE tutorwatch.sweep", "Tables of schema tutorwatch are gone (sweep): restore them from a backup"),
    ],
)
async def test_a_schema_of_ours_that_is_another_is_all_that_is_told(
    database_url: str, platform: Platform, change: str, said: str
) -> None:
    await platform.connection.execute(change.encode())

    condition = await condition_of(database_url)

    assert [problem.check for problem in condition.problems] == [Check.SCHEMA]
    assert condition.problems[0].message.startswith(said)
