"""What the log says of batches: a line for each, while they are few; of many a summary each minute."""

import logging
from dataclasses import dataclass

import pytest

from listener.batch import MANY_BATCHES, Batch, BatchLog

BATCH = Batch(changes=2, tutors=1, seconds=0.01, oldest_seconds=0.05)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(clock: Clock, caplog: pytest.LogCaptureFixture) -> BatchLog:
    caplog.set_level(logging.DEBUG, "listener.batch")
    return BatchLog(clock)


def lines(caplog: pytest.LogCaptureFixture, action: str) -> int:
    """At INFO."""
    return sum(r.levelno == logging.INFO and r.action == action for r in caplog.records)  # type: ignore[attr-defined]


def test_each_batch_is_a_line_while_they_are_few(log: BatchLog, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(200):
        log.add(BATCH)
        clock.now += 1.0
    assert (lines(caplog, "generated"), lines(caplog, "summary")) == (200, 0)


def test_at_a_hundred_batches_a_second_there_is_a_summary_a_minute(
    log: BatchLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(18_001):
        log.add(BATCH)
        clock.now += 0.01
    assert (lines(caplog, "generated"), lines(caplog, "summary")) == (MANY_BATCHES, 2)

    clock.now += 70
    log.log_if_due()
    assert lines(caplog, "summary") == 3
    told = [record for record in caplog.records if getattr(record, "action", "") == "summary"]
    counted = sum(record.batches for record in told)  # type: ignore[attr-defined]
    assert counted == 18_001 - MANY_BATCHES
    assert told[0].getMessage().startswith("In the last 60 s: ")

    log.add(BATCH)
    assert lines(caplog, "generated") == MANY_BATCHES + 1
