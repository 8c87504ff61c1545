"""Ctrl-C and SIGTERM, as an event."""

import asyncio
import signal


def stop_on_signals() -> asyncio.Event:
    """An event that the running loop sets at the first SIGINT or SIGTERM; the second one ends the process."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)
    return stop
