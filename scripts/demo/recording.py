"""From a booked hour and the way it went to the rows the platform holds of it."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from uuid import UUID

from scripts.demo.people import Outcome, Profile
from scripts.demo.rows import (
    AudioMetrics,
    Feedback,
    Participant,
    Row,
    ScreenMetrics,
    Session,
    SessionStatus,
    VideoMetrics,
)

# Ordinary sessions lie within this many steps of quality around the tutor's profile.
ORDINARY_SPREAD = 1.8
SCORE_PER_STEP = 0.45

STATUS_OF = {
    Outcome.COMPLETED: SessionStatus.COMPLETED,
    Outcome.TUTOR_ABSENT: SessionStatus.NO_SHOW_TUTOR,
    Outcome.STUDENT_ABSENT: SessionStatus.NO_SHOW_STUDENT,
    Outcome.RESCHEDULED_BY_TUTOR: SessionStatus.RESCHEDULED,
    Outcome.RESCHEDULED_BY_STUDENT: SessionStatus.RESCHEDULED,
    Outcome.CANCELLED: SessionStatus.CANCELLED,
}
RESCHEDULED_BY = {
    Outcome.RESCHEDULED_BY_TUTOR: Participant.TUTOR,
    Outcome.RESCHEDULED_BY_STUDENT: Participant.STUDENT,
}
# From the lowest score at which it is said, best first.
SUMMARIES = (
    (8.5, "Lively session: the student explained the ideas back in their own words."),
    (7.0, "Steady progress through the planned material; one idea needed a second look."),
    (6.0, "The tutor explained a lot and the student followed with few questions."),
    (0.0, "The student lost the thread early and much of the plan was left undone."),
)
REMARKS = {
    5: "That really clicked today, thank you!",
    4: "Good session, I understand it better now.",
    3: "It was okay.",
    2: "I still don't get it and couldn't ask much.",
    1: "I don't want to go on like this.",
}


@dataclass(frozen=True, kw_only=True)
class Booking:
    """An agreed session; instants are naive UTC, `recorded_at` is when a client writes it down."""

    session_id: UUID
    tutor_id: str
    student_id: str
    subject_id: UUID
    session_number: int
    scheduled_start: datetime
    duration_minutes: int
    recorded_at: datetime


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What was analysed or said about a completed session, and whether video saw visual aids."""

    audio: bool
    video: bool
    screen: bool
    feedback: bool
    visual_aids: bool


@dataclass(frozen=True, kw_only=True)
class RecordedSession:
    """A session's rows; without metrics unless it was completed."""

    session: Session
    audio: AudioMetrics | None = None
    video: VideoMetrics | None = None
    screen: ScreenMetrics | None = None
    feedback: Feedback | None = None

    def metrics(self) -> Iterator[Row]:
        """The rows beside the session row, in the order in which clients write them."""
        return (row for row in (self.audio, self.video, self.screen, self.feedback) if row is not None)


def drawn_id(rng: random.Random) -> UUID:
    """A random UUID that the same generator always draws again."""
    return UUID(int=rng.getrandbits(128), version=4)


def ordinary_quality(rng: random.Random) -> float:
    """How far a session lies from the tutor's usual, in steps: 0 is as usual, above is better."""
    return max(-ORDINARY_SPREAD, min(ORDINARY_SPREAD, rng.gauss(0, 0.8)))


def booked_session(booking: Booking) -> Session:
    """The session row while the session lies ahead."""
    return Session(
        id=booking.session_id,
        tutor_id=booking.tutor_id,
        student_id=booking.student_id,
        scheduled_start=booking.scheduled_start,
        actual_start=None,
        scheduled_duration=booking.duration_minutes,
        actual_duration=None,
        subject_id=booking.subject_id,
        session_number=booking.session_number,
        status=SessionStatus.SCHEDULED,
        tutor_showed_up=True,
        student_showed_up=True,
        rescheduled_by=None,
        has_audio_analysis=False,
        has_video_analysis=False,
        has_screen_monitoring=False,
        homework_assigned=False,
        follow_up_booked=False,
        overall_session_score=None,
        ai_summary=None,
        completed_at=None,
        created_at=booking.recorded_at,
    )


def missed_session(booking: Booking, outcome: Outcome) -> RecordedSession:
    """A session that did not take place: only its session row."""
    session = replace(
        booked_session(booking),
        status=STATUS_OF[outcome],
        tutor_showed_up=outcome is not Outcome.TUTOR_ABSENT,
        student_showed_up=outcome is not Outcome.STUDENT_ABSENT,
        rescheduled_by=RESCHEDULED_BY.get(outcome),
    )
    return RecordedSession(session=session)


