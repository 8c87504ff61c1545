"""What waits is sent: once where that can be, tried again where it failed, and given up on where all can see it."""

import asyncio
import json
import signal
from datetime import timedelta
from email import message_from_bytes
from email.policy import default
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from listener.batch import Metrics
from listener.http import Listening, expose
from listener.settings import ListenerSettings
from listener.signals import Signals
from scripts.doctor.checks import run_checks
from telling import deliveries as waiting
from telling.result import Outcome, Result, retry
from telling.sender import Telling
from telling.settings import TellingSettings
from tests.support.alerts import insert_alert
from tests.support.command import Running
from tests.support.listening import NEVER, is_up, listening, no_shows
from tests.support.platform import Platform
from tests.support.roles import LISTENER
from tests.support.waiting import eventually
from tests.telling.channels import deliveries, make_channel
from tests.telling.receivers import Receiver, answering, mail_server, receiving

DASHBOARD = "https://tutorwatch.test"


def telling(**settings: Any) -> Telling:
    """How the tests' listeners tell people: also on this machine, and never late because of a poll."""
    return Telling(TellingSettings(**{"allow_private_targets": True} | settings), DASHBOARD, poll_seconds=0.2)


async def alert(platform: Platform, event: str = "opened", **alert: Any) -> UUID:
    """An alert, and an entry of its history."""
    alert_id = await insert_alert(platform, **alert)
    await platform.connection.execute(
        "INSERT INTO tutorwatch.alert_history (alert_id, tutor_id, event) VALUES (%s, %s, %s)",
        [alert_id, alert.get("tutor", "tutor"), event],
    )
    return alert_id


async def states(platform: Platform, *expected: Any, columns: str = "state") -> None:
    """Waits until these are the deliveries' states."""

    async def are_so() -> bool:
        return await deliveries(platform, columns) == list(expected)

    await eventually(are_so, f"deliveries that are {expected}")


async def test_sessions_become_a_mail_and_a_webhook(database_url: str, platform: Platform) -> None:
    async with receiving() as receiver, mail_server() as (smtp_url, mailbox):
        await make_channel(platform, "mailto:dana@school.test", "mail")
        await make_channel(platform, f"webhook+{receiver.url}", "program")
        told = telling(smtp_url=SecretStr(smtp_url))
        async with listening(database_url, telling=told, poll_seconds=NEVER):
            await is_up(platform)
            [tutor] = await no_shows(platform, 1)
            await states(platform, "delivered", "delivered")

    [alert_id] = await platform.rows("SELECT id FROM alerts WHERE tutor_id = %s", tutor)
    link = f"{DASHBOARD}/alerts/{alert_id}"
    [mail], [request] = mailbox.mails, receiver.requests
    text = message_from_bytes(mail, policy=default).get_body(("plain",))
    assert text
    assert link in text.get_content()
    assert json.loads(request.body)["data"]["alert"]["link"] == link
    assert told.counts == {("email", "delivered"): 1, ("webhook", "delivered"): 1}


async def test_notification_alone_wakes_the_sender(database_url: str, platform: Platform) -> None:
    async with receiving() as receiver:
        await make_channel(platform, f"webhook+{receiver.url}")
        never = Telling(TellingSettings(allow_private_targets=True), DASHBOARD, poll_seconds=NEVER)
        async with listening(database_url, telling=never):
            await is_up(platform)
            for number in range(1, 6):  # the first ones may be found by the looks that a start and an end bring about
                await alert(platform, tutor=f"tutor-{number}")
                await states(platform, *["delivered"] * number)


async def test_two_listeners_send_each_delivery_once(database_url: str, platform: Platform) -> None:
    async with receiving() as receiver:
        await make_channel(platform, f"slack+{receiver.url}")
        alerts = [await alert(platform, tutor=f"tutor-{number}") for number in range(30)]
        async with (
            listening(database_url, telling=telling()),
            listening(database_url, telling=telling()),
        ):
            await states(platform, *["delivered"] * 30)

    assert len(receiver.requests) == len(alerts) == 30
    assert {str(each) for each in alerts} == {
        request.body.decode().partition("/alerts/")[2][:36] for request in receiver.requests
    }


