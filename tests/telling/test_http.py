"""What a webhook and a chat make of the answers that there are, and where they don't go."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from telling.channel import Target, TargetError, new_secret
from telling.channels import slack
from telling.channels.webhook import KIND as WEBHOOK
from telling.kinds import kind_of
from telling.result import Outcome, Result
from telling.settings import TellingSettings
from telling.targets import is_public
from tests.telling.messages import message
from tests.telling.receivers import Receiver, answering, receiving

PRIVATE = TellingSettings(allow_private_targets=True)
SECRET = new_secret()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


async def by_webhook(receiver: Receiver) -> Result:
    return await WEBHOOK.send(Target(f"webhook+{receiver.url}", SECRET), message(), PRIVATE)


async def by_slack(receiver: Receiver) -> Result:
    return await slack.KIND.send(Target(f"slack+{receiver.url}"), message(), PRIVATE)


async def test_reference_library_verifies_what_arrives(receiver: Receiver) -> None:
    assert (await by_webhook(receiver)).outcome is Outcome.DELIVERED
    assert (await by_webhook(receiver)).outcome is Outcome.DELIVERED

    first, second = receiver.requests
    payload = Webhook(SECRET).verify(first.body, first.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(first.body, first.headers)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert payload["type"] == "alert.opened"
    alert = payload["data"]["alert"]
    assert (alert["tutor_id"], alert["severity"], alert["value"], alert["threshold"]) == ("ann", "critical", 3, 2)
    assert b"Ann Lee" not in first.body


@pytest.mark.parametrize(
    ("status", "webhook", "chat"),
    [
        (204, Outcome.DELIVERED, Outcome.DELIVERED),
        (400, Outcome.RETRY, Outcome.RETRY),
        (404, Outcome.RETRY, Outcome.RETRY),
        (410, Outcome.PERMANENT, Outcome.PERMANENT),
        (500, Outcome.RETRY, Outcome.AMBIGUOUS),
        (503, Outcome.RETRY, Outcome.RETRY),
    ],
)
async def test_status_decides(status: int, webhook: Outcome, chat: Outcome, receiver: Receiver) -> None:
    receiver.answer = answering(status)
    assert (await by_webhook(receiver)).outcome is webhook
    assert (await by_slack(receiver)).outcome is chat


@pytest.mark.parametrize(("given", "seconds"), [("120", 120), ("86400", 86400), ("9999999999", 86400), ("soon", None)])
async def test_receiver_that_asks_for_patience_gets_it(given: str, seconds: int | None, receiver: Receiver) -> None:
    receiver.answer = answering(429, Retry_After=given)
    for result in (await by_webhook(receiver), await by_slack(receiver)):
        assert result.outcome is Outcome.RETRY
        assert result.after == (None if seconds is None else timedelta(seconds=seconds))


async def test_redirect_is_a_failure_and_not_followed(receiver: Receiver) -> None:
    receiver.answer = answering(301, Location=f"http://127.0.0.1:{receiver.port}/internal")
    assert (await by_webhook(receiver)).outcome is Outcome.RETRY
    assert [request.path for request in receiver.requests] == ["/hook"]


async def test_body_without_an_end_is_not_read_to_its_end(receiver: Receiver) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 4096)
            await asyncio.sleep(0)

    receiver.answer = endless
    async with asyncio.timeout(10):
        assert (await by_webhook(receiver)).outcome is Outcome.DELIVERED
        assert (await by_slack(receiver)).outcome is Outcome.DELIVERED


async def test_connection_that_ends_without_an_answer_is_ambiguous_for_a_chat(receiver: Receiver) -> None:
    async def hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport
        request.transport.close()
        return web.Response()

    receiver.answer = hang_up
    assert (await by_webhook(receiver)).outcome is Outcome.RETRY
    assert (await by_slack(receiver)).outcome is Outcome.AMBIGUOUS


async def test_who_was_never_reached_is_tried_again() -> None:
    async with receiving() as gone:
        pass
    assert (await by_webhook(gone)).outcome is Outcome.RETRY
    assert (await by_slack(gone)).outcome is Outcome.RETRY


async def test_two_hundred_that_says_it_is_none_is_a_failure(receiver: Receiver) -> None:
    async def refuse(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"ok": False, "error": "invalid_payload"})

    receiver.answer = refuse
    result = await by_slack(receiver)
    assert result.outcome is Outcome.RETRY
    assert "invalid_payload" in result.error


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]"])
async def test_address_that_is_not_public_is_refused_when_connecting(host: str, receiver: Receiver) -> None:
    url = f"http://{host}:{receiver.port}/hook"
    for kind, secret in ((WEBHOOK, SECRET), (slack.KIND, None)):
        result = await kind.send(Target(f"{kind.name}+{url}", secret), message(), TellingSettings())
        assert result.outcome is Outcome.PERMANENT
        assert "no public address" in result.error
    assert receiver.requests == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:4700::1111", True),
        ("::ffff:93.184.215.14", True),
        ("10.0.0.7", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::ffff:10.0.0.7", False),
        ("64:ff9b::a00:7", False),
        ("2002:a00:7::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
    ],
)
def test_public_is_what_the_internet_reaches(address: str, public: bool) -> None:
    assert is_public(address) is public


async def test_chat_shows_names_and_lets_them_do_nothing(receiver: Receiver) -> None:
    named = message(tutor_name="<!channel>\nEve & <http://evil.test|Ann>")
    await slack.KIND.send(Target(f"slack+{receiver.url}"), named, PRIVATE)

    text = json.loads(receiver.requests[0].body)["text"]
    assert "&lt;!channel&gt;\\nEve &amp; &lt;http://evil.test|Ann&gt;" in text
    assert text.count("<") == 1, "our own link"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org",
        "webhook+https://",
        "webhook+https://user:password@example.org/",
        "webhook+https://example.org/a b",
        "slack+https://example.org:0/",
        "mailto:",
        "mailto:a@b.test,c@d.test",
        "mailto:a@b.test?subject=x",
        "mailto:a%0d%0aBcc:c@d.test",
    ],
)
def test_url_that_leads_nowhere_is_refused(url: str) -> None:
    with pytest.raises(TargetError):
        kind_of(url).shown(url)


def test_what_is_shown_of_a_target_has_no_secret() -> None:
    for url in ("slack+https://hooks.slack.com/services/T0/B0/s3cret", "webhook+https://example.org/hook?token=s3cret"):
        assert "s3cret" not in kind_of(url).shown(url)
