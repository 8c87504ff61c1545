"""How much of it: `make test` injects each fault a few times, `make soak` many times. The same code for both."""

import os
from typing import TypeVar

T = TypeVar("T")

IS_SOAK = bool(os.environ.get("TUTORWATCH_TEST_SOAK"))


def either(test: T, soak: T) -> T:
    """The first in `make test`, the second in `make soak`."""
    return soak if IS_SOAK else test


RECOVERY_SECONDS = either(test=20.0, soak=5.0)
"""How soon all must have been generated after a fault is over. In `make test` other tests have the processors, too."""
