"""Retries of failing tutors, when a person asks for them."""

from collections.abc import Sequence

from sqlalchemy import ARRAY, String, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from database.channels import CHANGES

RETRY_ALL = """
    UPDATE tutorwatch.failures SET
        attempts = 0, next_attempt_at = clock_timestamp(), parked_at = NULL, unfinished = false, wanted = true
"""
"""Gives all failing tutors all their attempts again, at once."""
_RETRY = text(f"""
    {RETRY_ALL} WHERE CAST(:tutor_ids AS text[]) IS NULL OR tutor_id = ANY(:tutor_ids)
""").bindparams(bindparam("tutor_ids", type_=ARRAY(String)))
_WAKE = text("SELECT pg_notify(:channel, '')").bindparams(channel=CHANGES)


async def retry_failing(conn: AsyncConnection, tutor_ids: Sequence[str] | None = None) -> int:
    """Gives failing tutors all their attempts again, beginning at once; None: all of them.

    Returns how many of them are failing; the caller commits.
    """
    retried = (await conn.execute(_RETRY, {"tutor_ids": None if tutor_ids is None else list(tutor_ids)})).rowcount
    if retried:
        await conn.execute(_WAKE)
    return retried
