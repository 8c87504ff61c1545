"""A database as version 0.1.0 left it."""

from pathlib import Path

import psycopg

from migrations.sql import read_sql

BESIDE_ITS_TABLES = Path(__file__).parents[1] / "data/revision_0017.sql"
"""Functions, triggers and indexes of that revision."""


def make_revision_0017(database_url: str) -> None:
    """Makes an empty database what version 0.1.0 left behind: the platform's tables, and ours at revision 0017."""
    with psycopg.connect(database_url) as connection:
        for statements in (
            read_sql("platform_tables"),
            "CREATE SCHEMA tutorwatch",
            read_sql("initial_tables"),
            "CREATE TABLE tutorwatch.alembic_version"
            " (version_num varchar(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY)",
            "INSERT INTO tutorwatch.alembic_version VALUES ('0017')",
            BESIDE_ITS_TABLES.read_text(encoding="utf-8"),
        ):
            connection.execute(statements.encode())