def held_session(
    booking: Booking, profile: Profile, *, quality: float, coverage: Coverage, rng: random.Random
) -> RecordedSession:
    """A completed session whose score, metrics and feedback all follow the tutor's profile and `quality`."""
    score = _measured(profile.score + SCORE_PER_STEP * quality, places=1, highest=10)
    session = replace(
        booked_session(booking),
        actual_start=booking.scheduled_start + timedelta(minutes=rng.randint(0, 4)),
        actual_duration=booking.duration_minutes + rng.randint(-5, 5),
        status=SessionStatus.COMPLETED,
        has_audio_analysis=coverage.audio,
        has_video_analysis=coverage.video,
        has_screen_monitoring=coverage.screen,
        homework_assigned=rng.random() < 0.6,
        follow_up_booked=float(score) >= 7 and rng.random() < 0.8,
        overall_session_score=score,
        ai_summary=next(text for lowest, text in SUMMARIES if score >= lowest),
        # The web application dates a completed session by its scheduled start.
        completed_at=booking.scheduled_start,
    )
    return RecordedSession(
        session=session,
        audio=_audio(booking, profile, quality, rng) if coverage.audio else None,
        video=_video(booking, profile, quality, coverage.visual_aids, rng) if coverage.video else None,
        screen=_screen(booking, quality, rng) if coverage.screen else None,
        feedback=_feedback(booking, score, rng) if coverage.feedback else None,
    )


def _audio(booking: Booking, profile: Profile, quality: float, rng: random.Random) -> AudioMetrics:
    talk_ratio = profile.talk_ratio - 0.018 * quality + rng.gauss(0, 0.006)
    silence, pauses = 0.04 + 0.02 * rng.random(), 0.01 + 0.02 * rng.random()
    questions = rng.randint(16, 22)
    open_questions = round(questions * profile.open_question_share)
    engagement = profile.engagement + 0.3 * quality
    return AudioMetrics(
        session_id=booking.session_id,
        tutor_talk_ratio=_measured(talk_ratio, places=3, highest=1),
        student_talk_ratio=_measured(1 - talk_ratio - silence - pauses, places=3, highest=1),
        productive_silence_ratio=_measured(silence, places=3, highest=1),
        awkward_pause_ratio=_measured(pauses, places=3, highest=1),
        student_engagement_score=_measured(engagement, places=1, highest=10),
        tutor_enthusiasm_score=_measured(engagement + rng.uniform(-0.3, 0.6), places=1, highest=10),
        avg_student_response_delay=_measured(5.5 - 0.4 * engagement + rng.random(), places=2, highest=60),
        long_pauses_count=_counted(4 - quality, rng),
        student_initiated_questions=_counted(engagement - 3, rng),
        student_frustration_count=_counted(7 - engagement, rng),
        student_confusion_count=_counted(8 - engagement, rng),
        positive_moments_count=_counted(engagement - 2, rng),
        tutor_checks_understanding_count=_counted(profile.understanding_checks + 0.8 * quality, rng),
        tutor_positive_reinforcement_count=_counted(profile.reinforcement + 0.8 * quality, rng),
        concept_re_explanation_count=_counted(3, rng),
        open_ended_questions=open_questions,
        closed_ended_questions=questions - open_questions,
        rhetorical_questions=rng.randint(0, 3),
        created_at=booking.recorded_at,
    )


def _video(booking: Booking, profile: Profile, quality: float, visual_aids: bool, rng: random.Random) -> VideoMetrics:
    engagement = profile.engagement + 0.3 * quality
    return VideoMetrics(
        session_id=booking.session_id,
        student_on_screen_attention_pct=_measured(engagement / 10 + 0.05, places=3, highest=1),
        student_visual_engagement_score=_measured(engagement + rng.uniform(-0.4, 0.4), places=1, highest=10),
        distraction_events_count=_counted(10 - engagement, rng),
        confusion_moments_count=_counted(8 - engagement, rng),
        tutor_uses_visual_aids=visual_aids,
        student_taking_notes_duration=_counted(engagement + 2, rng),
        created_at=booking.recorded_at,
    )


def _screen(booking: Booking, quality: float, rng: random.Random) -> ScreenMetrics:
    return ScreenMetrics(
        session_id=booking.session_id,
        active_tab_focus_pct=_measured(0.8 + 0.05 * quality, places=3, highest=1),
        tab_switches_count=_counted(9 - 2 * quality, rng),
        whiteboard_usage_minutes=_counted(12 + 2 * quality, rng),
        messaging_app_detected=quality < 0 and rng.random() < 0.3,
        gaming_detected=quality < -1 and rng.random() < 0.3,
        created_at=booking.recorded_at,
    )


def _feedback(booking: Booking, score: Decimal, rng: random.Random) -> Feedback:
    rating = max(1, min(5, round(float(score) / 2 + rng.uniform(-0.5, 0.7))))
    return Feedback(
        session_id=booking.session_id,
        student_satisfaction_rating=rating,
        feedback_text=REMARKS[rating],
        submitted_at=booking.recorded_at,
    )


def _measured(value: float, *, places: int, highest: int) -> Decimal:
    """`value` held between 0 and `highest`, as an exact decimal of so many places."""
    bounded = Decimal(max(0.0, min(float(highest), value)))
    return bounded.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)


def _counted(usual: float, rng: random.Random) -> int:
    """A whole number near `usual`, never below 0."""
    return max(0, round(usual + rng.uniform(-1, 1)))
