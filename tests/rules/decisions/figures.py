"""A tutor's figures, written shortly."""

from decimal import Decimal
from typing import Any

from rules.decisions.statistics import Ratio, TutorStatistics


def tutor(**figures: Any) -> TutorStatistics:
    """A tutor without a session, but for these figures."""
    return TutorStatistics("tutor", **figures)


def of(total: int | str, count: int) -> Ratio:
    """A total over so many sessions: `of("40.5", 5)` averages 8.1, `of(7, 10)` is a share of 70%."""
    return Ratio(Decimal(total), count)
