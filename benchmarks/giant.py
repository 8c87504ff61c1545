"""A tutor with far more sessions than any other, and somebody who changes them again and again."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import LiteralString

import psycopg

from scripts.errors import CommandError

GIANT = "bench-tutor-1"
"""The first in every order of tutors: whoever warms up with the first ones leaves the giant behind."""


def make_giant(url: str, sessions: int) -> None:
    """Gives the giant so many completed sessions of the last 30 days, with their metrics, on top of its own.

    They are new, and like those that others have; nobody loses any. The triggers are off. Raises CommandError if
    nobody has such sessions.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        with connection.transaction():
            connection.execute(_DRAW, {"sessions": sessions})
            for statement in _GIVE:
                given = connection.execute(statement, {"giant": GIANT}).rowcount
                if not given:
                    raise CommandError("There are no completed sessions of the last 30 days to make a giant of")
        connection.execute("VACUUM (ANALYZE)")


# As many times the same sessions as it takes, each time under new ids.
_DRAW = """
    CREATE TEMP TABLE giants ON COMMIT DROP AS
    WITH like_these AS MATERIALIZED (
        SELECT id, scheduled_start FROM public.sessions
        WHERE status = 'completed' AND scheduled_start > timezone('utc', now()) - interval '29 days'
          AND EXISTS (SELECT FROM public.session_audio_metrics WHERE session_id = sessions.id)
    ), times AS (
        SELECT 1 + %(sessions)s::int / greatest(count(*)::int, 1) AS times FROM like_these
    ), drawn AS (
        SELECT id, row_number() OVER (ORDER BY again, scheduled_start, id) AS number
        FROM like_these, times, generate_series(1, times) AS again
    )
    SELECT id AS like_id, md5('bench-giant-' || number)::uuid AS id FROM drawn WHERE number <= %(sessions)s::int
"""
_GIVE: tuple[LiteralString, ...] = (
    """
    INSERT INTO public.sessions
    SELECT (jsonb_populate_record(s, jsonb_build_object('id', giants.id, 'tutor_id', %(giant)s::text))).*
    FROM giants JOIN public.sessions AS s ON s.id = like_id
    """,
    """
    INSERT INTO public.session_audio_metrics
    SELECT (jsonb_populate_record(m, jsonb_build_object('session_id', giants.id))).*
    FROM giants JOIN public.session_audio_metrics AS m ON m.session_id = like_id
    """,
    """
    INSERT INTO public.session_video_metrics
    SELECT (jsonb_populate_record(m, jsonb_build_object('session_id', giants.id))).*
    FROM giants JOIN public.session_video_metrics AS m ON m.session_id = like_id
    """,
)


@contextmanager
def changing_giant(url: str, *, every_seconds: float) -> Iterator[None]:
    """Changes the score of one of the giant's sessions again and again while the block runs."""
    enough = threading.Event()

    def change() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            (session,) = connection.execute(_ONE_SESSION, [GIANT]).fetchall()
            while not enough.wait(every_seconds):
                connection.execute(_CHANGE, session)

    changing = threading.Thread(target=change, name="changing the giant")
    changing.start()
    try:
        yield
    finally:
        enough.set()
        changing.join()


_ONE_SESSION = "SELECT id FROM public.sessions WHERE tutor_id = %s AND status = 'completed' LIMIT 1"
_CHANGE = "UPDATE public.sessions SET overall_session_score = 15 - coalesce(overall_session_score, 7) WHERE id = %s"
