"""The platform's tables, for an empty database only."""

from alembic import context

from migrations.sql import execute, read_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Leaves the platform's own tables alone where they exist."""
    if context.config.attributes["database_is_empty"]:
        execute(read_sql("platform_tables"))
