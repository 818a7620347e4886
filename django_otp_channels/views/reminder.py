"""The reminder, after a login, that a device must be added soon."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.utils import timezone

from .. import login
from ..conf import conf
from .owner import OwnerView


class RemindView(OwnerView):
    """GET: add a device now, or not now. POST: not now; on to where the login wanted to go."""

    template_name = "otp_channels/remind.html"

    def turn_away(self, request: HttpRequest) -> HttpResponseBase | None:
        away = super().turn_away(request)
        if away is None and not login.is_reminded(self.user, request):
            return self._go_on(request)
        return away

    def get(self, request: HttpRequest) -> HttpResponseBase:
        end = conf.GRACE
        if isinstance(end, datetime):
            end = timezone.localtime(end)
        return self.show(end=end, at_an_hour=isinstance(end, datetime))

    def post(self, request: HttpRequest) -> HttpResponseBase:
        return self._go_on(request)

    def _go_on(self, request: HttpRequest) -> HttpResponseBase:
        then = login.after_reminder(request.session)
        return HttpResponseRedirect(then or resolve_url(settings.LOGIN_REDIRECT_URL))
