"""E-mail: a person is told, in text and HTML that say the same."""

import ssl
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

import aiosmtplib
from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape

from database.one_line import one_line
from telling.channel import LONGEST_TARGET, Target, TargetError
from telling.message import Message
from telling.result import DELIVERED, Result, permanent, retry
from telling.settings import TellingSettings

TIMEOUT_SECONDS = 30.0
LONGEST_SUBJECT = 150
FOR_GOOD = 500
"""From this answer on an SMTP server means it."""


class EmailKind:
    """A mail to one address. Its Message-ID is the delivery's: many mailboxes show a repetition once."""

    name = "email"
    schemes = ("mailto",)
    form = "mailto:person@example.org"
    can_deduplicate = True
    signs = False

    def shown(self, url: str) -> str:
        """Return the address. Raises TargetError."""
        address = unquote(url.partition(":")[2])
        local, at, domain = address.partition("@")
        is_one = parseaddr(address)[1] == address and local and at and domain and "@" not in domain
        if not is_one or not address.isprintable() or set(address) & set(" ,;?<>\"'") or len(address) > LONGEST_TARGET:
            raise TargetError("It must be one e-mail address: mailto:person@example.org")
        return address

    async def send(self, target: Target, message: Message, settings: TellingSettings) -> Result:
        """Return what the mail server made of it."""
        if settings.smtp_url is None:
            return retry("TUTORWATCH_SMTP_URL is not set")
        mail = mail_of(message, to=self.shown(target.url), sender=settings.mail_from)
        try:
            await aiosmtplib.send(mail, timeout=TIMEOUT_SECONDS, **_server(settings.smtp_url.get_secret_value()))
        except aiosmtplib.SMTPRecipientsRefused as error:
            refused = error.recipients[0]
            return _judge(refused.code, refused.message)
        except aiosmtplib.SMTPDataError as error:
            return retry(_said(error.code, error.message))
        except (aiosmtplib.SMTPException, OSError) as error:
            return retry(one_line(f"{type(error).__name__}: {error}")[:300])
        return DELIVERED


def _judge(code: int, said: str) -> Result:
    return permanent(_said(code, said)) if code >= FOR_GOOD else retry(_said(code, said))


def _said(code: int, said: str) -> str:
    return f"The mail server answered {code}: {one_line(said)[:200]}"


def _server(url: str) -> dict[str, Any]:
    """The arguments of aiosmtplib: over TLS from the start, by STARTTLS, or on this machine without."""
    parts = urlsplit(url)
    given: dict[str, Any] = {"hostname": parts.hostname, "tls_context": ssl.create_default_context()}
    if parts.username:
        given |= {"username": unquote(parts.username), "password": unquote(parts.password or "")}
    if parts.scheme == "smtps":
        return given | {"port": parts.port or 465, "use_tls": True}
    if parts.scheme == "smtp":
        return given | {"port": parts.port or 587, "start_tls": True}
    del given["tls_context"]
    return given | {"port": parts.port or 25, "start_tls": False}


def mail_of(message: Message, *, to: str, sender: str) -> EmailMessage:
    """Return the mail; all of an alert have one subject and refer to one root, so that they are one thread."""
    domain = parseaddr(sender)[1].partition("@")[2]
    root = f"<alert-{message.alert_id}@{domain}>"
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = to
    mail["Subject"] = one_line(message.subject)[:LONGEST_SUBJECT]
    mail["Date"] = format_datetime(message.at)
    mail["Message-ID"] = f"<{message.id}@{domain}>"
    mail["References"] = root
    mail["In-Reply-To"] = root
    mail["Auto-Submitted"] = "auto-generated"
    said = {
        "headline": message.headline,
        "subject": one_line(message.subject),
        "lines": list(map(one_line, message.lines)),
        "link": message.link,
        "at": message.at,
        "severity": message.severity,
    }
    mail.set_content(_template("alert.txt").render(said))
    mail.add_alternative(_template("alert.html").render(said), subtype="html")
    return mail


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("telling"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


KIND = EmailKind()
