"""In the admin, the pages of one person's second factor: what there is, unlock, and reset.

They stand below the list of devices, so that they need no change of the site's own ``UserAdmin``.
:class:`SecondFactorMixin` and :class:`SecondFactorFilter` bring them there if it wants them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import models, router
from django.forms import Media
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from . import factors

PERSON = "otp_channels_channeldevice_person"
RESET = f"{PERSON}_reset"
UNLOCK = f"{PERSON}_unlock"
VIEW = "otp_channels.view_channeldevice"
STYLES = ("admin/css/forms.css", "otp_channels/admin.css")
MAY_RESET = "otp_channels.reset_second_factor"
END_TRUST = f"{PERSON}_end_trust"
MAY_END_TRUST = "otp_channels.delete_trustedbrowser"
MAY_UNLOCK = "otp_channels.change_channeldevice"


class ReasonForm(forms.Form):
    """Why a second factor is reset: a line for the log."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=200,
        widget=forms.TextInput(attrs={"class": "vTextField", "autofocus": True}),
        help_text=_(
            "How you made sure that it is this person who asks, and for what. It is kept in the "
            "log, so name no phone number and no code."
        ),
        error_messages={"required": _("Say why: it is kept in the log.")},
    )

    def clean_reason(self) -> str:
        reason = str(self.cleaned_data["reason"])
        if not reason.isprintable():
            raise ValidationError(gettext("Use one line of plain text."))
        return reason


class PersonPages(admin.ModelAdmin):  # type: ignore[type-arg]
    """The views, for the admin of the devices. Its URLs stand before Django's own."""

    def person_urls(self) -> list[Any]:
        site = self.admin_site
        return [
            path(
                "person/<path:object_id>/reset/",
                site.admin_view(require_http_methods(["GET", "HEAD", "POST"])(self.reset_view)),
                name=RESET,
            ),
            path(
                "person/<path:object_id>/unlock/",
                site.admin_view(require_POST(self.unlock_view)),
                name=UNLOCK,
            ),
            path(
                "person/<path:object_id>/end-trust/",
                site.admin_view(require_POST(self.end_trust_view)),
                name=END_TRUST,
            ),
            path(
                "person/<path:object_id>/",
                site.admin_view(require_safe(self.person_view)),
                name=PERSON,
            ),
        ]

    def has_reset_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(MAY_RESET)

    def person_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show what there is. Changes nothing."""
        _demand(request, VIEW)
        person = _person(object_id)
        return self._show(
            request,
            "person",
            person,
            title=gettext("Second factor of %(user)s") % {"user": person},
            may_reset=self.has_reset_permission(request),
            may_unlock=request.user.has_perm(MAY_UNLOCK),
            may_end_trust=request.user.has_perm(MAY_END_TRUST),
        )

    def reset_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for the reason and show what will be removed (GET), and do it (POST)."""
        _demand(request, VIEW, MAY_RESET)
        person = _person(object_id)
        refusal = _why_not(request, person)
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if not refusal and form.is_valid():
            reason = form.cleaned_data["reason"]
            count = factors.reset(person, by=request.user.pk, reason=reason, request=request)
            self.log_change(request, person, f"Reset the second factor. Reason: {reason}")
            messages.success(request, self._removed(count))
            return HttpResponseRedirect(self._url(PERSON, person))
        return self._show(
            request,
            "reset",
            person,
            title=gettext("Reset the second factor of %(user)s?") % {"user": person},
            form=form,
            refusal=refusal,
        )

    def unlock_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        _demand(request, VIEW, MAY_UNLOCK)
        person = _person(object_id)
        factors.unlock(person, by=request.user.pk, request=request)
        self.log_change(request, person, "Unlocked the second factor.")
        messages.success(request, gettext("Wrong codes of the past no longer count."))
        return HttpResponseRedirect(self._url(PERSON, person))

    def end_trust_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        _demand(request, VIEW, MAY_END_TRUST)
        person = _person(object_id)
        count = factors.end_trust(person, by=request.user.pk, request=request)
        self.log_change(request, person, "Ended all trusted browsers.")
        sentence = ngettext(
            "%(count)d browser is trusted no more.",
            "%(count)d browsers are trusted no more.",
            count,
        )
        messages.success(request, sentence % {"count": count})
        return HttpResponseRedirect(self._url(PERSON, person))

    @admin.action(description=_("Reset the second factor of the owner"), permissions=["reset"])
    def reset_owner(
        self, request: HttpRequest, queryset: models.QuerySet[Any]
    ) -> HttpResponse | None:
        owners = {device.user_id: device.user for device in queryset.select_related("user")}
        if len(owners) != 1:
            messages.warning(request, gettext("Choose devices of one person only."))
            return None
        return HttpResponseRedirect(self._url(RESET, owners.popitem()[1]))

    def _removed(self, count: int) -> str:
        return ngettext(
            "%(count)d device was removed, and any lock lifted. The owner is told.",
            "%(count)d devices were removed, and any lock lifted. The owner is told.",
            count,
        ) % {"count": count}

    def _url(self, name: str, person: Any) -> str:
        return reverse(f"admin:{name}", args=[quote(person.pk)], current_app=self.admin_site.name)

    def _show(
        self, request: HttpRequest, template: str, person: Any, **context: Any
    ) -> HttpResponse:
        request.current_app = self.admin_site.name
        return TemplateResponse(
            request,
            f"admin/otp_channels/channeldevice/{template}.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "person": person,
                "overview": factors.overview_of(person),
                "media": self.media
                + Media(css={"all": ["admin/css/forms.css", "otp_channels/admin.css"]}),
                **context,
            },
        )


