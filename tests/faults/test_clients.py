"""Clients that write in every way a client may, many at once: each commit is seen, and none fails or is warned."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from database.recording import SWITCH_OFF, SWITCH_ON
from tests.faults.clock import install_clock, set_clock
from tests.faults.record import FaultRecorder
from tests.support.command import Running
from tests.support.listening import NEVER, has_settled, is_up, listening, no_shows
from tests.support.platform import Platform, naive
from tests.support.roles import LISTENER
from tests.support.scale import either
from tests.support.waiting import eventually

WRITERS = 16
INSERT = (
    b"INSERT INTO sessions (id, tutor_id, student_id, subject_id, scheduled_start, scheduled_duration, session_number,"
    b" status) VALUES (%s, %s, 'student', %s, %s, 60, 2, 'no_show_tutor')"
)


@asynccontextmanager
async def clients(url: str, count: int, warnings: list[str]) -> AsyncIterator[list[psycopg.AsyncConnection[Any]]]:
    """Connections of the platform's; what they are warned of is noted."""
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(count):
            client = await psycopg.AsyncConnection.connect(url, autocommit=True)
            client.add_notice_handler(lambda notice: warnings.append(str(notice.message_primary)))
            found.append(await stack.enter_async_context(client))
        yield found


@pytest.mark.parametrize("tutors", [1, 40])
async def test_every_commit_of_sixteen_writers_is_seen(
    tutors: int, database_url: str, platform: Platform, fault_record: FaultRecorder
) -> None:
    """Each keeps transactions open for a while, so that they commit out of order, and takes some of it back."""
    names = [f"tutor-{number}" for number in range(tutors)]
    for name in names:
        await platform.user(name)
    await platform.user("student", role="student")
    subject = await platform.subject()
    committed: dict[str, set[UUID]] = {name: set() for name in names}
    warnings: list[str] = []
    transactions = either(test=10, soak=150)

    async def write(number: int, client: psycopg.AsyncConnection[Any]) -> None:
        dice = random.Random(number)

        async def insert() -> tuple[str, UUID]:
            tutor, session = dice.choice(names), uuid4()
            await client.execute(INSERT, [session, tutor, subject, naive(datetime.now(UTC) - timedelta(days=1))])
            return tutor, session

        for turn in range(transactions):
            kept: list[tuple[str, UUID]] = []
            async with client.transaction() as transaction:
                kept.append(await insert())
                await asyncio.sleep(dice.choice([0, 0, 0.02, 0.1]))
                async with client.transaction(force_rollback=turn % 3 == 0):
                    inner = await insert()
                if turn % 3:
                    kept.append(inner)
                if turn % 4 == 1:
                    kept.clear()
                    raise psycopg.Rollback(transaction)
            for tutor, session in kept:
                committed[tutor].add(session)

    async with clients(database_url, WRITERS, warnings) as writers, AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(listening(database_url, poll_seconds=NEVER, batch_size=20))
        await is_up(platform, 2)
        async with asyncio.timeout(either(test=240, soak=600)):
            await asyncio.gather(*(write(number, client) for number, client in enumerate(writers)))
        started = asyncio.get_running_loop().time()
        await has_settled(platform)
        seconds = asyncio.get_running_loop().time() - started

    counted = {
        tutor: set(session_ids)
        for tutor, session_ids in await platform.rows(
            "SELECT a.tutor_id, e.session_ids FROM alerts AS a JOIN tutorwatch.alert_evidence AS e ON e.alert_id = a.id"
        )
    }
    alerts = await platform.rows("SELECT count(*) FROM alerts")
    expected = {tutor: sessions for tutor, sessions in committed.items() if len(sessions) > 1}
    lost = sum(len(sessions - counted.get(tutor, set())) for tutor, sessions in expected.items())
    fault_record(
        "16 writers at once, out of order, with rollbacks",
        injected=WRITERS * transactions,
        lost=lost,
        doubled=alerts[0] - len(counted),
        recovery_seconds=seconds,
    )
    assert counted == expected
    assert warnings == []


