"""Signals between the parts of a listener, none of which needs to know another."""

import asyncio


class Signals:
    """Set by the subscription and by whoever stops the listener; waited for by the worker's loops."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        """Something may have changed: poll the outbox, now or after the batch in flight."""
        self.newest = asyncio.Event()
        """Something has changed just now: it needn't wait for the end of a long batch."""
        self.backlog = asyncio.Event()
        """There may be more than the batch in flight: begin a second one."""
        self.deliveries = asyncio.Event()
        """Something may have come up that people are to be told."""
        self.is_stopping = False
        self.is_connected = False
        """Whether the subscription is connected, so that notifications arrive."""
        self.times_lost = 0

    def wake(self) -> None:
        """Has the outbox polled."""
        self.changed.set()

    def wake_for_newest(self) -> None:
        """Has the outbox polled, and the newest changes processed in the fast lane."""
        self.changed.set()
        self.newest.set()

    async def backlog_comes(self) -> bool:
        """Wait for a backlog; return False once it is time to stop."""
        if not self.is_stopping:
            await self.backlog.wait()
        return not self.is_stopping

    def stop(self) -> None:
        """Ends all loops after the batches in flight. Stopping twice is fine."""
        self.is_stopping = True
        self.wake_for_newest()
        self.backlog.set()
