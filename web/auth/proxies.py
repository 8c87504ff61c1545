"""What a trusted proxy says about a request, and what isn't believed from anybody else."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from aiohttp import web

from web.keys import SETTINGS
from web.settings import Network, WebSettings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

LONGEST_ADDRESS = 80
"""Characters: an IPv6 address with brackets, zone and port has fewer."""


def comes_from_proxy(request: web.BaseRequest, settings: WebSettings) -> bool:
    """Whether the connection itself comes from one of the trusted proxies."""
    if not settings.web_trusted_proxies:
        return False
    address = _parse(_peer(request))
    return address is not None and _is_in(address, settings.web_trusted_proxies)


def client_address(request: web.Request) -> str | None:
    """The browser's address: through trusted proxies, the last one that none of them vouches for.

    None where the trusted proxies don't say it, or not in a form that is understood: it could be anybody's.
    """
    settings = request.app[SETTINGS]
    address = _parse(_peer(request))
    if not comes_from_proxy(request, settings):
        return str(address) if address else None
    hops = _hops(request)
    if not hops:
        return None
    for hop in reversed(hops):
        address = _parse(hop)
        if address is None or not _is_in(address, settings.web_trusted_proxies):
            break
    return str(address) if address else None


def is_https(request: web.Request) -> bool:
    """Whether the browser speaks https, by the setting or by what a trusted proxy says."""
    settings = request.app[SETTINGS]
    if settings.web_url:
        return settings.web_url.startswith("https://")
    if comes_from_proxy(request, settings) and (scheme := request.headers.get("X-Forwarded-Proto")):
        return scheme.split(",")[-1].strip().lower() == "https"
    return request.secure


def forwarded_identity(request: web.Request) -> str | None:
    """The e-mail address that the sign-in proxy vouches for; None without one, or from anybody else."""
    settings = request.app[SETTINGS]
    if not settings.web_identity_header or not comes_from_proxy(request, settings):
        return None
    values = request.headers.getall(settings.web_identity_header, [])
    # Two values: the client's own came through beside the proxy's, and nobody can tell which is which.
    return values[0].strip() or None if len(values) == 1 else None


def _hops(request: web.Request) -> list[str]:
    """What X-Forwarded-For lists, in however many headers; without empty elements."""
    values = request.headers.getall("X-Forwarded-For", [])
    return [hop for value in values for part in value.split(",") if (hop := part.strip(' \t"'))]


def _peer(request: web.BaseRequest) -> str:
    peername = request.transport.get_extra_info("peername") if request.transport else None
    return str(peername[0]) if isinstance(peername, tuple) else ""


def _parse(text: str) -> Address | None:
    """The address, with or without a port; None if it is none, such as `unknown`."""
    return _parse_short(text) if len(text) <= LONGEST_ADDRESS else None


@lru_cache(maxsize=256)  # a proxy asks again and again, and each request looks several times
def _parse_short(text: str) -> Address | None:
    for candidate in (text, _without_port(text)):
        try:
            address = ipaddress.ip_address(candidate.strip("[]").partition("%")[0])
        except ValueError:
            continue
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return mapped or address
    return None


def _without_port(text: str) -> str:
    """Some gateways write `address:port`: IPv6 in brackets, or with all its groups."""
    address, _, port = text.rpartition(":")
    return address if port.isdecimal() else text


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
