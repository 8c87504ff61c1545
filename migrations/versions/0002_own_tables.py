"""The outbox, failures, evidence and the like, all in the schema tutorwatch."""

from migrations.sql import execute, read_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Creates tables of our own only."""
    execute(read_sql("own_tables"))
