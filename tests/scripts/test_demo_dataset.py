"""The demo's data has the shape a newcomer is promised; the rules are retold here in plain loops."""

from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest

from scripts.demo.dataset import Dataset, build
from scripts.demo.live import OPENING, Client, WrittenSession
from scripts.demo.people import TUTORS, CastTutor, Outcome, Standing
from scripts.demo.rows import AudioMetrics, Participant, Session, SessionStatus, VideoMetrics

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
HOURS = [
    pytest.param(datetime(2026, 3, 10, 0, 0, 1, tzinfo=UTC), id="just after midnight"),
    pytest.param(NOON, id="noon"),
    pytest.param(datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), id="last second of the year"),
]

SARAH, AMARA, MICHAEL, PRIYA, JONAS, LEILA, TOMASZ, GRACE, DANIEL, VICTOR = (tutor.user_id for tutor in TUTORS)
STAR_STRENGTHS = {
    "high_engagement",
    "balanced_talk_ratio",
    "frequent_understanding_checks",
    "strong_questioning",
    "high_visual_aids",
    "positive_reinforcement",
    "first_session_expert",
}
EXPECTED_ALERTS = {
    GRACE: {"high_talk_ratio", "low_understanding_checks"},
    DANIEL: {"high_talk_ratio", "low_understanding_checks"},
    VICTOR: {"poor_first_session", "no_show_pattern", "declining_performance"},
}
EXPECTED_INSIGHTS = {
    SARAH: STAR_STRENGTHS,
    AMARA: STAR_STRENGTHS,
    MICHAEL: {"balanced_talk_ratio", "high_visual_aids"},
    PRIYA: {"positive_reinforcement", "low_visual_aids"},
    JONAS: {"strong_questioning", "frequent_understanding_checks"},
    LEILA: {"high_engagement", "balanced_talk_ratio"},
    TOMASZ: {"first_session_expert"},
    GRACE: {
        "low_engagement",
        "high_talk_ratio",
        "infrequent_understanding_checks",
        "low_visual_aids",
    },
    DANIEL: {"high_talk_ratio", "infrequent_understanding_checks", "low_visual_aids"},
    VICTOR: {"low_engagement"},
}


class TutorRecord:
    """What one tutor's rows say at an instant."""

    def __init__(self, dataset: Dataset, tutor_id: str, now: datetime) -> None:
        self.now = now.replace(tzinfo=None)
        self.sessions = [row for row in dataset.sessions if row.tutor_id == tutor_id]
        audio = {row.session_id: row for row in dataset.session_audio_metrics}
        video = {row.session_id: row for row in dataset.session_video_metrics}
        latest_first = sorted(self.completed(0, 30), key=lambda row: row.scheduled_start, reverse=True)
        self.audio = [audio[row.id] for row in latest_first if row.id in audio]
        self.video = [video[row.id] for row in latest_first if row.id in video]

    def completed(self, from_days_ago: int, to_days_ago: int) -> list[Session]:
        return [
            row
            for row in self.sessions
            if row.completed_at is not None
            and timedelta(days=from_days_ago) <= self.now - row.completed_at <= timedelta(days=to_days_ago)
        ]

    def recent_with(self, status: SessionStatus, moved_by: Participant | None = None) -> int:
        return sum(
            row.status is status
            and row.rescheduled_by is moved_by
            and self.now - row.scheduled_start <= timedelta(days=30)
            for row in self.sessions
        )

    def average_score(self, from_days_ago: int, to_days_ago: int) -> Fraction:
        scores = [row.overall_session_score for row in self.completed(from_days_ago, to_days_ago)]
        known = [Fraction(score) for score in scores if score is not None]
        assert len(known) >= 3
        return sum(known) / Fraction(len(known))

    def first_sessions(self, days: int) -> list[Session]:
        return [row for row in self.completed(0, days) if row.session_number == 1]

    def returned(self, first: Session) -> bool:
        return any(
            row.student_id == first.student_id and row.session_number > 1 and row.status is not SessionStatus.CANCELLED
            for row in self.sessions
        )


