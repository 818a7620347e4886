"""System checks: what would leave people without a code, or let them in without one."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth.middleware import (
    AuthenticationMiddleware,
    LoginRequiredMiddleware,
    RemoteUserMiddleware,
)
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router
from django.urls import NoReverseMatch, reverse
from django.utils.module_loading import import_string
from django_otp.middleware import OTPMiddleware

from . import channels, lookup
from .backends.base import Backend
from .backends.development import DevelopmentBackend
from .backends.twilio import LINE_TYPES
from .breaker import cache_is_shared
from .conf import conf
from .exceptions import BackendMisconfigured
from .middleware import LoginStepMiddleware
from .models import Challenge
from .models.commits import lock_wait
from .threads import threads_available

POLICIES = ("enrolled", "staff", "everyone")


def check_settings(**_kwargs: Any) -> list[CheckMessage]:
    """Report every setting that is out of bounds, and a policy that does not exist."""
    found: list[CheckMessage] = []
    for setting in conf.all():
        try:
            setting.read()
        except ImproperlyConfigured as error:
            found.append(Error(str(error), hint=setting.help, id="otp_channels.E001"))
    if not found and conf.POLICY not in POLICIES and (wrong := _wrong_policy(conf.POLICY)):
        found.append(
            Error(
                f"OTP_CHANNELS_POLICY: {conf.POLICY!r} {wrong}",
                hint=f"Use one of {', '.join(POLICIES)}, or a dotted path to a callable.",
                id="otp_channels.E002",
            )
        )
    if not found and conf.TRUST_ALLOWED and (wrong := _wrong_policy(conf.TRUST_ALLOWED)):
        found.append(
            Error(
                f"OTP_CHANNELS_TRUST_ALLOWED: {conf.TRUST_ALLOWED!r} {wrong}",
                hint="Give a dotted path to a callable (user, request) -> bool.",
                id="otp_channels.E013",
            )
        )
    return found


def check_hook(**_kwargs: Any) -> list[CheckMessage]:
    """Report a hook that does not exist: no message would go out. And what ours needs."""
    if check_settings() or not conf.BEFORE_SEND:
        return []
    if wrong := _wrong_policy(conf.BEFORE_SEND):
        return [
            Error(
                f"OTP_CHANNELS_BEFORE_SEND: {conf.BEFORE_SEND!r} {wrong}",
                hint="It must be the dotted path of a callable that takes a Send. Until then no "
                "message goes out.",
                id="otp_channels.E011",
            )
        ]
    if import_string(conf.BEFORE_SEND) is not lookup.before_send:
        return []
    found = lookup.account().hindrances()
    if strangers := sorted(conf.LOOKUP["refuse_lines"] - LINE_TYPES):
        found.append(
            Error(
                f"OTP_CHANNELS_LOOKUP['refuse_lines']: Twilio has no {', '.join(strangers)}.",
                hint=f"Use some of {', '.join(sorted(LINE_TYPES))}.",
                id="otp_channels.E012",
            )
        )
    return found


def _wrong_policy(path: str) -> str:
    try:
        return "" if callable(import_string(path)) else "is not callable."
    except ImportError as error:
        return f"cannot be imported: {error}"


def check_backends(**_kwargs: Any) -> list[CheckMessage]:
    """Report what is wrong with the entries of ``OTP_CHANNELS``, each backend's own included."""
    if check_settings():
        return []
    if not any(conf.CHANNELS.values()):
        return [
            Error(
                "OTP_CHANNELS is empty: no code can be sent.",
                hint="Name at least one backend, for example "
                '{"sms": [{"BACKEND": "django_otp_channels.backends.twilio.SMS"}]}.',
                id="otp_channels.E003",
            )
        ]
    found: list[CheckMessage] = []
    for channel, entries in conf.CHANNELS.items():
        for position in range(len(entries)):
            try:
                found += channels.build(channel, position).check()
            except BackendMisconfigured as error:
                found.append(
                    Error(
                        error.detail,
                        hint="See the settings table in the README.",
                        id="otp_channels.E004",
                    )
                )
    strangers = {*conf.FALLBACK, *conf.FALLBACK.values()} - set(conf.CHANNELS)
    if strangers:
        found.append(
            Error(
                f"OTP_CHANNELS_FALLBACK names {', '.join(sorted(strangers))}, which OTP_CHANNELS "
                "does not have.",
                hint="Use the names of configured channels, for example {'sms': 'voice'}.",
                id="otp_channels.E010",
            )
        )
    if not conf.COUNTRIES and (conf.CHANNELS.get("sms") or conf.CHANNELS.get("voice")):
        found.append(
            Warning(
                "OTP_CHANNELS_COUNTRIES is empty: no text message and no call will leave.",
                hint="List the countries whose numbers your people have, for example ['US', 'DE']. "
                "Each country more is a country more for toll fraud.",
                id="otp_channels.W001",
            )
        )
    if open_ended := _speaking_at_once():
        found.append(
            Warning(
                f"Calls through {', '.join(open_ended)} speak the code to whoever answers, a "
                "voicemail included.",
                hint="Set OTP_CHANNELS_BASE_URL, and for Twilio 'auth_token', so that a call waits "
                "for a key. aws.Voice cannot.",
                id="otp_channels.W105",
            )
        )
    if not threads_available():
        found.append(
            Warning(
                "Threads cannot run in this process: requests will wait for providers.",
                hint="Start uWSGI with --enable-threads.",
                id="otp_channels.W002",
            )
        )
    return found


