"""The admin: devices for support staff, challenges and deliveries to look at, never a code."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import display_for_value
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models.functions import Now
from django.forms import Media, ModelForm
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from . import notices, phones
from .channels import CHANNELS
from .clients import client_of, hops_problem
from .conf import conf
from .exceptions import InvalidNumber, SendNotAllowed
from .factors import state_of
from .health import examine
from .messages import Status
from .models import Challenge, ChannelDevice, Delivery, Lockout, Refusal
from .models.challenges import State, last_verified
from .models.commits import record
from .models.deliveries import with_outcome
from .staff import PersonPages, SecondFactorFilter, SecondFactorMixin

__all__ = ["ChannelDeviceInline", "SecondFactorFilter", "SecondFactorMixin"]


class DeviceForm(ModelForm):  # type: ignore[type-arg]
    """A new device. Its number is brought to canonical form, and refused where it cannot be."""

    class Meta:
        model = ChannelDevice
        fields = ("user", "name", "kind", "address", "channel", "language")

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        kind, address = data.get("kind"), data.get("address")
        if address and kind == ChannelDevice.Kind.PHONE:
            try:
                data["address"] = phones.parse_reachable(address, countries=conf.COUNTRIES).address
            except InvalidNumber as error:
                self.add_error("address", str(error))
        elif address and ChannelDevice.objects.filter(kind=kind, address=address).exists():
            self.add_error("address", gettext("This app belongs to a device already."))
        return data

    def add_error(self, field: str | None, error: Any) -> None:
        # The model judges the address as well: a second time where staff type it, and in vain
        # where it is only shown. A device whose number has become invalid can still be renamed.
        if field is None and hasattr(error, "error_dict"):
            error.error_dict.pop("address", None)
        super().add_error(field, error)


class ReadOnly:
    """Staff may look, and not touch: these rows decide who gets in."""

    def has_add_permission(self, _request: HttpRequest, *_args: Any) -> bool:
        return False

    def has_change_permission(self, _request: HttpRequest, *_args: Any) -> bool:
        return False

    def has_delete_permission(self, _request: HttpRequest, *_args: Any) -> bool:
        return False


class Trail(ReadOnly):
    """What has happened: it goes with its user, and not by itself."""

    opts: Any

    def has_delete_permission(self, request: HttpRequest, *args: Any) -> bool:
        # Django asks here on the pages of the user too, and a flat no would keep every user who
        # ever asked for a code from being deleted.
        if self.on_own_page(request):
            return False
        return admin.ModelAdmin.has_delete_permission(self, request, *args)  # type: ignore[arg-type]

    def on_own_page(self, request: HttpRequest) -> bool:
        match = request.resolver_match
        own = f"{self.opts.app_label}_{self.opts.model_name}_"
        return match is None or (match.url_name or "").startswith(own)


@admin.register(ChannelDevice)
class ChannelDeviceAdmin(PersonPages):
    """Devices. A number that staff add is unproven until its owner enters a code."""

    form = DeviceForm
    list_display = ("user", "name", "masked", "channel", "proven", "state", "last_use")
    # By date as a filter: date_hierarchy fails on a MySQL without time zone definitions.
    list_filter = ("kind", "channel", "confirmed", "disabled_reason", "created_at")
    list_select_related = ("user", "user__otp_lockout")
    raw_id_fields = ("user",)
    search_fields = ("name",)
    actions = ("send_test_code", "unlock", "disable", "enable", "reset_owner")

    def get_urls(self) -> list[Any]:
        return [*self.person_urls(), *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[ChannelDevice]:
        return (
            super()
            .get_queryset(request)
            .annotate(
                db_now=Now(),
                last_verified=last_verified(),
            )
        )

    def get_ordering(self, _request: HttpRequest) -> tuple[str, ...]:
        user = self.model._meta.get_field("user").related_model
        return (f"user__{user.USERNAME_FIELD}", "pk")

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, Any, Any]:
        # Many devices are "Phone •••• 23": whoever is about to delete one must see whose it is.
        entries: Any
        entries, counts, needed, protected = super().get_deleted_objects(objs, request)
        devices = iter(objs)
        named = [
            entry if isinstance(entry, list) else format_html("{} ({})", entry, next(devices).user)
            for entry in entries
        ]
        return named, counts, needed, protected

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        # ?address__startswith=… in the browser's address line would be such a search by a part.
        if lookup.split("__", maxsplit=1)[0] in ("address", "app_address"):
            return False
        return super().lookup_allowed(lookup, value, request)

    def get_search_fields(self, _request: HttpRequest) -> tuple[str, ...]:
        user = self.model._meta.get_field("user").related_model
        return (f"user__{user.USERNAME_FIELD}", "name")

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        # By the whole number only: a search by a part would reveal masked numbers bit by bit.
        try:
            number = phones.parse(search_term).e164
        except InvalidNumber:
            return super().get_search_results(request, queryset, search_term)
        line = models.Q(address=number) | models.Q(address__startswith=f"{number};")
        return queryset.filter(line, kind=ChannelDevice.Kind.PHONE), False

    def get_fields(self, _request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return ("user", "name", "kind", "address", "channel", "language")
        return (
            "user", "name", "kind", "masked", "channel", "language", "proven", "state",
            "created_at", "last_use",
        )  # fmt: skip

    def get_readonly_fields(self, _request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        # An address is never edited: another number is another device, to be proven anew.
        shown = ("masked", "proven", "state", "created_at", "last_use")
        return shown if obj is None else (*shown, "user", "kind")

    @admin.display(description=_("address"))
    def masked(self, device: ChannelDevice) -> str:
        return device.masked_address

    @admin.display(description=_("proven"), boolean=True, ordering="confirmed")
    def proven(self, device: ChannelDevice) -> bool:
        return device.confirmed and not device.awaits_proof

    @admin.display(description=_("state"))
    def state(self, device: ChannelDevice) -> str:
        return state_of(device)

    @admin.display(description=_("last code entered"))
    def last_use(self, device: Any) -> str:
        moments = [moment for moment in (device.last_used_at, device.last_verified) if moment]
        # As text already: Django brings a moment to the reader's time zone in the list only.
        return display_for_value(max(moments, default=None), self.get_empty_value_display())

    def save_model(
        self,
        request: HttpRequest,
        obj: ChannelDevice,
        form: Any,
        change: bool,  # noqa: FBT001
    ) -> None:
        super().save_model(request, obj, form, change)
        if change and form.changed_data:
            obj.record("device_changed", reason="edited", **_staff(request))

    def delete_model(self, request: HttpRequest, obj: ChannelDevice) -> None:
        obj.record("device_removed", **_staff(request))
        super().delete_model(request, obj)
        _tell_of_removed(request, obj)

    def delete_queryset(
        self, request: HttpRequest, queryset: models.QuerySet[ChannelDevice]
    ) -> None:
        devices = list(queryset)
        super().delete_queryset(request, queryset)
        for device in devices:
            device.record("device_removed", **_staff(request))
            _tell_of_removed(request, device)

    @admin.action(description=_("Send a test code"), permissions=["change"])
    def send_test_code(
        self, request: HttpRequest, queryset: models.QuerySet[ChannelDevice]
    ) -> None:
        for device in queryset.select_related("user"):
            try:
                status = device.send_test_code()
            except SendNotAllowed as refused:
                messages.warning(
                    request, gettext("%(device)s: %(why)s") % {"device": device, "why": refused}
                )
                continue
            self.log_change(request, device, "Sent a test code.")
            if status == Status.FAILED:
                messages.error(
                    request,
                    gettext("The test code could not be sent to %s. The challenge has the details.")
                    % device,
                )
            else:
                messages.success(
                    request,
                    gettext("A test code is on its way to %s. It signs nobody in.") % device,
                )

    @admin.action(description=_("Unlock the owner"), permissions=["change"])
    def unlock(self, request: HttpRequest, queryset: models.QuerySet[ChannelDevice]) -> None:
        owners = sorted({device.user_id for device in queryset})
        Lockout.lift(owners)
        for owner in owners:
            record(Lockout, "account_unlocked", user=owner, **_staff(request))
        self._apply(
            request,
            queryset,
            "Unlocked the owner.",
            reason="",
            throttling_failure_count=0,
            throttling_failure_timestamp=None,
        )

    @admin.action(description=_("Disable (it still counts as a factor)"), permissions=["change"])
    def disable(self, request: HttpRequest, queryset: models.QuerySet[ChannelDevice]) -> None:
        staff = ChannelDevice.Disabled.STAFF
        self._apply(request, queryset, "Disabled.", reason="disabled", disabled_reason=staff)

    @admin.action(description=_("Enable again"), permissions=["change"])
    def enable(self, request: HttpRequest, queryset: models.QuerySet[ChannelDevice]) -> None:
        self._apply(request, queryset, "Enabled.", reason="enabled", disabled_reason="")

    def _apply(
        self,
        request: HttpRequest,
        queryset: models.QuerySet[ChannelDevice],
        what: str,
        *,
        reason: str,
        **changes: Any,
    ) -> None:
        # Read before they change: afterwards a filtered list may hold none of them.
        devices = list(queryset)
        ChannelDevice.objects.filter(pk__in=[device.pk for device in devices]).update(**changes)
        for device in devices:
            self.log_change(request, device, what)
            if reason:
                device.record("device_changed", reason=reason, **_staff(request))
            if reason and device.confirmed:
                by = request.user.pk
                notices.tell(request, device.user, "device_changed", device=device, by=by)
        messages.success(
            request,
            ngettext("%(count)d device changed.", "%(count)d devices changed.", len(devices))
            % {"count": len(devices)},
        )


def _staff(request: HttpRequest) -> dict[str, Any]:
    """Return who of the staff did it, and where from, for the audit."""
    return {"by": request.user.pk, "client": client_of(request)}


def _tell_of_removed(request: HttpRequest, device: ChannelDevice) -> None:
    if device.confirmed:
        notices.tell(request, device.user, "device_removed", device=device, by=request.user.pk)


class ChannelDeviceInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    """The devices on the user's own page: add it to your ``UserAdmin.inlines``."""

    model = ChannelDevice
    extra = 0
    fields = ("name", "kind", "masked", "channel", "confirmed", "disabled_reason", "created_at")
    readonly_fields = fields
    show_change_link = True

    @admin.display(description=_("address"))
    def masked(self, device: ChannelDevice) -> str:
        return device.masked_address


