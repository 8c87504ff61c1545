"""What is noted of every request: an id, a line in the log, and the metrics."""

import logging
import re
import secrets
import time
from collections.abc import Iterator, Mapping

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import Metric

from web.auth.identity import IDENTITY
from web.auth.proxies import comes_from_proxy
from web.keys import SETTINGS

logger = logging.getLogger(__name__)

REQUEST_ID = web.RequestKey("request_id", str)
ID_HEADER = "X-Request-Id"
_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class HttpMetrics:
    """Requests counted by route and status, in a registry of the application's own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "tutorwatch_http_requests",
            "HTTP requests that were answered",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "tutorwatch_http_request_duration_seconds",
            "Time from an HTTP request to the end of its answer",
            ["route"],
            registry=self.registry,
        )

    def families(self) -> Iterator[Metric]:
        """All of them, the durations also by the name they had before."""
        for family in self.registry.collect():
            yield family
            if family.name == "tutorwatch_http_request_duration_seconds":
                yield _renamed(family, "tutorwatch_http_request_seconds")

    def count(self, request: web.Request, status: int, seconds: float) -> None:
        """Adds a request; unknown paths and methods share a label, so that nobody can make them many."""
        route = request.match_info.route.resource
        name = route.canonical if route else "unknown"
        method = request.method if request.method in _METHODS else "other"
        self.requests.labels(method, name, str(status)).inc()
        self.seconds.labels(name).observe(seconds)


HTTP_METRICS = web.AppKey("http_metrics", HttpMetrics)


@web.middleware
async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Gives the request its id, and counts it."""
    request[REQUEST_ID] = _request_id(request)
    started, status = time.perf_counter(), 499  # as nginx says it: the client left before the answer
    try:
        response = await handler(request)
        status = response.status
    except web.HTTPException as error:
        status = error.status
        raise
    finally:
        request.app[HTTP_METRICS].count(request, status, time.perf_counter() - started)
    return response


def _renamed(family: Metric, name: str) -> Metric:
    renamed = Metric(name, f"Deprecated: use {family.name}", family.type)
    renamed.samples = [s._replace(name=s.name.replace(family.name, name)) for s in family.samples]
    return renamed


class AccessLog(AbstractAccessLogger):
    """One line per request, without the query string: it may hold a token."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Writes the line."""
        method, status, milliseconds = request.method, response.status, time * 1000
        path = request.rel_url.raw_path  # as it was sent: decoded, it could hold lines that look like ours
        extra = {
            "action": "request",
            "method": method,
            "path": path,
            "status": status,
            "duration_ms": round(milliseconds),
            "bytes": response.body_length,
            **_facts(request),
        }
        self.logger.info("%s %s %d (%.0f ms)", method, path, status, milliseconds, extra=extra)

    @property
    def enabled(self) -> bool:
        """Whether anybody reads it."""
        return self.logger.isEnabledFor(logging.INFO)


def _facts(request: web.BaseRequest) -> Mapping[str, str]:
    """What the middleware found out, unless the request never got that far."""
    if not isinstance(request, web.Request):
        return {}
    identity = request.get(IDENTITY)
    return {"request_id": request.get(REQUEST_ID, ""), "user_id": identity.user_id if identity else ""}


def _request_id(request: web.Request) -> str:
    """A trusted proxy's id, so that its log and ours can be held together; else one of our own."""
    given = request.headers.get(ID_HEADER, "")
    if _ACCEPTABLE_ID.fullmatch(given) and comes_from_proxy(request, request.app[SETTINGS]):
        return given
    return secrets.token_hex(16)
