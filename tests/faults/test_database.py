"""A database that crashes, refuses, times out, runs full and fails over: nothing is lost, and no client pays for it."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest

from database.session_settings import STATEMENT_SECONDS
from tests.faults.own_server import OwnServer, aside
from tests.faults.proxy import Proxy
from tests.faults.record import FaultRecorder
from tests.faults.traffic import SUBJECT, Traffic, flowing, is_quiet, seconds_until_caught_up
from tests.support.command import NO_EMBEDDED_DATABASE, PROGRAM, Running
from tests.support.platform import Platform
from tests.support.roles import LISTENER, WEB
from tests.support.scale import RECOVERY_SECONDS, either
from tests.support.servers import folder_for_servers, server_user
from tests.support.waiting import eventually


@asynccontextmanager
async def platform_on(url: str) -> AsyncIterator[Platform]:
    """A client of the test's own; its users and subject are those of the traffic."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, application_name="test") as client:
        yield Platform(client, subject_id=SUBJECT, known_users={"student"})


@contextmanager
def listeners(url: str, count: int = 2, **settings: object) -> Iterator[list[Running]]:
    """Listeners of which none may end, or meet an error that it doesn't expect."""
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                Running("listen", url=LISTENER.url(url), cwd=NO_EMBEDDED_DATABASE, program=(PROGRAM,), **settings)
            )
            for _ in range(count)
        ]
        yield running
        for listener in running:
            assert listener.is_running, "".join(listener.err[-20:])
            assert not [line for line in listener.err if "Traceback" in line or "duplicate key" in line]


async def all_listen(running: list[Running]) -> None:
    await asyncio.gather(*(listener.log(action="listening") for listener in running))


@pytest.mark.soak_minutes(2)
@pytest.mark.parametrize("how", ["stopped at once", "backend killed"])
async def test_crash_under_load(how: str, own_server: OwnServer, fault_record: FaultRecorder) -> None:
    """The server goes without a word, or resets itself because a backend died; both recover from its log."""
    dice, recovery = random.Random(5), 0.0
    times = either(test=2, soak=20)
    traffic = Traffic(own_server.url, survives_outages=True)
    with listeners(own_server.url) as running:
        async with flowing(traffic):
            await all_listen(running)
            for _ in range(times):
                await asyncio.sleep(dice.uniform(0.2, 1))
                if how == "backend killed":
                    await _kill_a_backend(own_server)
                else:
                    await aside(own_server.stop)
                    await asyncio.sleep(dice.choice([0, 0, 1, either(test=1, soak=12)]))
                    await aside(own_server.start)
                async with platform_on(own_server.url) as platform:
                    recovery = max(recovery, await seconds_until_caught_up(platform))
        verdict = await traffic.judge()

    assert traffic.unanswered > 0, "no client noticed: the server was not under load"
    fault_record(
        "database stopped at once and started" if how == "stopped at once" else "database backend killed (kill -9)",
        injected=times,
        lost=verdict.lost,
        doubled=verdict.doubled,
        recovery_seconds=recovery,
    )
    assert recovery < RECOVERY_SECONDS


async def _kill_a_backend(server: OwnServer) -> None:
    """Returns when the server has ended all others, as it does then, and answers again."""
    async with platform_on(server.url) as platform, platform_on(server.url) as bystander:
        [backend] = await platform.rows("SELECT pg_backend_pid()")
        os.kill(backend, signal.SIGKILL)

        async def is_ended() -> bool:
            try:
                await bystander.rows("SELECT 1")
            except psycopg.OperationalError:
                return True
            return False

        await eventually(is_ended)

    async def answers() -> bool:
        return server.answers

    await eventually(answers)


OUR_CONNECTIONS = ("tutorwatch-listen", "tutorwatch-worker", "tutorwatch-web", "tutorwatch-web-listen")


