"""Where a request comes from: the one place that reads a client's address.

A header that a client can write decides nothing: only the hop that the site's own proxies have
added counts, taken from the right (see A05 and A40 in every list of such attacks).
"""

from __future__ import annotations

import ipaddress
import logging
import re

from django.http import HttpRequest

from .conf import conf

logger = logging.getLogger("django_otp_channels.clients")

# Nobody's: whoever cannot be told apart shares one strict bucket, never none.
UNKNOWN = "unknown"
_INSIDE = [
    ipaddress.ip_network(network)
    for network in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16",
        "100.64.0.0/10",  # RFC 6598: between a host's own balancers and its machines
        "::1/128", "fc00::/7", "fe80::/10",
    )
]  # fmt: skip


def client_of(request: HttpRequest) -> str:
    """Return the network that a request comes from, as limits count: an IPv4 address, an IPv6 /64.

    Empty for a private address, and for a Unix socket: that is a proxy which the site has not told
    us of, or its own office, and must not lock out everybody behind it. ``"unknown"`` for what is
    no address. Where the hops are not what the site says, the log tells once in each process.
    """
    if (problem := hops_problem(request)) and problem not in _told:
        _told.add(problem)
        logger.warning(problem)
    text = _address(request)
    if text is None:
        return ""
    try:
        address = ipaddress.ip_address(_without_port(text.strip()))
    except ValueError:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv6Address):
        if (mapped := address.ipv4_mapped) is not None:
            address = mapped
        else:
            network = ipaddress.ip_network((address, 64), strict=False)
            return "" if _is_inside(address) else str(network)
    return "" if _is_inside(address) else str(address)


# What a browser calls itself, the more telling word first: most also claim to be the others.
_BROWSERS = {
    "Edg": "Edge", "OPR/": "Opera", "SamsungBrowser": "Samsung Internet", "Firefox": "Firefox",
    "FxiOS": "Firefox", "Chrome": "Chrome", "CriOS": "Chrome", "Safari": "Safari",
}  # fmt: skip
_SYSTEMS = {
    "Android": "Android", "iPhone": "iPhone", "iPad": "iPad", "Windows": "Windows",
    "Macintosh": "macOS", "CrOS": "ChromeOS", "Linux": "Linux",
}  # fmt: skip


def browser_of(request: HttpRequest) -> tuple[str, str]:
    """Return the names of the browser and of the system that a request claims to come from.

    Names that we know, or empty: never the client's own words, which could be any.
    """
    claimed = request.META.get("HTTP_USER_AGENT", "")
    browser, system = (
        next((name for word, name in names.items() if word in claimed), "")
        for names in (_BROWSERS, _SYSTEMS)
    )
    return browser, system


def hops_problem(request: HttpRequest) -> str:
    """Say what is wrong between the hops that ``request`` names and those that the site trusts.

    For whoever runs the site. Empty if nothing is: also where the web server has taken its peer's
    address from the header already.
    """
    proxies, forwarded = conf.TRUSTED_PROXY_COUNT, _forwarded(request)
    if proxies:
        return "" if len(forwarded) >= proxies else FEWER_HOPS
    if "HTTP_X_FORWARDED_FOR" not in request.META and "HTTP_FORWARDED" not in request.META:
        return ""
    return (
        ""
        if _peer(request) in [_without_port(hop.strip()) for hop in forwarded]
        else UNTRUSTED_HOPS
    )


UNTRUSTED_HOPS = (
    "A request names whom it was forwarded for (X-Forwarded-For or Forwarded), and "
    "OTP_CHANNELS_TRUSTED_PROXY_COUNT is 0. If proxies of yours stand in front of Django, set it "
    "to their number and let each add to X-Forwarded-For: now all people behind them count as one "
    "client, or as none. If there is none, a client has made this up, and nothing is wrong."
)
FEWER_HOPS = (
    "A request has passed fewer proxies than OTP_CHANNELS_TRUSTED_PROXY_COUNT says, going by its "
    "X-Forwarded-For. All such requests count as one client. Set it to the number of proxies that "
    "add to the header, and let nobody reach Django around them."
)
_told: set[str] = set()


def _address(request: HttpRequest) -> str | None:
    """Return the address that counts, None where the peer has none: it came by a Unix socket."""
    proxies, peer = conf.TRUSTED_PROXY_COUNT, _peer(request)
    if not proxies:
        return peer or None
    hops = [*_forwarded(request), peer]
    # The nearest proxy is the peer itself; each trusted one has written down whom it was asked by.
    return hops[-1 - proxies] if len(hops) > proxies else ""


# Some balancers write the port as well, such as Azure's Application Gateway.
_WITH_PORT = re.compile(r"([0-9.]+):[0-9]{1,5}|\[([0-9a-fA-F:.]+)\](?::[0-9]{1,5})?", re.ASCII)


def _without_port(text: str) -> str:
    match = _WITH_PORT.fullmatch(text)
    return (match[1] or match[2]) if match else text


def _peer(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR") or "")


def _forwarded(request: HttpRequest) -> list[str]:
    header = str(request.META.get("HTTP_X_FORWARDED_FOR") or "")
    return header.split(",") if header else []


def _is_inside(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return any(address in network for network in _INSIDE if network.version == address.version)
