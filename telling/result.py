"""What came of an attempt to deliver."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Outcome(StrEnum):
    """The outcomes of an attempt, as metrics call them."""

    DELIVERED = "delivered"
    RETRY = "retry"
    """It wasn't delivered, and may be later."""
    PERMANENT = "permanent"
    """It can't be delivered, nor can any other: the channel is switched off."""
    AMBIGUOUS = "ambiguous"
    """It may have been delivered, and the receiver couldn't tell a second one from the first: it isn't repeated."""
    GIVEN_UP = "given_up"
    """It isn't to be delivered any more; the channel is fine."""


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one attempt, with the reason in one line unless it was delivered."""

    outcome: Outcome
    error: str = ""
    after: timedelta | None = None
    """How long the receiver asks us to wait."""


DELIVERED = Result(Outcome.DELIVERED)


def retry(error: str, after: timedelta | None = None) -> Result:
    """The result of an attempt that may succeed later."""
    return Result(Outcome.RETRY, error, after)


def permanent(error: str) -> Result:
    """The result of an attempt that shows that the channel no longer works."""
    return Result(Outcome.PERMANENT, error)


def ambiguous(error: str) -> Result:
    """The result of an attempt of which nobody knows whether it arrived."""
    return Result(Outcome.AMBIGUOUS, error)


def given_up(error: str) -> Result:
    """The result of a delivery that is no longer worth an attempt."""
    return Result(Outcome.GIVEN_UP, error)