def alerts_of(record: TutorRecord) -> set[str]:
    ten = record.audio[:10]
    assert len(ten) >= 5
    poor_firsts = [row for row in record.first_sessions(7) if (row.overall_session_score or 10) < Decimal("6.5")]
    answers = {
        "poor_first_session": bool(poor_firsts),
        "no_show_pattern": record.recent_with(SessionStatus.NO_SHOW_TUTOR) >= 2,
        "high_reschedule_rate": record.recent_with(SessionStatus.RESCHEDULED, Participant.TUTOR) >= 5,
        "high_talk_ratio": talkative_share(ten) >= Fraction(7, 10),
        "low_understanding_checks": average_checks(ten) < 4,
        "declining_performance": record.average_score(0, 30) < record.average_score(30, 60) * Fraction(85, 100),
    }
    return {alert for alert, holds in answers.items() if holds}


def insights_of(record: TutorRecord) -> set[str]:
    audio, video, firsts = record.audio, record.video, record.first_sessions(30)
    assert len(audio) >= 5
    assert len(video) >= 5
    engagement = mean([row.student_engagement_score for row in audio])
    reinforcement = mean([row.tutor_positive_reinforcement_count for row in audio])
    converted = sum(record.returned(first) for first in firsts)
    answers = {
        "high_engagement": engagement > 8,
        "low_engagement": engagement < 6,
        "balanced_talk_ratio": balanced_share(audio) >= Fraction(7, 10),
        "high_talk_ratio": talkative_share(audio) >= Fraction(7, 10),
        "frequent_understanding_checks": average_checks(audio) > 8,
        "infrequent_understanding_checks": average_checks(audio) < 4,
        "strong_questioning": open_share(audio) > Fraction(6, 10),
        "positive_reinforcement": reinforcement > 10,
        "high_visual_aids": visual_aids_share(video) >= Fraction(7, 10),
        "low_visual_aids": visual_aids_share(video) < Fraction(3, 10),
        "first_session_expert": len(firsts) >= 3 and Fraction(converted, len(firsts)) >= Fraction(85, 100),
    }
    return {insight for insight, holds in answers.items() if holds}


def mean(values: list[Decimal] | list[int]) -> Fraction:
    return sum((Fraction(value) for value in values), Fraction()) / len(values)


def average_checks(audio: list[AudioMetrics]) -> Fraction:
    return mean([row.tutor_checks_understanding_count for row in audio])


def talkative_share(audio: list[AudioMetrics]) -> Fraction:
    return Fraction(sum(row.tutor_talk_ratio > Decimal("0.65") for row in audio), len(audio))


def balanced_share(audio: list[AudioMetrics]) -> Fraction:
    balanced = sum(Decimal("0.35") <= row.tutor_talk_ratio <= Decimal("0.50") for row in audio)
    return Fraction(balanced, len(audio))


def open_share(audio: list[AudioMetrics]) -> Fraction:
    opened = sum(row.open_ended_questions for row in audio)
    return Fraction(opened, opened + sum(row.closed_ended_questions for row in audio))


def visual_aids_share(video: list[VideoMetrics]) -> Fraction:
    return Fraction(sum(row.tutor_uses_visual_aids for row in video), len(video))


@pytest.mark.parametrize("now", HOURS)
@pytest.mark.parametrize("tutor", TUTORS, ids=lambda tutor: tutor.name)
def test_tutor_has_exactly_the_promised_alerts(tutor: CastTutor, now: datetime) -> None:
    record = TutorRecord(build(now), tutor.user_id, now)
    assert alerts_of(record) == EXPECTED_ALERTS.get(tutor.user_id, set())


@pytest.mark.parametrize("now", HOURS)
@pytest.mark.parametrize("tutor", TUTORS, ids=lambda tutor: tutor.name)
def test_tutor_has_exactly_the_promised_insights(tutor: CastTutor, now: datetime) -> None:
    record = TutorRecord(build(now), tutor.user_id, now)
    assert insights_of(record) == EXPECTED_INSIGHTS[tutor.user_id]


def test_all_eleven_insights_are_in_the_data() -> None:
    assert len(set().union(*EXPECTED_INSIGHTS.values())) == 11


