"""Between the model and the database: writes the model's sessions, compares what generation left."""

from collections.abc import Collection
from dataclasses import astuple
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tests.support import model
from tests.support.alerts import insert_alert
from tests.support.platform import NOW, Platform, naive

Findings = dict[tuple[str, str], Any]
"""What stands for one tutor: ("alert", type) to evidence and value, ("insight", category) to samples and value."""


async def write(platform: Platform, tutor: str, sessions: list[model.TutoringSession]) -> None:
    """Writes the sessions with their metrics."""
    await platform.user(tutor)
    async with platform.connection.pipeline():
        for session in sessions:
            await platform.session(
                tutor,
                session_id=session.id,
                student=session.student,
                at=session.scheduled_start,
                completed_at=session.completed_at,
                status=session.status,
                number=session.number,
                score=session.score,
                rescheduled_by=session.rescheduled_by,
                audio=_audio_row(session.audio),
                video=None if session.visual_aids is None else {"tutor_uses_visual_aids": session.visual_aids},
            )


async def write_prior_alert(platform: Platform, tutor: str, alert: model.Alert) -> None:
    """An alert from before Tutorwatch, without evidence."""
    await insert_alert(
        platform,
        tutor,
        at=NOW - timedelta(days=90),
        alert_type=alert.alert_type,
        severity="warning",
        resolved=alert.resolved_at is not None,
        resolved_at=alert.resolved_at and naive(alert.resolved_at),
    )


async def write_many(platform: Platform, sessions: dict[str, list[model.TutoringSession]]) -> None:
    """Writes many tutors' sessions with their metrics, as an importer would."""
    every = [session for own in sessions.values() for session in own]
    for tutor_id in sessions:
        await platform.user(tutor_id)
    for student in sorted({session.student for session in every}):
        await platform.user(student, role="student")
    subject = await platform.subject()
    await _copy(
        platform,
        "sessions (id, tutor_id, student_id, subject_id, scheduled_start, completed_at, scheduled_duration,"
        " session_number, status, overall_session_score, rescheduled_by)",
        [
            (
                session.id,
                tutor_id,
                session.student,
                subject,
                naive(session.scheduled_start),
                session.completed_at and naive(session.completed_at),
                60,
                session.number,
                session.status,
                session.score,
                session.rescheduled_by,
            )
            for tutor_id, own in sessions.items()
            for session in own
        ],
    )
    await _copy(
        platform,
        "session_audio_metrics (session_id, tutor_talk_ratio, student_engagement_score,"
        " tutor_checks_understanding_count, tutor_positive_reinforcement_count,"
        " open_ended_questions, closed_ended_questions)",
        [(session.id, *astuple(session.audio)) for session in every if session.audio],
    )
    await _copy(
        platform,
        "session_video_metrics (session_id, tutor_uses_visual_aids)",
        [(session.id, session.visual_aids) for session in every if session.visual_aids is not None],
    )


async def _copy(platform: Platform, into: str, rows: list[tuple[Any, ...]]) -> None:
    cursor = platform.connection.cursor()
    async with cursor.copy(f"COPY {into} FROM STDIN".encode()) as copy:
        for row in rows:
            await copy.write_row(row)


def _audio_row(audio: model.Audio | None) -> dict[str, Any] | None:
    if audio is None:
        return None
    return {
        "tutor_talk_ratio": audio.talk_ratio,
        "student_engagement_score": audio.engagement,
        "tutor_checks_understanding_count": audio.checks,
        "tutor_positive_reinforcement_count": audio.reinforcement,
        "open_ended_questions": audio.open_questions,
        "closed_ended_questions": audio.closed_questions,
    }


async def difference(platform: Platform, tutors: dict[str, model.Tutor]) -> dict[str, tuple[Findings, Findings]]:
    """Where database and model differ: by tutor, what stands in the database and what the model says."""
    stored: dict[str, Findings] = {tutor_id: {} for tutor_id in tutors}
    for tutor_id, alert_type, session_ids, value in await platform.rows(
        "SELECT a.tutor_id, a.alert_type::text, e.session_ids, e.value FROM alerts AS a"
        " LEFT JOIN tutorwatch.alert_evidence AS e ON e.alert_id = a.id WHERE a.tutor_id = ANY(%s) AND NOT a.resolved",
        list(tutors),
    ):
        assert ("alert", alert_type) not in stored[tutor_id], "two open alerts of one type"
        stored[tutor_id]["alert", alert_type] = (session_ids, value)
    for tutor_id, category, samples, value in await platform.rows(
        "SELECT tutor_id, category::text, sample_sessions, metric_value FROM tutor_insights"
        " WHERE tutor_id = ANY(%s) AND is_active",
        list(tutors),
    ):
        assert ("insight", category) not in stored[tutor_id], "two active insights of one category"
        stored[tutor_id]["insight", category] = (samples, value)
    expected = {tutor_id: _expected(tutor) for tutor_id, tutor in tutors.items()}
    return {
        tutor_id: (stored[tutor_id], expected[tutor_id])
        for tutor_id in tutors
        if stored[tutor_id] != expected[tutor_id]
    }