def _demand(request: HttpRequest, *permissions: str) -> None:
    if not request.user.has_perms(permissions):
        raise PermissionDenied


def _person(object_id: str) -> Any:
    model = get_user_model()
    rows = model._default_manager.using(router.db_for_write(model))
    try:
        return rows.get(pk=unquote(object_id))
    except (model.DoesNotExist, ValueError, ValidationError):
        raise Http404 from None


def _why_not(request: HttpRequest, person: Any) -> str:
    """Return why this member of staff may not reset this person, empty if they may."""
    if person.pk == request.user.pk:
        # Whoever sits down at an open session would else shed the factor without proving it.
        return gettext("You cannot reset your own second factor. Ask a colleague.")
    if getattr(person, "is_superuser", False) and not getattr(request.user, "is_superuser", False):
        return gettext("Only a superuser can reset the second factor of a superuser.")
    return ""


class SecondFactorFilter(admin.SimpleListFilter):
    """Who has a second factor, for the list of your ``UserAdmin``: ``list_filter``."""

    title = _("second factor")
    parameter_name = "second_factor"

    def lookups(self, _request: HttpRequest, _admin: Any) -> Sequence[tuple[str, Any]]:
        return [("none", _("has none")), ("any", _("has one")), ("locked", _("locked"))]

    def queryset(
        self, _request: HttpRequest, queryset: models.QuerySet[Any]
    ) -> models.QuerySet[Any]:
        if self.value() == "none":
            return queryset.filter(~factors.factor_exists())
        if self.value() == "any":
            return queryset.filter(factors.factor_exists())
        if self.value() == "locked":
            return queryset.filter(factors.lock_exists())
        return queryset


class SecondFactorMixin:
    """A line on the user's page that leads to the second factor: put it before ``UserAdmin``."""

    admin_site: admin.AdminSite

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)  # type: ignore[misc]
        return (*fields, "second_factor")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)  # type: ignore[misc]
        if obj is None or not request.user.has_perm(VIEW):
            return fieldsets
        return (*fieldsets, (_("Second factor"), {"fields": ("second_factor",)}))

    @admin.display(description=_("second factor"))
    def second_factor(self, user: Any) -> str:
        overview = factors.overview_of(user)
        words = gettext("has one") if overview.has_factor else gettext("has none")
        if overview.lock is not None:
            words = gettext("%(state)s, locked") % {"state": words}
        try:
            url = reverse(
                f"admin:{PERSON}", args=[quote(user.pk)], current_app=self.admin_site.name
            )
        except NoReverseMatch:  # the devices have no page on this site
            return words
        return format_html('<a href="{}">{}</a>', url, words)
