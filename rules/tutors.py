"""The tutors and their names."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, Select, String, any_, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import sessions, tutors, users


def every_tutor() -> Select[Any]:
    """The ids of all tutors: by role, by profile, or by having a session as tutor (roles change)."""
    return select(users.c.id).where(
        or_(
            users.c.role == "tutor",
            select(tutors.c.user_id).where(tutors.c.user_id == users.c.id).exists(),
            select(sessions.c.id).where(sessions.c.tutor_id == users.c.id).exists(),
        )
    )


async def load_names(conn: AsyncConnection, ids: Sequence[str] | None = None) -> dict[str, str]:
    """Tutors' names by id, in the order of the names; of all tutors, or of the users with these ids."""
    chosen = (
        every_tutor()
        if ids is None
        else select(users.c.id).where(users.c.id == any_(literal(list(ids), ARRAY(String))))
    )
    result = await conn.execute(
        select(users.c.id, users.c.name).where(users.c.id.in_(chosen)).order_by(users.c.name, users.c.id)
    )
    return {row.id: row.name for row in result}
