"""JSON for programs: the same as the pages, and errors as problem details."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from sqlalchemy.ext.asyncio import AsyncEngine

from scripts import accounts
from scripts.errors import UsageError
from tests.support.alerts import insert_alert
from tests.support.browsers import ALERT, SESSION, Browser, Opener, token_on
from tests.support.platform import Platform, naive
from web.auth.identity import Scope
from web.live.hub import HUB
from web.routes import ROUTES

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


async def get(browser: Browser, path: str, expected: int = 200, /, **params: str) -> Any:
    """The JSON at the address."""
    async with browser.get(path, params=params) as response:
        assert response.status == expected, await response.text()
        assert response.content_type == ("application/json" if expected < 400 else "application/problem+json")
        return await response.json(content_type=None)


async def many_alerts(platform: Platform, count: int, **values: Any) -> None:
    """Alerts of Bob's, two of each moment, the newest last."""
    await platform.user("bob")
    for number in range(count):
        at = naive(NOW + timedelta(minutes=number // 2))
        await insert_alert(
            platform, "bob", alert_type="student_churn_risk", title=f"Alert {number}", triggered_date=at, **values
        )


async def test_summary_counts_all_and_shows_five_tutors_newest_first(admin: Browser, platform: Platform) -> None:
    for number in range(6):
        await platform.user(f"tutor{number}", name=f"Tutor {number}")
        at = naive(datetime.now(UTC) + timedelta(minutes=number + 1))
        await insert_alert(platform, f"tutor{number}", triggered_date=at)
    await insert_alert(platform, "tutor5", alert_type="poor_first_session", triggered_date=naive(NOW))
    await insert_alert(platform, "bob", alert_type="high_talk_ratio", severity="warning")

    summary = await get(admin, "/api/critical-alerts")

    assert (summary["count"], summary["tutor_count"]) == (8, 7)
    shown = [(tutor["name"], tutor["critical_alerts"], tutor["alert"]["type"]) for tutor in summary["tutors"]]
    assert shown == [
        ("Tutor 5", 2, "no_show_pattern"),
        *((f"Tutor {number}", 1, "no_show_pattern") for number in (4, 3, 2, 1)),
    ]


@pytest.mark.usefixtures("subscribed")
async def test_summary_is_sent_again_only_once_it_has_changed(admin: Browser, platform: Platform) -> None:
    async with admin.get("/api/critical-alerts") as response:
        etag = response.headers["ETag"]
        assert response.headers["Cache-Control"] == "no-store"

    async with admin.get("/api/critical-alerts", headers={"If-None-Match": f'"other", {etag}'}) as response:
        assert (response.status, await response.read(), response.headers["ETag"]) == (304, b"", etag)

    await platform.connection.execute("UPDATE alerts SET resolved = true")
    status = 304
    async with asyncio.timeout(2):
        while status == 304:
            async with admin.get("/api/critical-alerts", headers={"If-None-Match": etag}) as response:
                status, text = response.status, await response.text()
    assert json.loads(text)["count"] == 0


@pytest.mark.usefixtures("subscribed")
async def test_summary_is_kept_while_nothing_is_announced_and_the_application_hears(
    admin: Browser, platform: Platform, server: TestServer
) -> None:
    assert (await get(admin, "/api/critical-alerts"))["count"] == 1
    await platform.connection.execute("ALTER TABLE alerts DISABLE TRIGGER tutorwatch_announce_update")
    await platform.connection.execute("UPDATE alerts SET resolved = true")
    assert (await get(admin, "/api/critical-alerts"))["count"] == 1

    server.app[HUB].is_subscribed = False

    assert (await get(admin, "/api/critical-alerts"))["count"] == 0


async def test_pages_of_alerts_hold_every_alert_once_newest_first(admin: Browser, platform: Platform) -> None:
    await many_alerts(platform, 9)

    seen, cursor = [], ""
    while cursor is not None:
        page = await get(admin, "/api/alerts", tutor="BOB", limit="2", cursor=cursor)
        assert len(page["alerts"]) <= 2
        seen += page["alerts"]
        cursor = page["next"]

    assert len({alert["id"] for alert in seen}) == 9
    at = [alert["triggered_at"] for alert in seen]
    assert at == sorted(at, reverse=True)


async def test_alert_added_meanwhile_moves_no_page(admin: Browser, platform: Platform) -> None:
    await many_alerts(platform, 4)
    first = await get(admin, "/api/alerts", tutor="bob", limit="2")

    await insert_alert(platform, "bob", triggered_date=naive(NOW + timedelta(days=1)))

    second = await get(admin, "/api/alerts", tutor="bob", limit="2", cursor=first["next"])
    assert len({alert["id"] for alert in first["alerts"] + second["alerts"]}) == 4
    assert second["next"] is None


@pytest.mark.parametrize(
    ("query", "tutors"),
    [
        ({}, ["ann", "bob", "eve"]),
        ({"status": "open"}, ["ann", "bob", "eve"]),
        ({"status": "unresolved"}, ["ann", "bob", "eve"]),
        ({"status": "unattended"}, ["ann", "eve"]),
        ({"status": "acknowledged"}, ["bob"]),
        ({"status": "resolved"}, ["dan"]),
        ({"status": "all"}, ["ann", "bob", "dan", "eve"]),
        ({"severity": "warning"}, ["bob"]),
        ({"type": "no_show_pattern"}, ["ann"]),
        ({"tutor": "e"}, ["ann", "bob", "eve"]),
        ({"tutor": " lee "}, ["ann"]),
        ({"tutor": "%"}, []),
        ({"tutor": "_"}, []),
        ({"severity": "", "tutor": ""}, ["ann", "bob", "eve"]),
    ],
)
async def test_filters(query: dict[str, str], tutors: list[str], admin: Browser, platform: Platform) -> None:
    await insert_alert(platform, "bob", alert_type="high_talk_ratio", severity="warning", acknowledged=True)
    for tutor, resolved in (("dan", True), ("eve", False)):
        await platform.user(tutor)
        await insert_alert(platform, tutor, alert_type="poor_first_session", resolved=resolved)

    page = await get(admin, "/api/alerts", **query)

    assert sorted(alert["tutor_id"] for alert in page["alerts"]) == tutors


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"status": "closed"}, "status"),
        ({"severity": "fatal"}, "severity"),
        ({"type": "rain"}, "type"),
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"colour": "red"}, "colour"),
        ({"tutor": "a\x00b"}, "tutor"),
        ({"tutor": "x" * 256}, "tutor"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "é"}, "cursor"),
        ({"cursor": "W10"}, "cursor"),
        ({"cursor": "WyJ4IiwgIjAwMDEtMDEtMDFUMDA6MDA6MDArMTQ6MDAiLCAiYSJd"}, "cursor"),
    ],
)
async def test_unknown_filter_or_value_is_named(query: dict[str, str], field: str, admin: Browser) -> None:
    problem = await get(admin, "/api/alerts", 400, **query)

    assert [error["field"] for error in problem["errors"]] == [field]
    assert (problem["status"], problem["title"]) == (400, "Bad Request")
    async with admin.get(
        "/alerts", params=query
    ) as page:  # for people the list without it, and a word where it matters
        assert (page.status, page.content_type) == (200, "text/html")
        text = await page.text()
    said = {"colour": "", "cursor": "This is its beginning."}.get(field, f"{field.capitalize()}: “")
    assert said in text
    assert ("flash warning" in text) is bool(said)


