"""Gives failing tutors another chance, at an admin's word."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_RETRY = text("""
    WITH reset AS (
        UPDATE tutorwatch.failures SET attempts = 0, next_attempt_at = NULL, parked_at = NULL
        WHERE CAST(:tutor_id AS text) IS NULL OR tutor_id = :tutor_id
        RETURNING tutor_id
    )
    INSERT INTO tutorwatch.outbox (tutor_id) SELECT tutor_id FROM reset
""")
_WAKE = text("SELECT pg_notify('tutorwatch_changes', '')")


async def retry_failing(conn: AsyncConnection, tutor_id: str | None = None) -> int:
    """Has a failing tutor generated again at once, with all attempts anew; None: all of them.

    Returns how many tutors that are; the caller commits.
    """
    retried = (await conn.execute(_RETRY, {"tutor_id": tutor_id})).rowcount
    if retried:
        await conn.execute(_WAKE)
    return retried
