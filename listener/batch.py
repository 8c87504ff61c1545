"""What a batch did: its figures, and what the log says of it."""

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from listener.failures import Failure
from rules.generation import Generated

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction did."""

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
class Figures:
    """What a worker has done since its start, for /metrics."""

    batches: int = 0
    generations: int = 0
    batch_seconds: float = 0.0
    retries: int = 0
    alerts_opened: Counter[str] = field(default_factory=Counter)

    def add(self, batch: Batch) -> None:
        """Counts a committed batch."""
        self.batches += 1
        self.generations += batch.tutors
        self.batch_seconds += batch.seconds
        self.alerts_opened.update(alert.alert_type.value for alert in batch.generated.alerts)

    def as_json(self) -> dict[str, Any]:
        """By the names under which /metrics knows them."""
        return {
            "batches": self.batches,
            "generations": self.generations,
            "batch_seconds": round(self.batch_seconds, 3),
            "retries": self.retries,
            "alerts_opened": dict(self.alerts_opened),
        }


def log_last_attempt(begun: Failure) -> None:
    """Before it is made: should it end its listener, too, nothing could be said afterwards."""
    logger.error(
        "Generating tutor %s for the last time (attempt %d): the listener ended in the middle of the one before. Unless"
        " it succeeds, the tutor is parked; mend the cause, then run `tutorwatch retry`",
        begun.tutor_id,
        begun.attempts,
        extra={"action": "last_attempt", "tutor_id": begun.tutor_id, "attempt": begun.attempts},
    )


def log_batch(batch: Batch) -> None:
    """One line for the batch, one for each alert it opened, one for each tutor that failed."""
    generated = batch.generated
    logger.info(
        "%d changes, %d tutors: %d alerts opened, %d insights found, %d faded (%.0f ms)",
        batch.changes,
        batch.tutors,
        len(generated.alerts),
        len(generated.insights),
        len(generated.faded),
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
        level, outlook = (
            (logging.ERROR, "parked; mend the cause, then run `tutorwatch retry`")
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