async def test_each_of_our_connections_is_terminated(own_server: OwnServer, fault_record: FaultRecorder) -> None:
    """By an operator, in turn; the dashboard goes on answering, too."""
    rounds, recovery, terminated = either(test=2, soak=30), 0.0, 0
    traffic = Traffic(own_server.url)
    with (
        listeners(own_server.url) as running,
        Running("web", url=WEB.url(own_server.url), web_port=0) as web,
    ):
        await all_listen(running)
        address = (await web.log(action="serving"))["message"].removeprefix("Serving on ")
        async with flowing(traffic), platform_on(own_server.url) as platform, aiohttp.ClientSession(address) as browser:

            async def is_ready() -> bool:
                async with browser.get("/readyz") as answer:
                    return answer.status == 200

            await eventually(is_ready)
            for application in OUR_CONNECTIONS * rounds:
                terminated += await _terminate(platform, application)
                started = time.monotonic()
                await seconds_until_caught_up(platform)
                await eventually(is_ready)
                await eventually(lambda: _are_connected(platform))
                recovery = max(recovery, time.monotonic() - started)
            assert web.is_running
        verdict = await traffic.judge()

    fault_record(
        "connection of ours terminated",
        injected=terminated,
        lost=verdict.lost,
        doubled=verdict.doubled,
        recovery_seconds=recovery,
    )
    assert recovery < RECOVERY_SECONDS


async def _terminate(platform: Platform, application: str) -> int:
    """Ends this application's connections, in all its processes; returns how many."""
    ended = await platform.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", application
    )
    assert ended, f"{application} has no connection"
    return len(ended)


async def _are_connected(platform: Platform) -> bool:
    names = await platform.rows(
        "SELECT DISTINCT application_name FROM pg_stat_activity WHERE application_name LIKE 'tutorwatch-%%'"
    )
    return set(names) >= set(OUR_CONNECTIONS)


async def test_statement_cancelled_by_the_server(own_server: OwnServer, fault_record: FaultRecorder) -> None:
    """In the middle of whatever it is at, as its own timeout does it."""
    wanted, cancelled = either(test=10, soak=200), 0
    traffic = Traffic(own_server.url)
    with listeners(own_server.url) as running:
        await all_listen(running)
        async with flowing(traffic), platform_on(own_server.url) as platform:
            while cancelled < wanted:
                ended = await platform.rows(
                    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'tutorwatch-worker' AND state = 'active'"
                )
                cancelled += len(ended)
                await asyncio.sleep(0.1 if ended else 0.005)
            recovery = await seconds_until_caught_up(platform)
        verdict = await traffic.judge()

    fault_record(
        "statement cancelled",
        injected=cancelled,
        lost=verdict.lost,
        doubled=verdict.doubled,
        recovery_seconds=recovery,
    )


@pytest.mark.soak
@pytest.mark.soak_minutes(2)
async def test_statement_timeout(own_server: OwnServer, fault_record: FaultRecorder) -> None:
    """A trigger of a client's own makes our write slower than we let any statement be; then the client mends it."""
    traffic, times = Traffic(own_server.url, tutors=2), 2
    with listeners(own_server.url, 1) as running:
        await all_listen(running)
        async with flowing(traffic, clients=1), platform_on(own_server.url) as platform:
            recovery = 0.0
            for _ in range(times):
                await platform.connection.execute(
                    f"CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
                    f" $$ BEGIN PERFORM pg_sleep({2 * STATEMENT_SECONDS}); RETURN NULL; END $$;"
                    " CREATE TRIGGER slow AFTER INSERT OR UPDATE ON tutor_insights EXECUTE FUNCTION slow();"
                    " CREATE TRIGGER slow AFTER INSERT OR UPDATE ON alerts EXECUTE FUNCTION slow()".encode()
                )
                known = len(running[0].err)

                async def was_told(known: int = known) -> bool:
                    return any("statement timeout" in line for line in running[0].err[known:])

                await eventually(was_told)
                await platform.connection.execute("DROP FUNCTION slow() CASCADE")
                recovery = max(recovery, await seconds_until_caught_up(platform))
        verdict = await traffic.judge()

    fault_record(
        "statement timeout", injected=times, lost=verdict.lost, doubled=verdict.doubled, recovery_seconds=recovery
    )