class ShowsDeliveries:
    """The channel in words, and a status in which a send that is overdue reads as unknown."""

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Delivery]:
        return with_outcome(super().get_queryset(request))  # type: ignore[misc]

    @admin.display(description=_("channel"), ordering="channel")
    def way(self, delivery: Delivery) -> Any:
        channel = CHANNELS.get(delivery.channel)
        return channel.label if channel is not None else delivery.channel

    @admin.display(description=_("status"), ordering="outcome")
    def came_to(self, delivery: Delivery) -> Any:
        return Delivery.Outcome(delivery.outcome).label


class DeliveryInline(ShowsDeliveries, ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    """What became of the messages of one challenge, in order."""

    model = Delivery
    extra = 0
    fields = (
        "created_at", "way", "provider", "came_to", "error_code", "reason", "region", "segments",
        "finished_at",
    )  # fmt: skip
    readonly_fields = fields
    ordering = ("pk",)

    class Media:
        css = {"all": ("otp_channels/admin.css",)}  # noqa: RUF012


@admin.register(Challenge)
class ChallengeAdmin(Trail, admin.ModelAdmin):  # type: ignore[type-arg]
    """Who asked for a code, when, how it went out, and how it ended."""

    list_display = ("created_at", "user", "device", "purpose", "shown_state", "attempts", "sends")
    list_filter = ("purpose", "state", "created_at")
    list_select_related = ("user", "device")
    fields = (
        "user", "device", "purpose", "shown_state", "attempts", "sends", "created_at", "expires_at",
        "closed_at",
    )  # fmt: skip
    readonly_fields = ("shown_state",)
    inlines = (DeliveryInline,)
    ordering = ("-created_at",)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Challenge]:
        return super().get_queryset(request).annotate(db_now=Now())

    @admin.display(description=_("state"), ordering="state")
    def shown_state(self, challenge: Challenge) -> str:
        # Nothing closes a challenge whose time is over, so its stored state stays "open".
        if challenge.state == State.OPEN and challenge.expired:
            return gettext("expired")
        return challenge.get_state_display()

    def get_search_fields(self, _request: HttpRequest) -> tuple[str, ...]:
        user = self.model._meta.get_field("user").related_model
        return (f"user__{user.USERNAME_FIELD}",)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        if lookup.split("__", maxsplit=1)[0] in ("nonce", "key_id", "flow"):
            return False
        return super().lookup_allowed(lookup, value, request)


