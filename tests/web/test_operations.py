"""For operators: health, readiness, figures, logs, and the process as a whole."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from database.errors import SchemaMismatchError
from database.recording import SWITCH_OFF
from rules.settings import thresholds
from tests.support.alerts import insert_alert
from tests.support.browsers import Browser
from tests.support.platform import Platform
from tests.support.roles import WEB
from web.service import run_web
from web.settings import WebSettings

TOKEN = "a token for the scraper"
LISTENER = """
    INSERT INTO tutorwatch.listeners (listener_id, host, process_id, version, started_at, seen_at, figures)
    VALUES (gen_random_uuid(), 'host', 7, '1', now(), now() - make_interval(secs => %s), %s)
"""


async def test_ready_without_a_listener_which_is_said(nobody: Browser, platform: Platform) -> None:
    await condition_of(nobody, is_well=False)
    async with nobody.get("/readyz") as response:
        told = await response.json()
    assert (response.status, told["listener"]) == (200, "none is alive")
    [problem] = told["condition"]["problems"]
    assert (problem["check"], problem["since"]) == ("listeners", None)
    assert "`tutorwatch listen`" in problem["message"]

    await platform.connection.execute(LISTENER.encode(), [0, '{"heartbeat_seconds": 60}'])
    told = await condition_of(nobody, is_well=True)
    assert told["problems"] == []


async def condition_of(browser: Browser, *, is_well: bool) -> dict[str, Any]:
    """The condition that `/readyz` tells, as soon as it is well or not."""
    async with asyncio.timeout(10):
        while True:
            async with browser.get("/readyz") as response:
                told = await response.json()
            if told["condition"]["is_well"] is is_well:
                found: dict[str, Any] = told["condition"]
                return found
            await asyncio.sleep(0.1)


async def test_not_ready_with_another_schema(nobody: Browser, platform: Platform) -> None:
    await platform.connection.execute("UPDATE tutorwatch.alembic_version SET version_num = '0001'")

    async with nobody.get("/readyz") as response:
        assert response.status == 503
        assert "run `tutorwatch migrate`" in (await response.json())["schema"]
        assert (await response.json())["listener"] == "unknown"


async def test_metrics_are_not_there_unless_asked_for(nobody: Browser) -> None:
    async with nobody.get("/metrics") as response:
        assert response.status == 404


class TestMetrics:
    @pytest.fixture
    def settings(self) -> WebSettings:
        return WebSettings(web_port=0, web_metrics_token=SecretStr(TOKEN))

    @pytest.mark.parametrize("given", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", "Bearer é"])
    async def test_need_the_token(self, given: str, nobody: Browser) -> None:
        async with nobody.get("/metrics", headers={"Authorization": given}) as response:
            assert response.status == 401

    @pytest.mark.usefixtures("people", "subscribed")
    @pytest.mark.usefixtures("people", "subscribed")
    async def test_tell_what_the_database_knows(self, admin: Browser, platform: Platform) -> None:
        await insert_alert(platform, "bob", alert_type="high_talk_ratio", severity="warning")
        await platform.connection.execute(LISTENER.encode(), [0, "{}"])
        await platform.connection.execute(
            "INSERT INTO tutorwatch.failures VALUES ('ann', 5, 'error', now(), now(), NULL, now())"
        )
        await platform.connection.execute("SELECT nextval('tutorwatch.unrecorded')")
        async with admin.get("/alerts"), admin.get("/events"):
            text = await self.scrape(admin)

        assert figure(text, "tutorwatch_database_up") == 1
        assert figure(text, "tutorwatch_changes_recorded_total") == figure(text, "tutorwatch_changes_waiting") == 3
        assert figure(text, "tutorwatch_changes_unrecorded_total") >= 1
        assert figure(text, "tutorwatch_oldest_change_seconds") > 0
        assert figure(text, "tutorwatch_sweep_age_seconds") >= 0
        assert figure(text, "tutorwatch_outbox_dead_rows") >= 0
        assert figure(text, "tutorwatch_tutors_dead_lettered") == 1
        assert figure(text, "tutorwatch_listeners_alive") == 1
        assert figure(text, "tutorwatch_condition_ok", check="dead_lettered") == 0
        assert figure(text, "tutorwatch_condition_ok", check="listeners") == 1
        assert figure(text, "tutorwatch_alerts_open", type="high_talk_ratio", severity="warning") == 1
        assert figure(text, "tutorwatch_alerts_opened_last_day", type="no_show_pattern") == 1
        assert figure(text, "tutorwatch_browsers_connected") == 1
        assert figure(text, "tutorwatch_web_streams_refused_total") == 0
        assert figure(text, "tutorwatch_web_subscription_connected") == 1
        assert figure(text, "tutorwatch_http_requests_total", route="/alerts", status="200") == 1
        assert figure(text, "tutorwatch_http_request_duration_seconds_count", route="/alerts") == 1
        assert "_created" not in text

    @pytest.mark.usefixtures("people", "subscribed")
    async def test_are_still_there_by_their_deprecated_names(self, admin: Browser, platform: Platform) -> None:
        noted = '{"batches": 3, "generations": 9, "batch_seconds": 0.5, "alerts_opened": {"no_show_pattern": 2}}'
        for _process in range(2):
            await platform.connection.execute(LISTENER.encode(), [0, noted])
        await platform.connection.execute(
            "INSERT INTO tutorwatch.failures VALUES ('ann', 5, 'error', now(), now(), NULL, now())"
        )
        async with admin.get("/alerts"):
            text = await self.scrape(admin)

        assert figure(text, "tutorwatch_tutors_parked") == 1
        assert figure(text, "tutorwatch_web_hears") == 1
        assert figure(text, "tutorwatch_web_reconnects_total") == 0
        assert figure(text, "tutorwatch_http_request_seconds_count", route="/alerts") == 1
        assert figure(text, "tutorwatch_http_request_seconds_bucket", route="/alerts", le="+Inf") == 1
        assert figure(text, "tutorwatch_listener_generations_total", listener="host") == 18
        assert figure(text, "tutorwatch_listener_alerts_opened_total", listener="host", type="no_show_pattern") == 4

    async def test_tell_of_a_schema_that_is_not_ours(self, nobody: Browser, platform: Platform) -> None:
        await platform.connection.execute("UPDATE tutorwatch.alembic_version SET version_num = '0001'")
        text = await self.scrape(nobody)
        assert figure(text, "tutorwatch_condition_ok", check="schema") == 0
        assert "tutorwatch_changes_waiting" not in text

    @pytest.mark.parametrize(
        ("statement", "check"),
        [
            pytest.param(SWITCH_OFF, "switch", id="switched off"),
            pytest.param("DROP TRIGGER tutorwatch_update ON sessions", "triggers", id="dropped"),
            pytest.param("ALTER TABLE sessions DISABLE TRIGGER tutorwatch_update", "triggers", id="disabled"),
            pytest.param(
                "CREATE OR REPLACE TRIGGER tutorwatch_truncate AFTER TRUNCATE ON alerts"
                " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
                "functions",
                id="of another function",
            ),
            pytest.param(
                "ALTER TABLE sessions RENAME overall_session_score TO score", "platform_schema", id="renamed column"
            ),
        ],
    )
    async def test_tell_which_part_of_recording_is_broken(
        self, nobody: Browser, platform: Platform, statement: str, check: str
    ) -> None:
        checks = ("switch", "triggers", "functions", "platform_schema", "rows")
        text = await self.scrape(nobody)
        assert [figure(text, "tutorwatch_recording_ok", check=each) for each in checks] == [1] * 5

        await platform.connection.execute(statement.encode())

        text = await self.scrape(nobody)
        assert [each for each in checks if not figure(text, "tutorwatch_recording_ok", check=each)] == [check]

    async def test_tell_the_rest_where_the_platform_has_changed(self, nobody: Browser, platform: Platform) -> None:
        await platform.connection.execute("ALTER TABLE alerts RENAME severity TO gravity")
        text = await self.scrape(nobody)
        assert figure(text, "tutorwatch_changes_waiting") == 0
        assert "tutorwatch_alerts_open{" not in text

    async def test_unknown_paths_and_methods_share_a_label(self, admin: Browser) -> None:
        for path in ("/a", "/b/c"):
            async with admin.request("PROPFIND", path):
                pass

        assert figure(await self.scrape(admin), "tutorwatch_http_requests_total", route="unknown", method="other") == 2

    async def scrape(self, browser: Browser) -> str:
        async with browser.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}) as response:
            assert response.status == 200
            return await response.text()


def figure(text: str, name: str, **labels: str) -> float:
    """The one figure of that name with these labels."""
    [value] = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return float(value)


@asynccontextmanager
async def running(database_url: str, settings: WebSettings) -> AsyncIterator[str]:
    """The dashboard as a process; its address."""
    stop, serving = asyncio.Event(), asyncio.get_running_loop().create_future()
    running = asyncio.create_task(
        run_web(WEB.url(database_url), settings, thresholds(), "9.9", stop, on_serving=serving.set_result)
    )
    try:
        yield await asyncio.wait_for(serving, timeout=5)
    finally:
        stop.set()
        async with asyncio.timeout(5):
            await running


async def test_process_serves_until_it_is_stopped(database_url: str) -> None:
    async with (
        running(database_url, WebSettings(web_port=0)) as url,
        aiohttp.ClientSession() as session,
        session.get(f"{url}/healthz") as response,
    ):
        assert response.status == 200
    with pytest.raises(aiohttp.ClientConnectorError):
        async with aiohttp.ClientSession() as session, session.get(f"{url}/healthz"):
            pass


async def test_process_ends_on_a_schema_that_is_not_its_own(database_url: str, platform: Platform) -> None:
    await platform.connection.execute("UPDATE tutorwatch.alembic_version SET version_num = '0001'")

    with pytest.raises(SchemaMismatchError, match="run `tutorwatch migrate`"):
        async with asyncio.timeout(5):
            await run_web(WEB.url(database_url), WebSettings(web_port=0), thresholds(), "9.9", asyncio.Event())


async def test_metrics_have_a_port_of_their_own(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "web.service")
    settings = WebSettings(web_port=0, web_metrics_port=0)
    async with running(database_url, settings) as url, aiohttp.ClientSession() as session:
        served = [record.getMessage().removeprefix("Serving on ") for record in caplog.records]
        [metrics_url] = [each for each in served if each.startswith("http") and each != url]
        async with session.get(f"{metrics_url}/metrics") as response:
            assert figure(await response.text(), "tutorwatch_info", version="9.9") == 1
        for path in (f"{metrics_url}/", f"{url}/metrics"):
            async with session.get(path) as response:
                assert response.status == 404


async def test_every_request_is_a_line_without_its_query(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "web.service")
    forged = {"X-Request-Id": "forged"}
    async with (
        running(database_url, WebSettings(web_port=0)) as url,
        aiohttp.ClientSession() as session,
        session.get(f"{url}/sign-in/link?token=secret", headers=forged) as response,
    ):
        request_id = response.headers["X-Request-Id"]
    [line] = [record for record in caplog.records if getattr(record, "action", "") == "request"]

    assert line.getMessage().startswith("GET /sign-in/link 200 (")
    assert "secret" not in str(vars(line))
    assert (vars(line)["request_id"], request_id == "forged") == (request_id, False)


async def test_answers_carry_the_headers_that_protect_them(nobody: Browser) -> None:
    async with nobody.get("/sign-in") as response:
        headers = response.headers
        page = await response.text()

    assert headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
    assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "no-store")
    assert headers["Server"] == "Tutorwatch"
    assert "<style" not in page
    assert "style=" not in page


async def test_static_files_may_be_kept_for_ever(nobody: Browser) -> None:
    async with nobody.get("/sign-in") as response:
        page = await response.text()
    path = page.split('rel="stylesheet" href="')[1].split('"')[0]

    async with nobody.get(path) as response:
        assert (response.status, response.content_type) == (200, "text/css")
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    for wrong in (path.replace("app.css", "nothing.css"), path.replace("app.css", "../app.py"), "/static/0/app.css"):
        async with nobody.get(wrong) as response:
            assert response.status == 404
            assert response.headers["Cache-Control"] == "no-store"
