"""A tutor with far more sessions than any other, and somebody who changes them again and again."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from scripts.errors import CommandError

GIANT = "bench-tutor-1"
"""The first in every order of tutors: whoever warms up with the first ones leaves the giant behind."""


def make_giant(url: str, sessions: int) -> None:
    """Gives the giant so many completed sessions of the last 30 days, with their metrics: those of the last tutors.

    The triggers are off. Raises CommandError if there are not as many.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        given = connection.execute(_GIVE, {"giant": GIANT, "sessions": sessions}).rowcount
        if given < sessions:
            raise CommandError(f"All tutors together have only {given} completed sessions of the last 30 days")
        connection.execute("VACUUM (ANALYZE) public.sessions")


_GIVE = """
    UPDATE public.sessions SET tutor_id = %(giant)s
    WHERE id = ANY(ARRAY(
        SELECT sessions.id
        FROM public.sessions JOIN public.tutors ON user_id = tutor_id
        WHERE status = 'completed' AND scheduled_start > timezone('utc', now()) - interval '29 days'
        ORDER BY length(tutor_id) DESC, tutor_id DESC
        LIMIT %(sessions)s
    ))
"""


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