LOCKED_SECONDS = either(test=6.0, soak=3.0)
"""Longer than we wait, and than any write takes that waits for nobody."""


async def test_lock_timeout(own_server: OwnServer, fault_record: FaultRecorder) -> None:
    """A client locks whole tables that we write, for longer than we wait; then lets go."""
    times, recovery = either(test=1, soak=5), 0.0
    traffic = Traffic(own_server.url, only_adds=True)  # who deletes a session changes alerts, and waits for that client
    with listeners(own_server.url) as running:
        await all_listen(running)
        async with flowing(traffic), platform_on(own_server.url) as platform, platform_on(own_server.url) as locker:
            for _ in range(times):
                async with locker.connection.transaction():
                    await locker.connection.execute("LOCK TABLE alerts, tutor_insights IN ACCESS EXCLUSIVE MODE")
                    await asyncio.sleep(LOCKED_SECONDS)
                recovery = max(recovery, await seconds_until_caught_up(platform))
        verdict = await traffic.judge()

    assert any("lock timeout" in line for listener in running for line in listener.err)
    fault_record("lock timeout", injected=times, lost=verdict.lost, doubled=verdict.doubled, recovery_seconds=recovery)
    assert max(traffic.latencies) < 0.8 * LOCKED_SECONDS


async def test_deadlock_is_won_by_the_client(own_server: OwnServer, fault_record: FaultRecorder) -> None:
    """A client updates two alerts, in either order, while a generation refreshes both."""
    times, deadlocks = either(test=2, soak=25), 0
    traffic = Traffic(own_server.url, tutors=2, pause_seconds=0.5)
    with listeners(own_server.url, 1) as running:
        await all_listen(running)
        async with flowing(traffic, clients=1), platform_on(own_server.url) as platform:
            pair = ["ann", "ben"]
            for tutor in pair:
                await platform.user(tutor)
            await _miss(platform, pair)
            await _miss(platform, pair)
            await eventually(lambda: _are_alerted(platform, pair))
            recovery = 0.0
            for first, second in [tuple(pair), tuple(reversed(pair))] * times:
                deadlocks += await _meet_head_on(own_server.url, platform, first, second)
                recovery = max(recovery, await seconds_until_caught_up(platform))
        verdict = await traffic.judge()

    fault_record(
        "deadlock with a client", injected=deadlocks, lost=verdict.lost, doubled=verdict.doubled,
        recovery_seconds=recovery,
    )  # fmt: skip


async def _meet_head_on(url: str, platform: Platform, first: str, second: str) -> bool:
    """The client has the first tutor's alert, a generation of both waits for it; then the client wants the second's.

    Returns whether the generation held that: in one order of the two it does.
    """
    touch = b"UPDATE alerts SET description = description || '.' WHERE tutor_id = %s AND NOT resolved"
    async with await psycopg.AsyncConnection.connect(url, application_name="client") as client:
        await client.execute(touch, [first])
        await _miss(platform, [first, second])

        async def is_waiting() -> bool:
            return await platform.rows(
                "SELECT true FROM pg_stat_activity WHERE application_name = 'tutorwatch-worker'"
                " AND wait_event_type = 'Lock' AND pg_blocking_pids(pid) = ARRAY[%s]::integer[]",
                client.info.backend_pid,
            ) == [True]

        await eventually(is_waiting)
        [is_held] = await platform.rows(
            "SELECT count(*) = 0 FROM (SELECT FROM alerts WHERE tutor_id = %s FOR UPDATE SKIP LOCKED) AS free", second
        )
        started = time.monotonic()
        await client.execute(touch, [second])
        await client.commit()
        assert time.monotonic() - started < either(test=10, soak=2), "the client waited for more than our lock timeout"
    return bool(is_held)


async def _miss(platform: Platform, tutors: list[str]) -> None:
    """A no-show each, in one statement."""
    await platform.connection.execute(
        "INSERT INTO sessions (tutor_id, student_id, subject_id, scheduled_start, scheduled_duration, session_number,"
        " status) SELECT tutor, 'student', %s, now() - interval '1 day', 60, 2, 'no_show_tutor'"
        " FROM unnest(%s::text[]) AS tutor",
        [SUBJECT, tutors],
    )