async def test_cursor_of_another_query_is_refused(admin: Browser, platform: Platform) -> None:
    await many_alerts(platform, 3)
    cursor = (await get(admin, "/api/alerts", tutor="bob", limit="1"))["next"]

    problem = await get(admin, "/api/alerts", 400, tutor="bo", limit="1", cursor=cursor)

    assert problem["errors"] == [{"field": "cursor", "message": "belongs to a list with other filters"}]


async def test_alert_says_why_it_stands(admin: Browser, platform: Platform) -> None:
    await platform.connection.execute(
        "INSERT INTO tutorwatch.alert_evidence VALUES (%s, 'ann', 2, 2, %s, now())", [ALERT, [SESSION]]
    )

    [alert] = (await get(admin, "/api/alerts"))["alerts"]

    assert (alert["id"], alert["status"], alert["tutor_name"]) == (str(ALERT), "open", "Ann Lee")
    assert alert["evidence"] | {"sessions": None} == {
        "value": 2.0,
        "threshold": 2.0,
        "session_count": 1,
        "sessions": None,
    }
    assert [session["id"] for session in alert["evidence"]["sessions"]] == [str(SESSION)]


async def test_tutor_as_the_page_shows_them(admin: Browser) -> None:
    tutor = await get(admin, "/api/tutors/ann")

    assert (tutor["id"], tutor["name"]) == ("ann", "Ann Lee")
    assert [alert["id"] for alert in tutor["open_alerts"]] == [str(ALERT)]
    assert [session["id"] for session in tutor["sessions"]] == [str(SESSION)]
    assert len(tutor["trend"]) == 31, "the last 30 days begin and end in the middle of one"


