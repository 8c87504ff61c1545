"""The sessions that hold tutors' locks. Any role can hold an advisory lock: the worst is delay, and it is reported."""

from collections.abc import Sequence

from sqlalchemy import ARRAY, String, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

LOCK_SEED = 7_310_118_242
"""Sets our advisory locks apart from other programs' (an arbitrary number)."""

SESSION = """
    'pid ' || session.pid || ' (' || coalesce(nullif(session.application_name, ''), 'without a name') || ') of role '
    || coalesce(session.usename::text, 'unknown') || coalesce(' from ' || host(session.client_addr), '')
    || coalesce(', ' || session.state, '')
    || coalesce(' since ' || date_trunc('second', coalesce(session.xact_start, session.state_change)), '')
"""
"""A row `session` of pg_stat_activity in words; from where and since when only as far as our role may know it."""

HELD = f"""
    FROM (SELECT id, hashtextextended(id, {LOCK_SEED}) AS key FROM {{tutors}}) AS tutor
    JOIN pg_locks AS held ON held.locktype = 'advisory' AND held.granted AND held.objsubid = 1
        AND held.classid::bigint = ((tutor.key >> 32) & 4294967295)
        AND held.objid::bigint = (tutor.key & 4294967295)
        AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    JOIN pg_stat_activity AS session ON session.pid = held.pid AND session.pid <> pg_backend_pid()
"""  # noqa: S608 - a constant of ours
"""A row for each `tutor` of these whose lock a `session` other than ours has `held`."""

_HOLDERS = text(
    f"SELECT tutor.id, min({SESSION}) AS holder {HELD.format(tutors='unnest(:tutor_ids) AS id')} GROUP BY tutor.id"
).bindparams(bindparam("tutor_ids", type_=ARRAY(String)))


async def holders(conn: AsyncConnection, tutor_ids: Sequence[str]) -> dict[str, str]:
    """Return, by tutor, the other session that has the tutor's lock now; without those whose lock is free."""
    found = await conn.execute(_HOLDERS, {"tutor_ids": list(tutor_ids)})
    return {row.id: row.holder for row in found}
