"""What pages say of themselves: nothing is claimed that isn't known to be so."""

import asyncio
import logging
import re

import psycopg
import pytest
from aiohttp.test_utils import TestServer

from database import condition_keeper
from database.condition import Check
from database.recording import SWITCH_OFF
from migrations import automation
from tests.support.browsers import Browser, SignIn, read_page
from tests.support.platform import Platform
from tests.support.roles import WEB
from tests.support.waiting import eventually
from web.keys import CONDITION
from web.live import condition

NO_CLAIM = "No critical alert is known of, but not everything is evaluated"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (condition, condition_keeper):
        monkeypatch.setattr(module, "READ_AGAIN_SECONDS", 0.1)


async def page_that_says(browser: Browser, path: str, what: str) -> str:
    async def read() -> str | None:
        page = await read_page(browser, path)
        return page if what in page else None

    return await eventually(read) or ""


async def a_listener_is_alive(platform: Platform) -> None:
    await platform.connection.execute(
        "INSERT INTO tutorwatch.listeners (listener_id, host, process_id, version, started_at, seen_at)"
        " VALUES (gen_random_uuid(), 'host', 7, '1', now(), now())"
    )


@pytest.mark.usefixtures("people")
async def test_no_tick_and_no_claim_without_a_listener(admin: Browser, platform: Platform) -> None:
    await platform.connection.execute("DELETE FROM alerts")
    page = await page_that_says(admin, "/", NO_CLAIM)
    assert "✓" not in page
    assert "No listener is alive: start <code>tutorwatch listen</code>" in page
    assert 'data-is-well="false"' in page

    await a_listener_is_alive(platform)
    page = await page_that_says(admin, "/", "</span> No critical alerts")
    assert "✓" in page
    assert "Not everything is evaluated" not in page
    assert 'data-is-well="true"' in page


