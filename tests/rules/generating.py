"""Generation as the tests run it, and what it leaves in the database."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from rules import settings
from rules.generation import Generated, generate
from rules.life import Outcome, resolve
from tests.support.platform import NOW, Platform


@dataclass(frozen=True)
class Generation:
    """Generates and resolves, each in a transaction of its own."""

    engine: AsyncEngine
    platform: Platform

    async def __call__(self, *tutor_ids: str, now: datetime = NOW, **thresholds: Any) -> Generated:
        """Brings the tutors ("tutor" unless named) up to date, with the default thresholds unless given."""
        async with self.engine.begin() as conn:
            return await generate(conn, tutor_ids or ("tutor",), now, settings.thresholds(**thresholds))

    async def resolve(self, alert_type: str, *, tutor: str = "tutor", now: datetime = NOW) -> UUID:
        """The tutor's open alert of that type, resolved; returns its id."""
        [alert_id] = await self.platform.rows(
            "SELECT id FROM alerts WHERE tutor_id = %s AND alert_type = %s::alert_type AND NOT resolved",
            tutor,
            alert_type,
        )
        admin = await self.platform.user("some-admin", role="admin")
        async with self.engine.begin() as conn:
            await resolve(conn, alert_id, by=admin, action_taken="Talked", outcome=Outcome.COACHED, now=now)
        found: UUID = alert_id
        return found

    async def evidence(self, alert_type: str, *, tutor: str = "tutor") -> list[UUID]:
        """The sessions behind the tutor's open alert of that type, latest first."""
        [session_ids] = await self.platform.rows(
            "SELECT e.session_ids FROM alerts AS a JOIN tutorwatch.alert_evidence AS e ON e.alert_id = a.id"
            " WHERE a.tutor_id = %s AND a.alert_type = %s::alert_type AND NOT a.resolved",
            tutor,
            alert_type,
        )
        found: list[UUID] = session_ids
        return found

    async def description(self, alert_type: str, *, tutor: str = "tutor") -> str:
        """What the tutor's open alert of that type says."""
        [description] = await self.platform.rows(
            "SELECT description FROM alerts WHERE tutor_id = %s AND alert_type = %s::alert_type AND NOT resolved",
            tutor,
            alert_type,
        )
        return str(description)

    async def opened(self, alert_type: str, *, tutor: str = "tutor") -> int:
        """How many alerts of that type the tutor ever had, open or resolved."""
        [count] = await self.platform.rows(
            "SELECT count(*) FROM alerts WHERE tutor_id = %s AND alert_type = %s::alert_type", tutor, alert_type
        )
        return int(count)
