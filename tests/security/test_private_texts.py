"""What admins write for each other never reaches a tutor: on no page, in no JSON, in no stream and in no header."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from aiohttp.test_utils import TestServer
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from rules.life import Outcome, acknowledge, resolve
from scripts import accounts
from tests.support.alerts import insert_alert
from tests.support.browsers import ALERT, SESSION, Browser, Opener, SignIn, address, read_page, token_of
from tests.support.platform import NOW, Platform, naive
from web.keys import ENGINE
from web.queries.texts import SOURCES
from web.routes import ROUTES

RESOLVED = UUID("00000000-0000-4000-8000-000000000001")
RESOLVED_AGAIN = UUID("00000000-0000-4000-8000-000000000002")
DUPLICATE = UUID("00000000-0000-4000-8000-000000000003")

ADMIN = "private-id"
PRIVATE = {
    "an admin's id": ADMIN,
    "an admin's name": "Private Name",
    "an admin's address": "private-mail@",
    "action taken": "private-action",
    "outcome": "not_actionable",
    "outcome in words": "not actionable",
    "outcome of a duplicate": "duplicate",
    "coaching note": "private-note",
    "why an evaluation fails": "private-error",
    "audit trail": "private-details",
    "a message that was for another resolution": "stale-message",
}
MESSAGE = "Let us look at your calendar together."
COLUMNS = (
    "alerts.action_taken",
    "alerts.acknowledged_by",
    "alert_resolutions.resolved_by",
    "alert_resolutions.outcome",
    "coaching_notes.content",
    "failures.last_error",
)
"""What isn't even read for a tutor."""


@pytest.fixture(autouse=True)
async def _written(people: None, platform: Platform, engine: AsyncEngine) -> None:  # noqa: ARG001 - whose texts they are
    """Everything that admins write, about alerts that rest on a session of the tutor Ann."""
    await platform.insert("users", id=ADMIN, email="private-mail@example.test", name="Private Name", role="admin")
    for alert_id, alert_type in (
        (RESOLVED, "poor_first_session"),
        (RESOLVED_AGAIN, "high_talk_ratio"),
        (DUPLICATE, "no_show_pattern"),
    ):
        await insert_alert(platform, "ann", alert_id=alert_id, alert_type=alert_type)
    await platform.connection.execute("UPDATE alerts SET session_id = %s", [SESSION])
    act: dict[str, Any] = {"by": ADMIN, "action_taken": "private-action", "outcome": Outcome.NOT_ACTIONABLE}
    async with engine.begin() as conn:
        await acknowledge(conn, ALERT, by=ADMIN, now=NOW)
        await resolve(conn, RESOLVED, **act, message_to_tutor=MESSAGE, now=NOW)
        for alert_id in (RESOLVED_AGAIN, DUPLICATE):
            await resolve(conn, alert_id, **act, message_to_tutor="stale-message", now=NOW)
    await platform.connection.execute(
        "UPDATE alerts SET resolved_at = %s WHERE id = %s", [naive(NOW.replace(hour=13)), RESOLVED_AGAIN]
    )
    await platform.connection.execute(
        "UPDATE alerts SET resolved = false, resolved_at = NULL WHERE id = %s", [DUPLICATE]
    )
    await platform.connection.execute(
        "SELECT tutorwatch.end_duplicate_alerts(ARRAY[%s], ARRAY[%s], %s)", [DUPLICATE, ALERT, naive(NOW)]
    )
    await platform.insert(
        "coaching_notes", tutor_id="ann", note_type="manual", content="private-note", created_by=ADMIN
    )
    await platform.connection.execute(
        "INSERT INTO tutorwatch.failures (tutor_id, attempts, last_error, first_failed_at, last_failed_at, parked_at)"
        " VALUES ('ann', 5, 'private-error', now(), now(), now())"
    )
    await platform.connection.execute(
        "INSERT INTO tutorwatch.audit_trail (action, outcome, actor, user_id, object, details)"
        " VALUES ('alert_resolved', 'done', %s, 'ann', 'alert', 'private-details')",
        [ADMIN],
    )


def leaks(text: str, *, known: tuple[str, ...] = ()) -> list[str]:
    """What of it is private."""
    return [what for what, mark in PRIVATE.items() if mark.lower() in text.lower() and mark not in known]


async def answer_to(browser: Browser, method: str, path: str, **headers: str) -> str:
    """All that comes back: headers and body, also of a form that is refused."""
    assert "{" not in path, "say here what the new address is about"
    if path == "/events":
        headers["Accept"] = "text/event-stream"
    elif method == "POST":
        headers["X-CSRF-Token"] = await token_of(browser)
    async with browser.request(method, path, headers=headers, allow_redirects=False) as response:
        assert response.status != 500
        body = b"" if path == "/events" else await response.read()
        return f"{response.headers} {body.decode()}"


