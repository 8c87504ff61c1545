"""What the application carries, by typed keys."""

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from database.condition_keeper import ConditionKeeper
from rules.thresholds import Thresholds
from web.auth.passwords import Passwords
from web.settings import WebSettings

ENGINE = web.AppKey("engine", AsyncEngine)
STATEMENTS = web.AppKey("statements", AsyncEngine)
"""The same connections, each statement by itself: without the round trips of a transaction. Committed all the same
(`begin()`): behind a pooler there is none outside of one."""
SETTINGS = web.AppKey("settings", WebSettings)
THRESHOLDS = web.AppKey("thresholds", Thresholds)
VERSION = web.AppKey("version", str)
"""The program's own version, for the system page and /metrics."""
DATABASE_URL = web.AppKey("database_url", str)
CONDITION = web.AppKey("condition", ConditionKeeper)
PASSWORDS = web.AppKey("passwords", Passwords)
