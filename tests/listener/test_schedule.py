"""When the outbox is polled next, and what is a long batch: by claims and seconds alone."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from listener.batch import Batch
from listener.failures import Failure
from listener.outbox import Claim
from listener.schedule import FOLLOW_UP_SECONDS, LONGEST_GAP_SECONDS, RECHECK_SECONDS, VAIN_POLLS_AT_ONCE, Schedule
from listener.settings import ListenerSettings

NOW = 1000.0
DATE = datetime(2026, 1, 1, tzinfo=UTC)
EMPTY = Claim(
    tutor_ids=[],
    apart=[],
    changes=0,
    oldest_at=None,
    concerns_every_tutor=False,
    alerts_are_gone=False,
    others_hold_changes=False,
    attempt_in_seconds=None,
    markers=[],
    transaction=None,
    now=DATE,
)
FEW = replace(EMPTY, tutor_ids=["a", "b"], changes=9, transaction="1")
FULL = replace(FEW, changes=10)
BATCH = Batch(changes=9, tutors=2, seconds=0.01)
FAILURE = Failure("a", 1, "ValueError: no", DATE, DATE, None)


@pytest.fixture
def schedule() -> Schedule:
    made = Schedule(ListenerSettings(batch_size=10, poll_seconds=30, fallback_poll_seconds=2))
    made.swept(NOW)
    return made


def pause(schedule: Schedule, claim: Claim, batch: Batch | None = None, **how: Any) -> float:
    return schedule.polled(claim, batch, NOW, **{"is_connected": True} | how)


# The next poll


def test_empty_outbox_is_polled_seldom_and_more_often_while_the_subscription_is_lost(schedule: Schedule) -> None:
    assert pause(schedule, EMPTY) == 30
    assert pause(schedule, EMPTY, is_connected=False) == 2


@pytest.mark.parametrize(
    ("claim", "batch"),
    [
        pytest.param(FULL, BATCH, id="a full claim"),
        pytest.param(replace(FEW, concerns_every_tutor=True), BATCH, id="every tutor has been put into the outbox"),
        pytest.param(replace(FEW, apart=["c"]), BATCH, id="tutors were set apart"),
        pytest.param(FEW, replace(BATCH, failed=[FAILURE]), id="a tutor failed"),
        pytest.param(replace(EMPTY, attempt_in_seconds=-1.0), None, id="an attempt is due"),
        pytest.param(replace(EMPTY, attempt_in_seconds=0.0), None, id="an attempt has just become due"),
    ],
)
def test_what_a_poll_left_is_polled_for_at_once(schedule: Schedule, claim: Claim, batch: Batch | None) -> None:
    assert pause(schedule, claim, batch) == 0


def test_full_is_as_much_as_a_claim_may_get(schedule: Schedule) -> None:
    assert [schedule.is_full(claim) for claim in (EMPTY, FEW, FULL, replace(FULL, changes=11))] == [
        False,
        False,
        True,
        True,
    ]


def test_follow_ups_come_after_changes_until_there_were_none_for_as_many_polls(schedule: Schedule) -> None:
    pauses = [pause(schedule, FEW, BATCH), *(pause(schedule, EMPTY) for _ in FOLLOW_UP_SECONDS)]
    assert pauses == [*FOLLOW_UP_SECONDS, 30]
    assert pause(schedule, FEW, BATCH) == FOLLOW_UP_SECONDS[0]


def test_changes_that_others_hold_are_polled_for_soon(schedule: Schedule) -> None:
    assert pause(schedule, replace(EMPTY, others_hold_changes=True)) == RECHECK_SECONDS


def test_failing_tutor_is_tried_when_due(schedule: Schedule) -> None:
    assert pause(schedule, replace(EMPTY, attempt_in_seconds=12.5)) == 12.5
    assert not schedule.attempts_are_due
    for due in (replace(EMPTY, attempt_in_seconds=-0.5), replace(EMPTY, attempt_in_seconds=0.0)):
        pause(schedule, due)
        assert schedule.attempts_are_due
        pause(schedule, EMPTY)
        assert not schedule.attempts_are_due


def test_tutors_set_apart_are_tried_at_once(schedule: Schedule) -> None:
    assert pause(schedule, replace(FEW, apart=["c"]), BATCH) == 0
    assert schedule.attempts_are_due


def test_attempt_that_is_still_due_after_it_was_asked_for_is_anothers(schedule: Schedule) -> None:
    """It is polled for, at a distance that grows."""
    due = replace(EMPTY, attempt_in_seconds=-1.0)
    for _ in range(VAIN_POLLS_AT_ONCE + 20):
        schedule.poll_begins(NOW)
        assert pause(schedule, due) == 0
    assert schedule.gap(NOW) == LONGEST_GAP_SECONDS


def test_poll_comes_in_time_for_the_sweep() -> None:
    schedule = Schedule(ListenerSettings(batch_size=10, poll_seconds=30, fallback_poll_seconds=2))
    assert schedule.sweep_is_due(NOW)
    schedule.swept(NOW - 29)
    assert not schedule.sweep_is_due(NOW)
    assert pause(schedule, EMPTY) == 1
    assert schedule.sweep_is_due(NOW + 1)


# Polls that find nothing


def test_polls_in_vain_keep_a_distance_that_doubles_up_to_a_bound(schedule: Schedule) -> None:
    gaps = []
    for _ in range(VAIN_POLLS_AT_ONCE + 12):
        gaps.append(schedule.gap(NOW))
        schedule.poll_begins(NOW)
        pause(schedule, EMPTY)
    assert gaps[:VAIN_POLLS_AT_ONCE] == [0] * VAIN_POLLS_AT_ONCE
    assert gaps[VAIN_POLLS_AT_ONCE:][:3] == pytest.approx([0.001, 0.002, 0.004])
    assert gaps[-1] == LONGEST_GAP_SECONDS
    assert schedule.gap(NOW + LONGEST_GAP_SECONDS / 2) == pytest.approx(LONGEST_GAP_SECONDS / 2)
    assert schedule.gap(NOW + LONGEST_GAP_SECONDS) == 0


def test_one_that_finds_changes_ends_the_distance(schedule: Schedule) -> None:
    for _ in range(VAIN_POLLS_AT_ONCE + 12):
        schedule.poll_begins(NOW)
        pause(schedule, EMPTY)
    pause(schedule, FEW, BATCH)
    assert schedule.gap(NOW) == 0


# Long batches


def test_without_a_batch_in_flight_none_is_long(schedule: Schedule) -> None:
    assert schedule.long_in(NOW) is None
    schedule.claimed(FEW, NOW)
    schedule.rests()
    assert schedule.long_in(NOW) is None


def test_full_batch_is_long_from_the_start(schedule: Schedule) -> None:
    schedule.claimed(FULL, NOW)
    assert schedule.long_in(NOW) == 0


def test_other_batch_is_long_once_it_takes_longer_than_its_like(schedule: Schedule) -> None:
    for _ in range(200):
        schedule.processed(replace(BATCH, seconds=0.5))
    schedule.claimed(FEW, NOW)
    assert schedule.long_in(NOW) == pytest.approx(0.5, rel=0.1)
    assert schedule.long_in(NOW + 0.6) == 0


def test_what_precedes_the_claim_is_long_sooner(schedule: Schedule) -> None:
    schedule.poll_begins(NOW)
    before_the_claim = schedule.long_in(NOW)
    schedule.claimed(FEW, NOW)
    after_it = schedule.long_in(NOW)
    assert before_the_claim is not None
    assert after_it is not None
    assert 0 < before_the_claim < after_it
