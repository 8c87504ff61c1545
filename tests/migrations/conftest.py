"""What the tests of the migrations share."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tests.support.catalog import snapshot
from tests.support.databases import cloned, database_on


@pytest.fixture(scope="session")
def served_template(migrated_template: str) -> str:
    """Catalogs are compared here: nobody has been given any rights."""
    return migrated_template


@pytest.fixture(scope="session")
def head_snapshot(server_url: str, migrated_template: str) -> list[str]:
    """The catalog of an empty database that was migrated in one go."""
    return snapshot(database_on(server_url, migrated_template))


@pytest.fixture(scope="session")
def platform_snapshot(server_url: str, platform_template: str) -> list[str]:
    """The catalog of a platform's database that Tutorwatch has not joined."""
    return snapshot(database_on(server_url, platform_template))


@pytest.fixture
def seeded_url(platform_url: str) -> str:
    """A platform database with two tutors, a student and a subject, whose ids are their names and zeros."""
    _seed(platform_url)
    return platform_url


@pytest.fixture
def seeded_0017_url(revision_0017_url: str) -> str:
    """The same at revision 0017."""
    _seed(revision_0017_url)
    return revision_0017_url


def _seed(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("""
            INSERT INTO users (id, email, name, role) VALUES
                ('tutor', 'tutor@example.test', 'Tutor', 'tutor'),
                ('other', 'other@example.test', 'Other', 'tutor'),
                ('student', 'student@example.test', 'Student', 'student')
        """)
        connection.execute(
            "INSERT INTO subjects (id, name, category)"
            " VALUES ('00000000-0000-0000-0000-000000000000', 'Algebra', 'math')"
        )


@pytest.fixture
def owner_url(server_url: str, worker_id: str) -> Iterator[str]:
    """An empty database that belongs to an ordinary role, and is connected to as that role."""
    name = f"tutorwatch_owner_{worker_id}"
    role = sql.Identifier(name)
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(role))
        connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'owner'").format(role))
        with cloned(server_url, name, owner=name) as url:
            yield make_conninfo(url, user=name, password="owner")
        connection.execute(sql.SQL("DROP ROLE {}").format(role))
