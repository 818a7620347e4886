"""The security page, and the page of each device: its name, its place among the others, its end."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from .. import authenticators, choice, enrolment, history, login, sessions
from ..exceptions import SendNotAllowed
from ..forms import NameForm
from ..models import ChannelDevice, RecoveryDevice
from ..models.challenges import last_verified
from ..others import OtherWay, has_other_factor, other_ways
from .activity import sentences
from .owner import OwnerView
from .page import ways_of


class DevicesView(OwnerView):
    """The security page: all that this person signs in with, and what happened lately."""

    template_name = "otp_channels/devices.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        owned = ChannelDevice.objects.filter(user_id=self.user.pk)
        devices = list(owned.annotate(last_verified=last_verified()))
        devices.sort(key=lambda device: (not device.confirmed, device.rank))
        proven = [device for device in devices if device.confirmed]
        others = other_ways(self.user)
        recovery = RecoveryDevice.objects.filter(user_id=self.user.pk).first()
        return self.show(
            wide=True,
            time_zone=timezone.get_current_timezone_name(),
            devices=devices,
            first=proven[0] if len(proven) > 1 else None,
            ways=ways_of(devices, None),
            authenticators=[way for way in others if way.persistent_id.startswith("otp_totp.")],
            other_ways=[way for way in others if not _has_section(way)],
            may_add_phone=enrolment.has_room(devices),
            may_add_authenticator=authenticators.may_add(self.user),
            recovery_left=recovery.left if recovery else None,
            has_factor=bool(proven) or has_other_factor(self.user),
            events=sentences(history.latest(self.user)),
            **sessions.take_notices(request.session),
            browsers=login.trusted_browsers(request, self.user),
        )


def _has_section(way: OtherWay) -> bool:
    return way.persistent_id.startswith(("otp_totp.", "otp_channels."))


class DeviceView(OwnerView):
    """One device: rename it, prefer it, and the ways to change or remove it."""

    template_name = "otp_channels/device.html"

    @cached_property
    def device(self) -> ChannelDevice:
        return self.own_device(self.kwargs["pk"])

    def get(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        return self.show_device(NameForm(initial={"name": self.device.name}))

    def show_device(self, form: NameForm) -> HttpResponseBase:
        device = self.device
        proven = ChannelDevice.objects.filter(user_id=self.user.pk, confirmed=True)
        first = min(proven, key=lambda each: each.rank, default=None)
        return self.show(
            device=device,
            form=form,
            ways=ways_of([device], None) if device.confirmed else (),
            is_first=first is not None and first.pk == device.pk,
            is_only=len(proven) == 1,
        )


class RenameDeviceView(DeviceView):
    """POST: another name."""

    def post(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        form = NameForm(request.POST)
        if not form.is_valid():
            return self.show_device(form)
        self.device.name = form.cleaned_data["name"]
        self.device.save(update_fields=["name"])
        sessions.leave_news(request.session, _("The name is saved."))
        return redirect("otp_channels:devices")


class PreferDeviceView(DeviceView):
    """POST: ask this device first, over ``channel`` if one is named."""

    http_method_names = ["post", "options"]  # noqa: RUF012

    def post(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        device = self.device
        channel = request.POST.get("channel") or device.channel
        response = redirect("otp_channels:devices")
        if device.confirmed and channel in (*device.channels, device.channel):
            device.prefer(channel)
            # What this browser remembers of the last login would come before it.
            choice.remember(request, response, device.persistent_id, channel)
            first = _("Your next codes go to %(device)s first.") % {"device": device.in_words}
            sessions.leave_news(request.session, first)
        return response


class RemoveDeviceView(OwnerView):
    """Ask whether to remove a device (GET), and do it (POST)."""

    needs_proof = True
    template_name = "otp_channels/remove_device.html"

    def get(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        device = self.own_device(pk)
        must_enrol = login.must_enrol(self.user, request)
        last = not must_enrol and enrolment.is_last_factor(self.user, device)
        return self.show(device=device.in_words, last=last)

    def post(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        device = self.own_device(pk)
        try:
            enrolment.remove(request, device)
        except SendNotAllowed as refused:
            return self.show(device=device.in_words, refused=str(refused))
        gone = _("%(device)s is removed.") % {"device": device.in_words}
        sessions.leave_news(request.session, gone)
        return redirect("otp_channels:devices")
