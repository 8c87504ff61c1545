"""The audit trail: adds entries, and tells whether one is there already."""

from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import Text, cast, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from database.access_tables import audit_trail
from database.tables import users

_IS_ON_RECORD = text("""
    SELECT EXISTS (
        SELECT FROM tutorwatch.audit_trail
        WHERE action = :action AND at > clock_timestamp() - CAST(:every AS interval)
          AND at < clock_timestamp() + interval '5 seconds'  -- no further ahead: the clock may have been set back
          AND reason IS NOT DISTINCT FROM :reason AND actor IS NOT DISTINCT FROM :actor
          AND actor_by IS NOT DISTINCT FROM :actor_by AND address IS NOT DISTINCT FROM :address
          AND user_id IS NOT DISTINCT FROM :user_id AND object IS NOT DISTINCT FROM :object
    )
""")


async def is_on_record(conn: AsyncConnection, entry: Mapping[str, str | None], every: timedelta) -> bool:
    """Whether there is such an entry (columns of the audit trail, by name) that is no older."""
    return bool(await conn.scalar(_IS_ON_RECORD, {**entry, "every": every}))


async def insert_entry(conn: AsyncConnection, entry: Mapping[str, str | None]) -> None:
    """Adds the entry: columns of the audit trail, by name. An actor's role, where it isn't given, is looked up."""
    role = select(cast(users.c.role, Text)).where(users.c.id == entry["actor"]).scalar_subquery()
    values = {**entry, "actor_role": entry["actor_role"] or role}
    await conn.execute(insert(audit_trail).values(values).inline())  # who may only write can't be told the entry's id