def _speaking_at_once() -> list[str]:
    """Return the providers whose calls cannot wait for a key."""
    with suppress(BackendMisconfigured):  # reported above
        return [
            backend.provider
            for backend in channels.backends("voice")
            if not (isinstance(backend, DevelopmentBackend) or (conf.BASE_URL and backend.receives))
        ]
    return []


def check_cache(**_kwargs: Any) -> list[CheckMessage]:
    """Report that processes cannot tell each other which provider fails."""
    if check_settings() or cache_is_shared() or not any(_network_backends()):
        return []
    return [
        Warning(
            "The default cache is of one process only: each process finds out for itself that a "
            "provider fails.",
            hint="Where more than one process serves the site, let CACHES['default'] be a cache "
            "that they share, such as Redis, Memcached or the database.",
            id="otp_channels.W003",
        )
    ]


def _network_backends() -> Iterator[Backend]:
    for channel in conf.CHANNELS:
        try:
            yield from (each for each in channels.backends(channel) if not each.inline)
        except BackendMisconfigured:
            return  # reported by check_backends


def check_proxies(**_kwargs: Any) -> list[CheckMessage]:
    """Report a proxy that Django trusts, while the limits count by the proxy's own address."""
    named = [
        name for name in ("SECURE_PROXY_SSL_HEADER", "USE_X_FORWARDED_HOST", "USE_X_FORWARDED_PORT")
        if getattr(settings, name, None)
    ]  # fmt: skip
    if not named or check_settings() or conf.TRUSTED_PROXY_COUNT:
        return []
    return [
        Warning(
            f"{named[0]} tells of a proxy in front of Django, but OTP_CHANNELS_TRUSTED_PROXY_COUNT "
            "is 0: limits for each client count all people behind it as one, or not at all.",
            hint="Set it to the number of your proxies that add to X-Forwarded-For. If your web "
            "server puts the client's address in place of the proxy's already, add "
            "otp_channels.W004 to SILENCED_SYSTEM_CHECKS.",
            id="otp_channels.W004",
        )
    ]


def check_middleware(**_kwargs: Any) -> list[CheckMessage]:
    """Report a missing or misplaced login step."""
    classes = [_load(path) for path in settings.MIDDLEWARE]
    step = _position(classes, LoginStepMiddleware)
    name = "django_otp_channels.middleware.LoginStepMiddleware"
    if step is None:
        return [
            Error(
                f"{name} is not in MIDDLEWARE: nobody would be asked for a code.",
                hint="Add it after django_otp.middleware.OTPMiddleware.",
                id="otp_channels.E005",
            )
        ]
    return list(_misplaced(classes, step, name))


