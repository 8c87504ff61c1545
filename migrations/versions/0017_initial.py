"""The platform's tables, for an empty database only, and Tutorwatch's own, as version 0.1.0 left them."""

from alembic import context

from migrations.sql import execute, read_sql

revision = "0017"
down_revision = None


def upgrade() -> None:
    """Functions, triggers and indexes are no revision's affair: see `migrations.repair`."""
    if context.config.attributes["database_is_empty"]:
        execute(read_sql("platform_tables"))
    execute(read_sql("initial_tables"))
