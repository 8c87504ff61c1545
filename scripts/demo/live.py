"""Writes new sessions of the demo's tutors one by one, the way the platform's own clients do."""

import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from itertools import chain, repeat
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import dict_row, scalar_row

from scripts.demo.people import (
    ONE_NO_SHOW_SHORT,
    ONE_RESCHEDULE_SHORT,
    SOLID_TUTOR,
    STAR_TUTOR,
    STUDENT_IDS,
    TUTORS,
    CastTutor,
    Outcome,
    Standing,
)
from scripts.demo.recording import (
    Booking,
    Coverage,
    RecordedSession,
    booked_session,
    held_session,
    missed_session,
    ordinary_quality,
)
from scripts.demo.rows import Row, Session

NEWCOMER_CHANCE = 0.06
# Now and then a session goes wrong for anyone but a star, by so many steps of quality.
BAD_DAY_CHANCE = 0.05
BAD_DAY_QUALITY = -3.0
# How far the scripted poor first session falls below a solid tutor's usual: to a score of about 5.5.
POOR_FIRST_QUALITY = -5.0
# A new session's end lies at most so long ago.
LATEST_RECORDING = timedelta(hours=3)

TUTOR_ABSENT_CHANCE = {
    Standing.STAR: 0.0,
    Standing.SOLID: 0.005,
    Standing.STRUGGLING: 0.04,
    Standing.AT_RISK: 0.1,
}
RESCHEDULED_BY_TUTOR_CHANCE = {
    Standing.STAR: 0.0,
    Standing.SOLID: 0.01,
    Standing.STRUGGLING: 0.05,
    Standing.AT_RISK: 0.06,
}
# These befall every tutor alike.
STUDENT_ABSENT_CHANCE = 0.03
RESCHEDULED_BY_STUDENT_CHANCE = 0.02
CANCELLED_CHANCE = 0.03


class Client(Enum):
    """The client a session is written as; the value is how a line about the session names it."""

    WEB_APPLICATION = "web application"
    IMPORTER = "importer"
    CALENDAR = "calendar"


class DemoDataMissingError(Exception):
    """The database lacks the demo's students or subjects; fill it with the demo's dataset first."""


@dataclass(frozen=True, kw_only=True)
class WrittenSession:
    """A session now in the database, in a reader's words; `score` (0 to 10) is None unless completed."""

    session_id: UUID
    tutor_id: str
    tutor_name: str
    student_name: str
    subject: str
    session_number: int
    outcome: Outcome
    score: Decimal | None
    client: Client

    def describe(self) -> str:
        """One line, such as `Sarah Chen with Leo Park, Algebra: completed, score 8.4`."""
        return f"{self.tutor_name} with {self.student_name}, {self.subject}: {self._ending()}"

    def _ending(self) -> str:
        if self.outcome is not Outcome.COMPLETED:
            return MISSED_IN_WORDS[self.outcome]
        occasion = ", their first session" if self.session_number == 1 else ""
        return f"completed, score {self.score}{occasion}"


