"""The schema version that this program needs. Services check it at start; none migrates."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from database.errors import SchemaMismatchError

REVISION = "0025"
"""The migration that this program is written for (a test holds it to the newest one)."""


async def check_schema(conn: AsyncConnection) -> None:
    """Raises SchemaMismatchError unless the database is at REVISION."""
    found: str | None = None
    if await conn.scalar(text("SELECT to_regclass('tutorwatch.alembic_version') IS NOT NULL")):
        found = await conn.scalar(text("SELECT version_num FROM tutorwatch.alembic_version"))
    if message := explain_revision(found):
        raise SchemaMismatchError(message)


def explain_revision(found: str | None) -> str:
    """Return what is wrong with a database at this revision (None: not installed there), or an empty string."""
    if found == REVISION:
        return ""
    if found is None:
        return "Tutorwatch isn't installed in this database: run `tutorwatch migrate`"
    if found < REVISION:
        return f"The database's schema ({found}) is older than this program ({REVISION}): run `tutorwatch migrate`"
    return f"The database's schema ({found}) is newer than this program ({REVISION}): install the newer program"
