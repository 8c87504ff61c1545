"""The work that no notification announces: the daily sweep over all tutors, one for unrecorded changes, and removing
old entries of the audit trail.
"""

import logging
import time
from functools import partial

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from database.errors import first_line
from database.recording import EVERY_TUTOR
from listener.processing import Context

logger = logging.getLogger(__name__)

MOST_AUDIT_BATCHES = 100
"""After a daily sweep old entries of the audit trail are removed so many times 10,000 at most, one time before each
claim: changes are more urgent."""

# Rows that come or go with a partition (ATTACH, DETACH, DROP) fire no trigger.
_CLAIM_DUE = text("""
    WITH attached AS MATERIALIZED (
        SELECT ARRAY(
            SELECT part.relid::oid
            FROM unnest('{public.sessions,public.session_audio_metrics,public.session_video_metrics}'::regclass[])
                AS whole, pg_partition_tree(whole) AS part
            WHERE part.isleaf ORDER BY 1
        ) AS leaves
    )
    UPDATE tutorwatch.sweep SET swept_at = clock_timestamp(), partitions_seen = (SELECT leaves FROM attached)
    WHERE swept_at < clock_timestamp() - make_interval(secs => :seconds)
       OR swept_at > clock_timestamp()  -- the clock was set back
       OR partitions_seen <> (SELECT leaves FROM attached)
""")
# A change that could not be recorded is noted before its transaction commits, so it may not be visible yet. Hence a
# second sweep, when all transactions have ended that may have noted what the first one saw. These aren't only those in
# its snapshot, because a sequence is read later than that. But all have numbers below the one that this transaction is
# given here, when the row has been found to differ.
_CLAIM_UNRECORDED = text("""
    WITH noted AS MATERIALIZED (SELECT last_value AS seen FROM tutorwatch.unrecorded WHERE is_called)
    UPDATE tutorwatch.sweep
    SET unrecorded_seen = coalesce((SELECT seen FROM noted), unrecorded_seen),
        again_after = CASE WHEN unrecorded_seen <> (SELECT seen FROM noted) THEN pg_current_xact_id() END
    WHERE unrecorded_seen <> (SELECT seen FROM noted) OR again_after <= pg_snapshot_xmin(pg_current_snapshot())
""")
# They are only there to be announced (see migrations/sql/functions/wake_dashboards.sql); a part at a time.
_FORGET_ANNOUNCED = text("""
    DELETE FROM tutorwatch.announcements WHERE id IN (SELECT id FROM tutorwatch.announcements LIMIT 100000)
""")
_ADD_EVERYONE = text(EVERY_TUTOR)
_KEEP_AUDIT_TRAIL = text("SELECT removed, anonymised FROM tutorwatch.keep_audit_trail(:days)")
_FORGET_ORPHANS = (
    text("""
        DELETE FROM tutorwatch.alert_evidence AS e
        WHERE NOT EXISTS (SELECT FROM public.alerts WHERE alerts.id = e.alert_id)
    """),
    text("""
        DELETE FROM tutorwatch.alert_attention AS a
        WHERE NOT EXISTS (SELECT FROM public.alerts WHERE alerts.id = a.alert_id)
    """),
    text("""
        DELETE FROM tutorwatch.alert_resolutions AS r
        WHERE NOT EXISTS (SELECT FROM public.alerts WHERE alerts.id = r.alert_id)
    """),
    text("""
        DELETE FROM tutorwatch.consumed_sessions AS c
        WHERE NOT EXISTS (SELECT FROM public.sessions WHERE sessions.id = c.session_id)
    """),
    text("""
        DELETE FROM tutorwatch.failures AS f
        WHERE NOT EXISTS (SELECT FROM public.users WHERE users.id = f.tutor_id)
    """),
    text("""
        DELETE FROM tutorwatch.deliveries AS d
        WHERE d.created_at < clock_timestamp() - interval '90 days'
           OR NOT EXISTS (SELECT FROM tutorwatch.channels WHERE channels.id = d.channel_id)
    """),
    text("DELETE FROM tutorwatch.listeners WHERE seen_at < clock_timestamp() - interval '1 day'"),
)


async def sweep(conn: AsyncConnection, *, every_hours: float) -> bool:
    """Puts every tutor into the outbox once a day, and soon after changes that no trigger could record.

    The first of all listeners that sees a sweep due takes it. Partitions that have come or gone make the daily one due
    at once. It also forgets what belonged to alerts and tutors that clients have deleted, and what has been announced.
    Returns whether it was the daily one.
    """
    if (await conn.execute(_CLAIM_UNRECORDED)).rowcount:
        logger.warning(
            "Changes could not be recorded (see the database's log), or may have been missed by an upgrade:"
            " all tutors will be re-evaluated",
            extra={"action": "unrecorded_sweep"},
        )
        await conn.execute(_ADD_EVERYONE)
    is_daily = (await conn.execute(_CLAIM_DUE, {"seconds": every_hours * 3600})).rowcount > 0
    if is_daily:
        logger.info("Daily sweep, or new partitions: all tutors will be re-evaluated", extra={"action": "daily_sweep"})
        await conn.execute(_ADD_EVERYONE)
        for forget in _FORGET_ORPHANS:
            await conn.execute(forget)
    await conn.execute(_FORGET_ANNOUNCED)
    return is_daily


async def keep_audit_trail(conn: AsyncConnection, *, days: int) -> bool:
    """Removes some of the audit trail's entries that are older, and the names of deleted users from others; the caller
    commits. Returns whether there was anything to do: then there may be more.
    """
    done = (await conn.execute(_KEEP_AUDIT_TRAIL, {"days": days})).one()
    if done.removed or done.anonymised:
        logger.info(
            "Audit trail: removed %d entries older than %d days; %d no longer name a deleted user",
            done.removed,
            days,
            done.anonymised,
            extra={"action": "audit_trail_kept", "removed": done.removed, "anonymised": done.anonymised},
        )
    return bool(done.removed or done.anonymised)


class Upkeep:
    """Sweeps where that is due, once for all listeners."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._audit_batches = 0

    async def run(self) -> None:
        """Does what is due. Raises TransientError and CannotEvaluateError."""
        settings = self._context.settings
        if self._context.schedule.sweep_is_due(time.monotonic()):
            async with self._context.watch.explaining():
                is_daily = await self._context.commit(partial(sweep, every_hours=settings.sweep_hours))
            if is_daily:
                self._audit_batches = MOST_AUDIT_BATCHES
            self._context.schedule.swept(time.monotonic())
        if self._audit_batches:
            await self._remove_audit_batch()

    async def _remove_audit_batch(self) -> None:
        """Removes a batch of old entries; a failure doesn't keep tutors from being evaluated."""
        try:
            has_more = await self._context.commit(partial(keep_audit_trail, days=self._context.settings.audit_days))
        except (DBAPIError, psycopg.Error) as error:
            logger.warning(
                "Old entries of the audit trail can't be removed (%s): tried again after the next sweep",
                first_line(error),
                extra={"action": "audit_trail_not_kept"},
            )
            has_more = False
        self._audit_batches = self._audit_batches - 1 if has_more else 0
