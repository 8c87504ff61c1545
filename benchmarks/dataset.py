"""A platform's data of any size, made in the database: the same size gives the same rows.

Every drawn value is a hash of its row's number, so that neither plans nor parallel workers change it. Only dates move,
with the moment they end at.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import LiteralString

import psycopg

SESSIONS_PER_STUDENT = 8


@dataclass(frozen=True)
class Size:
    """How many tutors, and how many sessions each of them has."""

    tutors: int
    sessions_each: int


def fill(url: str, size: Size, now: datetime) -> None:
    """Fills the empty, migrated database up to `now` (aware), in one transaction; then vacuums and analyzes.

    The sessions of each tutor lie evenly over the last 60 days; four of five have exactly one no-show in the last 18.
    Foreign keys aren't checked where the role may skip that; they hold anyway.
    """
    values = {
        "tutors": size.tutors,
        "sessions_each": size.sessions_each,
        "students_each": max(1, size.sessions_each // SESSIONS_PER_STUDENT),
        "now": now.astimezone(UTC).replace(tzinfo=None),
    }
    with psycopg.connect(url) as connection:
        with suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute("SET session_replication_role = replica")
        for statement in (_SHARE, *_PEOPLE, *_SLOTS, _SESSIONS, *_METRICS):
            connection.execute(statement, values)
    settle(url)


def settle(url: str) -> None:
    """Does now what the server would do later: vacuums, analyzes, and writes what has changed to the disk."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
        with suppress(psycopg.errors.InsufficientPrivilege):
            connection.execute("CHECKPOINT")