async def test_bulk_loads_and_changes_are_seen_whole(
    database_url: str, platform: Platform, fault_record: FaultRecorder
) -> None:
    tutors, each = 100, either(test=50, soak=1000)
    subject, student = await platform.subject(), await platform.user("student", role="student")
    for number in range(tutors):
        await platform.user(f"tutor-{number}")
    ids = {f"tutor-{number}": [uuid4() for _ in range(each)] for number in range(tutors)}
    at, warnings, slowest = naive(datetime.now(UTC) - timedelta(days=2)), list[str](), 0.0

    async def check(*categories: str) -> None:
        """Every tutor has these insights and no other."""
        nonlocal slowest
        started = asyncio.get_running_loop().time()
        await has_settled(platform)
        slowest = max(slowest, asyncio.get_running_loop().time() - started)
        active = await platform.rows(
            "SELECT category::text, count(*) FROM tutor_insights WHERE is_active GROUP BY 1 ORDER BY 1"
        )
        assert active == [(category, tutors) for category in sorted(categories)]

    async with clients(database_url, 1, warnings) as [client], listening(database_url, poll_seconds=NEVER):
        await is_up(platform)
        cursor = client.cursor()
        async with client.transaction():
            columns = (
                "id, tutor_id, student_id, subject_id, scheduled_start, scheduled_duration, session_number, status"
            )
            async with cursor.copy(f"COPY sessions ({columns}) FROM STDIN".encode()) as copy:
                for tutor, session_ids in ids.items():
                    for session in session_ids:
                        await copy.write_row((session, tutor, student, subject, at, 60, 2, "completed"))
            columns = "session_id, tutor_checks_understanding_count"
            async with cursor.copy(f"COPY session_audio_metrics ({columns}) FROM STDIN".encode()) as copy:
                for session in itertools.chain.from_iterable(ids.values()):
                    await copy.write_row((session, 13))
        await check("frequent_understanding_checks")
        await client.execute("UPDATE session_audio_metrics SET tutor_checks_understanding_count = 5")
        await check()
        await client.execute("UPDATE session_audio_metrics SET tutor_positive_reinforcement_count = 11")
        await check("positive_reinforcement")
        await client.execute("UPDATE sessions SET status = 'scheduled'")
        await check()
        await client.execute("UPDATE sessions SET status = 'completed'")
        await check("positive_reinforcement")
        keep = [session_ids[:4] for session_ids in ids.values()]
        await client.execute("DELETE FROM sessions WHERE id <> ALL(%s)", [list(itertools.chain.from_iterable(keep))])
        await check()
        await platform.rows("SELECT 1")
        await client.execute("TRUNCATE sessions CASCADE")
        await check()

    fault_record(
        f"bulk COPY, UPDATE, DELETE, TRUNCATE of {tutors * each:,} sessions", injected=7, recovery_seconds=slowest
    )
    assert [warning for warning in warnings if "tutorwatch" in warning] == []


async def test_tutor_deleted_while_being_generated_stops_nobody(
    database_url: str, platform: Platform, fault_record: FaultRecorder
) -> None:
    dice, times, warnings = random.Random(7), either(test=25, soak=500), list[str]()
    async with clients(database_url, 1, warnings) as [client], listening(database_url, poll_seconds=NEVER) as listener:
        await is_up(platform)
        for number in range(times):
            gone, stays = await no_shows(platform, 2, first=2 * number + 1)
            await asyncio.sleep(dice.uniform(0, 0.03))
            await client.execute("DELETE FROM users WHERE id = %s", [gone])
        await has_settled(platform)
        assert not listener.task.done()
    alerted = await platform.rows("SELECT tutor_id FROM alerts")
    fault_record(
        "tutor deleted while being generated",
        injected=times,
        lost=times - len(set(alerted)),
        doubled=len(alerted) - len(set(alerted)),
    )
    assert stays in alerted
    assert await platform.rows("SELECT tutor_id FROM tutorwatch.failures") == []
    assert warnings == []