MISSED_IN_WORDS = {
    Outcome.TUTOR_ABSENT: "tutor did not show up",
    Outcome.STUDENT_ABSENT: "student did not show up",
    Outcome.RESCHEDULED_BY_TUTOR: "rescheduled by the tutor",
    Outcome.RESCHEDULED_BY_STUDENT: "rescheduled by the student",
    Outcome.CANCELLED: "cancelled",
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """What the next session is to be; `quality` in steps around the tutor's profile."""

    tutor: CastTutor
    outcome: Outcome = Outcome.COMPLETED
    quality: float = 0.0
    newcomer: bool = False
    client: Client = Client.WEB_APPLICATION


# The first sessions of every run, so that a newcomer soon sees alerts open. None: drawn like any later one.
OPENING: tuple[Step | None, ...] = (
    Step(tutor=STAR_TUTOR, quality=0.5),
    Step(tutor=ONE_NO_SHOW_SHORT, outcome=Outcome.TUTOR_ABSENT, client=Client.CALENDAR),
    Step(tutor=SOLID_TUTOR, client=Client.IMPORTER),
    Step(tutor=SOLID_TUTOR, quality=POOR_FIRST_QUALITY, newcomer=True),
    None,
    Step(tutor=ONE_RESCHEDULE_SHORT, outcome=Outcome.RESCHEDULED_BY_TUTOR),
)


@dataclass(frozen=True, kw_only=True)
class _Pairing:
    """Who meets about what, and for which time."""

    student_id: str
    student_name: str
    subject_id: UUID
    subject: str
    session_number: int


async def sessions(
    conn: psycopg.AsyncConnection[Any], rng: random.Random, clock: Callable[[], datetime]
) -> AsyncIterator[WrittenSession]:
    """Write a session each time the next one is asked for, without end; the caller sets the pace.

    `conn` must be in autocommit mode, as every statement is a commit of its own; `clock` gives aware
    instants. New sessions lie in the last hours. Raises DemoDataMissingError if the demo's people are gone.
    """
    if not conn.autocommit:
        raise ValueError("the platform's clients write in autocommit mode: connect with autocommit=True")
    for scripted in chain(OPENING, repeat(None)):
        yield await _write(conn, scripted or _drawn_step(rng), rng, clock().astimezone(UTC))


async def _write(conn: psycopg.AsyncConnection[Any], step: Step, rng: random.Random, now: datetime) -> WrittenSession:
    pairing = await _pair_up(conn, step, rng)
    booking = _booking(step.tutor, pairing, now.replace(tzinfo=None), rng)
    recorded = _recorded(step, booking, rng)
    match step.client:
        case Client.WEB_APPLICATION:
            await _write_at_once(conn, recorded)
        case Client.IMPORTER:
            await _write_score_last(conn, recorded)
        case Client.CALENDAR:
            await _write_scheduled_first(conn, booked_session(booking), recorded)
    return WrittenSession(
        session_id=booking.session_id,
        tutor_id=booking.tutor_id,
        tutor_name=step.tutor.name,
        student_name=pairing.student_name,
        subject=pairing.subject,
        session_number=pairing.session_number,
        outcome=step.outcome,
        score=recorded.session.overall_session_score,
        client=step.client,
    )


async def _write_at_once(conn: psycopg.AsyncConnection[Any], recorded: RecordedSession) -> None:
    """As the web application does: the session as it ended, then what is known about it."""
    await _insert(conn, recorded.session)
    await _insert_metrics(conn, recorded)


async def _write_score_last(conn: psycopg.AsyncConnection[Any], recorded: RecordedSession) -> None:
    """As an importer does: the session without its score, the metrics, then the score."""
    await _insert(conn, replace(recorded.session, overall_session_score=None))
    await _insert_metrics(conn, recorded)
    await conn.execute(
        "UPDATE public.sessions SET overall_session_score = %s WHERE id = %s",
        [recorded.session.overall_session_score, recorded.session.id],
    )


async def _write_scheduled_first(
    conn: psycopg.AsyncConnection[Any], scheduled: Session, recorded: RecordedSession
) -> None:
    """As a calendar does: the session as scheduled, later how it ended, then what is known about it."""
    await _insert(conn, scheduled)
    await _update_to_end_state(conn, recorded.session)
    await _insert_metrics(conn, recorded)


async def _update_to_end_state(conn: psycopg.AsyncConnection[Any], ended: Session) -> None:
    await conn.execute(
        """
        UPDATE public.sessions
           SET status = %(status)s,
               tutor_showed_up = %(tutor_showed_up)s,
               student_showed_up = %(student_showed_up)s,
               rescheduled_by = %(rescheduled_by)s,
               actual_start = %(actual_start)s,
               actual_duration = %(actual_duration)s,
               has_audio_analysis = %(has_audio_analysis)s,
               has_video_analysis = %(has_video_analysis)s,
               has_screen_monitoring = %(has_screen_monitoring)s,
               homework_assigned = %(homework_assigned)s,
               follow_up_booked = %(follow_up_booked)s,
               overall_session_score = %(overall_session_score)s,
               ai_summary = %(ai_summary)s,
               completed_at = %(completed_at)s
         WHERE id = %(id)s
        """,
        dict(zip(ended.columns(), ended.values(), strict=True)),
    )


async def _insert_metrics(conn: psycopg.AsyncConnection[Any], recorded: RecordedSession) -> None:
    for row in recorded.metrics():
        await _insert(conn, row)


async def _insert(conn: psycopg.AsyncConnection[Any], row: Row) -> None:
    await conn.execute(row.insert_statement(), row.values())


def _drawn_step(rng: random.Random) -> Step:
    """A session of any tutor, going as that tutor's sessions go, with occasional problems."""
    tutor = rng.choice(TUTORS)
    outcome = _drawn_outcome(tutor.standing, rng)
    may_import = outcome is Outcome.COMPLETED
    clients = list(Client) if may_import else [Client.WEB_APPLICATION, Client.CALENDAR]
    return Step(
        tutor=tutor,
        outcome=outcome,
        quality=_drawn_quality(tutor.standing, rng),
        newcomer=rng.random() < NEWCOMER_CHANCE,
        client=rng.choice(clients),
    )


def _drawn_outcome(standing: Standing, rng: random.Random) -> Outcome:
    chances = {
        Outcome.TUTOR_ABSENT: TUTOR_ABSENT_CHANCE[standing],
        Outcome.RESCHEDULED_BY_TUTOR: RESCHEDULED_BY_TUTOR_CHANCE[standing],
        Outcome.STUDENT_ABSENT: STUDENT_ABSENT_CHANCE,
        Outcome.RESCHEDULED_BY_STUDENT: RESCHEDULED_BY_STUDENT_CHANCE,
        Outcome.CANCELLED: CANCELLED_CHANCE,
    }
    chances[Outcome.COMPLETED] = 1 - sum(chances.values())
    return rng.choices(list(chances), weights=list(chances.values()))[0]


def _drawn_quality(standing: Standing, rng: random.Random) -> float:
    bad_day = standing is not Standing.STAR and rng.random() < BAD_DAY_CHANCE
    return ordinary_quality(rng) + (BAD_DAY_QUALITY if bad_day else 0.0)


def _recorded(step: Step, booking: Booking, rng: random.Random) -> RecordedSession:
    if step.outcome is not Outcome.COMPLETED:
        return missed_session(booking, step.outcome)
    coverage = Coverage(
        audio=rng.random() < 0.96,
        video=rng.random() < 0.6,
        screen=rng.random() < 0.3,
        feedback=rng.random() < 0.45,
        visual_aids=rng.random() < step.tutor.profile.visual_aids_share,
    )
    return held_session(booking, step.tutor.profile, quality=step.quality, coverage=coverage, rng=rng)


def _booking(tutor: CastTutor, pairing: _Pairing, now: datetime, rng: random.Random) -> Booking:
    """A session that ended within the last hours and is written down at `now` (naive UTC)."""
    duration = rng.choice((45, 60, 60))
    ended_at = now - rng.random() * LATEST_RECORDING
    start = (ended_at - timedelta(minutes=duration)).replace(second=0, microsecond=0)
    return Booking(
        # Not drawn from `rng`: a second run with the same seed must not repeat the first run's ids.
        session_id=uuid4(),
        tutor_id=tutor.user_id,
        student_id=pairing.student_id,
        subject_id=pairing.subject_id,
        session_number=pairing.session_number,
        scheduled_start=start,
        duration_minutes=duration,
        recorded_at=now,
    )


async def _pair_up(conn: psycopg.AsyncConnection[Any], step: Step, rng: random.Random) -> _Pairing:
    """A student for the step's tutor: a new one if wanted and left, else one of the tutor's own."""
    candidates = await _students(conn, step.tutor)
    wanted = [student for student in candidates if (student["latest_number"] == 0) == step.newcomer]
    if not candidates:
        raise DemoDataMissingError(f"no active demo student for {step.tutor.user_id}")
    student = rng.choice(wanted or candidates)
    subject = rng.choice(step.tutor.subjects)
    return _Pairing(
        student_id=student["id"],
        student_name=student["name"],
        subject_id=await _subject_id(conn, subject),
        subject=subject,
        session_number=student["latest_number"] + 1,
    )


async def _students(conn: psycopg.AsyncConnection[Any], tutor: CastTutor) -> list[dict[str, Any]]:
    """Active demo students by id, each with the highest number of their sessions with the tutor, or 0."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            """
            SELECT users.id,
                   users.name,
                   coalesce(max(sessions.session_number), 0) AS latest_number
              FROM public.students
              JOIN public.users ON users.id = students.user_id
              LEFT JOIN public.sessions ON sessions.student_id = users.id
                                       AND sessions.tutor_id = %(tutor_id)s
             WHERE students.status = 'active'
               AND users.id = ANY (%(student_ids)s)
             GROUP BY users.id
             ORDER BY users.id
            """,
            {"tutor_id": tutor.user_id, "student_ids": list(STUDENT_IDS)},
        )
        return await cursor.fetchall()


async def _subject_id(conn: psycopg.AsyncConnection[Any], subject: str) -> UUID:
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute("SELECT id FROM public.subjects WHERE name = %s", [subject])
        subject_id: UUID | None = await cursor.fetchone()
    if subject_id is None:
        raise DemoDataMissingError(f"no subject named {subject}")
    return subject_id
