"""A mail says the same in text and in HTML, belongs to its alert's thread, and can't be forged by a name."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from uuid import UUID

import pytest
from pydantic import SecretStr

from telling.channel import Target
from telling.channels.email import KIND
from telling.message import Message
from telling.result import Outcome, Result
from telling.settings import TellingSettings
from tests.telling.messages import message
from tests.telling.receivers import Mailbox, mail_server


async def sent(url: str, told: Message) -> Result:
    settings = TellingSettings(smtp_url=SecretStr(url), mail_from="Tutorwatch <alerts@school.test>")
    return await KIND.send(Target("mailto:dana@school.test"), told, settings)


def read(mailbox: Mailbox) -> list[EmailMessage]:
    return [message_from_bytes(mail, policy=default) for mail in mailbox.mails]


def part(mail: EmailMessage, kind: str) -> str:
    found = mail.get_body((kind,))
    assert found
    return str(found.get_content())


async def test_mail_says_in_both_forms_what_happened_and_leads_there() -> None:
    async with mail_server() as (url, mailbox):
        assert (await sent(url, message())).outcome is Outcome.DELIVERED

    [mail] = read(mailbox)
    assert (mail["To"], mail["Subject"]) == ("dana@school.test", "[critical] Tutor no-shows: Ann Lee")
    assert mail["Auto-Submitted"] == "auto-generated"
    for kind in ("plain", "html"):
        text = part(mail, kind)
        for words in ("New alert", "3 no-shows in 30 days", "Ann Lee", message().link, "15 Jun 2026, 12:00 UTC"):
            assert words in text, (kind, words)


async def test_all_mails_of_an_alert_are_one_thread() -> None:
    worse = message(id=UUID(int=2), event="worse", sentence="6 no-shows in 30 days (alert from 2)", details="3 → 6")
    async with mail_server() as (url, mailbox):
        for told in (message(), worse, worse):
            await sent(url, told)

    first, second, repeated = read(mailbox)
    root = f"<alert-{message().alert_id}@school.test>"
    assert {mail["References"] for mail in (first, second)} == {root}
    assert first["Subject"] == second["Subject"]
    assert first["Message-ID"] != second["Message-ID"] == repeated["Message-ID"]
    assert "3 → 6" in part(second, "plain")


async def test_name_adds_no_header_no_recipient_and_no_markup() -> None:
    eve = message(tutor_name="Eve\r\nBcc: all@school.test\r\n\r\n<script>alert(1)</script>" + "x" * 1000)
    async with mail_server() as (url, mailbox):
        assert (await sent(url, eve)).outcome is Outcome.DELIVERED

    [mail] = read(mailbox)
    assert mail["Bcc"] is None
    assert "\n" not in mail["Subject"]
    assert len(mail["Subject"]) <= 150
    assert "<script>" not in part(mail, "html")
    assert "\nBcc" not in part(mail, "plain")


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [("550 No such user", Outcome.PERMANENT), ("451 Try later", Outcome.RETRY)],
)
async def test_mail_server_decides_about_a_recipient(answer: str, outcome: Outcome) -> None:
    async with mail_server() as (url, mailbox):
        mailbox.refusing = answer
        result = await sent(url, message())
    assert result.outcome is outcome
    assert answer[:3] in result.error


async def test_mail_waits_for_a_server() -> None:
    async with mail_server() as (url, _):
        pass
    assert (await sent(url, message())).outcome is Outcome.RETRY
    unset = await KIND.send(Target("mailto:dana@school.test"), message(), TellingSettings())
    assert unset.outcome is Outcome.RETRY
    assert "TUTORWATCH_SMTP_URL" in unset.error
