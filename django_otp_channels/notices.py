"""Notices to the owner of an account: what was done to it, and what to do if it was not them.

By e-mail, and to the devices of the account other than the one that it is about (NIST SP 800-63B-4,
4.1.2.1 and 4.6; ASVS 6.3.5 and 6.3.7). A notice goes out once the change that it tells of is
committed, and whatever becomes of it changes nothing for the person whose request it is.

None holds a code, a whole number, a link that does anything, or words that somebody has typed: an
attacker who is in the account must not choose what its owner reads.
"""

from __future__ import annotations

import enum
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends import console, dummy, filebased, locmem
from django.db import connections
from django.http import HttpRequest
from django.template.loader import select_template
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.module_loading import import_string
from django.utils.timezone import get_default_timezone
from django.utils.translation import gettext, override
from django.utils.translation import gettext_lazy as _

from . import channels, phones
from .clients import UNKNOWN, browser_of, client_of
from .conf import WAYS, conf
from .delivery import Attempt, carry
from .exceptions import SendNotAllowed
from .messages import Status, compose_notice, plain_site_name
from .models import Challenge, ChannelDevice
from .models.admission import admit
from .models.budgets import Send
from .models.challenges import State
from .models.commits import after
from .models.ledger import News
from .threads import Pools, threads_available

logger = logging.getLogger("django_otp_channels.notices")

MAIL = "mail"
# How a device is told. A phone is never called for a notice: it would speak to a voicemail.
_WAY_TO = {ChannelDevice.Kind.PHONE: "sms", ChannelDevice.Kind.APP: "push"}
# What sends no mail over a network, and so holds nobody up.
_LOCAL_MAIL = tuple(module.EmailBackend for module in (console, dummy, filebased, locmem))

_pools = Pools()


class Itself(enum.Enum):
    """Whether the device that a notice is about is told as well."""

    NEVER = enum.auto()
    ALSO = enum.auto()
    IF_NOBODY_ELSE = enum.auto()


