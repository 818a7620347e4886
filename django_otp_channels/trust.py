"""Trusted browsers: for some days, a login in one of them needs no code.

Off by default, since NIST SP 800-63B-4, 5.1 allows no such cookie in place of a factor. A trusted
browser takes the place of the code and of nothing else: it touches no count of failures and no
lock, opens no page that manages factors, and its session is not verified in django-otp's sense.

A lock stands, and keeps nobody out here: codes are locked because they can be guessed, and 256 bits
cannot. Whoever knows the password could otherwise shut the owner out everywhere.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.crypto import constant_time_compare
from django.utils.module_loading import import_string
from django.views.decorators.debug import sensitive_variables

from . import notices
from .clients import browser_of, client_of
from .conf import conf
from .models import TrustedBrowser
from .models.commits import record

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

_COOKIE = "otp_channels_trust"
# Accounts that one browser remembers at most, the latest first. About 80 bytes each.
MAX_ACCOUNTS = 5
# How long a secret stays good after its successor was handed out, which the browser has shown by
# then: for requests that were under way. Without having shown it, the answer may have been lost.
OVERLAP = timedelta(seconds=60)
_ENTRY = re.compile(r"([0-9a-f]{32})\.([A-Za-z0-9_-]{43})", re.ASCII)
_BETWEEN = "~"


@dataclass(frozen=True)
class Entry:
    """What the cookie holds for one account: the row's id and the secret."""

    browser: str
    secret: str

    def __str__(self) -> str:
        return f"{self.browser}.{self.secret}"

    def __repr__(self) -> str:
        return f"Entry({self.browser})"


@dataclass(frozen=True)
class Recognised:
    """A browser that is trusted, and the cookie that it gets from now on, if another one."""

    browser: str
    cookie: str


class _Stolen(Exception):
    """Two browsers have the secret of one."""


# -- who may -----------------------------------------------------------------------------------


def may_trust(user: AbstractBaseUser, request: HttpRequest) -> bool:
    """Say whether a browser of ``user`` may be trusted, as the settings are now.

    Never over plain HTTP, except while developing (``DEBUG``): anybody on the way could read the
    cookie.
    """
    if not conf.TRUST_DAYS or not (_is_secure(request) or settings.DEBUG):
        return False
    if path := conf.TRUST_ALLOWED:
        # Nothing else than True: a coroutine, say, is true as well, and has decided nothing.
        return import_string(path)(user, request) is True
    return not (getattr(user, "is_staff", False) or getattr(user, "is_superuser", False))


def _is_secure(request: HttpRequest) -> bool:
    return request.is_secure() or settings.SESSION_COOKIE_SECURE


# -- the cookie --------------------------------------------------------------------------------


def cookie_name(request: HttpRequest) -> str:
    """Return the cookie's name; with ``__Host-`` no other host and no plain page can set it."""
    return f"__Host-{_COOKIE}" if _is_secure(request) else _COOKIE


@sensitive_variables()
def _read(request: HttpRequest) -> list[Entry]:
    """Return what the browser's cookie holds: at most five entries, whatever it sends."""
    parts = request.COOKIES.get(cookie_name(request), "").split(_BETWEEN, MAX_ACCOUNTS)
    found = (_ENTRY.fullmatch(part) for part in parts[:MAX_ACCOUNTS])
    return [Entry(*match.groups()) for match in found if match]


@sensitive_variables()
def _written(first: Entry, others: Sequence[Entry]) -> str:
    kept = [entry for entry in others if entry.browser != first.browser]
    return _BETWEEN.join(map(str, [first, *kept][:MAX_ACCOUNTS]))


def put_cookie(request: HttpRequest, response: HttpResponseBase, value: str) -> None:
    """Have the browser keep ``value``, for as long as a browser may be trusted."""
    response.set_cookie(
        cookie_name(request),
        value,
        max_age=timedelta(days=conf.TRUST_DAYS),
        secure=_is_secure(request),
        httponly=True,
        samesite="Lax",
    )


# -- grant and recognise -----------------------------------------------------------------------


