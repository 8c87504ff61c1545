"""Figures from repeated measurements on a machine that others use too: medians and quartiles, never means."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Samples:
    """Repeated measurements of one thing, in any one unit; at least one."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The spread: the middle half of the values lies between these two."""
        return self.percentile(25), self.percentile(75)

    def percentile(self, percent: float) -> float:
        """The value that `percent` of the values do not exceed, between neighbours by linear interpolation."""
        ordered = sorted(self.values)
        place = percent / 100 * (len(ordered) - 1)
        below = int(place)
        above = min(below + 1, len(ordered) - 1)
        return ordered[below] + (ordered[above] - ordered[below]) * (place - below)

    def times(self, factor: float) -> "Samples":
        """The same measurements in another unit."""
        return Samples([value * factor for value in self.values])

    def per(self, count: float) -> "Samples":
        """How many of `count` things in one unit of what was measured: of seconds, a rate per second."""
        return Samples([count / value for value in self.values])


def together(parts: Sequence[Samples]) -> Samples:
    """The measurements of several turns as one."""
    return Samples([value for part in parts for value in part.values])


def paired_ratios(samples: Samples, yardstick: Samples) -> Samples:
    """Each measurement over the yardstick's measurement next to it, so that slow moments hit both."""
    return Samples([value / other for value, other in zip(samples.values, yardstick.values, strict=True)])