async def test_dead_target_delays_no_other_channel(database_url: str, platform: Platform) -> None:
    let_go = asyncio.Event()

    async def hang(_request: web.Request) -> web.StreamResponse:
        await let_go.wait()
        return web.Response()

    async with receiving(hang) as dead, receiving() as alive:
        await make_channel(platform, f"webhook+{dead.url}", "a dead one")
        for number in range(20):
            await alert(platform, tutor=f"tutor-{number}")
        async with listening(database_url, telling=telling()):
            await asyncio.wait_for(dead.arrived.wait(), 60)
            await make_channel(platform, f"webhook+{alive.url}", "alive")
            await alert(platform, tutor="another")
            await asyncio.wait_for(alive.arrived.wait(), 60)
            assert len(dead.requests) == 1, "one after the other"
            let_go.set()


KILLED = [
    pytest.param("webhook", 2, "delivered", id="who can tell a repetition gets one"),
    pytest.param("slack", 1, "ambiguous", id="who can't gets none, and that is on record"),
]


@pytest.mark.parametrize(("kind", "requests", "state"), KILLED)
async def test_killed_between_sending_and_recording_nothing_is_lost(
    kind: str, requests: int, state: str, database_url: str, platform: Platform
) -> None:
    async def hang(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    async with receiving(hang) as receiver:
        await make_channel(platform, f"{kind}+{receiver.url}")
        await alert(platform)
        with Running("listen", url=LISTENER.url(database_url), allow_private_targets=1) as process:
            await asyncio.wait_for(receiver.arrived.wait(), 60)
            process.send(signal.SIGKILL)
        assert await deliveries(platform, "state, claimed_at IS NOT NULL") == [("waiting", True)]

        receiver.answer = None
        async with listening(database_url, telling=telling()):
            await alert(platform, tutor="another")  # is sent meanwhile: the lease holds the other one only
            await states(platform, "waiting", "delivered")
            await platform.connection.execute(
                "UPDATE tutorwatch.deliveries SET claimed_at = claimed_at - interval '1 hour' WHERE state = 'waiting'"
            )
            await states(platform, state, "delivered")

    ids = [request.headers.get("webhook-id") for request in receiver.requests]
    assert len(receiver.requests) == requests + 1
    if kind == "webhook":
        assert ids[0] == ids[2] != ids[1]


async def test_listener_that_is_stopped_records_what_it_is_sending(database_url: str, platform: Platform) -> None:
    let_go = asyncio.Event()

    async def hang(_request: web.Request) -> web.StreamResponse:
        await let_go.wait()
        return web.Response()

    async with receiving(hang) as receiver:
        await make_channel(platform, f"slack+{receiver.url}")
        await alert(platform)
        async with listening(database_url, telling=telling()) as listener:
            await asyncio.wait_for(receiver.arrived.wait(), 60)
            listener.stop.set()
            await asyncio.sleep(0)
            let_go.set()
        assert await deliveries(platform, "state") == ["delivered"]


async def sent_to(receiver: Receiver, database_url: str, platform: Platform, *expected: Any, columns: str) -> None:
    await make_channel(platform, f"webhook+{receiver.url}")
    await alert(platform)
    async with listening(database_url, telling=telling()):
        await states(platform, *expected, columns=columns)


async def test_target_that_asks_for_a_day_gets_a_day(database_url: str, platform: Platform) -> None:
    async with receiving(answering(429, Retry_After="86400")) as receiver:
        columns = "state, attempts, next_attempt_at > now() + interval '23 hours', claimed_at"
        await sent_to(receiver, database_url, platform, ("waiting", 1, True, None), columns=columns)
    paused = "SELECT is_on, paused_until > now() + interval '23 hours' FROM tutorwatch.channels"
    assert await platform.rows(paused) == [(True, True)]


async def test_target_that_is_gone_switches_its_channel_off_and_the_doctor_says_so(
    database_url: str, platform: Platform
) -> None:
    async with receiving(answering(410)) as receiver:
        await sent_to(receiver, database_url, platform, ("given_up", "It answered 410"), columns="state, last_error")
    off = await platform.rows("SELECT is_on, switched_off_because FROM tutorwatch.channels")
    assert off == [(False, "It answered 410")]
    told = {finding.check: finding for finding in run_checks(database_url, ListenerSettings(), version="test")}
    assert not told["channels"].is_ok
    assert "ops (It answered 410)" in told["channels"].message


async def test_private_address_is_refused_unless_it_is_allowed(database_url: str, platform: Platform) -> None:
    async with receiving() as receiver:
        await make_channel(platform, f"webhook+{receiver.url}")
        await alert(platform)
        async with listening(database_url, telling=telling(allow_private_targets=False)):
            await states(platform, "given_up")
    assert receiver.requests == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param(
            "UPDATE tutorwatch.deliveries SET created_at = now() - interval '25 hours'", "Too old", id="too old"
        ),
        pytest.param("UPDATE alerts SET resolved = true", "resolved before", id="resolved meanwhile"),
        pytest.param("DELETE FROM alerts", "is gone", id="deleted meanwhile"),
    ],
)
async def test_what_is_no_news_any_more_is_given_up(
    change: str, why: str, database_url: str, platform: Platform
) -> None:
    async with receiving() as receiver:
        await make_channel(platform, f"webhook+{receiver.url}")
        await alert(platform)
        await platform.connection.execute(change.encode())
        async with listening(database_url, telling=telling()):
            await states(platform, ("given_up", True), columns=f"state, last_error LIKE '%%{why}%%'")
    assert receiver.requests == []
    assert await platform.rows("SELECT is_on FROM tutorwatch.channels") == [True]


