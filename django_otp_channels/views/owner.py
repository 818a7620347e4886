"""What the pages have in common that somebody looks after their own sign-in with."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render

from .. import audit, login, stepup
from ..clients import client_of
from ..messages import site_name
from ..models import ChannelDevice
from .base import PrivateView


class OwnerView(PrivateView):
    """A page of the person who is logged in (and therefore verified, where a code is due).

    ``for_newcomers``: also of a parked login whose user has no factor yet and must enrol one. A
    parked user who has one reaches no page of these: whoever knows only the password could
    otherwise add a phone of their own. ``needs_proof``: only within a short while of a password and
    a code (OWASP ASVS 7.5.1).
    """

    for_newcomers = False
    needs_proof = False
    template_name: str
    user: Any

    def turn_away(self, request: HttpRequest) -> HttpResponseBase | None:
        if request.user.is_authenticated:
            self.user = request.user
            if login.owes_code(request):
                return redirect("otp_channels:verify")
            return self.ask_for_proof() if self.needs_proof else None
        parked = login.parked_in(request.session)
        if parked is None:
            return redirect_to_login(request.get_full_path(), login.login_page())
        self.user = login.parked_user(parked)
        if self.user is None:
            return HttpResponseRedirect(login.cancel(request, reason="ended"))
        if not self.for_newcomers or login.has_factor(self.user, request):
            return redirect("otp_channels:verify")
        return None

    def ask_for_proof(self) -> HttpResponseBase | None:
        """Return the way to prove it again, and back to this page; None if it is proven."""
        if stepup.proven(self.request):
            return None
        return HttpResponseRedirect(stepup.begin(self.request, self.request.path))

    @property
    def parked(self) -> login.ParkedLogin | None:
        return login.parked_in(self.request.session)

    def show(self, **context: Any) -> HttpResponseBase:
        context = {
            "site_title": site_name(self.request.get_host()),
            "parked": self.parked is not None,
            **context,
        }
        return render(self.request, self.template_name, context)

    def own_device(self, pk: int) -> ChannelDevice:
        """Return the device ``pk`` of this very user; anybody else's is a 404 like no device."""
        device = ChannelDevice.objects.filter(pk=pk, user_id=self.user.pk).first()
        return device or self.not_yours()

    def not_yours(self) -> Any:
        """Raise ``Http404``, and record that somebody asked for what is not theirs."""
        audit.record("foreign_device", user=self.user.pk, client=client_of(self.request))
        raise Http404
