"""The counts of a batch, of many, and their lines of the log."""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from listener.failures import Failure
from rules.generation import Generated

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """The outcome of one transaction."""

    changes: int = 0
    tutors: int = 0
    generated: Generated = field(default_factory=Generated)
    failed: list[Failure] = field(default_factory=list)
    set_aside: int = 0
    """Tutors that will be generated alone instead."""
    seconds: float = 0.0
    oldest_seconds: float = 0.0
    """Age of the oldest change at the claim."""


@dataclass(slots=True)
class Metrics:
    """Counts since a listener's start, for /metrics, or since another moment."""

    batches: int = 0
    changes: int = 0
    generations: int = 0
    batch_seconds: float = 0.0
    oldest_seconds: float = 0.0
    retries: int = 0
    alerts_opened: Counter[str] = field(default_factory=Counter)

    def add(self, batch: Batch) -> None:
        """Counts a committed batch."""
        self.batches += 1
        self.changes += batch.changes
        self.generations += batch.tutors
        self.batch_seconds += batch.seconds
        self.oldest_seconds = max(self.oldest_seconds, batch.oldest_seconds)
        self.alerts_opened.update(alert.alert_type for alert in batch.generated.alerts)

    def as_json(self) -> dict[str, Any]:
        """The counts by their names in /metrics."""
        return {
            "batches": self.batches,
            "generations": self.generations,
            "batch_seconds": round(self.batch_seconds, 3),
            "retries": self.retries,
            "alerts_opened": dict(self.alerts_opened),
        }


def log_last_attempt(begun: Failure) -> None:
    """Logs a tutor's last attempt before it is made: if it ends the listener, too, nothing can be logged afterwards."""
    logger.error(
        "Generating tutor %s for the last time (attempt %d): the listener ended in the middle of the one before. Unless"
        " it succeeds, it gives up on the tutor; correct the cause, then run `tutorwatch retry`",
        begun.tutor_id,
        begun.attempts,
        extra={"action": "last_attempt", "tutor_id": begun.tutor_id, "attempt": begun.attempts},
    )


MANY_BATCHES = 10
MANY_WITHIN_SECONDS = 10.0
"""So many batches within so many seconds, and no line is written for each any more."""
SUMMARY_SECONDS = 60.0
"""How often a summary is written instead."""


class BatchLog:
    """The log's lines about batches: one for each or, where they come in quick succession, a summary each minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._latest: deque[float] = deque(maxlen=MANY_BATCHES)
        self._summary = Metrics()
        self._summary_begun_at = 0.0

    def add(self, batch: Batch) -> None:
        """Writes the batch's lines, or counts it; alerts and failures have a line each in any case."""
        now = self._clock()
        are_many = len(self._latest) == MANY_BATCHES and now - self._latest[0] < MANY_WITHIN_SECONDS
        self._latest.append(now)
        if are_many:
            if not self._summary.batches:
                self._summary_begun_at = now
            self._summary.add(batch)
        _log_batch(batch, logging.DEBUG if are_many else logging.INFO)
        self.log_if_due()

    def log_if_due(self) -> None:
        """Writes the summary once it is a minute old; to be called now and then, as after the last batch."""
        seconds = self._clock() - self._summary_begun_at
        if self._summary.batches and seconds >= SUMMARY_SECONDS:
            _log_summary(self._summary, seconds)
            self._summary = Metrics()


def _log_summary(summary: Metrics, seconds: float) -> None:
    opened = summary.alerts_opened.total()
    logger.info(
        "In the last %.0f s: %d batches, %d changes, %d tutors, %d alerts opened (%.0f ms each on average;"
        " the oldest change waited %.0f ms)",
        seconds,
        summary.batches,
        summary.changes,
        summary.generations,
        opened,
        summary.batch_seconds / summary.batches * 1000,
        summary.oldest_seconds * 1000,
        extra={
            "action": "summary",
            "batches": summary.batches,
            "changes": summary.changes,
            "tutors": summary.generations,
            "alerts_opened": opened,
            "oldest_change_ms": round(summary.oldest_seconds * 1000),
        },
    )


def _log_batch(batch: Batch, level: int) -> None:
    """Writes a line for the batch, for each alert that it opened, and for each tutor that failed."""
    generated = batch.generated
    logger.log(
        level,
        "%d changes, %d tutors: %d alerts opened, %d new insights, %d deactivated (%.0f ms)",
        batch.changes,
        batch.tutors,
        len(generated.alerts),
        len(generated.insights),
        len(generated.ended),
        batch.seconds * 1000,
        extra={
            "action": "generated",
            "changes": batch.changes,
            "tutors": batch.tutors,
            "duration_ms": round(batch.seconds * 1000),
            "oldest_change_ms": round(batch.oldest_seconds * 1000),
        },
    )
    if batch.set_aside:
        logger.warning(
            "%d tutors will be generated one by one: they are failing, or a batch with them ended unfinished",
            batch.set_aside,
            extra={"action": "set_aside", "tutors": batch.set_aside},
        )
    for alert in generated.alerts:
        logger.info(
            "Alert opened for tutor %s: %s (%s), %s",
            alert.tutor_id,
            alert.alert_type,
            alert.severity,
            alert.description,
            extra={"action": "alert_opened", "tutor_id": alert.tutor_id, "alert_type": alert.alert_type},
        )
    for failure in batch.failed:
        _log_failure(failure)


def _log_failure(failure: Failure) -> None:
    level, outlook = (
        (logging.ERROR, "gave up; correct the cause, then run `tutorwatch retry`")
        if failure.parked_at
        else (logging.WARNING, "will be tried again")
    )
    logger.log(
        level,
        "Generation failed for tutor %s (attempt %d, %s): %s",
        failure.tutor_id,
        failure.attempts,
        outlook,
        failure.last_error,
        extra={"action": "generation_failed", "tutor_id": failure.tutor_id, "attempt": failure.attempts},
    )
