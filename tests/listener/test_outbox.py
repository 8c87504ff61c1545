"""The outbox: what a claim takes, for how long, and what is said to be due."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from listener import failures, outbox
from tests.support.listening import alerted, has_settled, listening, no_shows
from tests.support.platform import Platform


@pytest.fixture
async def rows(platform: Platform) -> Platform:
    """A platform whose set-up has left nothing in the outbox."""
    await platform.user("here")
    await platform.user("student", role="student")
    await platform.rows("DELETE FROM tutorwatch.outbox RETURNING 1")
    return platform


async def record(platform: Platform, *tutors: str | None, ago: str = "0 s") -> None:
    """Rows of the outbox, in this order; None concerns every tutor."""
    for tutor in tutors:
        await platform.rows(
            "INSERT INTO tutorwatch.outbox (tutor_id, recorded_at) VALUES (%s, clock_timestamp() - %s::interval)"
            " RETURNING 1",
            tutor,
            ago,
        )


async def left(platform: Platform) -> list[str | None]:
    return await platform.rows("SELECT tutor_id FROM tutorwatch.outbox ORDER BY id")


async def test_claim_takes_the_oldest_up_to_the_batch_size(engine: AsyncEngine, rows: Platform) -> None:
    await record(rows, *"edcba")

    async with engine.begin() as conn:
        claim = await outbox.claim(conn, 3)

    assert (sorted(claim.tutor_ids), claim.changes, claim.concerns_every_tutor) == (["c", "d", "e"], 3, False)
    assert await left(rows) == ["b", "a"]


async def test_newest_are_few_and_leave_what_lies_before_them(engine: AsyncEngine, rows: Platform) -> None:
    tutors = [f"{number:02}" for number in range(outbox.FEW_CHANGES + 3)]
    await record(rows, *tutors)

    async with engine.begin() as conn:
        claim = await outbox.claim_newest(conn)

    assert sorted(claim.tutor_ids) == tutors[3:]
    assert await left(rows) == tutors[:3]


async def test_changes_of_one_tutor_are_claimed_as_one(engine: AsyncEngine, rows: Platform) -> None:
    await record(rows, "a", "b", "a", "a")

    async with engine.begin() as conn:
        claim = await outbox.claim(conn, 100)

    assert (sorted(claim.tutor_ids), claim.changes) == (["a", "b"], 4)


async def test_later_changes_of_the_claimed_tutors_come_along(engine: AsyncEngine, rows: Platform) -> None:
    await record(rows, *"abcacb")

    async with engine.begin() as conn:
        claim = await outbox.claim(conn, 2)

    assert (sorted(claim.tutor_ids), claim.changes) == (["a", "b"], 4)
    assert await left(rows) == ["c", "c"]


async def test_claim_looks_ahead_so_far_and_no_further(engine: AsyncEngine, rows: Platform) -> None:
    await record(rows, "a", *["b"] * (outbox.LOOK_AHEAD - 1), "a", "a")

    async with engine.begin() as conn:
        claim = await outbox.claim(conn, 1)

    assert (claim.tutor_ids, claim.changes) == (["a"], 2)
    assert (await left(rows))[-1] == "a"


async def test_empty_outbox_gives_an_empty_claim(engine: AsyncEngine, rows: Platform) -> None:
    assert await left(rows) == []

    async with engine.begin() as conn:
        claim = await outbox.claim(conn, 100)

    assert (claim.tutor_ids, claim.changes, claim.oldest_at, claim.concerns_every_tutor) == ([], 0, None, False)
    assert claim.transaction is None


async def test_claim_tells_the_age_of_its_oldest_change_by_the_databases_clock(
    engine: AsyncEngine, rows: Platform
) -> None:
    await record(rows, "new")
    await record(rows, "old", ago="90 s")

    async with engine.begin() as conn:
        claim = await outbox.claim(conn, 100)

    assert claim.oldest_at
    assert timedelta(seconds=90) <= claim.now - claim.oldest_at < timedelta(seconds=150)
    assert abs(claim.now - datetime.now(UTC)) < timedelta(minutes=1)


async def test_claim_skips_what_another_holds(engine: AsyncEngine, rows: Platform) -> None:
    await record(rows, *"abcd")

    async with engine.begin() as one, engine.begin() as other:
        first = await outbox.claim(one, 2)
        second = await outbox.claim(other, 100)
        third = await outbox.claim(other, 100)

    assert (sorted(first.tutor_ids), sorted(second.tutor_ids), third.changes) == (["a", "b"], ["c", "d"], 0)
    assert await left(rows) == []


async def test_claim_that_is_rolled_back_gives_everything_back(engine: AsyncEngine, rows: Platform) -> None:
    await record(rows, *"abc")

    async with engine.connect() as conn:
        await outbox.claim(conn, 2)
        await conn.rollback()

    assert await left(rows) == ["a", "b", "c"]
    async with engine.begin() as conn:
        claim = await outbox.claim(conn, 100)
    assert sorted(claim.tutor_ids + claim.apart) == ["a", "b", "c"]


async def test_what_an_unfinished_transaction_had_is_set_apart(engine: AsyncEngine, rows: Platform) -> None:
    await record(rows, *"abc")
    async with engine.connect() as conn:
        unfinished = await outbox.claim(conn, 2)
        await conn.rollback()
    assert unfinished.transaction
    await record(rows, "b", "d")

    async with engine.connect() as conn:
        claim = await outbox.claim(conn, 100)
        await conn.rollback()
    assert (sorted(claim.tutor_ids), sorted(claim.apart)) == (["c", "d"], ["a", "b"])

    async with engine.connect() as conn:
        own = await outbox.claim(conn, 100, own=[unfinished.transaction, str(claim.transaction)])
    assert (sorted(own.tutor_ids), own.apart) == (["a", "b", "c", "d"], [])


async def test_failing_tutors_are_set_apart(engine: AsyncEngine, rows: Platform) -> None:
    await record(rows, "a", "failing")
    async with engine.begin() as conn:
        await failures.set_aside(conn, ["failing"])

    async with engine.begin() as conn:
        claim = await outbox.claim(conn, 100)

    assert (claim.tutor_ids, claim.apart) == (["a"], ["failing"])


async def test_session_that_moved_concerns_the_tutor_it_has_now(engine: AsyncEngine, rows: Platform) -> None:
    await rows.user("after")
    session = await rows.session("here")
    await rows.rows("DELETE FROM tutorwatch.outbox RETURNING 1")
    await rows.rows(
        "INSERT INTO tutorwatch.outbox (tutor_id, session_ids) VALUES ('here', %s::uuid[]) RETURNING 1", [session]
    )
    await rows.connection.execute("ALTER TABLE sessions DISABLE TRIGGER tutorwatch_update")
    await rows.rows("UPDATE sessions SET tutor_id = 'after' RETURNING 1")

    async with engine.begin() as conn:
        claim = await outbox.claim(conn, 100)

    assert (sorted(claim.tutor_ids), claim.changes, claim.concerns_every_tutor) == (["after", "here"], 1, False)


async def test_session_whose_tutor_was_not_to_be_seen_is_looked_up(engine: AsyncEngine, rows: Platform) -> None:
    sessions = [await rows.session("here"), await rows.session("here")]
    await rows.rows("DELETE FROM tutorwatch.outbox RETURNING 1")
    await rows.rows(
        "INSERT INTO tutorwatch.outbox (session_ids) VALUES (%s::uuid[]), (%s::uuid[]) RETURNING 1",
        sessions,
        [uuid4()],
    )

    async with engine.begin() as conn:
        claim = await outbox.claim(conn, 100)

    assert (claim.tutor_ids, claim.changes, claim.concerns_every_tutor) == (["here"], 2, False)


async def test_marker_for_every_tutor_is_told_apart(engine: AsyncEngine, rows: Platform) -> None:
    await record(rows, "here", None)

    async with engine.begin() as conn:
        claim = await outbox.claim(conn, 100)

    assert (claim.tutor_ids, claim.changes, claim.concerns_every_tutor) == (["here"], 2, True)


async def test_every_tutor_is_whoever_teaches_taught_or_has_a_profile(engine: AsyncEngine, rows: Platform) -> None:
    await rows.insert("users", id="by role", email="1@example.test", name="R", role="tutor")
    await rows.user("by profile", role="admin")
    await rows.insert("tutors", user_id="by profile")
    await rows.user("by session", role="admin")
    await rows.session("by session", status="scheduled")
    await rows.user("admin", role="admin")

    async with engine.begin() as conn:
        await outbox.add_every_tutor(conn)

    assert sorted(filter(None, await left(rows))) == ["by profile", "by role", "by session", "here"]


async def test_adding_every_tutor_tells_how_many(engine: AsyncEngine, rows: Platform) -> None:
    async with engine.begin() as conn:
        added = await outbox.add_every_tutor(conn)

    assert added == len(await left(rows)) == 1


async def test_empty_claim_tells_what_others_hold(engine: AsyncEngine, rows: Platform) -> None:
    async with engine.connect() as conn:
        claim = await outbox.claim(conn, 1)
        assert (claim.others_hold_changes, claim.attempt_in_seconds) == (False, None)
    await record(rows, "a")

    async with engine.begin() as holder, engine.connect() as conn:
        await outbox.claim(holder, 1)
        claim = await outbox.claim(conn, 1)
        assert (claim.changes, claim.others_hold_changes) == (0, True)

    async with engine.connect() as conn:
        assert not (await outbox.claim(conn, 1)).others_hold_changes


@pytest.mark.parametrize(
    ("due_in", "low", "high"),
    [
        pytest.param(["90 s", "30 s"], 0, 30, id="the nearest of them"),
        pytest.param(["-10 s", "30 s"], -70, -10, id="due already"),
        pytest.param([None, "30 s"], 0, 30, id="dead-lettered ones are never due"),
    ],
)
async def test_claim_tells_when_the_next_attempt_is_due(
    engine: AsyncEngine, rows: Platform, due_in: list[str | None], low: float, high: float
) -> None:
    for number, interval in enumerate(due_in):
        await rows.rows(
            "INSERT INTO tutorwatch.failures (tutor_id, attempts, last_error, first_failed_at, last_failed_at,"
            " next_attempt_at) VALUES (%s, 1, 'x', now(), now(), clock_timestamp() + %s::interval) RETURNING 1",
            str(number),
            interval,
        )

    async with engine.connect() as conn:
        claim = await outbox.claim(conn, 1)

    assert claim.attempt_in_seconds is not None
    assert low <= claim.attempt_in_seconds <= high


async def test_truncated_alerts_leave_nothing_consumed(database_url: str, platform: Platform) -> None:
    """All that is known of them goes with them: what holds is opened anew."""
    [tutor] = await no_shows(platform, 1)
    async with listening(database_url):
        await has_settled(platform)
        assert await alerted(platform) == [tutor]
        await platform.rows("UPDATE alerts SET resolved = true, resolved_at = now() AT TIME ZONE 'UTC' RETURNING 1")
        await has_settled(platform)
        assert await platform.open_alerts(tutor) == []

        await platform.connection.execute("TRUNCATE alerts")

        await has_settled(platform)
        assert await platform.open_alerts(tutor) == ["no_show_pattern"]
