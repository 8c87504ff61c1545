"""The demo's history: sixty days of ten tutors, and the way into an empty platform database."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg.rows import scalar_row

from scripts.demo.people import (
    ADMIN_ID,
    ADMIN_NAME,
    MAIL_DOMAIN,
    STUDENT_IDS,
    STUDENT_NAMES,
    SUBJECTS,
    TUTORS,
    CastTutor,
    Outcome,
    student_of,
)
from scripts.demo.recording import (
    Booking,
    Coverage,
    RecordedSession,
    booked_session,
    drawn_id,
    held_session,
    missed_session,
    ordinary_quality,
)
from scripts.demo.rows import (
    AudioMetrics,
    Feedback,
    Row,
    ScreenMetrics,
    Session,
    Student,
    Subject,
    Tutor,
    User,
    VideoMetrics,
)

# Days ago of the oldest and the youngest session of each half of a calendar. Both keep two days' distance
# from the 30-day line, so that the demo looks the same at every hour of the day.
EARLIER_DAYS = (59, 32)
RECENT_DAYS = (27, 1)
UPCOMING_SESSIONS = 8
VIDEO_SHARE = 0.6
DAYS_UNTIL_CHURNED = 12
GRADES = ("7th", "8th", "9th", "10th", "11th", "12th", "college")


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The demo's rows, a field per table, in foreign-key order."""

    users: tuple[User, ...]
    subjects: tuple[Subject, ...]
    tutors: tuple[Tutor, ...]
    students: tuple[Student, ...]
    sessions: tuple[Session, ...]
    session_audio_metrics: tuple[AudioMetrics, ...]
    session_video_metrics: tuple[VideoMetrics, ...]
    session_screen_metrics: tuple[ScreenMetrics, ...]
    session_feedback: tuple[Feedback, ...]

    def tables(self) -> tuple[Sequence[Row], ...]:
        """The rows table by table, in foreign-key order."""
        return (
            self.users,
            self.subjects,
            self.tutors,
            self.students,
            self.sessions,
            self.session_audio_metrics,
            self.session_video_metrics,
            self.session_screen_metrics,
            self.session_feedback,
        )


@dataclass(frozen=True)
class _Slot:
    """A past session as the cast's calendar tells it, before anything about it is drawn."""

    tutor: CastTutor
    student: str
    outcome: Outcome
    days_ago: int
    better_by: float = 0.0


def build(now: datetime, seed: int = 7) -> Dataset:
    """The demo's data as of `now` (aware); the same `now` and seed give the same rows.

    Sessions lie 1 to 59 days before `now`, a few up to a week after it.
    """
    if now.tzinfo is None:
        raise ValueError("now must be aware")
    rng = random.Random(seed)
    today = _midnight(now)
    subjects = tuple(_subjects(today, rng))
    past = list(_past_sessions(today, subjects, rng))
    upcoming = list(_upcoming_sessions(today, past, rng))
    students = tuple(_students(today, past, rng))
    return Dataset(
        users=tuple(_users(today, students)),
        subjects=subjects,
        tutors=tuple(_tutors(today, rng)),
        students=students,
        sessions=(*(recorded.session for recorded in past), *upcoming),
        session_audio_metrics=tuple(recorded.audio for recorded in past if recorded.audio),
        session_video_metrics=tuple(recorded.video for recorded in past if recorded.video),
        session_screen_metrics=tuple(recorded.screen for recorded in past if recorded.screen),
        session_feedback=tuple(recorded.feedback for recorded in past if recorded.feedback),
    )


async def is_empty(conn: psycopg.AsyncConnection[Any]) -> bool:
    """Whether the platform holds no user and no session."""
    return await _holds(
        conn,
        """
        SELECT NOT EXISTS (SELECT FROM public.users)
           AND NOT EXISTS (SELECT FROM public.sessions)
        """,
    )


async def is_demo(conn: psycopg.AsyncConnection[Any]) -> bool:
    """Whether the demo's admin and all its tutors are there."""
    expected = [ADMIN_ID, *(tutor.user_id for tutor in TUTORS)]
    return await _holds(
        conn,
        "SELECT count(*) = %s FROM public.users WHERE id = ANY (%s)",
        [len(expected), expected],
    )


