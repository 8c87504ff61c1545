"""What the application carries, by typed keys."""

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from rules.settings import Thresholds
from web.settings import WebSettings

ENGINE = web.AppKey("engine", AsyncEngine)
SETTINGS = web.AppKey("settings", WebSettings)
LIMITS = web.AppKey("limits", Thresholds)
