"""SimpleJWT: a token says by which device a code was entered, or is refused.

A password alone gets no token where the account needs a code. :func:`token_for` makes one for who
is logged in with a code. Such a token says so as django-otp's session does, so that it is worth no
more than a password once that device is gone.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django_otp import DEVICE_ID_SESSION_KEY
from django_otp.models import Device
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework_simplejwt import authentication, serializers
from rest_framework_simplejwt.tokens import RefreshToken, Token

from .rest_framework import SecondFactorMixin, refuse_without_code

DEVICE_CLAIM = DEVICE_ID_SESSION_KEY


def token_for(request: Request | HttpRequest, token_class: type[Token] = RefreshToken) -> Token:
    """Return a new token of who is logged in with a session, the code included.

    Raises DRF's ``NotAuthenticated`` for nobody, and ``OTPRequired`` if the code is missing.
    """
    user: Any = request.user
    if not user.is_authenticated:
        raise exceptions.NotAuthenticated
    refuse_without_code(user, request)
    token = token_class.for_user(user)
    device = getattr(user, "otp_device", None)
    if device is not None:
        token[DEVICE_CLAIM] = device.persistent_id
    return token


class JWTAuthentication(SecondFactorMixin, authentication.JWTAuthentication):
    """SimpleJWT's own, for accounts that need no code and for tokens of :func:`token_for`."""

    def get_user(self, validated_token: Token) -> Any:
        user: Any = super().get_user(validated_token)
        user.otp_device = _device(user, validated_token)
        return user


def _device(user: Any, token: Token) -> Device | None:
    named = token.get(DEVICE_CLAIM)
    device = Device.from_persistent_id(named) if isinstance(named, str) else None
    if device is None or device.user_id != user.pk or not device.confirmed:
        return None
    return device


class _Obtain(serializers.TokenObtainSerializer):
    """Stands below SimpleJWT's serializers, so that it refuses before there is a token."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        data = super().validate(attrs)
        refuse_without_code(self.user, self.context["request"])
        return data


class TokenObtainPairSerializer(serializers.TokenObtainPairSerializer, _Obtain):
    """For ``SIMPLE_JWT["TOKEN_OBTAIN_SERIALIZER"]``."""


class TokenObtainSlidingSerializer(serializers.TokenObtainSlidingSerializer, _Obtain):
    """For ``SIMPLE_JWT["SLIDING_TOKEN_OBTAIN_SERIALIZER"]``."""


class TokenRefreshSerializer(serializers.TokenRefreshSerializer):
    """For ``SIMPLE_JWT["TOKEN_REFRESH_SERIALIZER"]``."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        _refuse_refresh(self.token_class(attrs["refresh"]), self.context)
        return super().validate(attrs)


class TokenRefreshSlidingSerializer(serializers.TokenRefreshSlidingSerializer):
    """For ``SIMPLE_JWT["SLIDING_TOKEN_REFRESH_SERIALIZER"]``."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        _refuse_refresh(self.token_class(attrs["token"]), self.context)
        return super().validate(attrs)


def _refuse_refresh(token: Token, context: dict[str, Any]) -> None:
    refuse_without_code(JWTAuthentication().get_user(token), context["request"])
