"""How fast listeners drain the outbox: a change of every tutor, nothing generated before.

From the commit of the changes, which wakes listeners that are up already, until none is left: by one `tutorwatch
listen`, and by two, which share the work through the database alone. Baseline: the least that any program must do to
have two averages per tutor, one statement over the same rows.
"""

from dataclasses import asdict, dataclass
from typing import LiteralString

import psycopg

from benchmarks.databases import filled_database
from benchmarks.dataset import Size
from benchmarks.harness import Goal, Report, Result, compared, interleaved, measured, say, timed
from benchmarks.services import drain_seconds

DRAIN_GOAL = Goal("A change of every tutor is processed in at most 2 times the seconds of a plain join", most=2)
TWO_GOAL = Goal("Two listeners process at least 1.6 times as many tutors a second as one", least=1.6)

PLAIN_JOIN: LiteralString = """
    SELECT sessions.tutor_id, count(*), avg(audio.student_engagement_score),
           avg(video.student_visual_engagement_score)
    FROM public.sessions
    LEFT JOIN public.session_audio_metrics AS audio ON audio.session_id = sessions.id
    LEFT JOIN public.session_video_metrics AS video ON video.session_id = sessions.id
    GROUP BY sessions.tutor_id
"""
"""A count and two averages per tutor over all sessions, in one statement."""
_COUNTS: dict[str, LiteralString] = {
    "changes": "SELECT count(*) FROM tutorwatch.outbox",
    "alerts": "SELECT count(*) FROM public.alerts",
}


@dataclass(frozen=True)
class Sizes:
    """How many tutors, sessions of each, and rounds."""

    tutors: int = 10_000
    sessions: int = 200
    rounds: int = 4


QUICK = Sizes(tutors=400, sessions=40, rounds=1)


def measure(server_url: str, *, quick: bool) -> Report:
    """Every measurement in each round."""
    sizes = QUICK if quick else Sizes()
    with (
        filled_database(server_url, "drain", Size(sizes.tutors, sizes.sessions)) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        say(f"Draining changes of {sizes.tutors:,} tutors {2 * sizes.rounds} times, interleaved with a plain join")

        def drain(listeners: int) -> float:
            return drain_seconds(url, connection, changes=sizes.tutors, tutors=sizes.tutors, listeners=listeners)

        connection.execute(PLAIN_JOIN)
        found = interleaved(
            {
                "join": lambda: timed(lambda: connection.execute(PLAIN_JOIN).fetchall()),
                "one": lambda: drain(1),
                "two": lambda: drain(2),
            },
            rounds=sizes.rounds,
            warm_up=0,  # listeners that are started warm up by themselves
        )
        counted = {name: connection.execute(query).fetchall()[0][0] for name, query in _COUNTS.items()}
    join, one = found["join"], found["one"]
    one_rate, two_rate = one.per(sizes.tutors), found["two"].per(sizes.tutors)
    what = f"{sizes.tutors:,} changed tutors, by one listener"
    results = [
        compared("drain_seconds", what, "s", one, join, to="plain join", goal=DRAIN_GOAL),
        measured("plain_join_seconds", "plain join: a count and two averages", "s", join),
        measured("one_rate", "one listener", "tutors/s", one_rate),
        compared("two_rate", "two listeners", "tutors/s", two_rate, one_rate, to="one listener", goal=TWO_GOAL),
        *(Result(name=name, what=f"… {name} afterwards", value=count) for name, count in counted.items()),
    ]
    notes = (
        "the listeners share the cores with the server: that bounds what a second listener can add",
        "the plain join reads all sessions, with the server's own work_mem; generation reads the rules' windows",
    )
    return Report("drain", asdict(sizes), results, notes)
