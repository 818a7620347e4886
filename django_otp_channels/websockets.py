"""Channels: a websocket belongs to nobody while the code is missing.

A parked login is nobody in a websocket by itself, since Django's keys are not in its session. This
covers the rest: a session that no page has shown to the login step yet, one whose device is gone,
and a consumer that calls ``channels.auth.login()``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from io import BytesIO
from typing import Any

from channels.db import database_sync_to_async
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.signals import user_logged_in
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject
from django_otp.middleware import OTPMiddleware

from . import login

Scope = dict[str, Any]

# The connection that this code is running for.
_connection: ContextVar[Scope | None] = ContextVar("otp_channels_connection", default=None)


class LoginStepMiddleware:
    """Stands inside ``AuthMiddleware``: ``AuthMiddlewareStack(LoginStepMiddleware(…))``."""

    def __init__(self, inner: Callable[..., Awaitable[Any]]) -> None:
        self.inner = inner
        user_logged_in.connect(refuse_login, dispatch_uid="otp_channels.websockets.refuse_login")

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> Any:
        if "session" not in scope or "user" not in scope:
            raise ValueError("LoginStepMiddleware must stand inside AuthMiddleware.")
        scope = {**scope, "user": await database_sync_to_async(_user_of)(scope)}
        running = _connection.set(scope)
        try:
            return await self.inner(scope, receive, send)
        finally:
            _connection.reset(running)


def _user_of(scope: Scope) -> Any:
    """Return the user of a connection as a page would see them."""
    request = _as_request(scope)
    OTPMiddleware(lambda _request: HttpResponse())(request)
    user = request.user
    if not user.is_authenticated:
        return user
    parked = login.screen(request, request.session) is login.Screening.PARKED
    return login.anonymous() if parked else user


def _as_request(scope: Scope) -> HttpRequest:
    """Return the request that opened a connection, since the policy judges requests."""
    scheme = {"ws": "http", "wss": "https"}.get(scope.get("scheme", "ws"), scope.get("scheme"))
    request = ASGIRequest({**scope, "method": "GET", "scheme": scheme}, BytesIO())
    # Around the session, since what was read for one request is kept with it, and a connection
    # outlives its devices.
    request.session = SimpleLazyObject(lambda: scope["session"])  # type: ignore[assignment]
    request.user = scope["user"]
    return request


def refuse_login(user: Any, request: HttpRequest | None = None, **_kwargs: Any) -> None:
    """Receive ``user_logged_in`` of ``channels.auth.login()``, which has no request.

    Raises ``PermissionDenied`` if the user needs a code, and leaves nobody in the session. The
    consumer's own ``scope["user"]`` is out of reach here: it must let the connection end.
    """
    scope = _connection.get()
    if scope is None or request is not None or not login.lacks_code(user, _as_request(scope)):
        return
    for key in (SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY):
        scope["session"].pop(key, None)
    raise PermissionDenied("This account needs a one-time code: log in through a page.")