# A number from 0 (included) to 1 (excluded), as good as drawn: by the row's number and the column's salt.
_SHARE: LiteralString = """
    CREATE FUNCTION pg_temp.share(n bigint, salt integer) RETURNS float8 LANGUAGE sql IMMUTABLE
    RETURN (hashint8extended(n, salt) & 1048575) / 1048576::float8
"""
_PEOPLE: tuple[LiteralString, ...] = (
    """
    INSERT INTO public.users (id, email, name, role, created_at)
    SELECT 'bench-tutor-' || t, 'tutor-' || t || '@bench.example', 'Tutor ' || t, 'tutor'::public.user_role,
           %(now)s::timestamp - interval '400 days'
    FROM generate_series(1, %(tutors)s::int) AS t
    UNION ALL
    SELECT 'bench-student-' || s, 'student-' || s || '@bench.example', 'Student ' || s, 'student',
           %(now)s::timestamp - interval '300 days'
    FROM generate_series(1, %(tutors)s::int * %(students_each)s::int) AS s
    UNION ALL
    SELECT 'bench-admin', 'admin@bench.example', 'Admin', 'admin', %(now)s::timestamp - interval '500 days'
    """,
    """
    INSERT INTO public.tutors (user_id, member_since)
    SELECT 'bench-tutor-' || t, (%(now)s::timestamp - interval '400 days')::date
    FROM generate_series(1, %(tutors)s::int) AS t
    """,
    """
    INSERT INTO public.students (user_id, enrolled_since, grade_level)
    SELECT 'bench-student-' || s, (%(now)s::timestamp - interval '300 days')::date, '9th'
    FROM generate_series(1, %(tutors)s::int * %(students_each)s::int) AS s
    """,
    """
    INSERT INTO public.subjects (id, name, category, created_at)
    SELECT md5('bench-subject-' || n)::uuid, 'Subject ' || n, 'math', %(now)s::timestamp - interval '500 days'
    FROM generate_series(1, 8) AS n
    """,
)
# One row per session with its tutor's traits, before anything is written: t is the tutor, i counts up with time, n
# numbers the session over all tutors.
_SLOTS: tuple[LiteralString, ...] = (
    """
    CREATE TEMP TABLE slots ON COMMIT DROP AS
    WITH tutor AS (
        SELECT t, pg_temp.share(t, 1) AS quality, pg_temp.share(t, 2) AS talkative, pg_temp.share(t, 3) AS checking,
               pg_temp.share(t, 4) AS open_minded, pg_temp.share(t, 5) AS visual,
               pg_temp.share(t, 6) < 0.2 AS unreliable, pg_temp.share(t, 7) < 0.1 AS declining,
               %(sessions_each)s::int - floor(0.3 * %(sessions_each)s::int * pg_temp.share(t, 8))::int AS missed
        FROM generate_series(1, %(tutors)s::int) AS t
    ), slot AS (
        SELECT tutor.*, i, t * 1000000::bigint + i AS n
        FROM tutor CROSS JOIN generate_series(1, %(sessions_each)s::int) AS i
    )
    SELECT slot.*, md5('bench-session-' || n)::uuid AS id,
           (t - 1) * %(students_each)s::int + 1 + floor(%(students_each)s::int * pg_temp.share(n, 10))::int AS student,
           date_bin('15 minutes', %(now)s::timestamp - make_interval(secs => 86400 * 60
               * (%(sessions_each)s::int - i + 0.02 + 0.96 * pg_temp.share(n, 11)) / %(sessions_each)s::int),
               '2020-01-01') AS at,
           CASE WHEN i = missed OR unreliable AND pg_temp.share(n, 12) < 0.03 THEN 'no_show_tutor'
                WHEN pg_temp.share(n, 13) < 0.03 THEN 'no_show_student'
                WHEN pg_temp.share(n, 13) < 0.08 THEN 'cancelled'
                WHEN pg_temp.share(n, 13) < 0.12 THEN 'rescheduled'
                ELSE 'completed' END::public.session_status AS status
    FROM slot
    """,
    "ANALYZE slots",
)
_SESSIONS: LiteralString = """
    INSERT INTO public.sessions
        (id, tutor_id, student_id, scheduled_start, scheduled_duration, actual_duration, subject_id, session_number,
         status, tutor_showed_up, student_showed_up, rescheduled_by, has_audio_analysis, has_video_analysis,
         overall_session_score, completed_at, created_at)
    SELECT id, 'bench-tutor-' || t, 'bench-student-' || student, at, 60,
           CASE status WHEN 'completed' THEN 45 + floor(20 * pg_temp.share(n, 20))::int END,
           md5('bench-subject-' || 1 + student %% 8)::uuid,
           -- Two of five pairs met for the first time within these days.
           row_number() OVER (PARTITION BY student ORDER BY i) + CASE WHEN pg_temp.share(student, 21) < 0.4 THEN 0
               ELSE 1 + floor(12 * pg_temp.share(student, 22)) END,
           status, status <> 'no_show_tutor', status <> 'no_show_student',
           CASE WHEN status <> 'rescheduled' THEN NULL
                WHEN pg_temp.share(n, 23) < CASE WHEN unreliable THEN 0.9 ELSE 0.4 END THEN 'tutor'
                ELSE 'student' END::public.reschedule_by,
           status = 'completed', status = 'completed' AND pg_temp.share(n, 24) < 0.6,
           CASE WHEN status = 'completed' AND pg_temp.share(n, 25) > 0.05 THEN least(10, greatest(0,
               (5.5 + 3.5 * quality + 2.5 * (pg_temp.share(n, 26) - 0.5))
               * CASE WHEN declining AND at > %(now)s::timestamp - interval '30 days' THEN 0.75 ELSE 1 END)) END,
           CASE WHEN status = 'completed' AND pg_temp.share(n, 27) > 0.02 THEN at END, at
    FROM slots ORDER BY i, t -- in the order of time, as such a table grows
"""
_METRICS: tuple[LiteralString, ...] = (
    """
    INSERT INTO public.session_audio_metrics
        (session_id, tutor_talk_ratio, student_talk_ratio, productive_silence_ratio, student_engagement_score,
         tutor_enthusiasm_score, avg_student_response_delay, student_initiated_questions,
         tutor_checks_understanding_count, tutor_positive_reinforcement_count, open_ended_questions,
         closed_ended_questions, created_at)
    SELECT id, talk, (1 - talk) * 0.9, (1 - talk) * 0.1,
           least(10, greatest(0, 5 + 4 * quality + 2 * (pg_temp.share(n, 31) - 0.5))),
           5 + 5 * pg_temp.share(n, 32), 1 + 4 * pg_temp.share(n, 33), floor(9 * pg_temp.share(n, 34)),
           floor(1 + 8 * checking + 4 * pg_temp.share(n, 35)), floor(2 + 9 * quality + 4 * pg_temp.share(n, 36)),
           floor(2 + 12 * open_minded + 4 * pg_temp.share(n, 37)), floor(4 + 8 * pg_temp.share(n, 38)), at
    FROM (SELECT slots.*, 0.25 + 0.45 * talkative + 0.15 * pg_temp.share(n, 30) AS talk FROM slots) AS slots
    WHERE status = 'completed' ORDER BY i, t
    """,
    """
    INSERT INTO public.session_video_metrics
        (session_id, student_on_screen_attention_pct, student_visual_engagement_score, tutor_uses_visual_aids,
         student_taking_notes_duration, created_at)
    SELECT id, pg_temp.share(n, 40), 10 * pg_temp.share(n, 41), pg_temp.share(n, 42) < visual,
           floor(30 * pg_temp.share(n, 43)), at
    FROM slots WHERE status = 'completed' AND pg_temp.share(n, 24) < 0.6 ORDER BY i, t
    """,
)
