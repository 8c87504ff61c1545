"""A client of the platform: writes users, sessions and metrics as the platform's own clients do."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql

NOW = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
"""The moment the tests of the rules happen at."""


def naive(instant: datetime) -> datetime:
    """An instant as the platform's `timestamp` columns hold it."""
    return instant.astimezone(UTC).replace(tzinfo=None)


@dataclass
class Platform:
    """Inserts rows with sensible values for whatever a test doesn't care about."""

    connection: psycopg.AsyncConnection[Any]
    subject_id: UUID | None = None
    known_users: set[str] = field(default_factory=set)

    async def user(self, user_id: str, *, role: str = "tutor", name: str | None = None) -> str:
        """A user, unless there already; tutors get their profile row."""
        if user_id not in self.known_users:
            await self.insert(
                "users", id=user_id, email=f"{user_id}@example.test", name=name or user_id.title(), role=role
            )
            if role in ("tutor", "student"):
                await self.insert(f"{role}s", user_id=user_id)
            self.known_users.add(user_id)
        return user_id

    async def session(
        self,
        tutor: str = "tutor",
        *,
        student: str = "student",
        at: datetime | None = None,
        days_ago: float = 1,
        status: str = "completed",
        number: int = 2,
        score: Decimal | float | str | None = None,
        rescheduled_by: str | None = None,
        completed_at: datetime | None = None,
        audio: dict[str, Any] | None = None,
        video: dict[str, Any] | None = None,
        session_id: UUID | None = None,
    ) -> UUID:
        """A session scheduled (`at`, else so many days before NOW), and its metrics where given.

        `completed_at` stays empty unless given: the session is then dated by its scheduled start.
        """
        await self.user(tutor)
        await self.user(student, role="student")
        session_id = session_id or uuid4()
        await self.insert(
            "sessions",
            id=session_id,
            tutor_id=tutor,
            student_id=student,
            subject_id=await self.subject(),
            scheduled_start=naive(at or NOW - timedelta(days=days_ago)),
            completed_at=naive(completed_at) if completed_at else None,
            scheduled_duration=60,
            session_number=number,
            status=status,
            overall_session_score=score,
            rescheduled_by=rescheduled_by,
        )
        if audio is not None:
            await self.insert("session_audio_metrics", session_id=session_id, **audio)
        if video is not None:
            await self.insert("session_video_metrics", session_id=session_id, **video)
        return session_id

    async def subject(self) -> UUID:
        """The one subject that all test sessions share."""
        if self.subject_id is None:
            self.subject_id = uuid4()
            await self.insert("subjects", id=self.subject_id, name="Algebra", category="math")
        return self.subject_id

    async def insert(self, table: str, **values: Any) -> None:
        """One row into a table of the platform; what isn't given gets the column's default."""
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier("public", table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join([sql.Placeholder()] * len(values)),
        )
        await self.connection.execute(statement, list(values.values()))

    async def rows(self, query: str, *values: Any) -> list[Any]:
        """The rows of a query; plain values where it has one column."""
        cursor = await self.connection.execute(query.encode(), values or None)
        rows = await cursor.fetchall()
        return [row[0] for row in rows] if cursor.description and len(cursor.description) == 1 else rows

    async def open_alerts(self, tutor: str = "tutor") -> list[str]:
        """The types of the tutor's open alerts, in alphabetical order."""
        return await self.rows(
            "SELECT alert_type::text FROM alerts WHERE tutor_id = %s AND NOT resolved ORDER BY 1", tutor
        )

    async def active_insights(self, tutor: str = "tutor") -> list[str]:
        """The categories of the tutor's active insights, in alphabetical order."""
        return await self.rows(
            "SELECT category::text FROM tutor_insights WHERE tutor_id = %s AND is_active ORDER BY 1", tutor
        )
