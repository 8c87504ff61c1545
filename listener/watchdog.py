"""Ends a process whose event loop hangs: a rule that never returns would hold the listener and its tutors for ever."""

import asyncio
import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)

TICKS = 10
"""Into how many questions to the event loop the time is divided. A process that was paused answers the next one:
time in which it didn't run at all doesn't count."""


@contextmanager
def watchdog(hang_seconds: float) -> Iterator[None]:
    """Ends the process, with exit code 1, once the running event loop hasn't answered for so long.

    To PostgreSQL that is a listener that died: its changes are free again, and their tutors generated one by one.
    """
    loop, hung_thread = asyncio.get_running_loop(), threading.get_ident()
    answered, stopped = threading.Event(), threading.Event()

    def watch() -> None:
        unanswered = 0
        answered.set()
        while not stopped.wait(hang_seconds / TICKS):
            if answered.is_set():
                unanswered = 0
                answered.clear()
                loop.call_soon_threadsafe(answered.set)
            else:
                unanswered += 1
            if unanswered >= TICKS:
                _end(hung_thread, hang_seconds)

    thread = threading.Thread(target=watch, name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def _end(hung_thread: int, seconds: float) -> None:
    frame = sys._current_frames().get(hung_thread)  # noqa: SLF001 - the documented way to another thread's stack
    logger.critical(
        "Hung for %g seconds; ends now, so that others can take its tutors. It was here:\n%s",
        seconds,
        "".join(traceback.format_stack(frame)),
        extra={"action": "hung"},
    )
    os._exit(1)
