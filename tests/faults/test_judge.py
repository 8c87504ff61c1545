"""The judge of the fault tests sees what it is there for."""

import psycopg
import pytest

from tests.faults.traffic import Traffic, Verdict
from tests.support.command import Running
from tests.support.platform import Platform
from tests.support.roles import LISTENER

WRITES = 60


async def test_judge_is_content_with_a_listener_that_works(database_url: str, platform: Platform) -> None:
    traffic = await _written(database_url)
    with Running("listen", url=LISTENER.url(database_url)):
        assert await traffic.judge() == Verdict(lost=0, doubled=0)

    await platform.connection.execute("DELETE FROM tutor_insights")
    await platform.connection.execute("UPDATE tutorwatch.alert_evidence SET session_ids = session_ids[2:]")
    assert (await traffic.judge(quiet_within=0)).lost > 0


async def test_judge_misses_changes_that_nobody_generated(database_url: str, platform: Platform) -> None:
    traffic = await _written(database_url)
    waiting = await platform.rows("SELECT count(*) FROM tutorwatch.outbox")
    assert (await traffic.judge(quiet_within=0)).lost > waiting[0]

    await platform.connection.execute("DELETE FROM tutorwatch.outbox")
    assert (await traffic.judge(quiet_within=0)).lost > 0


async def test_judge_sees_second_alerts(database_url: str, platform: Platform) -> None:
    traffic = await _written(database_url)
    [tutor, *_] = traffic.growing
    alert = {"tutor_id": tutor, "alert_type": "no_show_pattern", "severity": "critical", "title": "", "description": ""}
    await platform.insert("alerts", **alert, resolved=True)
    await platform.insert("alerts", **alert)
    assert (await traffic.judge(quiet_within=0)).doubled == 1


async def test_judge_sees_duplicates(database_url: str, platform: Platform) -> None:
    traffic = await _written(database_url)
    [tutor, *_] = traffic.growing
    alert = {"tutor_id": tutor, "alert_type": "no_show_pattern", "severity": "critical", "title": "", "description": ""}
    for _ in range(2):
        await platform.insert("alerts", **alert)
    assert (await traffic.judge(quiet_within=0)).doubled >= 1


async def test_judge_misses_writes_that_the_database_forgot(database_url: str, platform: Platform) -> None:
    traffic = await _written(database_url)
    await platform.connection.execute("DELETE FROM sessions WHERE status = 'no_show_tutor'")
    with pytest.raises(AssertionError, match="forgot"):
        await traffic.judge(quiet_within=0)


async def _written(url: str) -> Traffic:
    traffic = Traffic(url, tutors=2)
    await traffic.set_up()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as client:
        for _ in range(WRITES):
            await traffic.write(client)
    return traffic
