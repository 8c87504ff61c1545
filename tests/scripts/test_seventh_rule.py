"""CONTRIBUTING.md, "Adding a rule": a new alert type is one file. Everything else finds it there."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from tests.support.command import NO_EMBEDDED_DATABASE, Finished, Running, environment
from tests.support.dashboard_process import browser, sign_in
from tests.support.platform import Platform

FOLDER = Path(__file__).parent / "seventh"
PROGRAM = (sys.executable, FOLDER / "tutorwatch.py")
RULE = "student_frustration_detected"


def tutorwatch(*arguments: str, url: str | None = None, **settings: object) -> Finished:
    """The command line of a Tutorwatch that has the seventh rule."""
    done = subprocess.run(
        [*PROGRAM, *arguments],
        env=environment(url, settings),
        cwd=NO_EMBEDDED_DATABASE,
        capture_output=True,
        text=True,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def audio(signs: int) -> dict[str, int]:
    """Metrics of a session that open no other alert."""
    return {"student_frustration_count": signs, "tutor_checks_understanding_count": 6}


@pytest.fixture
async def frustrated(platform: Platform) -> Platform:
    """A tutor whose students were frustrated in three of four sessions."""
    for days, signs in ((1, 2), (2, 5), (3, 2), (4, 1)):
        at = datetime.now(UTC) - timedelta(days=days)
        await platform.session("tutor", at=at, audio=audio(signs))
    return platform


def test_settings_have_its_thresholds() -> None:
    listed = tutorwatch("settings").out

    assert "`TUTORWATCH_STUDENT_FRUSTRATION_COUNT` | `3` | Sessions with a frustrated student" in listed


async def test_it_opens_alerts_with_evidence(frustrated: Platform, database_url: str) -> None:
    assert "Tutor 1/1: Tutor - 1 alerts" in tutorwatch("backfill", url=database_url).out

    assert await frustrated.rows(
        "SELECT a.severity::text, a.title, a.description, e.value, e.threshold, cardinality(e.session_ids)"
        f" FROM alerts AS a JOIN tutorwatch.alert_evidence AS e ON e.alert_id = a.id WHERE a.alert_type = '{RULE}'"
    ) == [
        (
            "warning",
            "Frustrated students",
            "3 sessions with a frustrated student in 30 days (alert from 3)",
            3,
            3,
            3,
        )
    ]


async def test_consumed_sessions_open_it_once(frustrated: Platform, database_url: str) -> None:
    tutorwatch("backfill", url=database_url)
    await frustrated.connection.execute("UPDATE alerts SET resolved = true, resolved_at = now()")

    assert "Total alerts created: 0" in tutorwatch("backfill", url=database_url).out

    await frustrated.session("tutor", at=datetime.now(UTC), audio=audio(3))
    assert "Total alerts created: 1" in tutorwatch("backfill", url=database_url).out


@pytest.mark.usefixtures("frustrated")
def test_it_is_explained_under_its_settings(database_url: str) -> None:
    done = tutorwatch("explain", "tutor", "--json", url=database_url, student_frustration_count=4)

    [told] = [each for each in json.loads(done.out)["rules"] if each["rule"] == RULE]
    assert (told["value"], told["threshold"], told["origin"], told["verdict"]) == ("3", "4", "setting", "not_met")


async def test_platform_without_its_label_is_told_and_switches_it_off(frustrated: Platform, database_url: str) -> None:
    await frustrated.connection.execute(f"ALTER TYPE alert_type RENAME VALUE '{RULE}' TO 'other'")

    assert f"Note: {RULE} is off" in tutorwatch("migrate", "--check", url=database_url).out
    assert "Total alerts created: 0" in tutorwatch("backfill", url=database_url).out


async def read(asking: aiohttp.ClientSession, url: str) -> str:
    """The text of a page that is there."""
    async with asking.get(url) as response:
        text = await response.text()
        assert response.status == 200, text
        return text


async def test_pages_and_documents_know_it(frustrated: Platform, database_url: str) -> None:
    tutorwatch("backfill", url=database_url)
    await frustrated.user("dana", role="admin")
    token = await sign_in(frustrated, "dana")
    with Running("web", url=database_url, program=PROGRAM, web_port=0) as process:
        address = (await process.log(action="serving"))["message"].removeprefix("Serving on ")
        async with browser(token) as asking:
            paths = ("/alerts", f"/alerts?type={RULE}", "/tutors/tutor", f"/api/alerts?type={RULE}")
            pages = {path: await read(asking, address + path) for path in paths}

    assert f'<option value="{RULE}">Frustrated students</option>' in pages["/alerts"]
    assert "3 sessions with a frustrated student in 30 days" in pages[f"/alerts?type={RULE}"]
    assert "Frustrated students</th>" in pages["/tutors/tutor"]
    [alert] = json.loads(pages[f"/api/alerts?type={RULE}"])["alerts"]
    assert alert["type"] == RULE
    assert len(alert["evidence"]["sessions"]) == 3
