"""For operators: health, readiness, figures, logs, and the process as a whole."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from database.errors import SchemaMismatchError
from rules.settings import Thresholds
from tests.platform import Platform
from tests.roles import WEB
from tests.web.conftest import Browser, insert_alert
from web.service import run_web
from web.settings import WebSettings

TOKEN = "a token for the scraper"
LISTENER = """
    INSERT INTO tutorwatch.listeners (listener_id, host, process_id, version, started_at, seen_at, figures)
    VALUES (gen_random_uuid(), 'host', 7, '1', now(), now() - make_interval(secs => %s), %s)
"""


async def test_ready_once_the_database_and_a_listener_are_there(nobody: Browser, platform: Platform) -> None:
    async with nobody.get("/readyz") as response:
        assert (response.status, (await response.json())["listener"]) == (503, "none is alive")

    await platform.connection.execute(LISTENER.encode(), [60, "{}"])
    async with nobody.get("/readyz") as response:
        assert response.status == 503

    await platform.connection.execute(LISTENER.encode(), [5, "{}"])
    async with nobody.get("/readyz") as response:
        assert (response.status, await response.json()) == (
            200,
            {"database": "ok", "schema": "ok", "listener": "ok"},
        )


async def test_not_ready_with_another_schema(nobody: Browser, platform: Platform) -> None:
    await platform.connection.execute("UPDATE tutorwatch.alembic_version SET version_num = '0001'")

    async with nobody.get("/readyz") as response:
        assert response.status == 503
        assert "run `tutorwatch migrate`" in (await response.json())["schema"]


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

    @pytest.mark.usefixtures("people", "hearing")
    async def test_tell_of_the_listeners_through_the_database(self, admin: Browser, platform: Platform) -> None:
        await insert_alert(platform, tutor="bob", alert_type="high_talk_ratio", severity="warning")
        figures = '{"batches": 3, "generations": 9, "batch_seconds": 0.5, "alerts_opened": {"no_show_pattern": 2}}'
        await platform.connection.execute(LISTENER.encode(), [0, figures])
        await platform.connection.execute(
            "INSERT INTO tutorwatch.failures VALUES ('ann', 5, 'error', now(), now(), NULL, now())"
        )
        async with admin.get("/alerts"), admin.get("/events"):
            text = await self.scrape(admin)

        assert figure(text, "tutorwatch_changes_recorded_total") == figure(text, "tutorwatch_changes_waiting") == 1
        assert figure(text, "tutorwatch_oldest_change_seconds") > 0
        assert figure(text, "tutorwatch_tutors_parked") == 1
        assert figure(text, "tutorwatch_listeners_alive") == 1
        assert figure(text, "tutorwatch_alerts_open", type="high_talk_ratio", severity="warning") == 1
        assert figure(text, "tutorwatch_alerts_opened_last_day", type="no_show_pattern") == 1
        assert figure(text, "tutorwatch_listener_generations_total", listener="host:7") == 9
        assert figure(text, "tutorwatch_listener_alerts_opened_total", type="no_show_pattern") == 2
        assert figure(text, "tutorwatch_browsers_connected") == 1
        assert figure(text, "tutorwatch_web_hears") == 1
        assert figure(text, "tutorwatch_http_requests_total", route="/alerts", status="200") == 1

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
        run_web(WEB.url(database_url), settings, Thresholds(), "9.9", stop, on_serving=serving.set_result)
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
            await run_web(WEB.url(database_url), WebSettings(web_port=0), Thresholds(), "9.9", asyncio.Event())


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