@sensitive_variables()
def grant(request: HttpRequest, user: AbstractBaseUser, factors: Sequence[str]) -> str:
    """Trust this browser from now on, and return the value of its cookie.

    The caller has made sure that the user has entered a code just now and :func:`may_trust`.
    ``factors`` names the user's devices with what must not change about them.
    """
    entries = _read(request)
    secret = secrets.token_urlsafe(32)
    # One row per browser: the one that was trusted here before makes room.
    replaced = TrustedBrowser.objects.filter(user_id=user.pk, pk__in=[e.browser for e in entries])
    gone = {key.hex for key in replaced.values_list("pk", flat=True)}
    replaced.delete()
    browser, system = browser_of(request)
    row = TrustedBrowser.objects.create(
        user_id=user.pk,
        browser=browser,
        system=system,
        secret_hash=_hash(secret),
        binding=_bindings(user, factors)[0],
        expires_at=Now() + timedelta(days=conf.TRUST_DAYS),
    )
    _record("browser_trusted", request, row)
    notices.tell(request, user, "browser_trusted")
    others = [entry for entry in entries if entry.browser not in gone]
    return _written(Entry(row.pk.hex, secret), others)


@sensitive_variables()
def recognise(
    request: HttpRequest, user: AbstractBaseUser, factors: Callable[[], Sequence[str]]
) -> Recognised | None:
    """Return this browser if ``user`` trusts it, with the secret that takes the place of this one.

    For a login whose password was right. One look into the database, whatever the cookie holds. A
    secret that was replaced long ago ends all trusted browsers of the user: two have it.
    """
    entries = _read(request)
    if not entries or not may_trust(user, request):
        return None
    rows = _living().filter(user_id=user.pk, pk__in=[entry.browser for entry in entries])
    row = rows.first()
    if row is None:
        return None
    entry = next(entry for entry in entries if entry.browser == row.pk.hex)
    bindings = _bindings(user, factors())
    if row.binding not in bindings:
        _end(rows.filter(pk=row.pk), user.pk, reason="changed", client=client_of(request))
        return None
    try:
        secret = _successor_of(row, entry.secret, bindings[0])
    except _Stolen:
        if TrustedBrowser.objects.filter(user_id=user.pk).delete()[0]:
            _record("browser_stolen", request, row)
            notices.tell(request, user, "browser_stolen")
        return None
    if secret is None:
        return None
    _record("browser_used", request, row)
    cookie = _written(Entry(entry.browser, secret), entries) if secret else ""
    return Recognised(row.pk.hex, cookie)


def stands(request: HttpRequest, user_pk: Any, browser: str) -> bool:
    """Say whether the session that ``browser`` came in with may go on without a code.

    One look into the database; and one note, once per login, that the browser has its new secret.
    """
    if not conf.TRUST_DAYS:
        return False
    row = _living().filter(pk=browser, user_id=user_pk).first()
    if row is None:
        return False
    if not row.seen and any(
        entry.browser == browser and _is(entry.secret, row.secret_hash) for entry in _read(request)
    ):
        TrustedBrowser.objects.filter(pk=row.pk, secret_hash=row.secret_hash).update(seen=True)
    return True


def holds(
    request: HttpRequest, user: AbstractBaseUser, browser: str, factors: Sequence[str]
) -> bool:
    """Like :func:`stands`, and nothing that the trust is bound to has changed."""
    if not may_trust(user, request):
        return False
    row = _living().filter(pk=browser, user_id=user.pk).first()
    return row is not None and row.binding in _bindings(user, factors)


@sensitive_variables()
def _successor_of(row: TrustedBrowser, secret: str, binding: str) -> str | None:
    """Return the secret after ``secret``; empty if another request hands it out; None if ended.

    Raises ``_Stolen`` for a secret that should be gone.
    """
    mine = TrustedBrowser.objects.filter(pk=row.pk)
    if _is(secret, row.secret_hash):
        salt = secrets.token_hex(32)
        successor = _next(secret, salt)
        if mine.filter(secret_hash=row.secret_hash).update(
            secret_hash=_hash(successor),
            previous_hash=row.secret_hash,
            salt=salt,
            seen=False,
            rotated_at=Now(),
            last_used_at=Now(),
            binding=binding,
        ):
            return successor
        # A parallel login of this browser was first. A transaction around this one may not see it.
        after = mine.first()
        if after is None:
            return None
        return _next(secret, after.salt) if _is(secret, after.previous_hash) else ""
    overlap = not row.seen or row.rotated_at > row.db_now - OVERLAP
    if overlap and _is(secret, row.previous_hash):
        return _next(secret, row.salt)
    raise _Stolen


