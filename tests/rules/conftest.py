"""Fixtures of the tests of the rules."""

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from database.connections import open_engine
from tests.rules.generating import Generation
from tests.support.databases import own_database
from tests.support.platform import Platform

_WIPE = b"""
    DELETE FROM public.sessions;
    DELETE FROM public.alerts;
    DELETE FROM public.tutor_insights;
    DELETE FROM public.coaching_notes;
    DELETE FROM public.users;
    DELETE FROM public.subjects;
    DELETE FROM tutorwatch.alert_evidence;
    DELETE FROM tutorwatch.consumed_sessions;
    DELETE FROM tutorwatch.alert_resolutions;
    DELETE FROM tutorwatch.failures;
    DELETE FROM tutorwatch.outbox;
"""


@pytest.fixture(scope="session")
def rules_database_url(server_url: str, worker_id: str, migrated_template: str) -> Iterator[str]:
    """A migrated database for all tests of the rules."""
    with own_database(server_url, worker_id, migrated_template) as url:
        yield url


@pytest.fixture
def database_url(rules_database_url: str) -> str:
    """A migrated database without a row: wiped instead of cloned, which would take most of these tests' time."""
    with psycopg.connect(rules_database_url, autocommit=True) as connection:
        connection.execute(_WIPE)
    return rules_database_url


@pytest.fixture(scope="session")
def rules_engine(rules_database_url: str) -> Iterator[AsyncEngine]:
    """One engine for all tests of the rules: its cache of compiled statements spares most of their time."""
    engine = open_engine(rules_database_url, application_name="tutorwatch-test")
    yield engine
    engine.sync_engine.dispose()


@pytest.fixture
def engine(rules_engine: AsyncEngine, database_url: str) -> AsyncEngine:
    """The services' way to the test's database; it keeps no connection, hence no event loop."""
    assert database_url
    return rules_engine


@pytest.fixture
def generation(engine: AsyncEngine, platform: Platform) -> Generation:
    """Brings tutors up to date in the test's database."""
    return Generation(engine, platform)