_CHECK_ACCOUNT = _("Not you? Change your password and check your account.")
_ASK_SUPPORT = _("Not expected? Ask our support at once.")


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What is told: ``title``, a short sentence without its stop, and ``sentence``, all of it.

    ``advice`` is what to do if it was not you, short enough for a text message.
    """

    title: Any
    sentence: Any
    advice: Any = _CHECK_ACCOUNT
    itself: Itself = Itself.NEVER


NOTICES: Mapping[str, Notice] = {
    "device_added": Notice(
        title=_("A device was added to your account"),
        sentence=_("A device was added to your account. Codes to sign in can be sent to it now."),
    ),
    "device_changed": Notice(
        title=_("A device of your account was changed"),
        sentence=_("A device of your account was changed, or another one took its place."),
    ),
    "device_removed": Notice(
        title=_("A device was removed from your account"),
        sentence=_("A device was removed from your account. No more codes are sent to it."),
        itself=Itself.ALSO,
    ),
    "app_added": Notice(
        title=_("An authenticator app was added to your account"),
        sentence=_("An authenticator app was added to your account. Its codes can sign you in."),
    ),
    "app_removed": Notice(
        title=_("An authenticator app was removed from your account"),
        sentence=_("An authenticator app was removed from your account. Its codes open nothing."),
    ),
    "recovery_codes_made": Notice(
        title=_("New recovery codes were made for your account"),
        sentence=_("New recovery codes were made for your account. Older ones no longer work."),
    ),
    "recovery_code_used": Notice(
        title=_("A recovery code was used to sign in"),
        sentence=_("A recovery code was used to sign in to your account. It works only once."),
    ),
    "browser_trusted": Notice(
        title=_("A browser is trusted now"),
        sentence=_("A browser was marked as trusted. It signs in with the password alone."),
    ),
    "browser_stolen": Notice(
        title=_("A trusted browser may have been copied"),
        sentence=_(
            "Somebody may have copied what makes one of your browsers trusted. It is trusted no "
            "more: who signs in there has to enter a code again."
        ),
    ),
    "third_failure": Notice(
        title=_("Three wrong codes were entered"),
        sentence=_(
            "Somebody has entered your password, and then a wrong code three times in a row."
        ),
        itself=Itself.IF_NOBODY_ELSE,
    ),
    "account_locked": Notice(
        title=_("Codes are locked after too many wrong ones"),
        sentence=_(
            "Too many wrong codes were entered for your account, so no codes are sent or taken for "
            "a while. Other ways to sign in still work."
        ),
        itself=Itself.IF_NOBODY_ELSE,
    ),
    "factors_reset": Notice(
        title=_("Your ways to confirm a sign-in were removed"),
        sentence=_(
            "All devices and other ways to confirm that it is you were removed from your account. "
            "Set up a new one when you next sign in."
        ),
        advice=_ASK_SUPPORT,
    ),
}


def tell(
    request: HttpRequest | None,
    user: Any,
    name: str,
    *,
    device: Any = None,
    also: Iterable[Any] = (),
    by: Any = "",
) -> None:
    """Tell ``user`` what has happened: the notice ``name`` of :data:`NOTICES`, once it is certain.

    ``request`` is the one that did it, None at the terminal. ``device`` is the django-otp device
    that it is about, which may be gone by now. ``also`` are devices to be told that are no longer
    the account's, such as an old number. ``by`` is the primary key of the member of staff who did
    it, or ``"command"``; empty where the person did.

    Call it before or after the commit: inside a transaction it waits for its end, and a rollback
    tells nothing. Raises ``KeyError`` for an unknown name, and nothing else.
    """
    telling = _Telling(
        user=user,
        name=name,
        notice=NOTICES[name],
        device=device,
        also=tuple(also),
        by=by,
        # Where staff sit is nobody's business.
        client=client_of(request) if request is not None and not by else "",
        browser=browser_of(request) if request is not None and not by else ("", ""),
    )
    after(ChannelDevice, telling.go_out)


def tell_news(request: HttpRequest, news: Iterable[News]) -> None:
    """Tell the owners what wrong codes have led to that no page of ours has judged."""
    for each in news:
        if each.device is not None:
            tell(request, each.device.user, each.event, device=each.device)


def security_page() -> str:
    """Return the address of the page of one's devices, empty where the site has told no origin.

    Never from a request's ``Host``, which a stranger may choose.
    """
    origin = conf.BASE_URL or _site_origin()
    return f"{origin}{reverse('otp_channels:devices')}" if origin else ""


def _site_origin() -> str:
    if not apps.is_installed("django.contrib.sites"):
        return ""
    site: Any = apps.get_model("sites", "Site")  # type: ignore[misc]
    try:
        return f"https://{site.objects.get_current().domain}"
    except (ImproperlyConfigured, site.DoesNotExist):
        return ""


@dataclass(frozen=True, kw_only=True)
class _Telling:
    """One notice on its way to all who are to hear of it."""

    user: Any
    name: str
    notice: Notice
    device: Any
    also: Sequence[Any]
    by: Any
    client: str
    browser: tuple[str, str]
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def go_out(self) -> None:
        """Send it every way that the settings name. Raises nothing."""
        self._attempt("all ways", self._go_out)

    def _go_out(self) -> None:
        ways = conf.NOTICES.get(self.name, WAYS)
        if not ways:
            return
        owned = list(ChannelDevice.objects.filter(user_id=self.user.pk, confirmed=True))
        language = self._language(owned)
        address = _email_of(self.user) if "email" in ways else ""
        devices = [device for device in self._devices(owned) if _way_to(device) in ways]
        if not (address or devices) and self.notice.itself is Itself.IF_NOBODY_ELSE:
            devices = [each for each in owned if _way_to(each) in ways and self._is_about(each)]
        if address:
            self._attempt("email", partial(self._mail, address, language))
        for device in devices:
            way = _way_to(device)
            self._attempt(way, partial(self._message, device, way, device.language or language))

    def _attempt(self, way: str, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001
            # Its text may hold an address, and the person has done what they came for.
            self._log_failure(way, type(error).__name__)

    def _log_failure(self, way: str, why: str) -> None:
        logger.error("User %s was not told of %s by %s (%s).", self.user.pk, self.name, way, why)

    def _log(self, way: str) -> None:
        logger.info("User %s is told of %s by %s.", self.user.pk, self.name, way)

    # -- to whom -----------------------------------------------------------------------------

    def _devices(self, owned: Sequence[ChannelDevice]) -> Sequence[ChannelDevice]:
        """Return the other devices, each address once, and those that are no longer there."""
        gone = [device for device in self.also if isinstance(device, ChannelDevice)]
        if self.notice.itself is Itself.ALSO and isinstance(self.device, ChannelDevice):
            gone.append(self.device)
        others = [device for device in owned if not self._is_about(device)]
        told = {(device.kind, device.address): device for device in (*gone, *others)}
        return [device for device in told.values() if device.confirmed]

    def _is_about(self, device: ChannelDevice) -> bool:
        about = self.device
        return isinstance(about, ChannelDevice) and (
            device.pk == about.pk or (device.kind, device.address) == (about.kind, about.address)
        )

    def _language(self, owned: Sequence[ChannelDevice]) -> str:
        """Return the language in which the owner reads.

        Not that of the request: whoever guesses codes could choose one that the owner does not
        know. That of a device, else that in which a right code was last asked for.
        """
        for device in owned:
            if device.language:
                return device.language
        right = Challenge.objects.filter(user_id=self.user.pk, state=State.VERIFIED)
        latest = right.order_by("-created_at").values_list("language", flat=True).first()
        return latest or settings.LANGUAGE_CODE

    # -- by e-mail ---------------------------------------------------------------------------

    def _mail(self, address: str, language: str) -> None:
        with override(language):
            letter = self._compose_mail(address)
        if issubclass(_mail_backend(), _LOCAL_MAIL) or not threads_available():
            letter.send()
            self._log("email")
        else:
            self._mail_aside(letter)

    def _compose_mail(self, address: str) -> EmailMultiAlternatives:
        site = plain_site_name()
        subject = gettext("%(site)s: %(title)s") % {"site": site, "title": self.notice.title}
        context = {
            "site": site,
            "title": self.notice.title,
            "sentence": self.notice.sentence,
            "advice": self.notice.advice,
            "device": self._masked_device(),
            "times": self._times(),
            "client": "" if self.client == UNKNOWN else self.client,
            "browser": self._browser(),
            "by_staff": bool(self.by),
            "page": security_page(),
        }
        letter = EmailMultiAlternatives(
            subject=" ".join(subject.split()),  # a line break would begin another header
            body=_render(self.name, "txt", context),
            to=[address],
            headers={"Auto-Submitted": "auto-generated"},  # RFC 3834: no holiday replies
        )
        letter.attach_alternative(_render(self.name, "html", context), "text/html")
        return letter

    def _masked_device(self) -> str:
        if not isinstance(self.device, ChannelDevice):
            return ""
        if self.device.kind == ChannelDevice.Kind.PHONE:
            return gettext("Phone %(address)s") % {"address": self.device.masked_address}
        return gettext("App")

    def _times(self) -> Sequence[str]:
        """Return the moment as the site's clocks show it, and in UTC where that differs."""
        zones = dict.fromkeys((settings.TIME_ZONE, "UTC"))
        moments = (
            self.at.astimezone(UTC if name == "UTC" else get_default_timezone()) for name in zones
        )
        return [
            f"{date_format(moment, 'DATETIME_FORMAT')} ({name})"
            for moment, name in zip(moments, zones, strict=True)
        ]

    def _browser(self) -> str:
        browser, system = self.browser
        if browser and system:
            return gettext("%(browser)s on %(system)s") % {"browser": browser, "system": system}
        return browser or system

    def _mail_aside(self, letter: EmailMultiAlternatives) -> None:
        """Send in a thread, so that a mail host that is slow holds no request."""
        slots = _pools.slots(MAIL)
        if not slots.acquire(blocking=False):
            self._log_failure("email", "busy")
            return

        def send() -> None:
            try:
                self._attempt("email", partial(_send_in_thread, letter))
            finally:
                slots.release()

        thread = threading.Thread(target=send, name=f"otp-channels-{MAIL}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the process may start no more threads
            slots.release()
            raise
        self._log("email")
        if conf.SEND_WAIT:
            thread.join(conf.SEND_WAIT)

    # -- to a device -------------------------------------------------------------------------

    def _message(self, device: ChannelDevice, channel: str, language: str) -> None:
        number = phones.split_extension(device.address)[0]
        send = Send(
            part="notice",
            channel=channel,
            user_id=self.user.pk,
            address=device.address,
            number=number if device.kind == ChannelDevice.Kind.PHONE else "",
            client=self.client,
        )
        with override(language):
            message = compose_notice(
                channel,
                to=device.address,
                title=str(self.notice.title),
                advice=str(self.notice.advice),
                language=language,
            )
        with suppress(SendNotAllowed):  # which is on record
            admit(send, lambda: None)
            outcome = carry(message, channels.backends(channel))
            self._log(channel)
            attempts = outcome.claim(partial(self._judge, channel), wait=conf.SEND_WAIT)
            if attempts is not None:
                self._judge(channel, attempts)

    def _judge(self, channel: str, attempts: Sequence[Attempt]) -> None:
        """Say in the log, maybe in the sending thread, that no provider took it."""
        if all(attempt.status == Status.FAILED for attempt in attempts):
            self._log_failure(channel, attempts[-1].error_code if attempts else "no backend")


def _way_to(device: ChannelDevice) -> str:
    """Return the channel that carries a notice to ``device``, empty if none does."""
    way = _WAY_TO.get(ChannelDevice.Kind(device.kind), "")
    return way if way in device.channels else ""


def _email_of(user: Any) -> str:
    name = getattr(user, "get_email_field_name", lambda: "")()
    return str(getattr(user, name, None) or "") if name else ""


def _mail_backend() -> type:
    """Return the class that sends the site's mail, whichever setting of Django names it."""
    if hasattr(mail, "mailers") and hasattr(settings, "MAILERS"):  # from Django 6.1 on
        default = "django.core.mail.backends.smtp.EmailBackend"
        path = settings.MAILERS["default"].get("BACKEND", default)
    else:
        path = settings.EMAIL_BACKEND
    backend: type = import_string(path)
    return backend


def _send_in_thread(letter: EmailMultiAlternatives) -> None:
    try:
        letter.send()
    finally:
        connections.close_all()  # of this thread: some sites queue their mail in the database


def _render(name: str, kind: str, context: Mapping[str, Any]) -> str:
    templates = [f"otp_channels/mail/{name}.{kind}", f"otp_channels/mail/notice.{kind}"]
    return select_template(templates).render(dict(context)).strip() + "\n"
