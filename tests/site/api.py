"""An API with every kind of credential, guarded and not."""

from __future__ import annotations

from typing import Any

from django.urls import path
from rest_framework import authentication
from rest_framework.authtoken.views import ObtainAuthToken
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt import authentication as jwt_authentication
from rest_framework_simplejwt import views as jwt_views
from rest_framework_simplejwt.tokens import SlidingToken

from django_otp_channels import rest_framework as guarded
from django_otp_channels import simplejwt as guarded_jwt


class Me(APIView):
    """Who an API takes this for, by the site's own default classes."""

    def get(self, request: Request) -> Response:
        return Response({"user": request.user.get_username()})


class MyToken(APIView):
    """A site's own page, on which who has logged in gets a token."""

    authentication_classes = (authentication.SessionAuthentication,)
    permission_classes = ()

    def post(self, request: Request) -> Response:
        token = guarded_jwt.token_for(request)
        return Response({"refresh": str(token), "access": str(token.access_token)})


class MySlidingToken(MyToken):
    def post(self, request: Request) -> Response:
        return Response({"token": str(guarded_jwt.token_for(request, SlidingToken))})


def guarded_by_permission(*authenticators: type[Any]) -> Any:
    """A view whose credentials are the packages' own, and whose permission is ours."""
    return Me.as_view(
        authentication_classes=authenticators, permission_classes=[guarded.IsFullyAuthenticated]
    )


urlpatterns = [
    path("me/", Me.as_view()),
    path(
        "permission/",
        guarded_by_permission(
            authentication.SessionAuthentication,
            authentication.BasicAuthentication,
            authentication.TokenAuthentication,
            jwt_authentication.JWTAuthentication,
        ),
    ),
    path(
        "stateless/",
        guarded_by_permission(jwt_authentication.JWTStatelessUserAuthentication),
    ),
    path("token/", ObtainAuthToken.as_view(serializer_class=guarded.AuthTokenSerializer)),
    path("my-token/", MyToken.as_view()),
    path("my-sliding-token/", MySlidingToken.as_view()),
    path(
        "jwt/",
        jwt_views.TokenObtainPairView.as_view(
            serializer_class=guarded_jwt.TokenObtainPairSerializer
        ),
    ),
    path(
        "jwt/refresh/",
        jwt_views.TokenRefreshView.as_view(serializer_class=guarded_jwt.TokenRefreshSerializer),
    ),
    path(
        "sliding/",
        jwt_views.TokenObtainSlidingView.as_view(
            serializer_class=guarded_jwt.TokenObtainSlidingSerializer
        ),
    ),
    path(
        "sliding/refresh/",
        jwt_views.TokenRefreshSlidingView.as_view(
            serializer_class=guarded_jwt.TokenRefreshSlidingSerializer
        ),
    ),
]