async def test_condition_that_cannot_be_read_is_not_well(
    admin: Browser, platform: Platform, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await a_listener_is_alive(platform)
    await page_that_says(admin, "/alerts", 'data-is-well="true"')
    monkeypatch.setattr(condition_keeper, "KNOWN_SECONDS", 3.0)
    caplog.set_level(logging.WARNING, "database.condition_keeper")
    await platform.connection.execute(f"REVOKE SELECT ON tutorwatch.listeners FROM {WEB.name}".encode())

    page = await page_that_says(admin, "/alerts", "It isn't known whether everything is evaluated.")

    assert "last known" in page
    async with admin.get("/readyz") as response:
        assert (response.status, (await response.json())["condition"]["is_well"]) == (200, None)
    await asyncio.sleep(1)
    assert len(caplog.records) == 1, "however often it is tried"


async def test_system_page_has_a_line_for_each_check(admin: Browser, platform: Platform) -> None:
    await platform.connection.execute("INSERT INTO tutorwatch.failures VALUES ('ann', 1, 'E', now(), now(), now())")
    page = await page_that_says(admin, "/system", "The evaluation of 1 tutor failed and is tried again automatically.")
    assert page.count('<li class="good">') + page.count('<li class="bad">') == len(Check)
    assert "<p>Automation is on.</p>\n      <p>Every client's change is recorded" in page


@pytest.mark.parametrize(
    ("change", "state", "why"),
    [
        pytest.param(SWITCH_OFF, "off", "because automation is off", id="off"),
        pytest.param("DROP TRIGGER tutorwatch_insert ON sessions", "partly on", "Changes go unrecorded", id="partly"),
    ],
)
async def test_system_page_says_of_automation_what_the_command_line_says(
    change: str, state: str, why: str, admin: Browser, platform: Platform, database_url: str
) -> None:
    await platform.connection.execute(change.encode())
    page = await page_that_says(admin, "/system", f"Automation is {state}.")
    assert why in page
    with psycopg.connect(database_url) as connection:
        assert automation.status(connection).value == state


async def test_test_changes_are_told_on_every_page_and_in_detail_on_the_systems(
    admin: Browser, platform: Platform
) -> None:
    await a_listener_is_alive(platform)
    page = await page_that_says(admin, "/system", "None was made yet.")
    await platform.connection.execute(
        "UPDATE tutorwatch.canary SET outcome = 'recorded', seconds = 0.012, tried_at = now(), due_at = now();"
        "INSERT INTO tutorwatch.canary_markers VALUES"
        " (gen_random_uuid(), now(), now() + interval '34 ms', 'host:7', true)"
    )
    page = await page_that_says(admin, "/system", "The latest ones were recorded, and answered by a listener.")
    assert "<p>Recorded in 12 ms " in page
    assert re.search(r"<p>Answered in 34 ms .+</p>", page)
    assert "found by a poll" not in page

    await platform.connection.execute(
        "UPDATE tutorwatch.canary SET outcome = 'unrecorded', problem = 'a new session', unrecorded_since = now()"
    )
    told = "A test change was not recorded (a new session): run <code>tutorwatch doctor</code>"
    for path in ("/", "/alerts", "/tutors", "/system"):
        page = await page_that_says(admin, path, told)
        assert 'data-is-well="false"' in page
        assert "✓" not in page
    async with admin.get("/readyz") as response:
        told = (await response.json())["condition"]["problems"]
    assert [problem["check"] for problem in told] == ["canary"]


@pytest.mark.usefixtures("people")
async def test_page_of_a_failing_tutor_says_since_when(sign_in: SignIn, platform: Platform) -> None:
    await a_listener_is_alive(platform)
    dana, ann = await sign_in("dana"), await sign_in("ann")
    await page_that_says(dana, "/tutors/ann", 'data-is-well="true"')
    assert "Not evaluated since" not in await read_page(dana, "/tutors/ann")

    await platform.connection.execute(
        "INSERT INTO tutorwatch.failures VALUES ('ann', 1, 'a secret', now() - interval '2 hours', now(), now())"
    )

    page = await read_page(dana, "/tutors/ann")
    assert re.search(r"Not evaluated since <time [^>]*>\d+ \w+ \d{4}, \d\d:\d\d UTC</time>", page)
    page = await read_page(ann, "/tutors/ann")
    assert "may be out of date: the latest changes are still to be evaluated" in page
    assert "Not evaluated since" not in page
    assert "a secret" not in page
    assert "/system" not in page


@pytest.mark.usefixtures("people")
async def test_page_of_a_tutor_who_waits_says_since_when(sign_in: SignIn, platform: Platform) -> None:
    """Of that tutor only, in the JSON as well."""
    await a_listener_is_alive(platform)
    await platform.rows("DELETE FROM tutorwatch.outbox RETURNING 1")
    dana = await sign_in("dana")

    async def since(tutor: str) -> str | None:
        async with dana.get(f"/api/tutors/{tutor}") as response:
            found: str | None = (await response.json())["not_evaluated_since"]
        assert ("Not evaluated since" in await read_page(dana, f"/tutors/{tutor}")) is bool(found)
        return found

    at = "2026-11-03T14:02:00Z"
    await platform.connection.execute("DELETE FROM alerts")
    await platform.rows("DELETE FROM tutorwatch.outbox RETURNING 1")
    assert await since("ann") is None
    await platform.connection.execute("INSERT INTO tutorwatch.outbox (tutor_id, recorded_at) VALUES ('ann', %s)", [at])
    assert await since("ann") == at
    assert await since("bob") is None


async def test_condition_is_read_once_for_all_who_ask(server: TestServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(condition_keeper, "READ_AGAIN_SECONDS", 60.0)
    keeper = server.app[CONDITION]
    before = (await keeper.get(1.0)).read_at
    found = await asyncio.gather(*(keeper.get(1.0) for _ in range(50)))
    assert {known.read_at for known in found} == {before}