def _misplaced(classes: Sequence[Any], step: int, name: str) -> Iterator[CheckMessage]:
    for needed in (AuthenticationMiddleware, OTPMiddleware):
        position = _position(classes, needed)
        if position is None or position > step:
            yield Error(
                f"{name} must come after {needed.__module__}.{needed.__qualname__}.",
                hint="Middleware order: session, authentication, django-otp, then the login step.",
                id="otp_channels.E006",
            )
    for position, middleware in enumerate(classes):
        if not inspect.isclass(middleware):
            continue
        if issubclass(middleware, RemoteUserMiddleware) and position > step:
            yield Error(
                f"{name} must come after {middleware.__qualname__}, which logs people in.",
                hint="A login that is made after the step would reach a view without a code.",
                id="otp_channels.E006",
            )
        if issubclass(middleware, LoginRequiredMiddleware) and position < step:
            yield Error(
                f"{name} must come before {middleware.__qualname__}.",
                hint="Otherwise a person whose code is missing counts as logged in there.",
                id="otp_channels.E007",
            )


def check_urls(**_kwargs: Any) -> list[CheckMessage]:
    """Report missing pages: a parked login would have nowhere to go."""
    try:
        reverse("otp_channels:verify")
    except NoReverseMatch:
        return [
            Error(
                "The URLs of django_otp_channels are not included.",
                hint='Add path("account/", include("django_otp_channels.urls")) to your URLconf.',
                id="otp_channels.E008",
            )
        ]
    return []


def check_ways_in(**_kwargs: Any) -> list[CheckMessage]:
    """Report what is installed and hands out credentials that the middleware never sees."""
    return [*_rest_framework(), *_other_ways_in()]


# Authentication classes that take a credential without a session. What a site has written or
# derived itself, ours among them, is not in here.
_WITHOUT_SESSION = frozenset(
    {
        "allauth.headless.contrib.rest_framework.authentication.JWTTokenAuthentication",
        "allauth.headless.contrib.rest_framework.authentication.XSessionTokenAuthentication",
        "dj_rest_auth.jwt_auth.JWTCookieAuthentication",
        "knox.auth.TokenAuthentication",
        "oauth2_provider.contrib.rest_framework.OAuth2Authentication",
        "rest_framework.authentication.BasicAuthentication",
        "rest_framework.authentication.RemoteUserAuthentication",
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework_simplejwt.authentication.JWTAuthentication",
        "rest_framework_simplejwt.authentication.JWTStatelessUserAuthentication",
        "rest_framework_simplejwt.authentication.JWTTokenUserAuthentication",
    }
)
# What Django REST framework takes where a site says nothing.
_REST_FRAMEWORK_DEFAULT = (
    "rest_framework.authentication.SessionAuthentication",
    "rest_framework.authentication.BasicAuthentication",
)
_OUR_PERMISSION = "django_otp_channels.rest_framework.IsFullyAuthenticated"
_OUR_TOKENS = "django_otp_channels.rest_framework.TokenAuthentication"
_MORE = "docs/ways-in.md says more."


def _rest_framework() -> Iterator[CheckMessage]:
    configured = getattr(settings, "REST_FRAMEWORK", None)
    if configured is None and not apps.is_installed("rest_framework"):
        return
    configured = configured or {}
    if _OUR_PERMISSION in _names(configured.get("DEFAULT_PERMISSION_CLASSES", ())):
        return
    classes = _names(configured.get("DEFAULT_AUTHENTICATION_CLASSES", _REST_FRAMEWORK_DEFAULT))
    open_ones = [name for name in classes if name in _WITHOUT_SESSION]
    if open_ones:
        yield Warning(
            "REST framework accepts credentials without a code: " + ", ".join(open_ones) + ".",
            hint=f"Add {_OUR_PERMISSION} to DEFAULT_PERMISSION_CLASSES, or take the authentication "
            "classes of django_otp_channels.rest_framework and django_otp_channels.simplejwt, or "
            f"put SecondFactorMixin before a class of your own. {_MORE}",
            id="otp_channels.W010",
        )
    if apps.is_installed("rest_framework.authtoken") and _OUR_TOKENS not in classes:
        yield Warning(
            "rest_framework.authtoken can give away a lasting token for a password alone.",
            hint="Use ObtainAuthToken.as_view(serializer_class=django_otp_channels.rest_framework."
            f"AuthTokenSerializer), and authenticate by {_OUR_TOKENS}. {_MORE}",
            id="otp_channels.W011",
        )