@pytest.mark.parametrize("user_id", ["nobody", "dana", "%00", "x" * 200, "%F0%9F%92%A9"])
async def test_unknown_tutor_is_not_found(user_id: str, admin: Browser) -> None:
    assert (await get(admin, f"/api/tutors/{user_id}", 404))["status"] == 404


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/nothing", "/api/alerts/17/resolve"])
async def test_unknown_address_is_a_problem(path: str, nobody: Browser) -> None:
    async with nobody.get(path) as response:
        assert response.status == 404
        assert response.content_type == ("text/html" if path == "/api" else "application/problem+json")


async def test_wrong_method_says_which_is_right(admin: Browser) -> None:
    async with admin.delete("/api/alerts") as response:
        assert (response.status, response.content_type) == (405, "application/problem+json")
        assert response.headers["Allow"] == "GET,HEAD"


async def act(browser: Browser, action: str, **sent: Any) -> tuple[int, Any]:
    """The status and the problem, if any, of a program's act with the browser's cookie."""
    headers = {"X-CSRF-Token": await token_on(browser, "/alerts")}
    async with browser.post(f"/api/alerts/{ALERT}/{action}", headers=headers, **sent) as response:
        text = await response.text()
        return response.status, json.loads(text) if text else None


async def test_acting(admin: Browser, platform: Platform) -> None:
    assert await act(admin, "acknowledge") == (204, None)
    assert (await act(admin, "acknowledge"))[0] == 409
    assert await act(admin, "resolve", json={"action_taken": "Called", "outcome": "coached"}) == (204, None)

    status, problem = await act(admin, "resolve", json={"action_taken": "Again", "outcome": "other"})

    assert (status, problem["detail"]) == (
        409,
        "You resolved this alert yourself just now; nothing more was changed.",
    )
    assert await platform.rows("SELECT action_taken FROM alerts") == ["Called"]


async def test_message_to_the_tutor_is_sent_and_shown(admin: Browser) -> None:
    resolution = {"action_taken": "Called", "outcome": "condition_cleared", "message_to_tutor": "See you on Monday."}
    assert await act(admin, "resolve", json=resolution) == (204, None)

    (alert,) = (await get(admin, "/api/alerts?status=resolved"))["alerts"]
    assert {name: alert[name] for name in resolution} == resolution


async def test_duplicate_that_tutorwatch_has_ended_is_told_as_such(admin: Browser, platform: Platform) -> None:
    await insert_alert(platform, "ann", title="kept")
    await platform.rows(
        "SELECT tutorwatch.end_duplicate_alerts(ARRAY[%s], array_agg(id), localtimestamp) FROM alerts"
        " WHERE title = 'kept'",
        ALERT,
    )
    (alert,) = (await get(admin, "/api/alerts?status=resolved"))["alerts"]
    assert (alert["id"], alert["outcome"], alert["resolved_by"]) == (str(ALERT), "duplicate", None)


