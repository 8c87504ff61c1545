"""How long batches have been taking, on this machine and under its load: only beside that is a batch a long one."""

TUTORS_TO_DOUBLE = 6
"""With so many tutors a batch takes about twice what is spent on any (measured: one 12 ms, ten 30, fifty 110,
a hundred 190)."""
FIRST_SECONDS = 0.02
"""What is spent on any batch, until some have been seen."""
STEP = 1.05
"""How much a batch changes the opinion: a median moves by little steps, however far away the batch is."""


class Pace:
    """Follows the median of the batches: a few that take very long hardly move it."""

    def __init__(self) -> None:
        self._seconds = FIRST_SECONDS

    def note(self, tutors: int, seconds: float) -> None:
        """A batch of so many tutors took so long."""
        self._seconds *= STEP if seconds > self._expected(tutors) else 1 / STEP

    def long_after(self, tutors: int) -> float:
        """After how many seconds a batch of so many tutors has become long: it then takes longer than most of its like.

        Not later: waiting for twice as long made the slowest alerts (p99) of 50 sessions a second 76 to 95 instead of
        59 to 68 times as slow as a bare notification, and nothing faster (turns of 8 s, measured 2026-11-27).
        """
        return self._expected(tutors)

    def _expected(self, tutors: int) -> float:
        return self._seconds * (1 + tutors / TUTORS_TO_DOUBLE)