@admin.register(Refusal)
class RefusalAdmin(Trail, admin.ModelAdmin):  # type: ignore[type-arg]
    """Why somebody got no code: which limit refused the message, how often and when."""

    list_display = ("last_at", "user", "channel", "region", "limit", "count", "enforced")
    list_filter = ("limit", "channel", "enforced", "last_at")
    list_select_related = ("user",)
    fields = ("user", "channel", "region", "limit", "count", "enforced", "first_at", "last_at")
    ordering = ("-last_at",)

    def get_search_fields(self, _request: HttpRequest) -> tuple[str, ...]:
        user = self.model._meta.get_field("user").related_model
        return (f"user__{user.USERNAME_FIELD}",)


@admin.register(Delivery)
class DeliveryAdmin(ShowsDeliveries, Trail, admin.ModelAdmin):  # type: ignore[type-arg]
    """What became of all messages, and how the providers are."""

    list_display = (
        "created_at", "user", "way", "provider", "came_to", "error_code", "reason", "region",
        "segments",
    )  # fmt: skip
    list_filter = ("channel", "provider", "status", "reason", "region", "created_at")
    list_select_related = ("challenge__user",)
    fields = (
        "challenge", "user", "way", "provider", "message_id", "came_to", "error_code", "reason",
        "region", "segments", "created_at", "finished_at",
    )  # fmt: skip
    readonly_fields = ("user", "way", "came_to")
    ordering = ("-pk",)
    search_help_text = _("Search by the name of the user, or by the provider's id of a message.")

    @admin.display(description=_("user"))
    def user(self, delivery: Delivery) -> Any:
        return delivery.challenge.user

    def get_search_fields(self, _request: HttpRequest) -> tuple[str, ...]:
        user: Any = Challenge._meta.get_field("user").related_model
        return (f"challenge__user__{user.USERNAME_FIELD}", "message_id__exact")

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        # One is in the address that the provider's receipts come to, one tells ranges of numbers
        # apart.
        if lookup.split("__", maxsplit=1)[0] in ("reference", "prefix"):
            return False
        return super().lookup_allowed(lookup, value, request)

    def has_delete_permission(self, request: HttpRequest, *args: Any) -> bool:
        # One permission for all of it: a message is no more than a line of its challenge.
        return not self.on_own_page(request) and request.user.has_perm(
            "otp_channels.delete_challenge"
        )

    def get_urls(self) -> list[Any]:
        health = path(
            "health/",
            self.admin_site.admin_view(require_safe(self.health_view)),
            name=f"{self.opts.app_label}_{self.opts.model_name}_health",
        )
        return [health, *super().get_urls()]

    def health_view(self, request: HttpRequest) -> HttpResponse:
        """Show how the providers are. Sends nothing."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Provider health"),
            "opts": self.opts,
            "health": examine(),
            "hops_problem": hops_problem(request),
            "media": self.media + Media(css={"all": ["otp_channels/admin.css"]}),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/otp_channels/delivery/health.html", context)
