"""A new phone number: typed, read back, proven; or one in the place of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import to_locale
from django.views.decorators.debug import sensitive_variables

from .. import authenticators, channels, countries, enrolment, sessions, tries
from ..exceptions import SendNotAllowed
from ..forms import PhoneForm, TokenForm
from ..models import Challenge, ChannelDevice
from ..phones import Phone
from .owner import OwnerView
from .page import CodePage, ways_of
from .verify import entered_token


@dataclass(frozen=True)
class Review:
    """A number as it was understood, before anything is sent to it."""

    phone: Phone

    @property
    def country(self) -> str:
        return countries.name_of(self.phone.region)

    @property
    def channels(self) -> list[channels.Channel]:
        """The ways to reach it, each for a button."""
        return [channels.CHANNELS[name] for name in self.names]

    @property
    def names(self) -> list[str]:
        return list(channels.reaching("phone", self.phone.address))


class AddPhoneView(OwnerView):
    """Ask for a number, read it back, and send it a code the way that the person chooses."""

    for_newcomers = True
    needs_proof = True
    template_name = "otp_channels/add_phone.html"
    replaces: ChannelDevice | None = None

    def get(self, request: HttpRequest, **_kwargs: Any) -> HttpResponseBase:
        return self.show_form(PhoneForm(guess=_guess(request)))

    def post(self, request: HttpRequest, **_kwargs: Any) -> HttpResponseBase:
        form = PhoneForm(request.POST, guess=_guess(request))
        if not form.is_valid():
            return self.show_form(form)
        review, channel = Review(form.cleaned_data["number"]), request.POST.get("channel", "")
        if not review.names:
            form.add_error("number", _("This number cannot be reached. Please use another."))
        elif "change" in request.POST:
            return self.show_form(PhoneForm(initial=request.POST.dict()))
        elif channel not in review.names:
            return self.show_form(form, review=review)
        else:
            try:
                device = enrolment.start(request, self.user, review.phone, channel, self.replaces)
            except SendNotAllowed as refused:
                form.add_error("number", str(refused))
            else:
                return redirect("otp_channels:confirm_device", device.pk)
        return self.show_form(form)

    def show_form(self, form: PhoneForm, review: Review | None = None) -> HttpResponseBase:
        return self.show(
            form=form,
            review=review,
            replaces=self.replaces,
            offer_authenticator=self.replaces is None and authenticators.may_add(self.user),
        )


class ChangePhoneView(AddPhoneView):
    """A new number in the place of an old one, which stays a factor until the new one is proven."""

    for_newcomers = False

    @cached_property
    def replaces(self) -> ChannelDevice | None:  # type: ignore[override]
        device = self.own_device(self.kwargs["pk"])
        if not (device.confirmed and device.kind == device.Kind.PHONE):
            self.not_yours()
        return device

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        return super().get(request) if self.replaces else self.not_yours()

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        return super().post(request) if self.replaces else self.not_yours()


class ConfirmDeviceView(OwnerView):
    """Prove a device by the code that was sent to it."""

    for_newcomers = True
    template_name = "otp_channels/confirm_device.html"

    def get(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        return self._show_code(TokenForm(), self.own_device(pk), enrolment.current(request))

    @sensitive_variables()
    def post(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        device = self.own_device(pk)
        if device.confirmed:
            return redirect("otp_channels:devices")
        form = TokenForm(request.POST)
        token = entered_token(request, form)
        challenge = enrolment.current(request)
        if (
            token is not None
            and challenge is not None
            and (challenge.device_id, challenge.user_id) == (device.pk, self.user.pk)
            and tries.enter(request, challenge, token)
        ):
            try:
                onwards = enrolment.finish(request, challenge)
            except SendNotAllowed as refused:
                sessions.leave_notice(request.session, str(refused))
                onwards = None
            else:
                if onwards is None:
                    proven: Any = challenge.device  # with the name that it has taken over
                    confirmed = _("%(device)s is confirmed.") % {"device": proven.in_words}
                    sessions.leave_news(request.session, confirmed)
            return HttpResponseRedirect(onwards or reverse("otp_channels:devices"))
        if form.is_valid():
            form.add_error("token", _("This code is not right or no longer valid."))
        challenge = enrolment.current(request)  # its counters may have changed
        tries.tell(request, challenge)
        return self._show_code(form, device, challenge)

    def _show_code(
        self, form: TokenForm, device: ChannelDevice, challenge: Challenge | None
    ) -> HttpResponseBase:
        if device.confirmed:
            return redirect("otp_channels:devices")
        if challenge is not None and challenge.device_id != device.pk:
            challenge = None
        page = CodePage(
            challenge=challenge,
            ways=ways_of([device], challenge),
            lock=challenge.lock if challenge else None,
            signed_in=self.parked is None,
            **sessions.take_notices(self.request.session),
        )
        return self.show(form=form, device=device, page=page)


def _guess(request: HttpRequest) -> str:
    """Return the country that the browser's language names, if it names one: "GB" of "en-GB"."""
    first = request.headers.get("Accept-Language", "").split(",")[0].split(";")[0].strip()
    _language, _underscore, country = to_locale(first[:16]).partition("_")
    return country.upper()
