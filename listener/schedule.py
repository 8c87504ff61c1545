"""The times of the next polls, and which loops of the worker have something to do; without a clock of its own."""

from listener.batch import Batch
from listener.outbox import Claim
from listener.pace import Pace
from listener.settings import ListenerSettings

RECHECK_SECONDS = 1.0
"""When to poll again for changes that another listener holds: should it die, they are free again."""

FOLLOW_UP_SECONDS = (0.025, 0.25, 1.0)
"""When to poll again after changes were found: a writer that committed at the same moment left the notification to the
other (migrations/sql/functions/wake_listeners.sql)."""

VAIN_POLLS_AT_ONCE = 2
LONGEST_GAP_SECONDS = 0.25
"""After so many polls in a row that found nothing, polls keep a distance that doubles up to this: anybody may send
notifications, any number of them."""


class Schedule:
    """Decides from what was claimed. `now` is a number of seconds that only grows, as `time.monotonic` gives it."""

    def __init__(self, settings: ListenerSettings) -> None:
        self._settings = settings
        self._pace = Pace()
        self._long_at: float | None = None
        self._sweep_due_at = 0.0
        self._polled_at = 0.0
        self._vain_polls = 0
        self._follow_ups: list[float] = []
        self.attempts_are_due = False
        """Whether failing tutors are to be tried again before the next claim."""

    def gap(self, now: float) -> float:
        """Return the seconds to let pass before the next poll, although something asks for it."""
        doublings = self._vain_polls - VAIN_POLLS_AT_ONCE
        if doublings < 0:
            return 0.0
        return max(self._polled_at + min(0.001 * 2.0 ** min(doublings, 10), LONGEST_GAP_SECONDS) - now, 0.0)

    def sweep_is_due(self, now: float) -> bool:
        """Return whether it is time to see if a sweep over all tutors is due."""
        return now >= self._sweep_due_at

    def swept(self, now: float) -> None:
        """Sets the next time, a poll later."""
        self._sweep_due_at = now + self._settings.poll_seconds

    def poll_begins(self, now: float) -> None:
        """Takes note of a poll: what is done before its claim may take long, too."""
        self._vain_polls += 1
        self._long_at = now + self._pace.expected(0)

    def claimed(self, claim: Claim, now: float) -> None:
        """Takes note of a batch that begins. A full one is a long batch at once, others if they take longer than usual.

        Not sooner, because what is processed beside a batch slows it down: many changes are processed faster in larger
        batches.
        """
        self._long_at = now if self.is_full(claim) else now + self._pace.expected(len(claim.tutor_ids))

    def is_full(self, claim: Claim) -> bool:
        """Return whether the claim got as much as it could: a second batch can begin with the rest at once."""
        return claim.changes >= self._settings.batch_size

    def long_in(self, now: float) -> float | None:
        """Return the seconds until the batch in flight is a long one, 0 if it is; None without one."""
        return None if self._long_at is None else max(self._long_at - now, 0.0)

    def processed(self, batch: Batch) -> None:
        """Takes note of how long batches take."""
        self._pace.note(batch.tutors, batch.seconds)

    def rests(self) -> None:
        """Takes note that no batch is in flight."""
        self._long_at = None

    def polled(self, claim: Claim, batch: Batch | None, now: float, *, is_connected: bool) -> float:
        """Return the seconds until the next poll, unless a notification comes first.

        After a claim that got less than it could there is no backlog: what was committed since wakes the worker, or is
        found by the next poll.
        """
        self.attempts_are_due = bool(claim.apart) or _is_due(claim.attempt_in_seconds)
        self._polled_at = now
        if batch:
            self._vain_polls = 0
            self._follow_ups = list(FOLLOW_UP_SECONDS)
        if self.is_full(claim) or claim.concerns_every_tutor or claim.apart or (batch and batch.failed):
            return 0.0
        return self._pause(claim, now, is_connected=is_connected)

    def _pause(self, claim: Claim, now: float, *, is_connected: bool) -> float:
        settings = self._settings
        pauses = [settings.poll_seconds if is_connected else settings.fallback_poll_seconds, self._sweep_due_at - now]
        if claim.attempt_in_seconds is not None:
            pauses.append(claim.attempt_in_seconds)
        if self._follow_ups:
            pauses.append(self._follow_ups.pop(0))
        if claim.others_hold_changes:
            pauses.append(RECHECK_SECONDS)
        return max(min(pauses), 0.0)


def _is_due(in_seconds: float | None) -> bool:
    return in_seconds is not None and in_seconds <= 0
