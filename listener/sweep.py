"""What no notification announces: the daily sweep over all tutors."""

import logging

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

logger = logging.getLogger(__name__)

_CLAIM_DAILY = text("""
    UPDATE tutorwatch.sweep SET swept_at = clock_timestamp()
    WHERE swept_at < clock_timestamp() - make_interval(secs => :seconds)
""")
_ADD_EVERYONE = text("INSERT INTO tutorwatch.outbox DEFAULT VALUES")
_FORGET_ORPHANS = (
    text("""
        DELETE FROM tutorwatch.alert_evidence AS e
        WHERE NOT EXISTS (SELECT FROM public.alerts WHERE alerts.id = e.alert_id)
    """),
    text("""
        DELETE FROM tutorwatch.alert_resolutions AS r
        WHERE NOT EXISTS (SELECT FROM public.alerts WHERE alerts.id = r.alert_id)
    """),
    text("""
        DELETE FROM tutorwatch.failures AS f
        WHERE NOT EXISTS (SELECT FROM public.users WHERE users.id = f.tutor_id)
    """),
    text("DELETE FROM tutorwatch.listeners WHERE seen_at < clock_timestamp() - interval '1 day'"),
)


async def sweep(conn: AsyncConnection, *, every_hours: float) -> None:
    """Puts every tutor into the outbox once a day: the first of all listeners that sees it due takes the sweep.

    It also forgets what belonged to alerts and tutors that clients have deleted.
    """
    due = await conn.execute(_CLAIM_DAILY, {"seconds": every_hours * 3600})
    if due.rowcount == 0:
        return
    logger.info("Daily sweep: every tutor will be looked at", extra={"action": "daily_sweep"})
    await conn.execute(_ADD_EVERYONE)
    for forget in _FORGET_ORPHANS:
        await conn.execute(forget)
