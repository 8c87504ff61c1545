"""The settings of what tells people."""

from email.utils import parseaddr
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class TellingSettings(BaseSettings):
    """Telling people by mail, chat and webhooks. Read from the environment, prefix TUTORWATCH_."""

    model_config = SettingsConfigDict(env_prefix="TUTORWATCH_", frozen=True)

    smtp_url: SecretStr | None = Field(
        None,
        description="Server for e-mail: smtps://user:password@host (TLS, port 465), smtp://host (STARTTLS, port 587)"
        " or, on this machine, smtp+plain://localhost:25 (no TLS)",
    )
    mail_from: str = Field(
        "Tutorwatch <tutorwatch@localhost>", description="Sender of e-mail, such as Tutorwatch <alerts@example.org>"
    )
    allow_private_targets: bool = Field(
        False, description="Whether webhooks may lead to addresses that aren't public, such as 10.0.0.7 (true or 1)"
    )

    @field_validator("smtp_url")
    @classmethod
    def _is_of_a_server(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url.get_secret_value())
            is_server = parts.scheme in ("smtp", "smtps", "smtp+plain") and parts.hostname and parts.port != 0
        except ValueError:
            is_server = False
        if not is_server:
            raise ValueError("must be smtp://, smtps:// or smtp+plain://[user:password@]host[:port]")
        return url

    @field_validator("mail_from")
    @classmethod
    def _is_an_address(cls, sender: str) -> str:
        local, at, domain = parseaddr(sender)[1].partition("@")
        if not (local and at and domain) or not sender.isprintable():
            raise ValueError("must be an e-mail address, or a name with one: Tutorwatch <alerts@example.org>")
        return sender