async def fill(conn: psycopg.AsyncConnection[Any], dataset: Dataset) -> None:
    """Write the whole dataset in one transaction, and commit it: `conn` must be idle or in autocommit mode.

    Raises psycopg.errors.UniqueViolation, and writes nothing, where the demo is already in place.
    """
    async with conn.transaction(), conn.cursor() as cursor:
        for rows in dataset.tables():
            await _copy(cursor, rows)


async def _copy(cursor: psycopg.AsyncCursor[Any], rows: Sequence[Row]) -> None:
    if not rows:
        return
    async with cursor.copy(rows[0].copy_statement()) as copy:
        for row in rows:
            await copy.write_row(row.values())


async def _holds(conn: psycopg.AsyncConnection[Any], query: LiteralString, parameters: Sequence[object] = ()) -> bool:
    """The answer to a question of one row and one boolean column."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(query, parameters)
        return bool(await cursor.fetchone())


def _midnight(now: datetime) -> datetime:
    """The start of the day of `now` as the platform writes instants: naive UTC."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)


def _subjects(today: datetime, rng: random.Random) -> Iterator[Subject]:
    for name, category in SUBJECTS.items():
        yield Subject(id=drawn_id(rng), name=name, category=category, created_at=today - timedelta(days=400))


def _past_sessions(today: datetime, subjects: Sequence[Subject], rng: random.Random) -> Iterator[RecordedSession]:
    """Every tutor's calendar, numbered within each pair and each tutor's oldest session first."""
    subject_ids = {subject.name: subject.id for subject in subjects}
    for tutor in TUTORS:
        met: Counter[str] = Counter()
        completed = with_video = 0
        for slot in _slots(tutor):
            met[slot.student] += 1
            booking = _booking(slot, met[slot.student], subject_ids, today, rng)
            if slot.outcome is not Outcome.COMPLETED:
                yield missed_session(booking, slot.outcome)
                continue
            coverage = _coverage(tutor, completed, with_video, rng)
            quality = slot.better_by + ordinary_quality(rng)
            yield held_session(booking, tutor.profile, quality=quality, coverage=coverage, rng=rng)
            completed += 1
            with_video += coverage.video


def _slots(tutor: CastTutor) -> Iterator[_Slot]:
    halves = (
        (list(tutor.earlier_sessions()), EARLIER_DAYS, tutor.quality_before),
        (list(tutor.recent_sessions()), RECENT_DAYS, 0.0),
    )
    for calendar, days, better_by in halves:
        for (letter, outcome), days_ago in zip(calendar, _spread(len(calendar), *days), strict=True):
            yield _Slot(tutor, student_of(tutor, letter), outcome, days_ago, better_by)


def _spread(count: int, first_day: int, last_day: int) -> Iterable[int]:
    """`count` (two or more) days evenly from `first_day` down to `last_day`."""
    return (first_day - round(place * (first_day - last_day) / (count - 1)) for place in range(count))


def _booking(
    slot: _Slot, session_number: int, subject_ids: dict[str, UUID], today: datetime, rng: random.Random
) -> Booking:
    start = today - timedelta(days=slot.days_ago) + _hour_of_day(rng)
    duration = rng.choice((45, 60, 60))
    # A student keeps one subject with a tutor.
    subject = slot.tutor.subjects[STUDENT_IDS.index(slot.student) % len(slot.tutor.subjects)]
    return Booking(
        session_id=drawn_id(rng),
        tutor_id=slot.tutor.user_id,
        student_id=slot.student,
        subject_id=subject_ids[subject],
        session_number=session_number,
        scheduled_start=start,
        duration_minutes=duration,
        recorded_at=start + timedelta(minutes=duration + 10),
    )


