"""Sessions as the platform itself makes them: generation leaves what the plain model says."""

from datetime import timedelta
from decimal import Decimal

import pytest

from rules.generation import Generated
from tests.rules.generating import Generation
from tests.support import model
from tests.support.model_comparison import difference
from tests.support.platform import NOW, Platform
from tests.support.platform_sample import TABLES, read


@pytest.fixture
async def tutors(platform: Platform) -> dict[str, list[model.TutoringSession]]:
    """The sample's tutors and their sessions; the database holds them too."""
    async with platform.connection.pipeline():
        for table in TABLES:
            for row in read(table):
                await platform.insert(table, **row)
    sessions: dict[str, list[model.TutoringSession]] = {str(row["user_id"]): [] for row in read("tutors")}
    for tutor_id, *values in await platform.rows(
        "SELECT s.tutor_id, s.id, s.student_id, s.scheduled_start, s.status::text, s.session_number, s.completed_at,"
        " s.overall_session_score, s.rescheduled_by::text,"
        " a.session_id IS NOT NULL, a.tutor_talk_ratio, a.student_engagement_score,"
        " a.tutor_checks_understanding_count, a.tutor_positive_reinforcement_count,"
        " a.open_ended_questions, a.closed_ended_questions, v.tutor_uses_visual_aids"
        " FROM sessions AS s LEFT JOIN session_audio_metrics AS a ON a.session_id = s.id"
        " LEFT JOIN session_video_metrics AS v ON v.session_id = s.id"
    ):
        session_id, student, scheduled_start, status, number, completed_at, score, rescheduled_by = values[:8]
        has_audio, *audio = values[8:15]
        sessions[tutor_id].append(
            model.TutoringSession(
                id=session_id,
                student=student,
                scheduled_start=scheduled_start.replace(tzinfo=NOW.tzinfo),
                status=status,
                number=number,
                completed_at=completed_at and completed_at.replace(tzinfo=NOW.tzinfo),
                score=score,
                rescheduled_by=rescheduled_by,
                audio=model.Audio(*audio) if has_audio else None,
                visual_aids=values[15],
            )
        )
    return sessions


async def test_sample_is_all_there(tutors: dict[str, list[model.TutoringSession]]) -> None:
    completed = [session for own in tutors.values() for session in own if session.status == "completed"]
    in_the_future = [session for session in completed if session.date > NOW]
    assert sum(map(len, tutors.values())) == 57
    assert len(in_the_future) / len(completed) > 0.3
    assert any(session.audio is not None for session in completed)
    assert Decimal(0) < min(session.score for session in completed if session.score is not None)


@pytest.mark.parametrize("days", [pytest.param(days, id=f"{days} days later") for days in (0, 7, 20, 35, 60)])
async def test_generation_of_the_sample_leaves_what_the_model_says(
    days: int, tutors: dict[str, list[model.TutoringSession]], platform: Platform, generation: Generation
) -> None:
    now = NOW + timedelta(days=days)
    expected = {tutor_id: model.Tutor() for tutor_id in tutors}
    for tutor_id, tutor in expected.items():
        tutor.generate(tutors[tutor_id], now)

    generated = await generation(*tutors, now=now)

    assert await difference(platform, expected) == {}
    assert len(generated.alerts) == sum(len(tutor.alerts) for tutor in expected.values())
    assert len(generated.insights) == sum(len(tutor.insights) for tutor in expected.values())
    assert await generation(*tutors, now=now) == Generated()


async def test_sample_as_weeks_go_by_and_everything_is_resolved(
    tutors: dict[str, list[model.TutoringSession]], platform: Platform, generation: Generation
) -> None:
    expected = {tutor_id: model.Tutor() for tutor_id in tutors}
    opened = 0
    for days in (-20, -10, 0, 7, 14, 35):
        now = NOW + timedelta(days=days)
        opened += len((await generation(*tutors, now=now)).alerts)
        for tutor_id, tutor in expected.items():
            tutor.generate(tutors[tutor_id], now)
        assert await difference(platform, expected) == {}
        for tutor_id, tutor in expected.items():
            for alert_type in tutor.open_alerts():
                await generation.resolve(alert_type, tutor=tutor_id, now=now)
                tutor.resolve(alert_type, now)
    assert opened == sum(len(tutor.alerts) for tutor in expected.values()) > 0
