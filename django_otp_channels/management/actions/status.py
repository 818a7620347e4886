"""``status <user>``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils.formats import date_format
from django.utils.timezone import is_aware, localtime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ...factors import OtherFactor, Overview, OwnDevice, SignIn, overview_of
from ...models import TrustedBrowser
from .base import UserAction


class ShowStatus(UserAction):
    name = "status"
    help = (
        "Show the second factor of a user: devices, other factors, lock, trusted browsers "
        "and last sign-ins."
    )

    def run(self, **options: Any) -> None:
        overview = overview_of(self.find_user(options["user"]))
        paint = self.style.SUCCESS if overview.has_factor else self.style.WARNING
        verdict = _("has a second factor") if overview.has_factor else _("has no second factor")
        self.stdout.write(f"{options['user']}: {paint(verdict)}")
        self._list(_("Devices"), [_device(each) for each in overview.devices])
        self._list(_("Other factors"), [_other(each) for each in overview.others])
        self.stdout.write(f"{_('Lock')}: {_lock(overview)}")
        self._list(_("Trusted browsers"), [_browser(each) for each in overview.browsers])
        self._list(_("Last sign-ins with a code"), [_sign_in(each) for each in overview.sign_ins])

    def _list(self, title: str, lines: list[str]) -> None:
        self.stdout.write(f"{title}:{'' if lines else ' ' + _('none')}")
        for line in lines:
            self.stdout.write(f"  {line}")


def _device(own: OwnDevice) -> str:
    kind = own.device.get_kind_display()
    used = _moment(own.last_used) if own.last_used is not None else _("never")
    return _("%(kind)s %(address)s: %(state)s; last right code: %(used)s") % {
        "kind": kind,
        "address": own.device.masked_address,
        "state": own.state,
        "used": used,
    }


def _other(other: OtherFactor) -> str:
    facts = f"{other.name} ({other.kind})"
    if not other.device.confirmed:
        facts = _("%(facts)s, unproven") % {"facts": facts}
    if other.codes_left is None:
        return facts
    left = ngettext("%(count)d code left", "%(count)d codes left", other.codes_left)
    return f"{facts}: {left % {'count': other.codes_left}}"


def _lock(overview: Overview) -> str:
    words = overview.lock_in_words
    if overview.locked_until is not None:
        until = _moment(overview.locked_until)
        words = _("%(words)s, until %(moment)s") % {"words": words, "moment": until}
    if overview.failures:
        wrong = ngettext(
            "%(count)d wrong code in a row", "%(count)d wrong codes in a row", overview.failures
        )
        words = f"{words}; {wrong % {'count': overview.failures}}"
    return words


def _browser(browser: TrustedBrowser) -> str:
    return _("%(label)s, until %(moment)s") % {
        "label": browser.label,
        "moment": _moment(browser.expires_at),
    }


def _sign_in(sign_in: SignIn) -> str:
    return f"{_moment(sign_in.at)} {sign_in.address}".rstrip()


def _moment(at: datetime) -> str:
    return date_format(localtime(at) if is_aware(at) else at, "DATETIME_FORMAT")
