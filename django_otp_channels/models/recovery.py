"""Recovery codes: for the day on which the phone is gone."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables
from django_otp.models import Device, ThrottlingMixin, TimestampMixin

from .commits import committed
from .lockouts import Lockout
from .primary import PrimaryDeviceManager, PrimaryManager

# Crockford's base 32: no letter that looks like a digit. 16 characters are 80 bits.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_LOOK_ALIKES = str.maketrans("oil", "011", " -\u2010\u2011\u2012\u2013\t\r\n")
COUNT = 10
_LENGTH = 16
_GROUP = 4
# The first characters find the row, so that one hash is computed for a try and not ten; the other
# 65 bits are what nobody knows (NIST SP 800-63B-4, 4.2.1.1: at least 64).
_PREFIX = 3
# Nobody guesses 65 random bits, so the hash need not be slow on top of it: few rounds keep ten new
# codes, and every try, from costing a second of the processor.
_ROUNDS = 20_000
_HASHER = PBKDF2PasswordHasher()


class RecoveryDevice(TimestampMixin, ThrottlingMixin, Device):
    """Somebody's recovery codes, together one device of django-otp.

    Each opens one door, once. django-otp's static devices keep theirs in clear; these are hashed
    with a salt (OWASP ASVS 6.5.2) and shown once. They are no factor of their own: who has nothing
    else any more has to set something up.
    """

    objects = PrimaryDeviceManager["RecoveryDevice"]()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("recovery codes")
        verbose_name_plural = _("recovery codes")

    def get_throttle_factor(self) -> int:
        return 1

    @property
    def left(self) -> int:
        """How many codes are still good."""
        return self.codes.filter(used_at=None).count()

    @sensitive_variables()
    def verify_token(self, token: str) -> bool:
        """Say whether ``token`` is one of the codes, as it is spelt or nearly so, and spend it."""
        if not (self.confirmed and self.verify_is_allowed()[0]):
            return False
        secret = normalise(token)
        rows: Sequence[RecoveryCode] = ()
        if len(secret) == _LENGTH:
            rows = list(self.codes.filter(prefix=secret[:_PREFIX], used_at=None))
        for row in rows:
            if row.matches(secret) and row.spend():
                self.throttle_reset(commit=False)
                self.set_last_used_timestamp(commit=False)
                self.save(update_fields=[*_THROTTLE, "last_used_at"])
                return True
        self.throttle_increment(commit=False)
        # The wait doubles up to a minute: guesses are hopeless anyway, and whoever makes them must
        # not keep the owner out of the way back.
        counted: int = self.throttling_failure_count  # type: ignore[has-type]
        self.throttling_failure_count = min(counted, _LONGEST_WAIT)
        self.save(update_fields=_THROTTLE)
        return False


# Wrong codes in a row that count: the wait is two to the power of one less, 64 seconds.
_LONGEST_WAIT = 7
_THROTTLE = ["throttling_failure_timestamp", "throttling_failure_count"]


class RecoveryCode(models.Model):
    """One code: its first characters, and a hash of it all."""

    device = models.ForeignKey(RecoveryDevice, on_delete=models.CASCADE, related_name="codes")
    prefix = models.CharField(max_length=_PREFIX)
    secret = models.CharField(max_length=128)
    used_at = models.DateTimeField(_("used at"), null=True)

    objects = PrimaryManager["RecoveryCode"]()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("recovery code")
        verbose_name_plural = _("recovery codes")

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} {self.pk}"

    @sensitive_variables()
    def matches(self, secret: str) -> bool:
        return bool(_HASHER.verify(secret, self.secret))

    def spend(self) -> bool:
        """Say whether this was the one time that the code opens a door."""
        return bool(type(self).objects.filter(pk=self.pk, used_at=None).update(used_at=Now()))


@sensitive_variables()
def normalise(typed: str) -> str:
    """Return a code as it was made: in small letters, without what separates its groups."""
    return typed.lower().translate(_LOOK_ALIKES)


@sensitive_variables()
def make_codes(user: Any) -> list[str]:
    """Make new codes for ``user`` and return them, grouped to be read. Older ones are dead."""
    codes = ["".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH)) for _ in range(COUNT)]
    rows = [
        RecoveryCode(
            prefix=code[:_PREFIX], secret=_HASHER.encode(code, _HASHER.salt(), iterations=_ROUNDS)
        )
        for code in codes
    ]

    def replace() -> None:
        Lockout.hold(user.pk)  # of two tabs, one makes the codes that count
        RecoveryDevice.objects.filter(user_id=user.pk).delete()
        device = RecoveryDevice.objects.create(
            user_id=user.pk, name=str(_("Recovery codes")), confirmed=True
        )
        for row in rows:
            row.pk, row.device = None, device
        RecoveryCode.objects.bulk_create(rows)

    committed(RecoveryDevice, replace)
    return [
        "-".join(code[start : start + _GROUP] for start in range(0, _LENGTH, _GROUP))
        for code in codes
    ]
