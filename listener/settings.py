"""The listener's settings."""

from pydantic import Field

from database.connections import ServiceSettings
from database.liveness import HEARTBEAT_SECONDS


class ListenerSettings(ServiceSettings):
    """The listener. Read from the environment, prefix TUTORWATCH_."""

    listener_host: str = Field("127.0.0.1", description="Address of the listener's own port")
    listener_port: int | None = Field(
        None, ge=0, le=65535, description="Port of the listener for /healthz, /readyz and /metrics (unset: none)"
    )
    batch_size: int = Field(
        500,
        ge=1,
        le=5000,
        description="Changes claimed in one transaction, and with them later ones of the same tutors",
    )
    poll_seconds: float = Field(30, gt=0, le=3600, description="Longest time between two polls of the outbox")
    fallback_poll_seconds: float = Field(1, gt=0, le=60, description="The same while the subscription is lost")
    heartbeat_seconds: float = Field(
        HEARTBEAT_SECONDS, gt=0, le=300, description="Time between two heartbeats; after three without one it is dead"
    )
    sweep_hours: float = Field(24, gt=0, le=24 * 31, description="Time between two sweeps over all tutors")
    canary_seconds: float = Field(
        300,
        ge=0,
        le=86_400,
        description="Time between two tests, by one of the listeners, of whether changes are recorded and listeners"
        " woken: with a session that is never committed (0: none; see docs/operations.md)",
    )
    audit_days: int = Field(
        730, ge=90, le=36_500, description="How long entries of the audit trail are kept; the sweep removes older ones"
    )
    transient_attempts: int = Field(5, ge=1, le=20, description="Attempts at a batch that meets a transient error")
    failure_attempts: int = Field(5, ge=1, le=100, description="Attempts at a failing tutor before it is dead-lettered")
    failure_delay_seconds: float = Field(
        30, gt=0, le=86_400, description="Wait before the second attempt; doubles each time, up to an hour"
    )
    hang_seconds: float = Field(60, ge=1, le=3600, description="Ends a listener whose rules have hung for so long")
    grace_seconds: float = Field(10, ge=0, le=600, description="How long a stop waits for the batches in flight")
