"""Browsers that their owners trust: the code is not asked there for some days."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from .primary import PrimaryManager


class TrustedBrowser(models.Model):
    """One browser of one user. Its secret is in a cookie, and here only as a hash.

    The secret changes at each login. ``salt`` is what the one before (``previous_hash``) becomes
    the current one with, so that two logins at once, or one whose answer was lost, are handed the
    same. ``seen`` says that the browser has shown the current one. ``binding`` is a digest of the
    password's hash and the devices: where one of them has changed, the row is worth nothing.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="otp_trusted_browsers",
        verbose_name=_("user"),
    )
    browser = models.CharField(_("browser"), max_length=32, blank=True)
    system = models.CharField(_("system"), max_length=32, blank=True)
    secret_hash = models.CharField(max_length=64, editable=False)
    previous_hash = models.CharField(max_length=64, blank=True, editable=False)
    salt = models.CharField(max_length=64, blank=True, editable=False)
    seen = models.BooleanField(default=False, editable=False)
    rotated_at = models.DateTimeField(db_default=Now(), editable=False)
    binding = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(_("trusted since"), db_default=Now(), editable=False)
    last_used_at = models.DateTimeField(_("last used"), db_default=Now(), editable=False)
    expires_at = models.DateTimeField(_("trusted until"), db_index=True, editable=False)

    objects = PrimaryManager["TrustedBrowser"]()

    db_now: datetime  # added by trust.py
    is_here = False  # set by trust.py

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("trusted browser")
        verbose_name_plural = _("trusted browsers")
        ordering = ["-last_used_at", "pk"]  # noqa: RUF012

    def __str__(self) -> str:
        return self.label

    @property
    def label(self) -> str:
        """What its owner knows it by: what it claims to be, in words of ours."""
        return browser_in_words(self.browser, self.system) or gettext("Unknown browser")


def browser_in_words(browser: str, system: str) -> str:
    """Return "Firefox on Linux", or as much of it as is known, in the active language."""
    if browser and system:
        return gettext("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system
