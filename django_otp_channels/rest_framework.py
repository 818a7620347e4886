"""Django REST framework: credentials that make no session, and so never meet the middleware.

A password in each request (Basic) or a token is one factor, however long it is. Who needs a code
is refused here with 403 and ``{"detail": "…", "code": "otp_required"}``. DRF's
``SessionAuthentication`` needs nothing of this: the middleware has seen its session.
"""

from __future__ import annotations

from typing import Any, cast

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from rest_framework import authentication, exceptions, permissions
from rest_framework.authtoken import serializers
from rest_framework.request import Request

from . import login

OTP_REQUIRED = {"detail": _("Log in with a one-time code first."), "code": "otp_required"}


class OTPRequired(exceptions.PermissionDenied):
    """The credentials are right, and the account needs a code as well."""

    def __init__(self) -> None:
        super().__init__(OTP_REQUIRED)


def refuse_without_code(user: Any, request: Request | HttpRequest) -> None:
    """Raise ``OTPRequired`` if this user needs a code and has entered none."""
    # The policy gets Django's own request: DRF's would ask the authenticators who this is, again.
    if login.lacks_code(user, getattr(request, "_request", request)):
        raise OTPRequired


class IsFullyAuthenticated(permissions.IsAuthenticated):
    """Allow who is logged in, with a code where the policy asks for one.

    In ``DEFAULT_PERMISSION_CLASSES`` it guards every view that does not choose its own.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if not super().has_permission(request, view):
            return False
        if isinstance(
            request.successful_authenticator, authentication.SessionAuthentication
        ) and login.is_in_trusted_browser(request._request):
            return True  # the middleware has judged the session, as for every page
        try:
            refuse_without_code(request.user, request)
        except OTPRequired as refusal:
            # Said in DRF's manner, so that this can be combined with other permissions.
            self.message = refusal.detail
            return False
        return True


class SecondFactorMixin:
    """Stands before any authentication class, and refuses whoever still needs a code."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        found = cast("tuple[Any, Any] | None", super().authenticate(request))  # type: ignore[misc]
        if found is not None:
            refuse_without_code(found[0], request)
        return found


class BasicAuthentication(SecondFactorMixin, authentication.BasicAuthentication):
    """DRF's own, for accounts that need no code."""


class TokenAuthentication(SecondFactorMixin, authentication.TokenAuthentication):
    """DRF's own, for accounts that need no code."""


class AuthTokenSerializer(serializers.AuthTokenSerializer):
    """Has ``ObtainAuthToken`` give a token for a password only where that is enough.

    ``ObtainAuthToken.as_view(serializer_class=AuthTokenSerializer)``.
    """

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        refuse_without_code(attrs["user"], self.context["request"])
        return attrs