def _names(classes: Sequence[Any]) -> list[str]:
    """Return dotted names; a setting may also hold the classes themselves."""
    return [
        entry if isinstance(entry, str) else f"{entry.__module__}.{entry.__qualname__}"
        for entry in classes
    ]


def _other_ways_in() -> Iterator[CheckMessage]:
    if apps.is_installed("channels"):
        yield Warning(
            "Channels reads sessions that the login step has not seen, and can log in by itself.",
            hint="Wrap your websockets: AuthMiddlewareStack(django_otp_channels.websockets."
            "LoginStepMiddleware(…)). This cannot be seen in the settings: once it is done, add "
            f"otp_channels.W012 to SILENCED_SYSTEM_CHECKS. {_MORE}",
            id="otp_channels.W012",
        )
    clients = getattr(settings, "HEADLESS_CLIENTS", ("browser", "app"))
    if apps.is_installed("allauth.headless") and "app" in clients:
        yield Warning(
            "The app client of allauth.headless is on. It holds a token instead of a cookie, so it "
            "is refused with 403 where an account needs a code.",
            hint='Set HEADLESS_CLIENTS = ("browser",), or add otp_channels.W013 to '
            "SILENCED_SYSTEM_CHECKS if such accounts need no app. Guard the API that takes these "
            f"tokens with {_OUR_PERMISSION}. {_MORE}",
            id="otp_channels.W013",
        )
    if apps.is_installed("oauth2_provider"):
        yield Warning(
            "oauth2_provider gives tokens for a password alone to applications that may use the "
            "password grant.",
            hint="Allow no application the password grant, and add otp_channels.W014 to "
            f"SILENCED_SYSTEM_CHECKS. The other grants go through a page. {_MORE}",
            id="otp_channels.W014",
        )


def check_deployment(**_kwargs: Any) -> list[CheckMessage]:
    """Report backends that show codes in the clear, where ``DEBUG`` is off."""
    found: list[CheckMessage] = []
    if settings.DEBUG or check_settings():
        return found
    for channel in conf.CHANNELS:
        try:
            backends = channels.backends(channel)
        except BackendMisconfigured:
            continue  # reported by check_backends
        found += [
            Error(
                f"OTP_CHANNELS[{channel!r}] uses the {backend.provider} backend, which "
                "shows codes in the clear and refuses to send with DEBUG=False.",
                hint="Configure a real provider.",
                id="otp_channels.E009",
            )
            for backend in backends
            if isinstance(backend, DevelopmentBackend)
        ]
    return found


# Seconds. The longest that a person should look at a page that waits for a row.
LONGEST_LOCK_WAIT = 10


def check_database(databases: Sequence[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """Report a database that lets the login pages wait for a locked row without end, or too long.

    Django runs it with ``check --database``, and before ``migrate``.
    """
    alias = router.db_for_write(Challenge)
    if alias not in (databases or ()):
        return []
    wait = lock_wait(Challenge)
    if wait is None or wait <= LONGEST_LOCK_WAIT:
        return []
    longest = "without end" if wait == math.inf else f"for {wait:.0f} seconds"
    return [
        Warning(
            f"A login page waits {longest} for a row that something else keeps locked.",
            hint=LOCK_WAIT_HINTS[connections[alias].vendor],
            id="otp_channels.W005",
        )
    ]


LOCK_WAIT_HINTS = {
    "postgresql": "Set 'options': '-c lock_timeout=2s -c statement_timeout=30s' in the OPTIONS of "
    "DATABASES, or ALTER ROLE … SET lock_timeout where a pool does not pass them on.",
    "mysql": "Set 'init_command': 'SET SESSION innodb_lock_wait_timeout = 2' in the OPTIONS of "
    "DATABASES.",
    "sqlite": "Set 'timeout': 5 in the OPTIONS of DATABASES.",
}


def _load(path: str) -> Any:
    try:
        return import_string(path)
    except ImportError:
        return None  # Django itself reports it


def _position(classes: Sequence[Any], wanted: type) -> int | None:
    for position, middleware in enumerate(classes):
        if inspect.isclass(middleware) and issubclass(middleware, wanted):
            return position
    return None
