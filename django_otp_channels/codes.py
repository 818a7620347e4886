"""Derive a code and compare it. Pure: no database, no clock.

A code is never stored. It is the truncated HMAC-SHA256 of everything that it is bound to, under a
key derived from ``SECRET_KEY``; so a resend, a call and a second provider carry the same code, and
a dump of the database, the sessions or a log holds nothing to guess it from.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Iterator

from django.conf import settings
from django.utils.crypto import constant_time_compare
from django.utils.encoding import force_bytes
from django.views.decorators.debug import sensitive_variables

NONCE_BYTES = 32
_KEY_PURPOSE = b"django_otp_channels.codes.v1"
_KEY_ID_PURPOSE = b"django_otp_channels.codes.v1.id"


class Token(str):
    """A one-time code. A plain string in use, masked where a debugger or a log would print it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Token('••••••')"


def new_nonce() -> bytes:
    """Return 256 random bits (NIST SP 800-63B-4, 3.2.12)."""
    return secrets.token_bytes(NONCE_BYTES)


def _keys() -> Iterator[bytes]:
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        if secret:
            yield hmac.digest(force_bytes(secret), _KEY_PURPOSE, "sha256")


def _key_id(key: bytes) -> str:
    return hmac.digest(key, _KEY_ID_PURPOSE, "sha256").hex()[:16]


def current_key_id() -> str:
    """Return the id of the key that new challenges are bound to."""
    return _key_id(next(_keys()))


@sensitive_variables()
def derive(key_id: str, bound_to: Iterable[bytes], *, length: int) -> Token | None:
    """Return the code of ``length`` digits, or None if the key ``key_id`` is gone.

    Each part of ``bound_to`` is prefixed with its length, so that ``("ab", "c")`` and
    ``("a", "bc")`` never give the same code. 128 bits are reduced, so that no digit is favoured.
    """
    key = next((key for key in _keys() if hmac.compare_digest(_key_id(key), key_id)), None)
    if key is None:
        return None
    mac = hmac.new(key, digestmod=hashlib.sha256)
    for part in bound_to:
        mac.update(len(part).to_bytes(4, "big") + part)
    number = int.from_bytes(mac.digest()[:16], "big")
    return Token(f"{number % 10**length:0{length}d}")


def key_to_press(key_id: str, reference: str) -> str:
    """Return the digit, 1 to 9, that the listener of the call ``reference`` has to press.

    Another one for each call: a greeting that plays the tone of a key would else hear the code.
    Empty if the key ``key_id`` is gone.
    """
    number = derive(key_id, (b"key to press", reference.encode()), length=9)
    return str(int(number) % 9 + 1) if number else ""


@sensitive_variables()
def matches(expected: str, entered: str) -> bool:
    """Compare in constant time, on bytes: non-ASCII text is a wrong code, never an error."""
    return constant_time_compare(
        expected.encode(), entered.encode(errors="surrogatepass") if entered else b""
    )
