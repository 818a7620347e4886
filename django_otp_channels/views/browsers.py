"""A person's trusted browsers: end the trust in one of them, or in all."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from .. import sessions, stepup, trust
from ..clients import client_of
from .owner import OwnerView


class _RevokingView(OwnerView):
    http_method_names = ["post", "options"]  # noqa: RUF012
    needs_proof = True

    def ask_for_proof(self) -> HttpResponseBase | None:
        # Back to the page with the button, since nothing may happen by a redirect.
        if stepup.proven(self.request):
            return None
        return HttpResponseRedirect(stepup.begin(self.request, reverse("otp_channels:devices")))


class RevokeView(_RevokingView):
    """POST: ask for a code again in one browser. Anybody else's is a 404 like no browser."""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        if not trust.revoke(request, self.user, pk):
            raise Http404
        sessions.leave_news(request.session, _("That browser is asked for a code again."))
        return redirect("otp_channels:devices")


class RevokeAllView(_RevokingView):
    """POST: ask for a code again in all browsers."""

    def post(self, request: HttpRequest) -> HttpResponseBase:
        trust.end_all(self.user, client=client_of(request))
        sessions.leave_news(request.session, _("All browsers are asked for a code again."))
        return redirect("otp_channels:devices")
