"""A tutor's statistics, written shortly."""

from decimal import Decimal
from typing import Any

from rules.measures import Counted, Ratio
from rules.registry import STATISTICS
from rules.rule import Count, Holding, Lowest, Statistics

_NOTHING = {
    each.name: Counted()
    if isinstance(each, Count)
    else 0
    if isinstance(each, Holding)
    else None
    if isinstance(each, Lowest)
    else Ratio()
    for each in STATISTICS
}


def tutor(**statistics: Any) -> Statistics:
    """A tutor without a session, but for these statistics."""
    assert statistics.keys() <= _NOTHING.keys()
    return Statistics("tutor", _NOTHING | statistics)


def of(total: int | str, count: int) -> Ratio:
    """A total over so many sessions: `of("40.5", 5)` averages 8.1, `of(7, 10)` is a share of 70%."""
    return Ratio(Decimal(total), count)
