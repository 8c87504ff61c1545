"""A platform with rows, as it was deployed and adopted: two databases for all of these tests."""

from collections.abc import Iterator

import psycopg
import pytest

from migrations import upgrade
from tests.support.databases import cloned

ROWS = """
    INSERT INTO users (id, email, name, role)
        SELECT id, id || '@example.test', id, CASE id WHEN 'student' THEN 'student' ELSE 'tutor' END::user_role
        FROM unnest('{tutor,other,student}'::text[]) AS id;
    INSERT INTO tutors (user_id) VALUES ('tutor'), ('other');
    INSERT INTO students (user_id) VALUES ('student');
    INSERT INTO subjects (name, category) VALUES ('Algebra', 'math');
    INSERT INTO sessions (tutor_id, student_id, subject_id, scheduled_start, scheduled_duration, session_number, status,
                          overall_session_score, completed_at, rescheduled_by)
        SELECT 'tutor', 'student', subjects.id, day, 60, 2, status, CASE status WHEN 'completed' THEN 8.5 END,
               CASE status WHEN 'completed' THEN day + interval '1 hour' END,
               CASE status WHEN 'rescheduled' THEN 'tutor' END::reschedule_by
        FROM subjects, (VALUES ('completed'::session_status, 8), ('no_show_tutor', 3), ('rescheduled', 6))
            AS kinds (status, times),
            generate_series(timestamp '2026-06-01', '2026-05-31'::date + times, interval '1 day') AS day;
    INSERT INTO session_audio_metrics (session_id, tutor_talk_ratio, student_engagement_score,
                                       tutor_checks_understanding_count, tutor_positive_reinforcement_count,
                                       open_ended_questions, closed_ended_questions)
        SELECT id, 0.7, 9, 2, 11, 7, 3 FROM sessions WHERE status = 'completed';
    INSERT INTO session_video_metrics (session_id, tutor_uses_visual_aids)
        SELECT id, true FROM sessions WHERE status = 'completed';
    INSERT INTO session_screen_metrics (session_id) SELECT id FROM sessions WHERE status = 'completed';
    INSERT INTO session_feedback (session_id, student_satisfaction_rating)
        SELECT id, 5 FROM sessions WHERE status = 'completed';
    INSERT INTO alerts (tutor_id, alert_type, severity, title, description)
        VALUES ('other', 'no_show_pattern', 'critical', 't', 'd');
    INSERT INTO tutor_insights (tutor_id, insight_type, category, display_text)
        VALUES ('other', 'strength', 'high_engagement', 'd');
    INSERT INTO coaching_notes (tutor_id, note_type, content) VALUES ('tutor', 'manual', 'c');
"""


@pytest.fixture(scope="session")
def bare_url(server_url: str, worker_id: str, platform_template: str) -> Iterator[str]:
    """The platform's database without Tutorwatch."""
    name = f"tutorwatch_bare_{worker_id}"
    with cloned(server_url, name, platform_template) as url:
        with psycopg.connect(url) as connection:
            connection.execute(ROWS)
        yield url


@pytest.fixture(scope="session")
def adopted_url(server_url: str, worker_id: str, bare_url: str) -> Iterator[str]:
    """The same database, adopted."""
    with psycopg.connect(bare_url) as connection:
        bare = connection.info.dbname
    with cloned(server_url, f"tutorwatch_adopted_{worker_id}", bare) as url:
        upgrade.migrate(url)
        yield url
