"""The web application's settings."""

import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from database.urls import DatabaseUrl

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class WebSettings(BaseSettings):
    """How the dashboard is served and who may sign in how. Read from the environment, prefix TUTORWATCH_."""

    model_config = SettingsConfigDict(env_prefix="TUTORWATCH_", frozen=True)

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
    listen_url: DatabaseUrl | None = Field(
        None,
        description="Direct URL for LISTEN and migrations, where the database URL goes through a transaction pooler",
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