@pytest.mark.parametrize("accepted", ["text/html", "application/json"])
async def test_no_address_tells_a_tutor_what_admins_write(accepted: str, sign_in: SignIn) -> None:
    found = {}
    for route in ROUTES:
        method, path = address(route)
        answer = await answer_to(await sign_in("ann"), method, path, Accept=accepted)
        # The document of the JSON names all outcomes there are; it is the same for everybody.
        of_all = ("not_actionable", "duplicate") if path == "/api/openapi.json" else ()
        found[f"{method} {path}"] = leaks(answer, known=of_all)

    assert {asked: what for asked, what in found.items() if what} == {}


async def test_whole_texts_are_as_private_as_their_beginnings(
    sign_in: SignIn, admin: Browser, platform: Platform
) -> None:
    [note] = await platform.rows("SELECT id FROM coaching_notes WHERE content = 'private-note'")
    ids: dict[str, list[Any]] = {
        "alert": [ALERT, RESOLVED, RESOLVED_AGAIN, DUPLICATE],
        "user": ["ann", ADMIN],
        "note": [note],
        "session": [SESSION],
        "insight": [],
    }
    tutor, told = await sign_in("ann"), ""
    found: dict[str, list[str]] = {}
    for kind, field in SOURCES:
        for each in ids[kind]:
            for path in (f"/texts/{kind}/{each}/{field}", f"/api/texts/{kind}/{each}/{field}"):
                answer = await answer_to(tutor, "GET", path)
                found[path] = leaks(answer.replace(path, ""))
                told += answer
            told_admin = await answer_to(admin, "GET", path)
            assert "private-action" in told_admin or (field, each) != ("action_taken", RESOLVED)

    assert MESSAGE in told
    assert {path: what for path, what in found.items() if what} == {}


async def test_admins_read_all_of_it(admin: Browser) -> None:
    page = await read_page(admin, "/tutors/ann") + await read_page(admin, "/system") + await read_page(admin, "/alerts")
    page += await read_page(admin, "/alerts?status=resolved")

    known_elsewhere = {"an admin's id", "an admin's address", "audit trail"}
    assert set(leaks(page)) == set(PRIVATE) - known_elsewhere - {"a message that was for another resolution"}
    assert MESSAGE in page


async def test_tutor_reads_the_message_that_was_written_for_them(sign_in: SignIn) -> None:
    tutor = await sign_in("ann")
    async with tutor.get("/api/tutors/ann") as response:
        resolved = {alert["id"]: alert for alert in (await response.json())["resolved_alerts"]}

    assert MESSAGE in await read_page(tutor, "/tutors/ann")
    told = {alert_id: alert["message_to_tutor"] for alert_id, alert in resolved.items()}
    assert told == {str(RESOLVED): MESSAGE, str(RESOLVED_AGAIN): None, str(DUPLICATE): None}
    hidden = ("acknowledged_by", "resolved_by", "action_taken", "outcome")
    assert {alert[field] for alert in resolved.values() for field in hidden} == {None}
    assert {alert["status"] for alert in resolved.values()} == {"resolved"}
    assert all(alert["resolved_at"] for alert in resolved.values())


async def test_tutors_program_is_told_no_more_than_the_tutor(
    open_browser: Opener, engine: AsyncEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    await accounts.create_token(engine, "own", acts_for="ann@example.test")
    token, program = capsys.readouterr().out.strip(), await open_browser()

    found = {}
    for route in ROUTES:
        method, path = address(route)
        if path.startswith("/api/") and path != "/api/openapi.json":
            answer = await answer_to(program, method, path, Authorization=f"Bearer {token}")
            found[path] = leaks(answer)

    assert found["/api/tutors/ann"] == []
    assert {path: what for path, what in found.items() if what} == {}


@pytest.mark.usefixtures("subscribed")
async def test_stream_names_nothing_but_the_tutor(sign_in: SignIn, platform: Platform, engine: AsyncEngine) -> None:
    tutor, told = await sign_in("ann"), ""
    async with asyncio.timeout(30), tutor.get("/events", headers={"Accept": "text/event-stream"}) as stream:
        async with engine.begin() as conn:
            await resolve(conn, ALERT, by=ADMIN, action_taken="private-action", outcome=Outcome.OTHER, now=NOW)
        while '"ann"' not in told:
            told += (await stream.content.readline()).decode()

    assert leaks(told) == []
    assert await platform.rows("SELECT count(*) FROM alerts WHERE NOT resolved") == [0]


@contextmanager
def read_from(server: TestServer) -> Iterator[list[str]]:
    """The statements that pages send meanwhile."""
    sent: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        sent.append(statement)

    engine = server.app[ENGINE].sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize("path", ["/tutors/ann", f"/sessions/{SESSION}", "/api/tutors/ann"])
async def test_private_columns_are_not_even_read(path: str, server: TestServer, sign_in: SignIn) -> None:
    def named(statements: list[str]) -> set[str]:
        return {column for column in COLUMNS for each in statements if column in each}

    for_tutor, for_admin = await sign_in("ann"), await sign_in("dana")
    with read_from(server) as sent:
        await read_page(for_tutor, path)
        assert sent
        assert named(sent) == set()
    with read_from(server) as sent:
        await read_page(for_admin, path)
        assert "alerts.action_taken" in named(sent)