@pytest.mark.parametrize(
    ("sent", "status", "field"),
    [
        pytest.param({"json": {"outcome": "coached"}}, 400, "action_taken", id="missing field"),
        pytest.param({"json": {"action_taken": 5, "outcome": "coached"}}, 400, "action_taken", id="wrong type"),
        pytest.param({"json": ["Called"]}, 400, "", id="no object"),
        pytest.param({"data": b"{", "headers": "json"}, 400, "", id="no JSON"),
        pytest.param({"data": b"\xff", "headers": "json"}, 400, "", id="no UTF-8"),
        pytest.param(
            {"data": b'{"action_taken": "\\ud800", "outcome": "other"}', "headers": "json"},
            400,
            "action_taken",
            id="half a character",
        ),
        pytest.param({"data": {"action_taken": "Called"}}, 415, None, id="form"),
        pytest.param({"json": {"action_taken": "x" * 300_000, "outcome": "other"}}, 413, None, id="too large"),
    ],
)
async def test_body_that_is_not_a_resolution(
    sent: dict[str, Any], status: int, field: str | None, admin: Browser, platform: Platform
) -> None:
    headers = {"X-CSRF-Token": await token_on(admin, "/alerts")}
    if sent.pop("headers", None):
        headers["Content-Type"] = "application/json"
    async with admin.post(f"/api/alerts/{ALERT}/resolve", headers=headers, **sent) as response:
        assert (response.status, response.content_type) == (status, "application/problem+json")
        problem = await response.json(content_type=None)

    assert [error["field"] for error in problem.get("errors", [])] == ([] if field is None else [field])
    assert await platform.rows("SELECT resolved FROM alerts") == [False]


async def test_cookie_alone_is_not_enough_to_act(admin: Browser) -> None:
    async with admin.post(f"/api/alerts/{ALERT}/acknowledge") as response:
        assert response.status == 403


