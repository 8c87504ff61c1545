"""The platform's DDL under a running listener: nothing fails, and nobody is booked a failure."""

import logging

import pytest

from tests.support.listening import alerted, has_settled, is_up, listening, no_shows
from tests.support.platform import Platform

WARM = 8
"""Generations after which the driver has had every statement prepared."""
CHANGES = (
    "ALTER TABLE sessions ALTER overall_session_score TYPE numeric(5,2), ALTER session_number TYPE bigint",
    "ALTER TABLE alerts ALTER title TYPE text, ALTER description TYPE varchar(2000)",
    "ALTER TABLE users ALTER name TYPE varchar(300)",
    "ALTER TABLE tutor_insights ALTER metric_value TYPE numeric(9,2)",
    "ALTER TABLE session_audio_metrics ALTER tutor_talk_ratio TYPE numeric(6,3)",
)


@pytest.mark.parametrize("change", CHANGES)
async def test_work_goes_on_with_new_plans(
    change: str, database_url: str, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with listening(database_url) as listener:
        await is_up(platform)
        for number in range(WARM):
            await no_shows(platform, 1, first=number + 1)
            await has_settled(platform)
        await platform.connection.execute(change.encode())

        [tutor] = await no_shows(platform, 1, first=WARM + 1)

        await has_settled(platform)
        assert tutor in await alerted(platform)
        assert not listener.task.done()
    assert await platform.rows("SELECT * FROM tutorwatch.failures") == []
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
