"""`tutorwatch channel`, as an operator types it."""

import asyncio
import json
from typing import Any

import psycopg
import pytest
from standardwebhooks import Webhook

from tests.support.command import Finished, tutorwatch
from tests.support.platform import Platform
from tests.support.roles import LISTENER, WEB
from tests.telling.receivers import receiving

SLACK = "slack+https://hooks.slack.com/services/T0/B0/s3cret"


def channel(*arguments: str, url: str, **settings: Any) -> Finished:
    return tutorwatch("channel", *arguments, url=url, **settings)


def test_channel_is_made_listed_switched_and_removed(database_url: str) -> None:
    filters = ("--severity", "critical", "--event", "opened", "--event", "worse")
    added = channel("add", "ops", SLACK, *filters, url=database_url)
    assert added.code == 0
    assert added.out == "ops tells opened, worse (critical): https://hooks.slack.com/...\n"

    listed = channel("list", url=database_url).out
    assert listed == "ops: slack to https://hooks.slack.com/..., opened, worse (critical); on\n"
    assert channel("disable", "ops", url=database_url).out == "ops is off.\n"
    assert channel("list", url=database_url).out.endswith("off: by a person\n")
    assert channel("enable", "ops", url=database_url).out == "ops is on.\n"
    [found] = json.loads(channel("list", "--json", url=database_url).out)
    assert (found["name"], found["is_on"], found["events"], found["types"]) == ("ops", True, ["opened", "worse"], None)
    assert "s3cret" not in json.dumps(found) + listed
    assert channel("remove", "ops", url=database_url).code == 0
    assert channel("list", url=database_url).out == "There are no channels: nobody is told of alerts.\n"


async def test_secret_of_a_webhook_is_shown_once_and_signs_the_test(database_url: str) -> None:
    async with receiving() as receiver:
        added = channel("add", "program", f"webhook+{receiver.url}", url=database_url)
        done = await asyncio.to_thread(channel, "test", "program", url=database_url, allow_private_targets=1)
    secret = added.out.strip()
    assert (done.code, done.out) == (0, "Delivered.\n")
    [request] = receiver.requests
    assert Webhook(secret).verify(request.body, request.headers)["type"] == "alert.test"
    assert secret not in channel("list", "--json", url=database_url).out


async def test_test_that_is_not_delivered_says_why(database_url: str) -> None:
    async with receiving() as receiver:
        channel("add", "program", f"webhook+{receiver.url}", url=database_url)
        done = await asyncio.to_thread(channel, "test", "program", url=database_url)
    assert done.code == 1
    assert "127.0.0.1 is no public address" in done.err
    assert receiver.requests == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("add", "x", "fax:123"), 2, "'fax' is no kind of channel"),
        (("add", "x", "mailto:nobody"), 2, "one e-mail address"),
        (("add", " ", SLACK), 2, "name"),
        (("add", "x", SLACK, "--severity", "mild"), 2, "critical, warning"),
        (("add", "x", SLACK, "--type", "no_show"), 2, "no_show_pattern"),
        (("add", "x", SLACK, "--event", "closed"), 2, "opened"),
        (("add", "ops", SLACK), 1, "There is a channel named 'ops' already"),
        (("test", "nobody"), 1, "There is no channel named 'nobody'"),
        (("enable", "nobody"), 1, "There is no channel named 'nobody'"),
        (("remove", "nobody"), 1, "There is no channel named 'nobody'"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(
    arguments: tuple[str, ...], code: int, said: str, database_url: str
) -> None:
    channel("add", "ops", SLACK, url=database_url)
    done = channel(*arguments, url=database_url)
    assert (done.code, said in done.err) == (code, True), done.err
    assert "s3cret" not in done.err


async def test_roles_of_the_services_read_what_they_need(database_url: str, platform: Platform) -> None:
    channel("add", "ops", SLACK, url=database_url)
    assert channel("list", url=WEB.url(database_url)).code == 0
    with psycopg.connect(WEB.url(database_url)) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT target FROM tutorwatch.channels")
    with psycopg.connect(LISTENER.url(database_url)) as connection:
        assert connection.execute("SELECT target FROM tutorwatch.channels").fetchall() == [(SLACK,)]
    assert await platform.rows("SELECT count(*) FROM tutorwatch.deliveries") == [0]