async def _are_alerted(platform: Platform, tutors: list[str]) -> bool:
    rows = await platform.rows("SELECT count(*) FROM alerts WHERE tutor_id = ANY(%s) AND NOT resolved", tutors)
    return bool(rows == [len(tutors)])


async def test_serializable_clients_never_fail_for_us(own_server: OwnServer, fault_record: FaultRecorder) -> None:
    """They only add sessions, so they can't conflict among themselves. A write that fails ends the traffic."""
    serializable = psycopg.IsolationLevel.SERIALIZABLE
    traffic = Traffic(own_server.url, isolation=serializable, only_adds=True, pause_seconds=0.03)
    with listeners(own_server.url) as running:
        await all_listen(running)
        async with flowing(traffic):
            await asyncio.sleep(either(test=4, soak=30))
        verdict = await traffic.judge()
    fault_record("serializable clients' writes", injected=traffic.written, lost=verdict.lost, doubled=verdict.doubled)


async def test_read_only_database(own_server: OwnServer, fault_record: FaultRecorder) -> None:
    """Read-only for everybody who doesn't ask otherwise, which the clients do: their changes pile up."""
    times, recovery = either(test=1, soak=5), 0.0
    traffic = Traffic(own_server.url, settings="-c default_transaction_read_only=off")
    with listeners(own_server.url) as running:
        await all_listen(running)
        async with flowing(traffic):
            for _ in range(times):
                own_server.configure(default_transaction_read_only="on")
                await asyncio.sleep(either(test=3, soak=10))
                own_server.configure()
                async with platform_on(own_server.url) as platform:
                    recovery = max(recovery, await seconds_until_caught_up(platform))
        verdict = await traffic.judge()

    assert any("read-only transaction" in line for listener in running for line in listener.err)
    fault_record(
        "database read-only", injected=times, lost=verdict.lost, doubled=verdict.doubled, recovery_seconds=recovery
    )
    assert recovery < RECOVERY_SECONDS


async def test_fail_over_to_a_standby(own_server: OwnServer, fault_record: FaultRecorder) -> None:
    """The primary dies; whoever connects finds the standby, read-only at first, then promoted."""
    with tempfile.TemporaryDirectory(
        prefix="tutorwatch-", dir=folder_for_servers(), ignore_cleanup_errors=True
    ) as folder:
        standby = own_server.standby(Path(folder))
        standby.start()
        own_server.configure(synchronous_standby_names="*")  # what is committed is on both
        try:
            async with Proxy(own_server.url) as network:
                traffic = Traffic(network.url, survives_outages=True)
                with listeners(network.url) as running:
                    async with flowing(traffic):
                        await all_listen(running)
                        await asyncio.sleep(1)
                        await aside(own_server.stop)
                        network.lead_to(standby.url)
                        await asyncio.sleep(either(test=2, soak=10))
                        await aside(standby.promote)
                        async with platform_on(standby.url) as platform:
                            recovery = await seconds_until_caught_up(platform)
                    verdict = await traffic.judge()
        finally:
            standby.end()

    assert any("read-only" in line or "recovery" in line for listener in running for line in listener.err)
    fault_record(
        "fail-over to a standby", injected=1, lost=verdict.lost, doubled=verdict.doubled, recovery_seconds=recovery
    )
    assert recovery < RECOVERY_SECONDS


async def test_out_of_connections(own_server: OwnServer, fault_record: FaultRecorder) -> None:
    """Other programs have taken every connection there is, ours included."""
    traffic = Traffic(own_server.url)
    own_server.configure(max_connections="15", max_wal_senders="0", superuser_reserved_connections="1")
    own_server.restart()
    with listeners(own_server.url) as running:
        await all_listen(running)
        async with flowing(traffic), platform_on(own_server.url) as platform:
            async with crowd(own_server.url) as occupants:
                await eventually(lambda: _drive_us_out(platform))
                await asyncio.sleep(either(test=3, soak=20))
                assert await _ours(platform) == 0
                assert len(occupants) > 5
            recovery = await seconds_until_caught_up(platform)
        verdict = await traffic.judge()

    assert any(
        "too many clients" in line or "slots are reserved" in line for listener in running for line in listener.err
    )
    fault_record(
        "out of connections", injected=1, lost=verdict.lost, doubled=verdict.doubled, recovery_seconds=recovery
    )
    assert recovery < RECOVERY_SECONDS


