"""The page that asks somebody who is logged in for the password again."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import logout
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from .. import login, sessions, stepup
from ..exceptions import TooManyTries
from ..forms import PasswordForm
from ..messages import site_name
from .base import PrivateView


class ReauthView(PrivateView):
    """The password first, so that whoever has only a stolen session cannot make phones ring."""

    template_name = "otp_channels/reauth.html"
    step: stepup.StepUp

    def turn_away(self, request: HttpRequest) -> HttpResponseBase | None:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path(), login.login_page())
        step = stepup.step_in(request)
        if step is None or login.owes_code(request):
            return redirect("otp_channels:devices")
        self.step = step
        return None

    def get(self, request: HttpRequest) -> HttpResponseBase:
        if not stepup.lacks_password(request):
            return redirect("otp_channels:verify")
        return self.show(PasswordForm())

    @sensitive_variables()
    def post(self, request: HttpRequest) -> HttpResponseBase:
        user: Any = request.user
        if "sign_out" in request.POST:
            return self.sign_out()
        if not stepup.lacks_password(request):
            return redirect("otp_channels:verify")
        if not user.has_usable_password():
            return self.show(PasswordForm())
        form = PasswordForm(request.POST)
        if form.is_valid():
            try:
                right = stepup.enter_password(request, form.cleaned_data["password"])
            except TooManyTries as refused:
                return self.show(form, refused=str(refused))
            else:
                if right:
                    return HttpResponseRedirect(stepup.ask_for_code(request, self.step))
                form.add_error("password", _("This password is not right."))
        return self.show(form)

    def sign_out(self) -> HttpResponseBase:
        """Have somebody sign in anew, in their own way, and come back."""
        stepup.drop(self.request)
        logout(self.request)
        signed_out = _("You are signed out. Please sign in again.")
        sessions.leave_news(self.request.session, signed_out)
        return redirect_to_login(self.step.next, login.login_page())

    def show(self, form: PasswordForm, refused: str = "") -> HttpResponseBase:
        user: Any = self.request.user
        context = {
            "form": form,
            "username": user.get_username(),
            "has_password": user.has_usable_password(),
            "refused": refused,
            "site_title": site_name(self.request.get_host()),
        }
        return render(self.request, self.template_name, context)