# -- end ---------------------------------------------------------------------------------------


def browsers_of(
    request: HttpRequest, user: AbstractBaseUser, factors: Sequence[str]
) -> list[TrustedBrowser]:
    """Return the browsers that this user's logins need no code in, the latest used first.

    ``is_here`` is set on the one that the request comes from.
    """
    if not conf.TRUST_DAYS:
        return []
    bindings = _bindings(user, factors)
    rows = [row for row in _living().filter(user_id=user.pk) if row.binding in bindings]
    for row in rows:
        row.is_here = _shows(request, row)
    return rows


@sensitive_variables()
def _shows(request: HttpRequest, row: TrustedBrowser) -> bool:
    """Whether the request's cookie has the secret of ``row``, or the one that it was handed for."""
    return any(
        _is(entry.secret, row.secret_hash) or _is(entry.secret, row.previous_hash)
        for entry in _read(request)
        if entry.browser == row.pk.hex
    )


def revoke(request: HttpRequest, user: AbstractBaseUser, browser: UUID) -> bool:
    """End the trust in one browser of ``user``, at their wish. False if it is not theirs."""
    rows = TrustedBrowser.objects.filter(user_id=user.pk, pk=browser)
    return bool(_end(rows, user.pk, reason="revoked", client=client_of(request)))


def end_all(user: AbstractBaseUser, *, reason: str = "revoked", **facts: Any) -> int:
    """End the trust in all browsers of ``user``, and return how many there were.

    ``facts`` may say who wanted it: ``by`` and ``client``, as in the audit's inventory. Sessions
    that are under way in these browsers ask for a code at their next request.
    """
    rows = TrustedBrowser.objects.filter(user_id=user.pk)
    return _end(rows, user.pk, reason=reason, **facts)


def _end(rows: models.QuerySet[TrustedBrowser], user_pk: Any, **facts: Any) -> int:
    ended = 0
    for key in list(rows.values_list("pk", flat=True)):
        if TrustedBrowser.objects.filter(pk=key).delete()[0]:
            record(TrustedBrowser, "browser_ended", user=user_pk, browser=str(key), **facts)
            ended += 1
    return ended


def _living() -> models.QuerySet[TrustedBrowser]:
    """Return the rows whose time is not up, by the database's clock and the setting of today."""
    oldest = Now() - timedelta(days=conf.TRUST_DAYS)
    rows: Any = TrustedBrowser.objects.filter(expires_at__gt=Now(), created_at__gt=oldest)
    return rows.annotate(db_now=Now())


def _record(event: str, request: HttpRequest, row: TrustedBrowser) -> None:
    record(TrustedBrowser, event, user=row.user_id, browser=str(row.pk), client=client_of(request))


# -- secrets and bindings ----------------------------------------------------------------------


@sensitive_variables()
def _hash(secret: str) -> str:
    # 256 random bits need no slow hash.
    return hashlib.sha256(secret.encode()).hexdigest()


@sensitive_variables()
def _is(secret: str, stored: str) -> bool:
    return constant_time_compare(_hash(secret), stored)


@sensitive_variables()
def _next(secret: str, salt: str) -> str:
    """Return the secret that follows: neither the old one nor the row alone tells it."""
    digest = hmac.digest(secret.encode(), bytes.fromhex(salt), "sha256")
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _bindings(user: AbstractBaseUser, factors: Sequence[str]) -> list[str]:
    """Return the digest that a trust is bound to now, and those under ``SECRET_KEY_FALLBACKS``."""
    hashes = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return [
        hashlib.sha256("\n".join([password, *sorted(factors)]).encode()).hexdigest()
        for password in hashes
    ]
