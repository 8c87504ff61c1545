"""What it takes to send a round of generation, whatever is asked: the round trips, and the program's way to them."""

import time

from sqlalchemy import text

from rules.database import open_engine
from scripts.bench.samples import Samples

STATEMENTS_OF_A_ROUND = 8
"""Between BEGIN and COMMIT, where an alert is opened: the claim, locks, statistics, sessions behind alerts, samples of
insights, alerts refreshed, alerts opened, insights."""
ROUNDS = 200
WARM_UP_ROUNDS = 20


async def empty_rounds(url: str) -> Samples:
    """Milliseconds of transactions with as many statements that ask for nothing."""
    engine, times = open_engine(url, application_name="tutorwatch-bench", keep_connections=1), []
    nothing = text("SELECT 1")
    try:
        for _ in range(WARM_UP_ROUNDS + ROUNDS):
            started = time.perf_counter()
            async with engine.begin() as conn:
                for _ in range(STATEMENTS_OF_A_ROUND):
                    (await conn.execute(nothing)).all()
            times.append(1000 * (time.perf_counter() - started))
    finally:
        await engine.dispose()
    return Samples(times[WARM_UP_ROUNDS:])
