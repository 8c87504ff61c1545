"""The measures that rules take of a tutor: counts, averages and shares, exact."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal


@dataclass(frozen=True, slots=True)
class Ratio:
    """An average (total over count) or a share (part over count), compared without dividing.

    A division would round: an average of exactly 8 must not be above 8, and two thirds have no exact
    decimal. With a count of 0 no comparison holds.
    """

    total: Decimal = Decimal(0)
    count: int = 0

    def above(self, threshold: Decimal) -> bool:
        """Strictly more than the threshold."""
        return self.count > 0 and self.total > threshold * self.count

    def below(self, threshold: Decimal) -> bool:
        """Strictly less than the threshold."""
        return self.count > 0 and self.total < threshold * self.count

    def at_least(self, threshold: Decimal) -> bool:
        """Not less than the threshold."""
        return self.count > 0 and not self.below(threshold)

    def rounded(self, places: int) -> Decimal:
        """The quotient rounded half up, for people to read. Raises ZeroDivisionError for a count of 0."""
        return round_half_up(self.total / self.count, places)

    def percent(self) -> Decimal:
        """A share in whole percent, rounded half up. Raises ZeroDivisionError for a count of 0."""
        return round_half_up(self.total * 100 / self.count, 0)


@dataclass(frozen=True, slots=True)
class Counted:
    """The number of sessions that a counting alert rests on, and of those that no alert of its type has consumed."""

    count: int = 0
    unconsumed: int = 0


def round_half_up(number: Decimal, places: int) -> Decimal:
    """`number` with that many decimal places; a half goes away from zero, as people round."""
    return number.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)


def plural(count: int, noun: str) -> str:
    """`2 critical alerts`, `1 critical alert`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
