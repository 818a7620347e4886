"""The login pages: password, code, send, status, cancel."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.contrib.auth.views import LoginView as DjangoLoginView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from django_otp.models import Device

from .. import audit, choice, enrolment, history, login, sessions, stepup, tries, trust
from ..clients import client_of
from ..conf import conf
from ..exceptions import SendNotAllowed
from ..forms import OtherTokenForm, TokenForm
from ..messages import Purpose, site_name
from ..models import Challenge, ChannelDevice
from ..models.lockouts import Lock
from ..others import OtherWay, other_ways
from .base import PrivateView
from .page import CodePage, find_way, ways_of

logger = logging.getLogger("django_otp_channels.views")


class LoginView(PrivateView, DjangoLoginView):
    """A drop-in for Django's ``LoginView``.

    Unlike with that one, Django's ``login()`` is not called before the code is right: no
    ``user_logged_in`` signal, no ``last_login``, no remembered success of a rate limiter.
    """

    template_name = "otp_channels/login.html"
    redirect_authenticated_user = False

    def form_valid(self, form: Any) -> HttpResponse:
        user = form.get_user()
        if not login.needs_code(user, self.request) or login.trusted_browser(self.request, user):
            return super().form_valid(form)
        login.park(self.request, user, deferred=True)
        return HttpResponseRedirect(self.get_success_url())

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            site_title=site_name(self.request.get_host()),
            **sessions.take_notices(self.request.session),
            **kwargs,
        )


class CodeStepView(PrivateView):
    """A page of somebody who is asked for a code. Everybody else is shown the way.

    ``step`` is what the code is for: a parked login, or what a logged-in owner has to prove again.
    """

    step: login.ParkedLogin | stepup.StepUp

    def turn_away(self, request: HttpRequest) -> HttpResponseBase | None:
        parked = login.parked_in(request.session)
        if parked is None:
            return self.not_parked(request)
        self.step = parked
        if self.user is None:
            return self.start_over()
        enrolling = self.challenge is not None and self.challenge.purpose == Purpose.ENROL
        # Somebody else, or the person elsewhere, has proven a factor meanwhile.
        return self.start_over() if enrolling and login.has_factor(self.user, request) else None

    def not_parked(self, request: HttpRequest) -> HttpResponseBase | None:
        if request.user.is_authenticated:
            return self.not_asked(request)
        if login.overdue_in(request.session) is not None:
            took_too_long = _("Your sign-in took too long. Please sign in again.")
            return HttpResponseRedirect(login.cancel(request, took_too_long, reason="overdue"))
        return HttpResponseRedirect(login.login_page())

    def not_asked(self, request: HttpRequest) -> HttpResponseBase | None:
        """Let pass who is logged in and asked to prove it again."""
        step = stepup.step_in(request)
        if step is None or login.owes_code(request):
            return redirect(settings.LOGIN_REDIRECT_URL)
        if stepup.lacks_password(request):
            return redirect("otp_channels:reauth")
        self.step = step
        return None

    def start_over(self) -> HttpResponseBase:
        ended = _("This sign-in has ended. Please sign in again.")
        return HttpResponseRedirect(login.cancel(self.request, ended, reason="ended"))

    @cached_property
    def challenge(self) -> Challenge | None:
        return Challenge.current(self.step.flow)

    @cached_property
    def user(self) -> Any:
        """Who is asked, re-read; None if a parked login cannot go on for that account."""
        if isinstance(self.step, stepup.StepUp):
            return self.request.user
        if self.challenge is None:
            return login.parked_user(self.step)
        user = self.challenge.user
        return user if login.may_resume(self.step, user) else None

    def go_on(self, device: Device, *, may_trust: bool = True) -> HttpResponseBase:
        """Go on to where the person wanted to go: a code of ``device`` was right.

        The browser is trusted if the person ticked so at a login, and not after a recovery code:
        who needs one has lost their devices, or somebody has found it.
        """
        ours = isinstance(device, ChannelDevice) and self.challenge is not None
        channel = (self.challenge.delivery_channel or "") if ours and self.challenge else ""
        if isinstance(self.step, stepup.StepUp):
            onwards = stepup.enter_code(self.request, self.step, device)
        else:
            user = self.user
            history.note_login(self.request, user, channel, device)
            onwards = login.resume(self.request, self.step, user, device)
            if may_trust and self.wants_trust:
                login.trust_browser(self.request, user)
        response = HttpResponseRedirect(onwards)
        choice.remember(self.request, response, device.persistent_id, channel)
        return response

    @property
    def wants_trust(self) -> bool:
        """Whether the box was ticked with the code that was just entered, right or wrong."""
        return self.request.POST.get("trust") == "on"

    def page(self, **extra: Any) -> CodePage:
        challenge = self.challenge
        # Where a passkey is asked for, that is on the sign-in page.
        signed_in = isinstance(self.step, stepup.StepUp)
        if self.step.single and challenge is not None and challenge.device is not None:
            devices: Sequence[ChannelDevice] = [challenge.device]
        else:
            devices = login.own_devices(self.user, self.request)
        return CodePage(
            challenge=challenge,
            ways=ways_of(devices, challenge),
            other_ways=[way for way in other_ways(self.user) if way.is_typed or not signed_in],
            signed_in=signed_in,
            has_devices=bool(devices),
            lock=self._lock(devices),
            **sessions.take_notices(self.request.session),
            **extra,
        )

    def _lock(self, devices: Sequence[ChannelDevice]) -> Lock | None:
        if self.challenge is not None:
            return self.challenge.lock
        return devices[0].lock if devices else None


class VerifyView(CodeStepView):
    """The code page. GET shows it and sends nothing; POST spends one try."""

    template_name = "otp_channels/verify.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        if not (self.step.single or login.has_factor(self.user, self.request)):
            return redirect("otp_channels:add_phone")
        if "device" in request.GET or self.challenge is not None:
            other = self._other_way(request.GET.get("device", ""))
        else:
            other = login.remembered_way(request, self.user)
        form = OtherTokenForm(numeric=other.has_digits) if other else TokenForm()
        return self.show(form, other)

    @sensitive_variables()
    def post(self, request: HttpRequest) -> HttpResponseBase:
        named = request.POST.get("device", "")
        if named and not self._is_ours(named):
            return self._post_other(request, named)
        form = TokenForm(request.POST)
        token = entered_token(request, form)
        challenge = self.challenge
        if token is None:
            if not form.errors:
                form.add_error("token", _("Enter the code."))
            return self.show(form)
        if challenge is None or challenge.purpose != self.step.purpose:
            return self.wrong(form)  # none was sent, so it is another login's
        if tries.enter(request, challenge, token):
            return self.go_on(challenge.device)
        return self.wrong(form)

    @sensitive_variables()
    def _post_other(self, request: HttpRequest, persistent_id: str) -> HttpResponseBase:
        other = self._other_way(persistent_id)
        if other is None:
            audit.record("foreign_device", user=self.user.pk, client=client_of(request))
        form = OtherTokenForm(request.POST, numeric=other is not None and other.has_digits)
        if form.is_valid() and len(request.POST.getlist("token")) == 1 and other is not None:
            token = form.cleaned_data["token"]
            device = tries.enter_other(request, self.user, other, token, self.step.purpose)
            if device is not None:
                Challenge.cancel(self.step.flow)
                return self.go_on(device, may_trust=not other.recovers)
        return self.wrong(form, other)

    def wrong(self, form: forms.Form, other: OtherWay | None = None) -> HttpResponseBase:
        """Say that the code was not right: one sentence, whatever the reason."""
        if form.is_valid():
            form.add_error("token", _("This code is not right or no longer valid."))
        self.__dict__.pop("challenge", None)  # its counters have changed
        tries.tell(self.request, self.challenge)
        return self.show(form, other)

    def show(self, form: forms.Form, other: OtherWay | None = None) -> HttpResponseBase:
        context = {
            "form": form,
            "page": self.page(other=other),
            "site_title": site_name(self.request.get_host()),
            "trust_days": 0 if other and other.recovers else self._trust_days,
            "wants_trust": self.wants_trust,
        }
        return render(self.request, self.template_name, context)

    @property
    def _trust_days(self) -> int:
        at_login = isinstance(self.step, login.ParkedLogin)
        return conf.TRUST_DAYS if at_login and trust.may_trust(self.user, self.request) else 0

    def _other_way(self, persistent_id: str) -> OtherWay | None:
        if not persistent_id:
            return None
        ways = other_ways(self.user)
        return next((way for way in ways if way.persistent_id == persistent_id), None)

    def _is_ours(self, named: str) -> bool:
        device = self.challenge.device if self.challenge else None
        return device is not None and named in (str(device.pk), device.persistent_id)


class SendView(CodeStepView):
    """POST: the same code again, or another way; back to the page that asks for it either way."""

    http_method_names = ["post", "options"]  # noqa: RUF012

    def turn_away(self, request: HttpRequest) -> HttpResponseBase | None:
        # A safe method gets no further than "not allowed": it must never send.
        return super().turn_away(request) if request.method == "POST" else None

    def not_asked(self, request: HttpRequest) -> HttpResponseBase | None:
        if login.owes_code(request):
            return redirect("otp_channels:verify")
        user: Any = request.user
        unproven = enrolment.unproven_device(user, request.POST.get("device", ""))
        if unproven is None and stepup.step_in(request) is not None:
            return super().not_asked(request)
        return self._send_proof(request, user)

    def post(self, request: HttpRequest) -> HttpResponseBase:
        enrolling = self.challenge is None or self.challenge.purpose == Purpose.ENROL
        if enrolling and not login.has_factor(self.user, request):
            return self._send_proof(request, self.user)
        named = request.POST.get("device", "")
        for other in other_ways(self.user) if "/" in named else ():
            if other.persistent_id == named and other.sends:
                return self._send_other(request, other)
        try:
            way = find_way(
                login.own_devices(self.user, request),
                self.challenge,
                named,
                request.POST.get("channel", ""),
            )
            login.send(request, self.step, self.challenge, way.device, way.channel)
        except SendNotAllowed as refused:
            sessions.leave_notice(request.session, str(refused))
        return redirect("otp_channels:verify")

    def _send_other(self, request: HttpRequest, other: OtherWay) -> HttpResponseBase:
        """Let a device of another django-otp plugin send its code, in its own way."""
        device = Device.from_persistent_id(other.persistent_id)
        if device is not None and device.generate_is_allowed()[0]:
            try:
                device.generate_challenge()
            except Exception as error:  # noqa: BLE001 (django-otp allows a device any)
                logger.warning("%s could not send (%s).", other.persistent_id, type(error).__name__)
                sessions.leave_notice(request.session, _("A code cannot be sent right now."))
            else:
                sessions.leave_news(request.session, _("A code is on its way."))
        else:
            sessions.leave_notice(request.session, _("A code was sent a moment ago."))
        query = urlencode({"device": other.persistent_id})
        return HttpResponseRedirect(f"{reverse('otp_channels:verify')}?{query}")

    def _send_proof(self, request: HttpRequest, user: Any) -> HttpResponseBase:
        """Send the code that proves a new device, for the first time or again."""
        challenge = enrolment.current(request)
        device = enrolment.unproven_device(user, request.POST.get("device", ""))
        if device is None and challenge is not None:
            device = challenge.device
        if device is None or device.confirmed:
            return redirect("otp_channels:add_phone")
        here = reverse("otp_channels:confirm_device", args=[device.pk])
        # The next message of what was begun with a proof, and no other, needs none.
        begun = challenge is not None and challenge.device_id == device.pk and not challenge.over
        if not begun and request.user.is_authenticated and not stepup.proven(request):
            return HttpResponseRedirect(stepup.begin(request, here))
        try:
            enrolment.prove(request, device, request.POST.get("channel", ""))
        except SendNotAllowed as refused:
            sessions.leave_notice(request.session, str(refused))
        return HttpResponseRedirect(here)


class CookielessJson(JsonResponse):
    """An answer to a script, which leaves the browser's cookies as they are.

    It may belong to a session that the right code has ended meanwhile. ``SessionMiddleware`` would
    delete the cookie then, which by now is the new session's.
    """

    def set_cookie(self, *_args: Any, **_kwargs: Any) -> None:
        """Set nothing."""

    def delete_cookie(self, *_args: Any, **_kwargs: Any) -> None:
        """Delete nothing."""


class StatusView(PrivateView):
    """GET JSON for the code page to poll: what became of the message, and the waits.

    ``?device=`` is the unproven device whose page asks, where that is the one of a new phone.
    """

    http_method_names = ["get", "head", "options"]  # noqa: RUF012

    def get(self, request: HttpRequest) -> HttpResponseBase:
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            return CookielessJson({"detail": "cross_site"}, status=403)
        challenge = self._challenge(request)
        if challenge is None:
            return CookielessJson(
                {"state": "none", "delivery": "", "resend_at": None, "expires_at": None}
            )
        now = timezone.now()
        state = "expired" if challenge.state == "open" and challenge.expired else challenge.state
        page = CodePage(challenge=challenge, ways=())
        return CookielessJson(
            {
                "state": state,
                "delivery": challenge.delivery,
                "sentence": page.sentence,
                "resend_at": now + timedelta(seconds=challenge.seconds_to_send),
                "expires_at": now + timedelta(seconds=challenge.seconds_left),
            }
        )

    def _challenge(self, request: HttpRequest) -> Challenge | None:
        parked = login.parked_in(request.session)
        if parked is None:
            if not request.user.is_authenticated:
                return None
            if "device" in request.GET:
                proof = enrolment.current(request)
                named = proof is not None and str(proof.device_id) == request.GET["device"]
                return proof if named else None
            step = stepup.step_in(request)
            return Challenge.current(step.flow) if step else None
        challenge = Challenge.current(parked.flow)
        alive = challenge is not None and login.may_resume(parked, challenge.user)
        return challenge if alive else None


class CancelView(PrivateView):
    """POST: start over, or leave what was asked for as it is."""

    http_method_names = ["post", "options"]  # noqa: RUF012

    def post(self, request: HttpRequest) -> HttpResponseBase:
        if login.parked_in(request.session) is not None:
            return HttpResponseRedirect(login.cancel(request))
        if request.user.is_authenticated:
            stepup.drop(request)
            return redirect("otp_channels:devices")
        return HttpResponseRedirect(login.login_page())


@sensitive_variables()
def entered_token(request: HttpRequest, form: forms.Form) -> str | None:
    """Return the code that was typed; empty if it cannot be one; None if nothing was typed.

    Something malformed costs a try like any wrong code, so that no spelling is free. An empty
    field is a slip and costs nothing.
    """
    typed = request.POST.getlist("token")
    if form.is_valid() and len(typed) == 1:
        token: str = form.cleaned_data["token"]
        return token
    return "" if any(value.strip() for value in typed) else None