def test_one_no_show_and_one_reschedule_are_missing_for_the_scripted_steps() -> None:
    dataset = build(NOON)
    assert TutorRecord(dataset, GRACE, NOON).recent_with(SessionStatus.NO_SHOW_TUTOR) == 1
    daniel = TutorRecord(dataset, DANIEL, NOON)
    assert daniel.recent_with(SessionStatus.RESCHEDULED, Participant.TUTOR) == 4


def test_opening_supplies_the_missing_no_show_reschedule_and_poor_first_session() -> None:
    second, fourth, sixth = OPENING[1], OPENING[3], OPENING[5]
    assert second is not None
    assert (second.tutor.user_id, second.outcome) == (GRACE, Outcome.TUTOR_ABSENT)
    assert fourth is not None
    assert (fourth.tutor.standing, fourth.newcomer) == (Standing.SOLID, True)
    assert sixth is not None
    assert (sixth.tutor.user_id, sixth.outcome) == (DANIEL, Outcome.RESCHEDULED_BY_TUTOR)


def test_same_instant_and_seed_give_the_same_rows() -> None:
    assert build(NOON, seed=3) == build(NOON, seed=3)
    assert build(NOON, seed=3) != build(NOON, seed=4)


def test_the_zone_of_now_does_not_matter() -> None:
    assert build(NOON.astimezone()) == build(NOON)


def test_naive_now_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        build(datetime(2026, 3, 10))  # noqa: DTZ001


def test_counts() -> None:
    dataset = build(NOON)
    assert len(dataset.users) == 51
    assert (len(dataset.tutors), len(dataset.students), len(dataset.subjects)) == (10, 40, 9)
    assert [row.email for row in dataset.users if row.role == "admin"] == ["admin@demo.test"]
    scheduled = [row for row in dataset.sessions if row.status is SessionStatus.SCHEDULED]
    assert len(scheduled) == 8
    assert len(dataset.sessions) - len(scheduled) == 203


def test_coverage_of_completed_sessions() -> None:
    dataset = build(NOON)
    completed = sum(row.status is SessionStatus.COMPLETED for row in dataset.sessions)
    assert 0.9 * completed <= len(dataset.session_audio_metrics) < completed
    assert 0.55 * completed <= len(dataset.session_video_metrics) <= 0.65 * completed
    assert 0.2 * completed <= len(dataset.session_screen_metrics) <= 0.4 * completed
    assert 0.3 * completed <= len(dataset.session_feedback) <= 0.6 * completed


def test_every_end_state_occurs() -> None:
    assert {row.status for row in build(NOON).sessions} == set(SessionStatus)


def test_metrics_belong_to_completed_sessions_that_announce_them() -> None:
    dataset = build(NOON)
    announced = {
        "audio": {row.id for row in dataset.sessions if row.has_audio_analysis},
        "video": {row.id for row in dataset.sessions if row.has_video_analysis},
        "screen": {row.id for row in dataset.sessions if row.has_screen_monitoring},
    }
    completed = {row.id for row in dataset.sessions if row.status is SessionStatus.COMPLETED}
    assert announced["audio"] == {row.session_id for row in dataset.session_audio_metrics}
    assert announced["video"] == {row.session_id for row in dataset.session_video_metrics}
    assert announced["screen"] == {row.session_id for row in dataset.session_screen_metrics}
    assert set().union(*announced.values()) <= completed
    assert {row.session_id for row in dataset.session_feedback} <= completed


def test_names_addresses_and_ids_are_unique() -> None:
    dataset = build(NOON)
    for column in ("id", "email", "name"):
        assert max(Counter(getattr(row, column) for row in dataset.users).values()) == 1
    assert len({row.id for row in dataset.sessions}) == len(dataset.sessions)
    assert all(row.email.endswith("@demo.test") for row in dataset.users)


def test_session_numbers_count_each_pair_in_time_order() -> None:
    pairs: dict[tuple[str, str], list[Session]] = defaultdict(list)
    for row in build(NOON).sessions:
        pairs[row.tutor_id, row.student_id].append(row)
    for met in pairs.values():
        in_time_order = sorted(met, key=lambda row: row.scheduled_start)
        assert [row.session_number for row in in_time_order] == list(range(1, len(met) + 1))


