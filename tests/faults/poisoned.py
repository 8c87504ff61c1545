"""`tutorwatch` with a rule that does harm: `python poisoned.py raise|hang|kill TUTOR,TUTOR... COMMAND...`."""

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from rules import decisions, generation
from scripts.cli import main


def raise_error(tutor_id: str) -> NoReturn:
    raise ZeroDivisionError(f"poisoned {tutor_id}")


def hang(_tutor_id: str) -> None:
    while True:
        time.sleep(0.001)


def kill(_tutor_id: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


HARMS: dict[str, Callable[[str], None]] = {"raise": raise_error, "hang": hang, "kill": kill}


def poison(harm: str, tutor_ids: str) -> None:
    """Puts the harm before the first rule, for these tutors; `*` is every tutor."""
    decide = decisions.decide_alerts
    poisoned = tutor_ids.split(",")

    def decide_alerts(tutor: Any, thresholds: Any) -> Any:
        if tutor.tutor_id in poisoned or poisoned == ["*"]:
            HARMS[harm](tutor.tutor_id)
        return decide(tutor, thresholds)

    setattr(generation, "decide_alerts", decide_alerts)  # noqa: B010 - the name generation knows it by


if __name__ == "__main__":
    poison(sys.argv[1], sys.argv[2])
    sys.argv[1:3] = []
    main()
