"""Backups with PostgreSQL's own programs: what is restored goes on where the original stood."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from aiohttp import CookieJar
from aiohttp.test_utils import TestClient, TestServer
from psycopg import sql

from rules.settings import thresholds
from tests.scripts.test_doctor import ALIVE, troubles
from tests.support.browsers import post
from tests.support.catalog import snapshot
from tests.support.command import find_program, psql, tutorwatch
from tests.support.databases import database_on
from tests.support.listening import alerted, has_settled, is_up, listening, no_shows, waiting
from tests.support.platform import Platform
from tests.support.roles import LISTENER, WEB
from web.app import create_app
from web.settings import WebSettings

PASSWORD = "correct horse battery"

pytestmark = pytest.mark.skipif(find_program("pg_restore") is None, reason="pg_restore is not to be found")


@pytest.fixture
def restored_name(server_url: str, worker_id: str) -> Iterator[str]:
    """An empty database to restore into."""
    name = f"tutorwatch_restored_{worker_id}"
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(drop)
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield name
        connection.execute(drop)


def program(name: str, *arguments: str) -> str:
    found = find_program(name)
    assert found
    done = subprocess.run([found, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("form", ["custom", "plain"])
async def test_a_restored_database_goes_on_where_the_original_stood(
    server_url: str, database_url: str, platform: Platform, restored_name: str, tmp_path: Path, form: str
) -> None:
    early = await no_shows(platform, 1)
    async with listening(database_url):
        await has_settled(platform)
    late = await no_shows(platform, 1, first=2)  # nobody has generated this one
    created = tutorwatch("create-admin", "dana@example.test", "--password-stdin", answer=PASSWORD, url=database_url)
    assert created.code == 0, created.err
    backup, restored_url = str(tmp_path / "backup"), database_on(server_url, restored_name)

    program("pg_dump", f"--format={form}", f"--file={backup}", database_url)
    if form == "plain":
        program("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--file={backup}", restored_url)
    else:
        program("pg_restore", "--exit-on-error", f"--dbname={restored_url}", backup)

    assert snapshot(restored_url) == snapshot(database_url)
    psql(restored_url, ALIVE)
    assert troubles(tutorwatch("doctor", url=restored_url)) == []
    psql(restored_url, "DELETE FROM tutorwatch.listeners")
    async with await psycopg.AsyncConnection.connect(restored_url, autocommit=True) as connection:
        restored = Platform(connection, platform.subject_id, set(platform.known_users))
        assert await alerted(restored) == early
        assert await waiting(restored) == late
        async with listening(restored_url):
            await is_up(restored)
            await has_settled(restored)
            assert await alerted(restored) == early + late, "what waited in the backup"
            new = await no_shows(restored, 1, first=3)
            await has_settled(restored)
        assert await alerted(restored) == early + late + new, "what is written from now on"
    assert await signs_in(restored_url)


async def test_our_own_schema_can_be_put_back_after_an_uninstall(
    database_url: str, platform: Platform, tmp_path: Path
) -> None:
    """How one goes back to the version before: docs/operations.md, "Upgrading from 0.1.0"."""
    backup = str(tmp_path / "backup")
    tutors = await no_shows(platform, 2)
    async with listening(database_url):
        await has_settled(platform)
    evidence = await platform.rows("SELECT alert_id, session_ids FROM tutorwatch.alert_evidence ORDER BY alert_id")

    program("pg_dump", "--format=custom", "--schema=tutorwatch", f"--file={backup}", database_url)
    assert tutorwatch("uninstall", "--yes", url=database_url).code == 0
    program("pg_restore", "--exit-on-error", f"--dbname={database_url}", backup)
    assert tutorwatch("migrate", url=database_url).code == 0
    assert tutorwatch("rights", "--listener", LISTENER.name, "--web", WEB.name, url=database_url).code == 0

    assert len(evidence) == len(tutors)
    assert evidence == await platform.rows(
        "SELECT alert_id, session_ids FROM tutorwatch.alert_evidence ORDER BY alert_id"
    )
    psql(database_url, ALIVE)
    assert troubles(tutorwatch("doctor", url=database_url)) == []
    later = await no_shows(platform, 1, first=3)
    async with listening(database_url):
        await has_settled(platform)
    assert await alerted(platform) == tutors + later


async def signs_in(url: str) -> bool:
    """Whether the admin's password still opens the dashboard."""
    server = TestServer(create_app(WEB.url(url), WebSettings(web_port=0), thresholds(), version="test"))
    async with TestClient(server, cookie_jar=CookieJar(unsafe=True)) as browser:
        response = await post(
            browser, "/sign-in", page="/sign-in", email="dana@example.test", password=PASSWORD, next="/"
        )
        return (response.status, response.headers["Location"]) == (303, "/")