@asynccontextmanager
async def crowd(url: str) -> AsyncIterator[list[psycopg.AsyncConnection[Any]]]:
    """Programs that take every connection that is or becomes free."""
    taken: list[psycopg.AsyncConnection[Any]] = []

    async def take_for_ever() -> None:
        while True:
            with suppress(psycopg.OperationalError):
                taken.append(await psycopg.AsyncConnection.connect(url, application_name="crowd"))
            await asyncio.sleep(0.002)

    takers = [asyncio.create_task(take_for_ever()) for _ in range(4)]
    try:
        yield taken
    finally:
        for taker in takers:
            taker.cancel()
        await asyncio.gather(*takers, return_exceptions=True)
        for connection in taken:
            await connection.close()


async def _ours(platform: Platform) -> int:
    [count] = await platform.rows("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'tutorwatch-%%'")
    return int(count)


async def _drive_us_out(platform: Platform) -> bool:
    """Ends our connections; says whether somebody else was quicker to take their places."""
    await platform.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'tutorwatch-%%'"
    )
    await asyncio.sleep(0.2)
    return await _ours(platform) == 0


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of one megabyte."""
    with tempfile.TemporaryDirectory(prefix="tutorwatch-") as folder:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0777", "tmpfs", folder], capture_output=True, check=False
        )
        if mounted.returncode:
            pytest.skip("a disk can't be mounted here: it needs the rights of root")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


async def test_full_disk_under_the_outbox(own_server: OwnServer, small_disk: Path, fault_record: FaultRecorder) -> None:
    """Clients' writes go through with a warning, which is noted; once there is room, a sweep finds the tutors."""
    traffic = Traffic(own_server.url)
    async with platform_on(own_server.url) as platform:
        await platform.connection.execute(b"DROP TABLESPACE IF EXISTS small")
        space = small_disk / "space"
        space.mkdir()
        space.chmod(0o777)
        if user := server_user():
            shutil.chown(space, user, user)
        await platform.connection.execute(f"CREATE TABLESPACE small LOCATION '{space}'".encode())
        await platform.connection.execute("ALTER TABLE tutorwatch.outbox SET TABLESPACE small")
        await platform.connection.execute("ALTER INDEX tutorwatch.outbox_pkey SET TABLESPACE small")
        filler = small_disk / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(b"x" * 4096):
                pass

        async with flowing(traffic):

            async def is_refused() -> bool:
                return len(traffic.warnings) > 50

            await eventually(is_refused)
        assert all("tutorwatch could not record a change" in warning for warning in traffic.warnings)
        assert any("No space left on device" in warning for warning in traffic.warnings)

        filler.unlink()
        started = time.monotonic()
        with listeners(own_server.url, 1) as [listener]:
            await listener.log(action="unrecorded_sweep")
            await listener.log(action="generated")  # the sweep's first batch: every tutor is in the outbox now
            await eventually(lambda: is_quiet(platform))
            recovery = time.monotonic() - started
            assert listener.logs(action="daily_sweep") == []  # it is the note of what went unrecorded that helped
            verdict = await traffic.judge()
        await platform.connection.execute("ALTER TABLE tutorwatch.outbox SET TABLESPACE pg_default")
        await platform.connection.execute("ALTER INDEX tutorwatch.outbox_pkey SET TABLESPACE pg_default")
        await platform.connection.execute("DROP TABLESPACE small")

    fault_record(
        "disk full under the outbox (changes not recorded)",
        injected=len(traffic.warnings),
        lost=verdict.lost,
        doubled=verdict.doubled,
        recovery_seconds=recovery,
    )
