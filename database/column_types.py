"""Types of the platform's columns that SQLAlchemy has no equal of."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, TypeDecorator
from sqlalchemy.types import UserDefinedType


class NaiveUtc(TypeDecorator[datetime]):
    """The platform's `timestamp` columns, which hold UTC without saying so: aware UTC on our side."""

    impl = DateTime(timezone=False)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """From an aware instant, of whatever zone, to what the column holds."""
        return value.astimezone(UTC).replace(tzinfo=None) if value else None

    def process_result_value(self, value: Any, _dialect: Dialect) -> datetime | None:
        """From what the column holds to an aware instant."""
        return value.replace(tzinfo=UTC) if value else None


class PlatformEnum(UserDefinedType[str]):
    """One of the platform's enums, by name; its labels are plain strings, since the platform may add some."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_kw: Any) -> str:
        """The type as SQL writes it."""
        return f"public.{self.name}"