async def test_load_while_recording_is_off_is_found_by_the_daily_sweep(
    database_url: str, platform: Platform, fault_record: FaultRecorder
) -> None:
    now = datetime.now(UTC)
    await install_clock(platform.connection)
    await set_clock(platform.connection, now)
    await platform.connection.execute("UPDATE tutorwatch.sweep SET swept_at = %s", [now])
    async with listening(database_url, poll_seconds=0.2):
        await platform.connection.execute(SWITCH_OFF.encode())
        tutors = await no_shows(platform, 20)
        await platform.connection.execute(SWITCH_ON.encode())
        await platform.user("other")
        await platform.connection.execute("INSERT INTO tutorwatch.outbox (tutor_id) VALUES ('other')")
        await has_settled(platform)
        assert await platform.rows("SELECT count(*) FROM alerts") == [0]

        await set_clock(platform.connection, now + timedelta(hours=24, seconds=1))

        async def found() -> bool:
            return await platform.rows("SELECT count(*) FROM alerts") == [len(tutors)]

        await eventually(found)
    fault_record("load while recording was off", injected=len(tutors))


async def test_time_zones_of_server_client_and_listener_change_nothing(
    database_url: str, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    [name] = await platform.rows("SELECT current_database()")
    await platform.connection.execute(f"ALTER DATABASE {name} SET timezone = 'Pacific/Kiritimati'".encode())
    monkeypatch.setenv("TZ", "Pacific/Marquesas")
    monkeypatch.setenv("PGTZ", "America/St_Johns")
    oldest = datetime.now(UTC) - timedelta(days=30)
    async with await psycopg.AsyncConnection.connect(
        make_conninfo(database_url, options="-c timezone=Asia/Kathmandu"), autocommit=True
    ) as connection:
        client = Platform(connection)
        for tutor, start in (("inside", oldest + timedelta(minutes=10)), ("outside", oldest - timedelta(minutes=10))):
            await client.session(tutor, at=start, status="no_show_tutor")
            await client.session(tutor, at=start, status="no_show_tutor")
    with Running("listen", url=LISTENER.url(database_url)):
        await has_settled(platform)

    [(tutor, triggered)] = await platform.rows("SELECT tutor_id, triggered_date FROM alerts")
    assert tutor == "inside"
    assert abs(triggered - naive(datetime.now(UTC))) < timedelta(minutes=1)


async def test_clock_that_jumps_forward_and_back_doubles_and_loses_nothing(
    database_url: str, platform: Platform, fault_record: FaultRecorder
) -> None:
    """The database's clock, which is the only one that generation knows."""
    now = datetime.now(UTC)
    await install_clock(platform.connection)
    jumps = [timedelta(0), timedelta(days=40), timedelta(days=-40), timedelta(0), timedelta(days=400), timedelta(0)]
    async with listening(database_url, poll_seconds=0.2):
        for number, jump in enumerate(jumps, 1):
            await set_clock(platform.connection, now + jump)
            for student in ("ann", "ben"):
                await platform.session(
                    f"tutor-{number}", student=student, at=now + jump - timedelta(days=1), status="no_show_tutor"
                )
            await has_settled(platform)
    alerted = await platform.rows("SELECT tutor_id FROM alerts ORDER BY tutor_id")
    fault_record(
        "clock that jumps",
        injected=len(jumps),
        lost=len(jumps) - len(set(alerted)),
        doubled=len(alerted) - len(set(alerted)),
    )


async def test_daily_sweep_goes_on_after_the_clock_was_set_back(database_url: str, platform: Platform) -> None:
    now = datetime.now(UTC)
    await install_clock(platform.connection)
    await set_clock(platform.connection, now)
    await platform.connection.execute("UPDATE tutorwatch.sweep SET swept_at = %s", [now + timedelta(days=400)])
    tutors = await no_shows(platform, 1)
    await platform.connection.execute("DELETE FROM tutorwatch.outbox")
    async with listening(database_url, poll_seconds=0.2):
        await is_up(platform)
        for hours in (0, 25, 50):
            await set_clock(platform.connection, now + timedelta(hours=hours))
            await asyncio.sleep(0.5)

        async def is_alerted() -> bool:
            return await platform.rows("SELECT tutor_id FROM alerts") == tutors

        await eventually(is_alerted)
