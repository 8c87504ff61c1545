"""The web application's settings."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class WebSettings(BaseSettings):
    """How the dashboard is served and who may sign in how. Read from the environment, prefix TUTORWATCH_."""

    model_config = SettingsConfigDict(env_prefix="TUTORWATCH_", frozen=True)

    web_host: str = Field("127.0.0.1", description="Address the dashboard is served on")
    web_port: int = Field(8080, ge=0, le=65535, description="Port of the dashboard (0: any free one)")
