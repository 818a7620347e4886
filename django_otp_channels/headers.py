"""The response headers of every page of the login step."""

from __future__ import annotations

from functools import lru_cache
from inspect import isclass
from typing import TypeVar

from django.conf import settings
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string

Response = TypeVar("Response", bound=HttpResponseBase)

_FRAME_ANCESTORS = "frame-ancestors"
_NONE = "'none'"


def private(response: Response) -> Response:
    """Keep a page out of every cache and frame, and its URL out of other sites' logs."""
    response["Cache-Control"] = "no-store, private"
    response["X-Frame-Options"] = "DENY"
    response["Referrer-Policy"] = "same-origin"
    response["X-Content-Type-Options"] = "nosniff"
    response["Cross-Origin-Opener-Policy"] = "same-origin"
    _forbid_framing(response)
    return response


def _forbid_framing(response: HttpResponseBase) -> None:
    """Add ``frame-ancestors 'none'`` to the site's own policy, never in its place.

    A middleware that writes the policy leaves a response alone that already has one; so where such
    a middleware is installed, it is told what to add instead.
    """
    middleware = tuple(settings.MIDDLEWARE)
    if _installed(middleware, "django.middleware.csp.ContentSecurityPolicyMiddleware"):
        for attribute, setting in (
            ("_csp_config", "SECURE_CSP"),
            ("_csp_ro_config", "SECURE_CSP_REPORT_ONLY"),
        ):
            policy = dict(getattr(settings, setting, None) or {})
            if policy or attribute == "_csp_config":
                setattr(response, attribute, {**policy, _FRAME_ANCESTORS: [_NONE]})
    elif _installed(middleware, "csp.middleware.CSPMiddleware"):
        response._csp_update = {_FRAME_ANCESTORS: [_NONE]}  # type: ignore[attr-defined]
    else:
        own = response.get("Content-Security-Policy")
        added = f"{_FRAME_ANCESTORS} {_NONE}"
        if added not in (own or ""):
            response["Content-Security-Policy"] = f"{own}, {added}" if own else added


@lru_cache(maxsize=16)
def _installed(middleware: tuple[str, ...], path: str) -> bool:
    """Say whether the class ``path``, or a site's own subclass of it, is in ``middleware``."""
    try:
        wanted = import_string(path)
    except ImportError:  # an older Django, or a package that is not there
        return False
    return any(
        isclass(found) and issubclass(found, wanted) for found in map(import_string, middleware)
    )