@pytest.mark.parametrize("now", HOURS)
def test_ended_sessions_lie_in_the_last_sixty_days_and_scheduled_ones_ahead(now: datetime) -> None:
    naive_now = now.replace(tzinfo=None)
    for row in build(now).sessions:
        assert row.created_at <= naive_now
        if row.status is SessionStatus.SCHEDULED:
            assert naive_now < row.scheduled_start < naive_now + timedelta(days=8)
        else:
            assert naive_now - timedelta(days=60) < row.scheduled_start < naive_now


def test_completed_sessions_are_dated_by_their_scheduled_start() -> None:
    for row in build(NOON).sessions:
        is_completed = row.status is SessionStatus.COMPLETED
        assert row.completed_at == (row.scheduled_start if is_completed else None)


def test_a_tutor_who_was_absent_did_not_show_up() -> None:
    for row in build(NOON).sessions:
        assert row.tutor_showed_up == (row.status is not SessionStatus.NO_SHOW_TUTOR)
        assert row.student_showed_up == (row.status is not SessionStatus.NO_SHOW_STUDENT)


def test_better_sessions_have_more_engagement_and_less_tutor_talk() -> None:
    dataset = build(NOON)
    scores = {row.id: row.overall_session_score or Decimal(0) for row in dataset.sessions}
    by_score = sorted(dataset.session_audio_metrics, key=lambda row: scores[row.session_id])
    quarter = len(by_score) // 4
    worst, best = by_score[:quarter], by_score[-quarter:]
    assert mean([row.student_engagement_score for row in best]) > 8
    assert mean([row.student_engagement_score for row in worst]) < 6
    assert mean([row.tutor_talk_ratio for row in best]) < mean([row.tutor_talk_ratio for row in worst])
    assert average_checks(best) > 2 * average_checks(worst)


def test_values_keep_the_platforms_checks() -> None:
    dataset = build(NOON)
    for session in dataset.sessions:
        assert 0 <= (session.overall_session_score or 0) <= 10
    for audio in dataset.session_audio_metrics:
        assert 0 <= audio.tutor_talk_ratio <= 1
        assert 0 <= audio.student_talk_ratio <= 1
    for video in dataset.session_video_metrics:
        assert 0 <= video.student_on_screen_attention_pct <= 1
    for screen in dataset.session_screen_metrics:
        assert 0 <= screen.active_tab_focus_pct <= 1
    for feedback in dataset.session_feedback:
        assert 1 <= feedback.student_satisfaction_rating <= 5


def test_churned_students_have_a_date_and_are_few() -> None:
    students = build(NOON).students
    churned = [row for row in students if row.status == "churned"]
    assert 1 <= len(churned) <= 6
    for row in students:
        assert (row.churned_date is not None) == (row.status == "churned")
        assert row.churned_date is None or row.churned_date < date(2026, 3, 10)


@pytest.mark.parametrize(
    ("outcome", "session_number", "line"),
    [
        pytest.param(Outcome.COMPLETED, 4, "Sarah Chen with Leo Park, Algebra: completed, score 8.4", id="completed"),
        pytest.param(
            Outcome.COMPLETED,
            1,
            "Sarah Chen with Leo Park, Algebra: completed, score 8.4, their first session",
            id="first",
        ),
        pytest.param(Outcome.TUTOR_ABSENT, 1, "Sarah Chen with Leo Park, Algebra: tutor did not show up", id="no-show"),
    ],
)
def test_written_session_reads_as_one_line(outcome: Outcome, session_number: int, line: str) -> None:
    written = WrittenSession(
        session_id=UUID(int=1),
        tutor_id=SARAH,
        tutor_name="Sarah Chen",
        student_name="Leo Park",
        subject="Algebra",
        session_number=session_number,
        outcome=outcome,
        score=Decimal("8.4") if outcome is Outcome.COMPLETED else None,
        client=Client.WEB_APPLICATION,
    )
    assert written.describe() == line
