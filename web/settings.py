"""The web application's settings."""

import ipaddress
from collections.abc import Iterator
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import NoDecode

from database.connections import ServiceSettings
from database.urls import DatabaseUrl
from web.time_zones import known_zone

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class WebSettings(ServiceSettings):
    """The dashboard, and how people sign in. Read from the environment, prefix TUTORWATCH_."""

    web_host: str = Field("127.0.0.1", description="Address the dashboard is served on")
    web_port: int = Field(8080, ge=0, le=65535, description="Port of the dashboard (0: any free one)")
    web_url: str | None = Field(
        None, description="The dashboard's address as browsers see it, such as https://tutorwatch.example.org"
    )
    web_trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = Field(
        (), description="Addresses or networks of proxies whose X-Forwarded-* headers are believed, comma-separated"
    )
    web_identity_header: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9-]+$",
        description="Header in which a trusted proxy passes the e-mail address of whom it has signed in",
    )
    web_time_zone: Annotated[str, AfterValidator(known_zone)] = Field(
        "UTC",
        description="Time zone of times on pages, such as Europe/Berlin, for people who chose none and whose browser"
        " says none",
    )
    web_openid_issuer: str | None = Field(
        None,
        max_length=1000,
        description="Provider of OpenID Connect with which people sign in: its issuer, to the letter, such as"
        " https://id.example.org/realms/school",
    )
    web_openid_client_id: str | None = Field(
        None, min_length=1, max_length=255, description="The dashboard's client id at that provider"
    )
    web_openid_client_secret: SecretStr | None = Field(
        None, min_length=1, description="The dashboard's client secret at that provider"
    )
    web_openid_name: str = Field(
        "your organisation",
        min_length=1,
        max_length=80,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description='What the provider is called on the sign-in page: "Sign in with ..."',
    )
    web_password_sign_in: bool = Field(
        True, description="Whether people may sign in with a password (false: only by the provider or the proxy)"
    )
    web_idle_hours: float = Field(12, gt=0, le=24 * 90, description="A sign-in ends after so long without use")
    web_session_hours: float = Field(24 * 7, gt=0, le=24 * 365, description="A sign-in ends after so long in any case")
    web_metrics_token: SecretStr | None = Field(
        None, min_length=16, description="Bearer token for /metrics on the dashboard's port (unset: not there)"
    )
    web_metrics_host: str = Field("127.0.0.1", description="Address of the port of its own for /metrics")
    web_metrics_port: int | None = Field(
        None, ge=0, le=65535, description="Port of its own for /metrics, without a token (unset: none)"
    )
    web_streams_per_person: int = Field(
        20, ge=1, description="Browsers of one person that are told of changes at once; further ones refresh instead"
    )
    web_streams: int = Field(
        1000, ge=1, description="Browsers of all people that a dashboard tells at once; further ones refresh instead"
    )
    read_url: DatabaseUrl | None = Field(
        None, description="URL of a streaming replica for what pages show, as the dashboard's role (unset: none)"
    )

    @field_validator("web_url")
    @classmethod
    def _is_an_origin(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/") or parts.query:
            raise ValueError("must be http(s)://host[:port], without a path")
        return f"{parts.scheme}://{parts.netloc.lower()}"

    @field_validator("web_openid_issuer")
    @classmethod
    def _is_an_issuer(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url)
            is_url = parts.hostname and "@" not in parts.netloc and parts.port != 0
        except ValueError:
            is_url = False
        if not is_url or "?" in url or "#" in url or not url.isprintable() or " " in url:
            raise ValueError("must be https://host[/path], as the provider itself writes it")
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
            raise ValueError("must begin with https:// (http:// only for this machine itself)")
        return url

    @field_validator("web_trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(ipaddress.ip_network(part.strip()) for part in value.split(",") if part.strip())

    @field_validator("web_identity_header")
    @classmethod
    def _needs_proxies(cls, header: str | None, others: ValidationInfo) -> str | None:
        if header and not others.data.get("web_trusted_proxies"):
            raise ValueError("needs TUTORWATCH_WEB_TRUSTED_PROXIES: anybody else could send that header too")
        return header

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if mistakes := list(_mistakes(self)):
            raise ValueError("\n".join(mistakes))
        return self


def is_loopback(host: str | None) -> bool:
    """Whether the name leads to this machine itself, and what is sent there over no network."""
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _mistakes(settings: WebSettings) -> Iterator[str]:
    """What is wrong with several settings together, a line each."""
    needed = {
        "TUTORWATCH_WEB_OPENID_CLIENT_ID": settings.web_openid_client_id,
        "TUTORWATCH_WEB_OPENID_CLIENT_SECRET": settings.web_openid_client_secret,
    }
    if settings.web_openid_issuer:
        yield from (f"TUTORWATCH_WEB_OPENID_ISSUER needs {name}" for name, value in needed.items() if not value)
        if not settings.web_url:
            yield "TUTORWATCH_WEB_OPENID_ISSUER needs TUTORWATCH_WEB_URL: the provider sends people back there"
    else:
        yield from (f"{name} needs TUTORWATCH_WEB_OPENID_ISSUER" for name, value in needed.items() if value)
    if not (settings.web_password_sign_in or settings.web_openid_issuer or settings.web_identity_header):
        yield (
            "TUTORWATCH_WEB_PASSWORD_SIGN_IN is false, and nothing else signs people in: set"
            " TUTORWATCH_WEB_OPENID_ISSUER or TUTORWATCH_WEB_IDENTITY_HEADER"
        )