class TestTokens:
    @pytest.fixture
    async def program(self, people: None, open_browser: Opener) -> Browser:  # noqa: ARG002
        return await open_browser()

    async def create(
        self, engine: AsyncEngine, capsys: pytest.CaptureFixture[str], acts_for: str | None = None
    ) -> dict[str, str]:
        await accounts.create_token(engine, "reports", acts_for=acts_for)
        return {"Authorization": f"Bearer {capsys.readouterr().out.strip()}"}

    async def test_token_without_a_person_only_reads(
        self, program: Browser, engine: AsyncEngine, capsys: pytest.CaptureFixture[str]
    ) -> None:
        headers = await self.create(engine, capsys)

        async with program.get("/api/alerts", headers=headers) as response:
            assert response.status == 200
        async with program.post(f"/api/alerts/{ALERT}/acknowledge", headers=headers) as response:
            assert response.status == 403
            assert "scope is read; this needs act" in (await response.json(content_type=None))["detail"]

    async def test_token_acts_for_its_person_as_far_as_they_may(
        self, program: Browser, engine: AsyncEngine, platform: Platform, capsys: pytest.CaptureFixture[str]
    ) -> None:
        headers = await self.create(engine, capsys, acts_for="omar@example.test")

        async with program.post(f"/api/alerts/{ALERT}/acknowledge", headers=headers) as response:
            assert response.status == 204
        assert await platform.rows("SELECT acknowledged_by FROM alerts") == ["omar"]

        await platform.connection.execute("UPDATE users SET role = 'student' WHERE id = 'omar'")
        async with program.get("/api/alerts", headers=headers) as response:
            assert response.status == 403

    @pytest.mark.parametrize(
        ("scope", "answers"),
        [(Scope.SUMMARY, (200, 403, 403)), (Scope.READ, (200, 200, 403)), (Scope.ACT, (200, 200, 204))],
    )
    async def test_token_reaches_as_far_as_its_scope(
        self,
        scope: Scope,
        answers: tuple[int, ...],
        program: Browser,
        engine: AsyncEngine,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        acts_for = "omar@example.test" if scope is Scope.ACT else None
        await accounts.create_token(engine, "reports", scope=scope, acts_for=acts_for)
        headers = {"Authorization": f"Bearer {capsys.readouterr().out.strip()}"}

        asked = ("GET", "/api/critical-alerts"), ("GET", "/api/alerts"), ("POST", f"/api/alerts/{ALERT}/acknowledge")
        found = [(await program.request(method, path, headers=headers)).status for method, path in asked]
        assert tuple(found) == answers

    async def test_token_that_acts_needs_a_person(self, engine: AsyncEngine) -> None:
        with pytest.raises(UsageError, match="give --acts-for"):
            await accounts.create_token(engine, "reports", scope=Scope.ACT)

    async def test_token_ends_and_says_so_before(
        self, program: Browser, engine: AsyncEngine, platform: Platform, capsys: pytest.CaptureFixture[str]
    ) -> None:
        headers = await self.create(engine, capsys)
        async with program.get("/api/alerts", headers=headers) as response:
            told = datetime.fromisoformat(response.headers["Tutorwatch-Token-Expires"])
        assert timedelta(days=89) < told - datetime.now(UTC) < timedelta(days=91)

        await platform.connection.execute("UPDATE tutorwatch.api_tokens SET expires_at = clock_timestamp()")
        async with program.get("/api/alerts", headers=headers) as response:
            assert response.status == 401

    async def test_revoked_or_made_up_token_is_nobody(
        self, program: Browser, engine: AsyncEngine, capsys: pytest.CaptureFixture[str]
    ) -> None:
        headers = await self.create(engine, capsys)
        await accounts.revoke_token(engine, "reports")

        for each in (headers, {"Authorization": "Bearer made-up"}, {"Authorization": "Basic x"}):
            async with program.get("/api/alerts", headers=each) as response:
                assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")

    async def test_token_opens_no_page(
        self, program: Browser, engine: AsyncEngine, capsys: pytest.CaptureFixture[str]
    ) -> None:
        headers = await self.create(engine, capsys)

        async with program.get("/alerts", headers=headers, allow_redirects=False) as response:
            assert response.status == 303

    async def test_token_is_kept_as_a_hash_with_its_last_use(
        self, program: Browser, engine: AsyncEngine, platform: Platform, capsys: pytest.CaptureFixture[str]
    ) -> None:
        headers = await self.create(engine, capsys)
        used = "SELECT last_used_at IS NOT NULL, api_tokens::text FROM tutorwatch.api_tokens"
        assert [is_used for is_used, _ in await platform.rows(used)] == [False]

        async with program.get("/api/alerts", headers=headers):
            pass

        [(is_used, row)] = await platform.rows(used)
        assert is_used
        assert headers["Authorization"].removeprefix("Bearer ") not in row


class TestDocument:
    @pytest.fixture
    async def document(self, nobody: Browser) -> Any:
        return await get(nobody, "/api/openapi.json")

    async def test_every_route_of_json_is_described(self, document: Any) -> None:
        described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}

        routes = {(route.method, route.path.split("{id:")[0]) for route in ROUTES if route.path.startswith("/api/")}
        found = {(method, path.split("{id}")[0] if "/alerts/{id}" in path else path) for method, path in described}
        assert document["openapi"] == "3.1.0"
        assert found == routes - {("GET", "/api/openapi.json")}

    async def test_every_reference_leads_somewhere(self, document: Any) -> None:
        schemas = document["components"]["schemas"]

        for reference in references(document):
            assert reference.removeprefix("#/components/schemas/") in schemas

    async def test_answers_have_the_described_fields(self, document: Any, admin: Browser) -> None:
        for path, schema in (("/api/alerts", "Alerts"), ("/api/tutors/ann", "Tutor")):
            described = document["components"]["schemas"][schema]["properties"]
            assert set(await get(admin, path)) == set(described)

    async def test_filters_are_described_as_they_are_checked(self, document: Any) -> None:
        parameters = {each["name"]: each["schema"] for each in document["paths"]["/api/alerts"]["get"]["parameters"]}

        assert set(parameters) == {"status", "severity", "type", "tutor", "tutor_id", "cursor", "limit"}
        assert (parameters["limit"]["minimum"], parameters["limit"]["maximum"]) == (1, 200)


def references(node: Any) -> Iterator[str]:
    """All references in the document."""
    if isinstance(node, dict):
        if isinstance(reference := node.get("$ref"), str):
            yield reference
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)
