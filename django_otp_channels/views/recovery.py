"""Recovery codes: made, shown once, and taken along as a file."""

from __future__ import annotations

import re

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from .. import enrolment
from ..messages import site_name
from ..models import ChannelDevice, RecoveryDevice
from ..models.recovery import COUNT
from ..others import has_other_factor
from .owner import OwnerView

_CODE = re.compile(r"[0-9a-z]{4}(-[0-9a-z]{4}){3}", re.ASCII)


class RecoveryCodesView(OwnerView):
    """How many are left (GET), and new ones in place of all older ones (POST): shown this once."""

    needs_proof = True
    template_name = "otp_channels/recovery_codes.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        recovery = RecoveryDevice.objects.filter(user_id=self.user.pk).first()
        return self.show(left=recovery.left if recovery else None, has_factor=self._has_factor())

    @sensitive_variables()
    def post(self, request: HttpRequest) -> HttpResponseBase:
        if not self._has_factor():
            return self.get(request)
        return self.show(codes=enrolment.make_recovery_codes(request, self.user))

    def _has_factor(self) -> bool:
        proven = ChannelDevice.objects.filter(user_id=self.user.pk, confirmed=True)
        return proven.exists() or has_other_factor(self.user)


class RecoveryFileView(OwnerView):
    """POST: the codes that were just shown, as a file. Nobody else knows them any more.

    They come from the page itself, since they are stored nowhere, and in a form's body, since a URL
    would stay in the browser's history.
    """

    http_method_names = ["post", "options"]  # noqa: RUF012

    @sensitive_variables()
    def post(self, request: HttpRequest) -> HttpResponseBase:
        shown = [code for code in request.POST.getlist("code") if _CODE.fullmatch(code)][:COUNT]
        title = _("Recovery codes for %(site)s") % {"site": site_name(request.get_host())}
        advice = _("Each of them signs you in once, in place of a code on your phone.")
        lines = [title, advice, "", *shown, ""]
        response = HttpResponse("\r\n".join(lines), content_type="text/plain; charset=utf-8")
        response["Content-Disposition"] = 'attachment; filename="recovery-codes.txt"'
        return response
