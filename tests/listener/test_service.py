"""The listener from end to end: whatever happens to it, to its connections or to its database."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from database import subscription
from database.channels import CHANGES
from database.connections import LONGEST_ANSWER_SECONDS
from database.errors import SchemaMismatchError, single_errors
from migrations.uninstall import uninstall
from tests.support.command import Running, find_psql, psql, run_client, tutorwatch
from tests.support.listening import (
    NEVER,
    Proxy,
    alerted,
    generation_held_up,
    has_settled,
    held_up_backend,
    held_up_backends,
    is_up,
    listeners_at_work,
    listening,
    no_shows,
    waiting,
)
from tests.support.platform import Platform
from tests.support.roles import LISTENER
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def _capture_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.DEBUG, logger=subscription.__name__)  # told once a minute only, but each attempt is noted


SECOND_NO_SHOW = """
    INSERT INTO sessions (tutor_id, student_id, subject_id, scheduled_start, scheduled_duration, session_number, status)
    SELECT tutor_id, student_id, subject_id, scheduled_start + interval '1 hour', 60, 3, 'no_show_tutor'
    FROM sessions WHERE tutor_id = 'tutor-0001' LIMIT 1
"""


async def has_alert(platform: Platform, tutor: str) -> None:
    """Waits until the tutor has a no-show alert; fails if there are two."""

    async def is_alerted() -> bool:
        return tutor in await alerted(platform)

    await eventually(is_alerted)
    assert (await alerted(platform)).count(tutor) == 1


async def logged(caplog: pytest.LogCaptureFixture, action: str, count: int = 1) -> list[logging.LogRecord]:
    """The records of an action, once there are so many."""

    async def enough() -> list[logging.LogRecord]:
        records = [record for record in caplog.records if getattr(record, "action", None) == action]
        return records if len(records) >= count else []

    return await eventually(enough)


async def terminate(platform: Platform, application: str) -> int:
    """Ends the backends of an application on this database, and waits until they are gone; returns how many."""
    ended = await platform.rows(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = %s",
        application,
    )
    assert all(ended)
    return len(ended)


# The whole way, as processes


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(run_client, id="by a plain client"),
        pytest.param(
            psql, id="in psql", marks=pytest.mark.skipif(find_psql() is None, reason="psql is not to be found")
        ),
    ],
)
async def test_second_no_show_written_elsewhere_opens_an_alert(
    database_url: str, platform: Platform, write: Callable[[str, str], object]
) -> None:
    await no_shows(platform, 1, each=1)
    with Running("listen", url=LISTENER.url(database_url), poll_seconds=NEVER) as listener:
        await listener.log(action="listening")
        await has_settled(platform)
        assert await alerted(platform) == []

        await asyncio.to_thread(write, database_url, SECOND_NO_SHOW)

        await has_alert(platform, "tutor-0001")
        line = await listener.log(action="alert_opened")
        assert (line["level"], line["tutor_id"], line["alert_type"]) == ("INFO", "tutor-0001", "no_show_pattern")
        assert "2 no-shows in 30 days (alert from 2)" in line["message"]
        assert await platform.rows("SELECT severity::text, resolved, acknowledged FROM alerts") == [
            ("critical", False, False)
        ]
        assert listener.out == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_idle_listener_ends_at_once_when_told(
    database_url: str, platform: Platform, number: signal.Signals
) -> None:
    with Running("listen", url=LISTENER.url(database_url), poll_seconds=NEVER, heartbeat_seconds=300) as listener:
        await listener.log(action="listening")
        await is_up(platform)

        listener.send(number)

        assert await listener.end() == 0
        assert listener.logs()[-1]["action"] == "stopped"
        assert listener.logs(level="WARNING") == listener.logs(level="ERROR") == []
        assert await listeners_at_work(platform) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_listener_that_is_told_to_stop_commits_the_batch_in_flight(
    database_url: str, platform: Platform, number: signal.Signals
) -> None:
    """Both of them."""
    await no_shows(platform, 50)
    tutors = await waiting(platform)
    async with (
        generation_held_up(database_url, tutors[25]) as let_go,
        generation_held_up(database_url, tutors[35]) as let_the_other_go,
    ):
        with Running("listen", url=LISTENER.url(database_url), batch_size=10) as listener:
            await held_up_backends(platform, 2)
            assert await alerted(platform) == sorted(tutors[:20])
            listener.send(number)
            await asyncio.sleep(0.2)  # the signal may not end it, however long the batches take
            assert listener.is_running

            await let_go()
            await let_the_other_go()

            assert await listener.end() == 0
            assert await alerted(platform) == sorted(tutors[:40])
            assert await waiting(platform) == tutors[40:]
            assert listener.logs()[-1]["action"] == "stopped"


async def test_batch_that_outlasts_the_grace_time_is_rolled_back_whole(database_url: str, platform: Platform) -> None:
    await no_shows(platform, 50)
    tutors = await waiting(platform)
    async with generation_held_up(database_url, tutors[25]), generation_held_up(database_url, tutors[35]):
        with Running("listen", url=LISTENER.url(database_url), batch_size=10, grace_seconds=0.2) as listener:
            await held_up_backends(platform, 2)
            listener.send(signal.SIGTERM)

            assert await listener.end() == 0
            assert await alerted(platform) == sorted(tutors[:20])
            assert await waiting(platform) == tutors[20:]
    async with listening(database_url):
        await has_settled(platform)
    assert await alerted(platform) == sorted(tutors)


async def test_killed_listener_loses_nothing_and_another_takes_over(database_url: str, platform: Platform) -> None:
    await no_shows(platform, 30)
    tutors = await waiting(platform)
    async with (
        generation_held_up(database_url, tutors[5]) as let_go,
        generation_held_up(database_url, tutors[15]) as let_the_other_go,
    ):
        with Running("listen", url=LISTENER.url(database_url), batch_size=10) as killed:
            backends = await held_up_backends(platform, 2)
            async with listening(database_url, batch_size=10, poll_seconds=NEVER) as heir:

                async def others_are_through() -> bool:
                    return await waiting(platform) == tutors[:20]

                async def backends_are_gone() -> bool:
                    return await platform.rows("SELECT 1 FROM pg_stat_activity WHERE pid = ANY(%s)", backends) == []

                await eventually(others_are_through)  # the heir leaves what the other has claimed alone
                killed.send(signal.SIGKILL)
                assert await killed.end() == -signal.SIGKILL
                await eventually(backends_are_gone)
                assert await alerted(platform) == sorted(tutors[20:])

                await let_go()
                await let_the_other_go()

                await has_settled(platform)
    assert await alerted(platform) == sorted(tutors)
    assert heir.tutors == 30  # each once


async def test_database_that_is_away_at_start_is_waited_for(database_url: str, platform: Platform) -> None:
    tutors = await no_shows(platform, 2)
    async with Proxy(LISTENER.url(database_url)) as proxy:
        with Running("listen", url=proxy.url) as listener:
            await listener.log(action="unreachable")
            await asyncio.sleep(3)  # in which it tries some times more
            [line] = listener.logs()
            assert (line["level"], line["action"], line["attempt"]) == ("WARNING", "unreachable", 1)

            await proxy.open()

            await listener.log(action="listening")
            await has_settled(platform)
            assert await alerted(platform) == tutors
            listener.send(signal.SIGTERM)
            assert await listener.end() == 0


async def test_listener_without_a_database_can_be_stopped(database_url: str) -> None:
    async with Proxy(LISTENER.url(database_url)) as proxy:
        with Running("listen", url=proxy.url) as listener:
            await listener.log(action="unreachable")
            listener.send(signal.SIGTERM)
            assert await listener.end() == 0


@pytest.mark.parametrize(
    ("revision", "advice"),
    [
        pytest.param("0001", "older than this program", id="behind"),
        pytest.param("9999", "newer than this program", id="ahead"),
        pytest.param(None, "run `tutorwatch migrate`", id="never migrated"),
    ],
)
def test_other_schema_is_refused_with_what_to_do(
    platform_url: str, database_url: str, revision: str, advice: str
) -> None:
    if revision:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("UPDATE tutorwatch.alembic_version SET version_num = %s", [revision])

    refused = tutorwatch("listen", url=database_url if revision else platform_url)

    assert refused.code == 1
    assert refused.out == ""
    assert advice in refused.err
    assert len(refused.err.splitlines()) == 1


# Catching up


async def test_what_was_written_without_a_listener_is_caught_up_once(database_url: str, platform: Platform) -> None:
    async with listening(database_url):
        early = await no_shows(platform, 20)
        await has_settled(platform)
    for _ in range(4):  # four more statements for each of 300 tutors, 2400 sessions
        late = await no_shows(platform, 300)
    assert (await alerted(platform), len(await waiting(platform))) == (early, 4 * 300)

    async with listening(database_url) as again:
        await has_settled(platform)

    assert await alerted(platform) == late
    assert (again.changes, sum(len(batch.generated.alerts) for batch in again.batches)) == (1200, 280)
    async with listening(database_url) as idle:
        await is_up(platform)
    assert idle.batches == []


async def test_change_missed_while_the_connection_was_cut_is_found_after_the_reconnect(
    database_url: str, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    async with Proxy(LISTENER.url(database_url)) as proxy:
        await proxy.open()
        async with listening(
            database_url, listen_url=proxy.url, poll_seconds=NEVER, fallback_poll_seconds=60
        ) as listener:
            await logged(caplog, "listening")
            await proxy.close()
            await logged(caplog, "unreachable")
            await no_shows(platform, 1)
            await asyncio.sleep(0.3)
            assert listener.batches == []  # the subscription is lost, and its next poll is far away

            await proxy.open()

            await has_alert(platform, "tutor-0001")


async def test_killed_notification_connection_loses_nothing(database_url: str, platform: Platform) -> None:
    async with listening(database_url, poll_seconds=NEVER, fallback_poll_seconds=60):
        await is_up(platform)
        for number in (1, 2, 3):
            assert await terminate(platform, "tutorwatch-listen") == 1
            (tutor,) = await no_shows(platform, 1, first=number)
            await has_alert(platform, tutor)
            await is_up(platform)


async def test_listener_that_lost_its_subscription_says_so_polls_and_recovers(
    database_url: str, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    async with Proxy(LISTENER.url(database_url)) as proxy:
        await proxy.open()
        async with listening(database_url, listen_url=proxy.url, poll_seconds=NEVER, fallback_poll_seconds=0.1):
            await logged(caplog, "listening")  # before that it has no connection to lose, and would say something else

            await proxy.close()

            (lost,) = await logged(caplog, "subscription_lost")
            assert lost.levelname == "WARNING"
            assert lost.getMessage().startswith("Lost the subscription to notifications (")
            await no_shows(platform, 1, first=1)
            await has_alert(platform, "tutor-0001")

            await proxy.open()

            await logged(caplog, "listening", 2)
            await no_shows(platform, 1, first=2)
            await has_alert(platform, "tutor-0002")


async def test_listener_that_never_subscribes_generates_by_polling(
    database_url: str, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    (tutor,) = await no_shows(platform, 1)
    async with (
        Proxy(LISTENER.url(database_url)) as proxy,
        listening(database_url, listen_url=proxy.url, poll_seconds=NEVER, fallback_poll_seconds=0.1),
    ):
        assert (await logged(caplog, "unreachable"))[0].levelname == "WARNING"

        async def is_alerted() -> bool:
            return await alerted(platform) == [tutor]

        await eventually(is_alerted)


async def test_connection_that_fell_silent_is_found_out_and_replaced(
    database_url: str, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    async with Proxy(LISTENER.url(database_url)) as proxy:
        await proxy.open()
        async with listening(
            database_url, listen_url=proxy.url, poll_seconds=NEVER, fallback_poll_seconds=60, heartbeat_seconds=0.3
        ):
            await logged(caplog, "listening")

            proxy.fall_silent()

            await no_shows(platform, 1)
            await logged(caplog, "subscription_lost")
            await logged(caplog, "listening", 2)
            await has_alert(platform, "tutor-0001")


async def test_network_that_fell_silent_under_all_connections_costs_no_more_than_under_one(
    database_url: str, platform: Platform
) -> None:
    async with Proxy(LISTENER.url(database_url)) as proxy:
        await proxy.open()
        async with listening(proxy.url, poll_seconds=NEVER, fallback_poll_seconds=60, heartbeat_seconds=0.5):
            await is_up(platform)
            await no_shows(platform, 1, first=1)
            await has_alert(platform, "tutor-0001")

            proxy.fall_silent()

            await no_shows(platform, 1, first=2)

            async def is_alerted() -> bool:
                return "tutor-0002" in await alerted(platform)

            await eventually(is_alerted, within=0.9 * LONGEST_ANSWER_SECONDS)


async def test_connection_that_cannot_listen_is_tried_again_ever_more_rarely(
    database_url: str, server_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(database_url, listen_url=server_url):  # another database, without our tables
        lost = await logged(caplog, "unreachable", 5)
    delays = [record.__dict__["delay_seconds"] for record in lost]
    assert delays[3] > 2 * delays[0]
    for delay, (earlier, later) in zip(delays, pairwise(record.created for record in lost), strict=False):
        assert later - earlier > delay - 0.1  # it is told rounded


# New changes beside a long batch


async def test_new_change_passes_a_long_batch_and_the_backlog_behind_it(database_url: str, platform: Platform) -> None:
    await no_shows(platform, 60)
    backlog = await waiting(platform)
    async with (
        generation_held_up(database_url, backlog[5]) as let_go,
        generation_held_up(database_url, backlog[15]) as let_the_other_go,
        listening(database_url, batch_size=10),
    ):
        await held_up_backends(platform, 2)
        await is_up(platform)

        (new,) = await no_shows(platform, 1, first=61)

        await has_alert(platform, new)
        assert (await waiting(platform))[:40] == backlog[:40]  # few have come along, none of the oldest

        await let_go()
        await let_the_other_go()

        await has_settled(platform)
    assert await alerted(platform) == sorted([*backlog, new])


# Lost connections of the worker


async def test_killed_idle_worker_connection_is_replaced(database_url: str, platform: Platform) -> None:
    async with listening(database_url, poll_seconds=NEVER):
        await no_shows(platform, 1, first=1)
        await has_alert(platform, "tutor-0001")
        assert await terminate(platform, "tutorwatch-worker") >= 1

        await no_shows(platform, 1, first=2)

        await has_alert(platform, "tutor-0002")


async def test_worker_connection_killed_in_a_batch_gives_the_batch_back(database_url: str, platform: Platform) -> None:
    await no_shows(platform, 20)
    tutors = await waiting(platform)
    async with (
        generation_held_up(database_url, tutors[15]) as let_go,
        listening(database_url, poll_seconds=NEVER, batch_size=10),
    ):
        first = await held_up_backend(platform)
        await platform.rows("SELECT pg_terminate_backend(%s, 10000)", first)
        assert await held_up_backend(platform) != first
        assert await waiting(platform) == tutors[10:]

        await let_go()

        await has_settled(platform)
    assert await alerted(platform) == sorted(tutors)
    assert await platform.rows("SELECT * FROM tutorwatch.failures") == []


async def test_database_that_goes_away_meanwhile_is_waited_for(
    database_url: str, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="listener.worker")  # the subscription tells of it
    async with Proxy(LISTENER.url(database_url)) as proxy:
        await proxy.open()
        async with listening(proxy.url, poll_seconds=NEVER, fallback_poll_seconds=0.1) as listener:
            await is_up(platform)
            await proxy.close()
            await no_shows(platform, 1)
            await logged(caplog, "unreachable", 3)
            await logged(caplog, "outbox_unreachable", 1)
            assert not listener.task.done()

            await proxy.open()

            await has_alert(platform, "tutor-0001")
            await is_up(platform)
    assert await platform.rows("SELECT * FROM tutorwatch.failures") == []


async def test_outage_is_told_without_repeating_it_all_the_time(
    database_url: str, platform: Platform, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "FIRST_DELAY_SECONDS", 0.05)
    async with Proxy(LISTENER.url(database_url)) as proxy:
        await proxy.open()
        async with listening(proxy.url):
            await logged(caplog, "listening")
            caplog.clear()
            await proxy.close()
            await logged(caplog, "unreachable", 7)
            told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
            assert len(told) <= 2, "the subscription's and, where it notices sooner, the worker's"
            await proxy.open()
            await is_up(platform)


# Notifications


async def test_duplicate_and_forged_notifications_do_no_harm(database_url: str, platform: Platform) -> None:
    (tutor,) = await no_shows(platform, 1)
    async with listening(database_url, poll_seconds=NEVER) as listener:
        await has_alert(platform, tutor)
        rubbish = ["", tutor, tutor, "nobody", "'); DROP TABLE alerts; --", "🦉" * 1900, "\n\t", "{}", str(uuid4())]
        for channel in (CHANGES, f"{CHANGES}_of_nobody"):
            for payload in rubbish * 3:
                await platform.rows("SELECT pg_notify(%s, %s)", channel, payload)

        await no_shows(platform, 1, first=2)

        await has_alert(platform, "tutor-0002")
        await has_settled(platform)
        assert not listener.task.done()
        assert listener.changes == 2  # nothing was made of the forged ones
    assert await alerted(platform) == ["tutor-0001", "tutor-0002"]


async def test_burst_from_many_clients_is_generated_to_the_last_session(database_url: str, platform: Platform) -> None:
    tutors = await no_shows(platform, 40, each=1)
    statement = SECOND_NO_SHOW.replace("'tutor-0001'", "%s")

    async def write(part: list[str]) -> None:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
            for tutor in part * 5:
                await connection.execute(statement.encode(), [tutor])

    async with listening(database_url, poll_seconds=NEVER) as listener:
        await is_up(platform)
        await asyncio.gather(*(write(tutors[start::8]) for start in range(8)))
        await has_settled(platform)

    assert await alerted(platform) == tutors
    counted = await platform.rows("SELECT DISTINCT cardinality(session_ids) FROM tutorwatch.alert_evidence")
    assert counted == [6]
    assert listener.changes == 40 + 200


# Several listeners


@pytest.mark.parametrize("count", [2, 3])
async def test_listeners_share_the_work_without_doubling_it(database_url: str, platform: Platform, count: int) -> None:
    tutors = await no_shows(platform, 300)
    async with (
        listening(database_url, batch_size=5) as one,
        listening(database_url, batch_size=5) as two,
        listening(database_url, batch_size=5) as three,
    ):
        if count == 2:
            three.stop.set()
        await has_settled(platform)

    shares = [listener.tutors for listener in (one, two, three)]
    assert sum(shares) == 300
    assert sum(share > 0 for share in shares) >= 2
    assert await alerted(platform) == tutors


async def test_daily_sweep_looks_at_every_tutor_once_whoever_takes_it(database_url: str, platform: Platform) -> None:
    await no_shows(platform, 25)
    await platform.user("retired", role="admin")
    await platform.insert("tutors", user_id="retired")
    async with listening(database_url, poll_seconds=0.1) as one, listening(database_url, poll_seconds=0.1) as two:
        await has_settled(platform)
        await is_up(platform, 2)
        one.batches.clear()
        two.batches.clear()

        await platform.rows("UPDATE tutorwatch.sweep SET swept_at = now() - interval '25 hours' RETURNING 1")

        async def is_swept() -> bool:
            return one.changes + two.changes >= 27

        await eventually(is_swept)
        await has_settled(platform)
        for _ in range(3):  # three more polls of each, and nothing more comes of them
            await asyncio.sleep(0.1)
    assert one.changes + two.changes == 1 + 26
    assert one.tutors + two.tutors == 26
    assert await platform.rows("SELECT swept_at > now() - interval '1 hour' FROM tutorwatch.sweep") == [True]


async def test_daily_sweep_lets_time_alone_change_answers(database_url: str, platform: Platform) -> None:
    await platform.user("tutor")
    await platform.insert(
        "tutor_insights", tutor_id="tutor", insight_type="strength", category="high_engagement", display_text="Old"
    )
    await platform.rows("UPDATE tutorwatch.sweep SET swept_at = now() - interval '25 hours' RETURNING 1")

    async with listening(database_url):

        async def has_ended() -> bool:
            return await platform.active_insights() == []

        await eventually(has_ended)


async def test_daily_sweep_forgets_what_belonged_to_deleted_rows(database_url: str, platform: Platform) -> None:
    await no_shows(platform, 2)
    async with listening(database_url):
        await has_settled(platform)
    await platform.rows("DELETE FROM alerts WHERE tutor_id = 'tutor-0001' RETURNING 1")
    await platform.rows("DELETE FROM sessions WHERE tutor_id = 'tutor-0001' RETURNING 1")
    for tutor in ("gone", "tutor-0002"):
        await platform.rows(
            "INSERT INTO tutorwatch.failures (tutor_id, attempts, last_error, first_failed_at, last_failed_at,"
            " next_attempt_at) VALUES (%s, 1, 'x', now(), now(), now() + interval '1 hour') RETURNING 1",
            tutor,
        )
        await platform.rows(
            "INSERT INTO tutorwatch.alert_resolutions (alert_id, tutor_id, resolved_by, outcome)"
            " SELECT coalesce((SELECT id FROM alerts WHERE tutor_id = %s), gen_random_uuid()), %s, 'admin', 'other'"
            " RETURNING 1",
            tutor,
            tutor,
        )
    await platform.rows(
        "INSERT INTO tutorwatch.listeners VALUES"
        " (gen_random_uuid(), 'dead', 1, '0', now(), now() - interval '25 hours'),"
        " (gen_random_uuid(), 'quiet', 1, '0', now(), now() - interval '23 hours') RETURNING 1"
    )
    await platform.rows("UPDATE tutorwatch.sweep SET swept_at = now() - interval '25 hours' RETURNING 1")

    async with listening(database_url):

        async def has_swept() -> bool:
            return await platform.rows("SELECT swept_at > now() - interval '1 hour' FROM tutorwatch.sweep") == [True]

        await eventually(has_swept)

    assert await platform.rows("SELECT tutor_id FROM tutorwatch.alert_evidence") == ["tutor-0002"]
    assert await platform.rows("SELECT tutor_id FROM tutorwatch.alert_resolutions") == ["tutor-0002"]
    assert "gone" not in await platform.rows("SELECT tutor_id FROM tutorwatch.failures")
    assert await platform.rows("SELECT host FROM tutorwatch.listeners") == ["quiet"]


# The listener's own row


async def test_heartbeat_row_comes_is_refreshed_and_goes(database_url: str, platform: Platform) -> None:
    async with listening(database_url, heartbeat_seconds=0.2):
        await is_up(platform)
        ((host, process_id, version, started_at, seen_at),) = await platform.rows(
            "SELECT host, process_id, version, started_at, seen_at FROM tutorwatch.listeners"
        )
        assert (host, process_id, version) == (socket.gethostname(), os.getpid(), "test")
        assert datetime.now(UTC) - started_at < timedelta(minutes=1)

        async def is_refreshed() -> bool:
            return await platform.rows("SELECT seen_at > %s FROM tutorwatch.listeners", seen_at) == [True]

        await eventually(is_refreshed)
    assert await listeners_at_work(platform) == 0


async def test_heartbeat_row_that_was_swept_away_comes_back(database_url: str, platform: Platform) -> None:
    async with listening(database_url, heartbeat_seconds=0.1):
        await is_up(platform)
        await platform.rows("DELETE FROM tutorwatch.listeners RETURNING 1")

        async def is_back() -> bool:
            return await listeners_at_work(platform) == 1

        await eventually(is_back)


# Rows that vanish, settings of the database, a schema that goes


async def test_changes_of_a_tutor_who_vanished_are_dropped_in_silence(
    database_url: str, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    await no_shows(platform, 1)
    session = await platform.session("leaving", audio={"tutor_talk_ratio": 0.9})
    await platform.rows("INSERT INTO tutorwatch.outbox (session_ids) VALUES (ARRAY[%s::uuid]) RETURNING 1", session)
    await platform.rows("DELETE FROM users WHERE role = 'tutor' RETURNING 1")
    await platform.rows("INSERT INTO tutorwatch.outbox (tutor_id) VALUES ('never was') RETURNING 1")

    async with listening(database_url, poll_seconds=0.1) as listener:
        await has_settled(platform)
        await asyncio.sleep(0.5)

    assert len(listener.batches) == 1
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert await platform.rows("SELECT * FROM tutorwatch.failures") == []
    assert await alerted(platform) == []


async def test_default_isolation_of_the_database_changes_nothing(database_url: str, platform: Platform) -> None:
    (tutor,) = await no_shows(platform, 1, each=1)
    name = (await platform.rows("SELECT current_database()"))[0]
    await platform.connection.execute(
        f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'".encode()
    )
    async with (
        generation_held_up(database_url, tutor) as let_go,
        listening(database_url, poll_seconds=NEVER) as listener,
    ):
        await held_up_backend(platform)
        # Unrecorded: only the generation that has begun already can see it, if its snapshot is young enough.
        await platform.connection.execute("ALTER TABLE sessions DISABLE TRIGGER tutorwatch_insert")
        await platform.connection.execute(SECOND_NO_SHOW.encode())

        await let_go()

        await has_settled(platform)
    assert listener.changes == 1
    assert await alerted(platform) == [tutor]


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"poll_seconds": NEVER, "heartbeat_seconds": 0.1}, id="seen by the heartbeat"),
        pytest.param({"poll_seconds": 0.1, "heartbeat_seconds": 300}, id="seen by the worker"),
    ],
)
async def test_listener_ends_with_what_to_do_when_tutorwatch_is_uninstalled(
    database_url: str, platform: Platform, settings: dict[str, Any]
) -> None:
    error: Exception | None = None
    try:
        async with listening(database_url, **settings) as listener:
            await is_up(platform)
            await asyncio.to_thread(_uninstall, database_url)
            await asyncio.wait([listener.task], timeout=60)
    except Exception as raised:  # noqa: BLE001 - whichever it is, it is looked at below
        error = raised
    assert error
    for single in single_errors(error):  # the subscription's and the worker's, if both have seen it
        assert isinstance(single, SchemaMismatchError)
        assert "run `tutorwatch migrate`" in str(single)


def _uninstall(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        uninstall(connection)


async def test_listener_that_connects_elsewhere_keeps_its_password_to_itself(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = make_conninfo("", host="127.0.0.1", port=1, user="tim", password="k9-open-sesame")
    async with listening(database_url, listen_url=nowhere, fallback_poll_seconds=0.1):
        await logged(caplog, "unreachable", 2)
    assert "k9-open-sesame" not in caplog.text


async def test_sweep_keeps_the_audit_trail_as_long_as_it_is_set(database_url: str, platform: Platform) -> None:
    """More than one batch; without a claim of the daily sweep nothing is removed."""
    await platform.user("ann")
    await platform.connection.execute(
        "INSERT INTO tutorwatch.audit_trail (at, action, outcome, actor)"
        " SELECT now() - days * interval '1 day', 'sign_in', 'done', actor"
        " FROM (VALUES (89, 1, 'ann'), (99, 1, 'gone'), (101, 10001, 'ann'), (800, 3, 'ann'))"
        " AS made (days, times, actor),"
        " generate_series(1, times)"
    )
    kept = "SELECT count(*), count(*) FILTER (WHERE actor = 'deleted user') FROM tutorwatch.audit_trail"

    async def is_kept() -> bool:
        return await platform.rows(kept) == [(2, 1)]

    await platform.rows("UPDATE tutorwatch.sweep SET swept_at = now() - interval '25 hours' RETURNING 1")
    async with listening(database_url, audit_days=100, poll_seconds=0.1):
        await eventually(is_kept)


async def test_listener_goes_on_where_the_audit_trail_cannot_be_kept_short(
    database_url: str, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    await platform.connection.execute("DROP FUNCTION tutorwatch.keep_audit_trail")
    await no_shows(platform, 1)
    await platform.rows("UPDATE tutorwatch.sweep SET swept_at = now() - interval '25 hours' RETURNING 1")

    async with listening(database_url):
        await logged(caplog, "audit_trail_not_kept")
        await platform.rows(SECOND_NO_SHOW + " RETURNING 1")
        await has_settled(platform)

    assert caplog.text.count("Old entries of the audit trail can't be removed") == 1
