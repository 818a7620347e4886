"""An authenticator app: its key shown once, proven by a code, and removed."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from .. import authenticators, enrolment, login, sessions
from ..exceptions import SendNotAllowed
from ..forms import OtherTokenForm
from ..messages import site_name
from .owner import OwnerView


class AuthenticatorView(OwnerView):
    """A page of one app. A site without django-otp's plugin has none."""

    needs_proof = True

    def app(self, pk: int) -> Any:
        return authenticators.owned(self.user, pk) or self.not_yours()


class AddAuthenticatorView(AuthenticatorView):
    """Say what an authenticator app is (GET), and make the key of one (POST)."""

    for_newcomers = True
    template_name = "otp_channels/add_authenticator.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        if not authenticators.installed():
            raise Http404
        return self.show(full=not authenticators.may_add(self.user))

    def post(self, request: HttpRequest) -> HttpResponseBase:
        if not authenticators.may_add(self.user):
            return self.get(request)
        app = authenticators.start(self.user)
        return redirect("otp_channels:confirm_authenticator", app.pk)


class ConfirmAuthenticatorView(AuthenticatorView):
    """Show the key until the app has proven that it has it."""

    for_newcomers = True
    template_name = "otp_channels/confirm_authenticator.html"

    def get(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        return self._show_key(OtherTokenForm(numeric=True), self.app(pk))

    @sensitive_variables()
    def post(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        app = self.app(pk)
        form = OtherTokenForm(request.POST, numeric=True)
        if not app.confirmed and form.is_valid():
            token = "".join(form.cleaned_data["token"].split())
            if authenticators.prove(app, token):
                onwards = enrolment.finish_authenticator(request, self.user, app)
                if onwards is None:
                    sessions.leave_news(request.session, _("Your authenticator app is added."))
                return HttpResponseRedirect(onwards or reverse("otp_channels:devices"))
            form.add_error(
                "token", _("This code is not right. Wait for the app to show the next one.")
            )
        return self._show_key(form, app)

    @sensitive_variables()
    def _show_key(self, form: OtherTokenForm, app: Any) -> HttpResponseBase:
        if app.confirmed:  # its key is never shown again
            return redirect("otp_channels:devices")
        site = site_name(self.request.get_host())
        picture = authenticators.qr_code(app, username=self.user.get_username(), site=site)
        return self.show(
            form=form,
            key=authenticators.key_of(app),
            # Made by a library of nothing but our own URL.
            qr_code=mark_safe(picture),  # noqa: S308
        )


class RemoveAuthenticatorView(AuthenticatorView):
    """Ask whether to remove an app (GET), and do it (POST)."""

    template_name = "otp_channels/remove_device.html"

    def get(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        app = self.app(pk)
        must_enrol = login.must_enrol(self.user, request)
        last = not must_enrol and enrolment.is_last_factor(self.user, app)
        return self.show(device=app.name, app=True, last=last)

    def post(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        app = self.app(pk)
        try:
            enrolment.remove(request, app)
        except SendNotAllowed as refused:
            return self.show(device=app.name, app=True, refused=str(refused))
        sessions.leave_news(request.session, _("%(device)s is removed.") % {"device": app.name})
        return redirect("otp_channels:devices")
