"""The usual duration of batches, on this machine and under its load: only beside that is a batch a long one."""

TUTORS_TO_DOUBLE = 6
"""With so many tutors a batch takes about twice what is spent on any."""
FIRST_SECONDS = 0.02
"""What is spent on any batch, until some have been seen."""
STEP = 1.05
"""How much a batch changes the opinion: a median moves by little steps, however far away the batch is."""


class Pace:
    """Follows the median of the batches: a few that take very long hardly move it."""

    def __init__(self) -> None:
        self._seconds = FIRST_SECONDS

    def note(self, tutors: int, seconds: float) -> None:
        """Takes note of how long a batch of so many tutors took."""
        self._seconds *= STEP if seconds > self.expected(tutors) else 1 / STEP

    def expected(self, tutors: int) -> float:
        """Return how many seconds a batch of so many tutors usually takes; one that takes longer is a long one."""
        return self._seconds * (1 + tutors / TUTORS_TO_DOUBLE)
