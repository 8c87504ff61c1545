"""Many sessions of the model, at random."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from random import Random
from typing import TypeVar
from uuid import UUID

from tests.support import model
from tests.support.platform import NOW

MICROSECOND = timedelta(microseconds=1)

T = TypeVar("T")


@dataclass(frozen=True)
class Leaning:
    """What a tutor's sessions have in common: few kinds of audio, near thresholds, and how often they fail."""

    audios: list[model.Audio]
    reschedules: int


class Chance:
    """Random sessions, the same ones every time."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.numbers = count(1)

    def decimal(self, *numbers: str | None) -> Decimal | None:
        number = self.random.choice(numbers)
        return None if number is None else Decimal(number)

    def audio(self) -> model.Audio:
        return model.Audio(
            talk_ratio=self.decimal("0.900", "0.651", "0.650", "0.501", "0.500", "0.420", "0.350", "0.349", None),
            engagement=self.decimal("9.0", "8.1", "8.0", "7.9", "6.1", "6.0", "5.9", "3.0", "NaN", None),
            checks=self.random.choice([0, 3, 4, 5, 7, 8, 9, 13]),
            reinforcement=self.random.choice([0, 9, 10, 11, 14]),
            open_questions=self.random.choice([0, 5, 6, 7, 12]),
            closed_questions=self.random.choice([0, 3, 4, 5]),
        )

    def leaning(self) -> Leaning:
        return Leaning([self.audio(), self.audio()], self.random.choice([0, 3, 20]))

    def age(self, days: range) -> timedelta:
        """Often at the edge of a window, else somewhere; several sessions share a moment."""
        if self.random.random() < 0.15:
            edge = timedelta(days=self.random.choice([7, 30, 60]))
            return edge + self.random.choice([-1, 0, 1]) * self.random.choice([MICROSECOND, timedelta(seconds=1)])
        return timedelta(days=self.random.choice(days), hours=self.random.choice([0, 0, 5]))

    def session(self, now: datetime, days: range, leaning: Leaning, scores: list[str]) -> model.TutoringSession:
        random = self.random
        status = random.choices(
            ["completed", "no_show_tutor", "rescheduled", "scheduled", "cancelled", "no_show_student", "in_progress"],
            [20, 1, leaning.reschedules, 1, 1, 1, 1],
        )[0]
        audio = random.choice(leaning.audios) if random.random() < 0.85 else None
        return model.TutoringSession(
            id=UUID(int=(random.getrandbits(40) << 64) | next(self.numbers)),
            student=random.choice(["ann", "ben", "cleo", "dan", "eve"]),
            scheduled_start=now - self.age(days),
            status=status,
            number=random.choices([1, 2, 3], [2, 3, 1])[0],
            completed_at=now - self.age(days) if random.random() < 0.4 else None,
            score=self.decimal(*scores, None) if status == "completed" else None,
            rescheduled_by=random.choice(["tutor", "tutor", "tutor", "student", None]),
            audio=audio,
            visual_aids=random.choice([True, audio is not None and audio.checks > 4, False, None]),
        )

    def sessions(self, now: datetime, size: int, leaning: Leaning) -> list[model.TutoringSession]:
        """Of the latest month, and fewer, better ones of the month before."""
        lately = [self.session(now, range(-2, 30), leaning, ["6.0", "6.4", "6.5", "8.0"]) for _ in range(size)]
        before = [self.session(now, range(30, 62), leaning, ["6.9", "7.5", "8.0", "9.9"]) for _ in range(size // 2)]
        return lately + before

    def prior_alerts(self) -> list[model.Alert]:
        """Of some types: open ones, resolved ones."""
        return [
            model.Alert(alert_type, resolved_at=self.random.choice([None, NOW - self.age(range(30))]))
            for alert_type in self.some([*model.COUNTING, *model.AVERAGING])
        ]

    def some(self, things: list[T]) -> list[T]:
        return [thing for thing in things if self.random.random() < 0.5]
