"""An outage is told once a minute; what a person must fix, as an ERROR."""

import asyncio
import logging
from functools import partial

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from database import subscription
from database.outages import Outage, is_permanent
from database.subscription import NotificationHandler, listen
from tests.support.waiting import PATIENCE_SECONDS, eventually


def told(caplog: pytest.LogCaptureFixture) -> list[int]:
    return [record.levelno for record in caplog.records if getattr(record, "action", None) == "unreachable"]


@pytest.mark.parametrize(
    ("wrong", "level"),
    [
        pytest.param({"dbname": "no_such_database"}, logging.ERROR, id="no such database"),
        pytest.param({"user": "no_such_role"}, logging.ERROR, id="no such role"),
        pytest.param({"host": "no-such-host.invalid"}, logging.ERROR, id="no such host"),
        pytest.param({"host": "127.0.0.1", "port": "1"}, logging.WARNING, id="nobody there"),
    ],
)
async def test_an_outage_is_told_once_however_often_it_is_tried(
    wrong: dict[str, str],
    level: int,
    database_url: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscription, "FIRST_DELAY_SECONDS", 0.01)
    caplog.set_level(logging.DEBUG, logger="database.subscription")
    listening = asyncio.create_task(
        listen(
            make_conninfo(database_url, **wrong),
            "test_channel",
            NotificationHandler(),
            application_name="test",
            heartbeat_seconds=1,
        )
    )

    async def tried_often() -> bool:
        return len(told(caplog)) >= 4

    await eventually(tried_often, within=PATIENCE_SECONDS)
    listening.cancel()
    assert told(caplog)[:4] == [level, logging.DEBUG, logging.DEBUG, logging.DEBUG]


def test_it_is_told_again_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    outage, away = Outage(), OSError("away")
    levels = []
    for now in (1000.0, 1030.0, 1059.0, 1060.0):
        monkeypatch.setattr("database.outages.monotonic", partial(float, now))
        levels.append(outage.level(away))

    assert levels == [logging.WARNING, logging.DEBUG, logging.DEBUG, logging.WARNING]


def test_another_reason_is_told_without_another_warning() -> None:
    outage = Outage()

    levels = [outage.level(OSError(reason)) for reason in ("lost", "refused", "refused", "starting up")]

    assert levels == [logging.WARNING, logging.INFO, logging.DEBUG, logging.INFO]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ('FATAL:  password authentication failed for user "tim"', True),
        ("fe_sendauth: no password supplied", True),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "tim", database "platform", no encryption', True),
        ("server does not support SSL, but SSL was required", True),
        ('FATAL:  permission denied for database "platform"', True),
        ('could not translate host name "db" to address: Name or service not known', True),
        ('could not translate host name "db" to address: Temporary failure in name resolution', False),
        ("FATAL:  the database system is starting up", False),
        ("FATAL:  sorry, too many clients already", False),
        ('connection to server at "127.0.0.1", port 1 failed: Connection refused', False),
    ],
)
def test_what_only_a_person_can_fix_is_known(message: str, expected: bool) -> None:
    assert is_permanent(psycopg.OperationalError(message)) is expected
