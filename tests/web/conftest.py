"""Fixtures: the real application under a test client, and people who are signed in."""

from tests.support.browsers import admin, nobody, open_browser, people, server, settings, sign_in, subscribed

__all__ = ["admin", "nobody", "open_browser", "people", "server", "settings", "sign_in", "subscribed"]