def _coverage(tutor: CastTutor, completed: int, with_video: int, rng: random.Random) -> Coverage:
    """What is known of a tutor's next completed session, after so many completed and so many with video."""
    return Coverage(
        audio=rng.random() < 0.96,
        video=_falls_on(completed, VIDEO_SHARE),
        screen=rng.random() < 0.3,
        feedback=rng.random() < 0.45,
        visual_aids=_falls_on(with_video, tutor.profile.visual_aids_share),
    )


def _falls_on(place: int, share: float) -> bool:
    """Whether a place (from 0) is among the `share` of all places, these spread as evenly as can be."""
    return int((place + 1) * share) > int(place * share)


def _upcoming_sessions(today: datetime, past: Sequence[RecordedSession], rng: random.Random) -> Iterator[Session]:
    """The next session of some tutors' latest pairs."""
    latest = {recorded.session.tutor_id: recorded.session for recorded in past}
    for place, session in enumerate(list(latest.values())[:UPCOMING_SESSIONS]):
        held = sum(_same_pair(session, recorded.session) for recorded in past)
        yield booked_session(
            Booking(
                session_id=drawn_id(rng),
                tutor_id=session.tutor_id,
                student_id=session.student_id,
                subject_id=session.subject_id,
                session_number=held + 1,
                scheduled_start=today + timedelta(days=1 + place % 6) + _hour_of_day(rng),
                duration_minutes=session.scheduled_duration,
                recorded_at=session.created_at,
            )
        )


def _same_pair(one: Session, other: Session) -> bool:
    return (one.tutor_id, one.student_id) == (other.tutor_id, other.student_id)


def _hour_of_day(rng: random.Random) -> timedelta:
    """An afternoon or evening start on the quarter hour, from 13:00 to 20:45."""
    return timedelta(minutes=13 * 60 + 15 * rng.randrange(32))


def _students(today: datetime, past: Sequence[RecordedSession], rng: random.Random) -> Iterator[Student]:
    for number, user_id in enumerate(STUDENT_IDS, start=1):
        days = [row.session.scheduled_start for row in past if row.session.student_id == user_id]
        churned_date = _churned_date(max(days), today)
        yield Student(
            user_id=user_id,
            enrolled_since=(min(days) - timedelta(days=4)).date(),
            grade_level=rng.choice(GRADES),
            parent_email=f"parent-{number:02d}@{MAIL_DOMAIN}",
            status="churned" if churned_date else "active",
            churned_date=churned_date,
        )


def _churned_date(last_session: datetime, today: datetime) -> date | None:
    """When a student who has stayed away counts as lost; None for one who was seen lately."""
    lost_at = last_session + timedelta(days=DAYS_UNTIL_CHURNED)
    return lost_at.date() if lost_at < today else None


def _tutors(today: datetime, rng: random.Random) -> Iterator[Tutor]:
    for tutor in TUTORS:
        years = rng.randint(2, 12)
        yield Tutor(
            user_id=tutor.user_id,
            member_since=(today - timedelta(days=rng.randint(120, 380))).date(),
            bio=f"{tutor.name} teaches {' and '.join(tutor.subjects)}.",
            experience=f"{years} years of tutoring",
            hourly_rate=Decimal(rng.randrange(30, 75, 5)).quantize(Decimal("0.01")),
        )


def _users(today: datetime, students: Sequence[Student]) -> Iterator[User]:
    long_ago = today - timedelta(days=400)
    yield User(id=ADMIN_ID, email=f"admin@{MAIL_DOMAIN}", name=ADMIN_NAME, role="admin", created_at=long_ago)
    for tutor in TUTORS:
        yield User(
            id=tutor.user_id,
            email=_mail_address(tutor.name),
            name=tutor.name,
            role="tutor",
            created_at=long_ago,
        )
    for student, name in zip(students, STUDENT_NAMES, strict=True):
        enrolled_at = datetime.combine(student.enrolled_since, today.time())
        yield User(
            id=student.user_id,
            email=_mail_address(name),
            name=name,
            role="student",
            created_at=enrolled_at,
        )


def _mail_address(name: str) -> str:
    return f"{name.lower().replace(' ', '.')}@{MAIL_DOMAIN}"