async def test_failing_target_is_tried_ten_times_ever_less_often_and_then_given_up(
    engine: AsyncEngine, platform: Platform
) -> None:
    channel = await make_channel(platform, "webhook+https://example.test/")
    await alert(platform)
    waits: list[timedelta] = []
    result = Result(Outcome.RETRY)
    while result.outcome is Outcome.RETRY:
        async with engine.begin() as conn:
            claimed = await waiting.claim(conn, channel, DASHBOARD)
            assert claimed
            result = waiting.settled(claimed, retry("It answered 500"))
            await waiting.record(conn, claimed, result)
        found = await deliveries(platform, "next_attempt_at - clock_timestamp()")
        waits += found
        async with engine.begin() as conn:
            assert await waiting.claim(conn, channel, DASHBOARD) is None
        await platform.connection.execute("UPDATE tutorwatch.deliveries SET next_attempt_at = now()")
        await platform.connection.execute("UPDATE tutorwatch.channels SET paused_until = NULL")

    planned = waiting.DELAYS
    assert len(waits) == 10
    for wait, plan in zip(waits, planned, strict=False):
        assert plan - timedelta(seconds=5) < wait <= plan * (1 + waiting.JITTER)
    assert await deliveries(platform, "state, attempts") == [("given_up", 10)]


def test_attempts_are_counted_by_kind_and_result() -> None:
    told = telling()
    told.counts["webhook", "delivered"] += 2
    exposed = expose(Listening("test", Metrics(), Signals(), told.counts), None).decode()
    samples = [sample for family in text_string_to_metric_families(exposed) for sample in family.samples]
    [found] = [each for each in samples if each.name == "tutorwatch_deliveries_total"]
    assert (found.labels, found.value) == ({"kind": "webhook", "result": "delivered"}, 2)
