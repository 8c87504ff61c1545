"""The listener's own port: up, able to evaluate, and what it has done."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from database import condition_keeper
from database.canary import Part
from database.recording import SWITCH_OFF, SWITCH_ON
from listener.http import AddressError
from tests.support.listening import has_settled, listening, no_shows
from tests.support.platform import Platform
from tests.support.waiting import eventually

NOWHERE = "postgresql://nobody@127.0.0.1:1/nowhere?connect_timeout=1"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(condition_keeper, "READ_AGAIN_SECONDS", 0.1)


@asynccontextmanager
async def served(url: str, caplog: pytest.LogCaptureFixture) -> AsyncIterator[aiohttp.ClientSession]:
    """A listener with a port of its own, and somebody who asks there."""
    caplog.set_level(logging.INFO, "listener.service")

    async def address() -> str | None:
        served = [record.getMessage() for record in caplog.records if getattr(record, "action", "") == "serving"]
        return served[0].removeprefix("Serving on ") if served else None

    async with listening(url, listener_port=0):
        found = await eventually(address)
        async with aiohttp.ClientSession(base_url=found) as session:
            yield session


async def get(session: aiohttp.ClientSession, path: str) -> tuple[int, Any]:
    async with session.get(path) as response:
        return response.status, await response.json()


async def is_ready(session: aiohttp.ClientSession, expected: bool) -> dict[str, Any]:
    async def answer() -> dict[str, Any] | None:
        status, told = await get(session, "/readyz")
        assert (status == 200) is told["is_ready"]
        return told if told["is_ready"] is expected else None

    found = await eventually(answer)
    assert found
    return found


async def test_ready_once_it_listens(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with served(database_url, caplog) as session:
        told = await is_ready(session, True)
        assert (told["subscription"], told["condition"]["problems"]) == ("connected", [])
        assert await get(session, "/healthz") == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("happens", "ends", "check"),
    [
        pytest.param(
            "ALTER TABLE sessions RENAME overall_session_score TO score",
            "ALTER TABLE sessions RENAME score TO overall_session_score",
            "platform",
            id="platform",
        ),
        pytest.param(
            SWITCH_OFF,
            SWITCH_ON,
            "recording",
            id="off",
        ),
    ],
)
async def test_not_ready_while_it_cannot_evaluate(
    database_url: str, platform: Platform, caplog: pytest.LogCaptureFixture, happens: str, ends: str, check: str
) -> None:
    async with served(database_url, caplog) as session:
        await is_ready(session, True)
        await platform.connection.execute(happens.encode())
        told = await is_ready(session, False)
        assert check in [problem["check"] for problem in told["condition"]["problems"]]
        assert (await get(session, "/healthz"))[0] == 200
        await platform.connection.execute(ends.encode())
        await is_ready(session, True)


async def test_ready_although_it_gave_up_on_a_tutor(
    database_url: str, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    await platform.user("ann")
    await platform.connection.execute(
        "INSERT INTO tutorwatch.failures VALUES ('ann', 5, 'error', now(), now(), NULL, now())"
    )
    async with served(database_url, caplog) as session:
        told = await is_ready(session, True)
        assert [problem["check"] for problem in told["condition"]["problems"]] == ["dead_lettered"]


async def test_up_but_not_ready_without_the_database(caplog: pytest.LogCaptureFixture) -> None:
    async with served(NOWHERE, caplog) as session:
        assert (await get(session, "/healthz"))[0] == 200
        told = await is_ready(session, False)
        assert (told["condition"]["is_well"], told["subscription"]) == (None, "lost")
        async with session.get("/metrics") as response:
            assert value(await response.text(), "tutorwatch_database_up") == 0


async def test_metrics_tell_what_it_has_done_and_what_the_database_knows(
    database_url: str, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(database_url, caplog) as session:
        await is_ready(session, True)
        await no_shows(platform, 2)
        await has_settled(platform)
        async with session.get("/metrics") as response:
            text = await response.text()

    assert value(text, "tutorwatch_alerts_opened_total", type="no_show_pattern") == 2
    assert value(text, "tutorwatch_tutors_generated_total") >= 2
    assert value(text, "tutorwatch_batch_duration_seconds_count") >= 1
    assert value(text, "tutorwatch_listener_subscription_connected") == 1
    assert value(text, "tutorwatch_condition_ok", check="listeners") == 1
    assert value(text, "tutorwatch_alerts_open", type="no_show_pattern", severity="critical") == 2
    assert value(text, "process_start_time_seconds") > 0
    assert "_created" not in text


async def test_metrics_of_the_canary_are_there_once_it_has_tried(
    database_url: str, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(database_url, caplog) as session:
        await is_ready(session, True)
        async with session.get("/metrics") as response:
            text = await response.text()
        assert "tutorwatch_canary_ok{" not in text
        assert value(text, "tutorwatch_condition_ok", check="canary") == 1
        await platform.connection.execute(
            "UPDATE tutorwatch.canary SET outcome = 'recorded', seconds = 0.25, tried_at = now(), due_at = now();"
            "INSERT INTO tutorwatch.canary_markers VALUES"
            " (gen_random_uuid(), now() - interval '9 s', now() - interval '8 s', 'host:7', true)"
        )
        async with session.get("/metrics") as response:
            text = await response.text()
        assert [value(text, "tutorwatch_canary_ok", part=part) for part in Part] == [1, 1]
        assert [value(text, "tutorwatch_canary_seconds", part=part) for part in Part] == [0.25, 1]
        assert 9 <= value(text, "tutorwatch_canary_age_seconds", part="waking") < 60

        await platform.connection.execute(
            "UPDATE tutorwatch.canary SET outcome = 'unrecorded', problem = 'a new session', due_at = now()"
        )
        told = await is_ready(session, False)
        assert [problem["check"] for problem in told["condition"]["problems"]] == ["canary"]
        async with session.get("/metrics") as response:
            text = await response.text()
        assert value(text, "tutorwatch_canary_ok", part="recording") == 0
        assert value(text, "tutorwatch_condition_ok", check="canary") == 0


async def test_port_that_is_taken_ends_it_with_a_word_on_the_setting(database_url: str) -> None:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(AddressError, match="set TUTORWATCH_LISTENER_HOST or TUTORWATCH_LISTENER_PORT"):
        async with listening(database_url, listener_port=port) as listener:
            await listener.task
    server.close()
    await server.wait_closed()


def value(text: str, name: str, **labels: str) -> float:
    """The one value of that name with these labels."""
    [found] = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return float(found)
