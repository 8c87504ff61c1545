"""What the rules look at: one tutor's figures, exact."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal


@dataclass(frozen=True, slots=True)
class Ratio:
    """An average (total over count) or a share (part over count), compared without dividing.

    A division would round: an average of exactly 8 must not be above 8, and two thirds have no exact
    decimal. With a count of 0 no comparison holds.
    """

    total: Decimal
    count: int

    def above(self, limit: Decimal) -> bool:
        """Strictly more than `limit`."""
        return self.count > 0 and self.total > limit * self.count

    def below(self, limit: Decimal) -> bool:
        """Strictly less than `limit`."""
        return self.count > 0 and self.total < limit * self.count

    def at_least(self, limit: Decimal) -> bool:
        """Not less than `limit`."""
        return self.count > 0 and not self.below(limit)

    def rounded(self, places: int) -> Decimal:
        """The quotient rounded half up, for people to read. Raises ZeroDivisionError for a count of 0."""
        return round_half_up(self.total / self.count, places)

    def percent(self) -> Decimal:
        """A share in whole percent, rounded half up. Raises ZeroDivisionError for a count of 0."""
        return round_half_up(self.total * 100 / self.count, 0)


def round_half_up(number: Decimal, places: int) -> Decimal:
    """`number` with that many decimal places; a half goes away from zero, as people round."""
    return number.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)


NOTHING = Ratio(Decimal(0), 0)


@dataclass(frozen=True, slots=True)
class Counted:
    """How many sessions a counting alert rests on, and how many of them no resolved alert has counted."""

    count: int = 0
    uncounted: int = 0


@dataclass(frozen=True, slots=True)
class TutorStatistics:
    """One tutor's figures at one moment, over the windows of `rules.settings.Thresholds`.

    A tutor without sessions has the defaults. "Uncounted" leaves out what a resolved alert has counted.
    """

    tutor_id: str

    poor_first_sessions: Counted = Counted()
    lowest_first_session_score: Decimal | None = None
    no_shows: Counted = Counted()
    reschedules: Counted = Counted()
    recent_high_talk: Ratio = NOTHING
    """Share of the recent ten, uncounted, in which the tutor talked too much."""
    recent_checks: Ratio = NOTHING
    """Average understanding checks over the recent ten, uncounted."""
    recent_score: Ratio = NOTHING
    """Average score of the latest window, uncounted."""
    earlier_score: Ratio = NOTHING
    """Average score of the window before."""

    engagement: Ratio = NOTHING
    balanced_talk: Ratio = NOTHING
    high_talk: Ratio = NOTHING
    checks: Ratio = NOTHING
    open_questions: Ratio = NOTHING
    """Open-ended questions over all open and closed ones; its count is a number of questions."""
    questioned_sessions: int = 0
    """Sessions whose questions were counted."""
    visual_aids: Ratio = NOTHING
    reinforcement: Ratio = NOTHING
    conversions: Ratio = NOTHING
    """Share of first sessions whose student came back."""

    resolved_alerts: int = 0
    open_alerts: int = 0
    """No rule's figures: how many alerts were resolved, and open, when these were read (see `rules.store`)."""