def _expected(tutor: model.Tutor) -> Findings:
    alerts = {("alert", alert.alert_type): (alert.sessions, alert.value) for alert in tutor.open_alerts().values()}
    insights = {("insight", category): (found.samples, found.value) for category, found in tutor.insights.items()}
    return {**alerts, **insights}


async def memory_difference(platform: Platform, tutors: dict[str, model.Tutor]) -> dict[str, tuple[Any, Any]]:
    """Like `difference`, but of all that ever was: each alert and insight, ended or resolved, and every date.

    Several generations at one moment are as good as one: an insight confirmed at the moment it was found isn't
    confirmed yet. Alerts that the model opened since the last call get their ids here.
    """
    alerts: dict[str, list[Any]] = {tutor_id: [] for tutor_id in tutors}
    for tutor_id, *alert in await platform.rows(
        "SELECT a.tutor_id, a.id, a.alert_type::text, e.session_ids,"
        " ARRAY(SELECT session_id FROM tutorwatch.consumed_sessions AS c JOIN sessions AS s ON s.id = c.session_id"
        " WHERE c.alert_id = a.id ORDER BY 1), e.value, a.triggered_date, a.session_id, a.acknowledged_at,"
        " a.resolved_at FROM alerts AS a"
        " LEFT JOIN tutorwatch.alert_evidence AS e ON e.alert_id = a.id WHERE a.tutor_id = ANY(%s) ORDER BY a.id",
        list(tutors),
    ):
        alerts[tutor_id].append(tuple(alert))
    insights: dict[str, list[Any]] = {tutor_id: [] for tutor_id in tutors}
    for tutor_id, *insight in await platform.rows(
        "SELECT tutor_id, category::text, sample_sessions, metric_value, detected_at,"
        " nullif(last_confirmed_at, detected_at), resolved_at"
        " FROM tutor_insights WHERE tutor_id = ANY(%s) AND is_active = (resolved_at IS NULL)",
        list(tutors),
    ):
        insights[tutor_id].append(tuple(insight))
    for tutor_id, tutor in tutors.items():
        _recognise(tutor, alerts[tutor_id])
    stored = {tutor_id: (alerts[tutor_id], sorted(insights[tutor_id], key=str)) for tutor_id in tutors}
    existing = set(await platform.rows("SELECT id FROM sessions"))
    expected = {tutor_id: memory(tutor, existing) for tutor_id, tutor in tutors.items()}
    return {
        tutor_id: (stored[tutor_id], expected[tutor_id])
        for tutor_id in tutors
        if stored[tutor_id] != expected[tutor_id]
    }


def _recognise(tutor: model.Tutor, stored: list[Any]) -> None:
    """Of each type one alert at most can be new."""
    known = {alert.id for alert in tutor.alerts}
    new = {alert_type: alert_id for alert_id, alert_type, *_ in stored if alert_id not in known}
    for alert in tutor.alerts:
        alert.id = alert.id or new.get(alert.alert_type)


def memory(tutor: model.Tutor, existing: Collection[UUID] | None = None) -> tuple[list[Any], list[Any]]:
    """What the database would hold of the tutor: alerts and insights, each with all its dates.

    Of the sessions that alerts consumed only those that exist: others are forgotten sooner or later.
    """
    alerts = [
        (
            alert.id,
            alert.alert_type,
            alert.sessions,
            sorted(alert.counted if existing is None else alert.counted & set(existing)),
            alert.value,
            _naive(alert.opened_at),
            alert.names,
            _naive(alert.acknowledged_at),
            _naive(alert.resolved_at),
        )
        for alert in tutor.alerts
    ]
    insights = [
        (
            category,
            insight.samples,
            insight.value,
            _naive(insight.found_at),
            None if insight.confirmed_at == insight.found_at else _naive(insight.confirmed_at),
            _naive(insight.ended_at),
        )
        for category, insight in [*tutor.insights.items(), *tutor.ended]
    ]
    return sorted(alerts, key=lambda alert: (alert[0] is not None, alert[0])), sorted(insights, key=str)


def _naive(instant: datetime | None) -> datetime | None:
    return None if instant is None else naive(instant)
