"""The kinds of sessions that Hypothesis draws: around every limit, alike enough to reach it."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from hypothesis import strategies as st

from tests.support import model

STUDENTS = ("ann", "ben", "cleo", "dan")


@dataclass(frozen=True)
class Likeness:
    """What several sessions have in common."""

    status: str
    number: int
    score: Decimal | None
    rescheduled_by: str | None
    audio: model.Audio | None
    visual_aids: bool | None


@dataclass(frozen=True)
class When:
    """Where in time a session lies, from the moment it is written, and its rank among simultaneous ones."""

    scheduled_age: timedelta
    completed_age: timedelta | None
    student: str
    rank: int


def decimals(*numbers: str) -> st.SearchStrategy[Decimal]:
    return st.sampled_from([Decimal(number) for number in numbers])


MICROSECOND = timedelta(microseconds=1)
edges = st.sampled_from(
    [timedelta(days=days) + off for days in (7, 30, 60) for off in (-MICROSECOND, timedelta(0), MICROSECOND)]
)
EARLIER = timedelta(days=30)
lately = st.one_of(
    st.integers(0, 29).map(lambda days: timedelta(days=days)),
    st.integers(-3, 31).map(lambda days: timedelta(days=days)),
    edges,
)
ages = st.one_of(lately, lately.map(lambda age: age + EARLIER))
audios = st.builds(
    model.Audio,
    talk_ratio=st.one_of(decimals("0.900", "0.651", "0.650", "0.501", "0.500", "0.350", "0.349"), st.none()),
    engagement=st.one_of(decimals("9.0", "8.1", "8.0", "7.9", "6.1", "6.0", "5.9", "3.0", "NaN"), st.none()),
    checks=st.sampled_from([0, 3, 4, 5, 8, 9, 13]),
    reinforcement=st.sampled_from([0, 9, 10, 11, 12]),
    open_questions=st.sampled_from([0, 5, 6, 7, 12]),
    closed_questions=st.sampled_from([0, 3, 4, 5]),
)
completed = st.builds(
    Likeness,
    status=st.just("completed"),
    number=st.sampled_from([1, 2, 2, 3]),
    score=st.one_of(decimals("3.0", "5.1", "6.0", "6.4", "6.5", "6.8", "8.0", "9.9"), st.none()),
    rescheduled_by=st.sampled_from([None, "tutor"]),
    audio=st.one_of(audios, audios, st.none()),
    visual_aids=st.sampled_from([True, False, None]),
)
first_sessions = st.builds(
    Likeness,
    status=st.just("completed"),
    number=st.just(1),
    score=decimals("6.4", "3.0", "6.5"),
    rescheduled_by=st.none(),
    audio=st.none(),
    visual_aids=st.none(),
)
missed = st.builds(
    Likeness,
    status=st.sampled_from(["no_show_tutor", "rescheduled", "rescheduled"]),
    number=st.sampled_from([1, 2]),
    score=st.none(),
    rescheduled_by=st.sampled_from(["tutor", "tutor", "student", None]),
    audio=st.none(),
    visual_aids=st.none(),
)
others = st.builds(
    Likeness,
    status=st.sampled_from(["scheduled", "in_progress", "no_show_student", "cancelled"]),
    number=st.sampled_from([1, 2]),
    score=st.sampled_from([None, Decimal("3.0")]),
    rescheduled_by=st.just("tutor"),
    audio=st.one_of(audios, st.none()),
    visual_aids=st.sampled_from([True, False, None]),
)


def moments(age: st.SearchStrategy[timedelta], *, least: int = 2, most: int = 4) -> st.SearchStrategy[list[When]]:
    return st.lists(
        st.builds(
            When,
            scheduled_age=age,
            completed_age=st.one_of(st.none(), st.none(), age),
            student=st.sampled_from(STUDENTS),
            rank=st.integers(0, 2**16),
        ),
        min_size=least,
        max_size=most,
    )
