"""The URLs of the example site."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

from . import views

urlpatterns = [
    path("", views.home, name="home"),
    path("members/", views.members, name="members"),
    path("account/", include("django_otp_channels.urls")),
    path("sign-out/", LogoutView.as_view(), name="sign_out"),
    path("favicon.ico", RedirectView.as_view(url=static("example/icon.svg"))),
    path("admin/", admin.site.urls),
    path("phone/", views.phone, name="phone"),
    path("phone/screen/", views.phone_screen, name="phone_screen"),
    path("phone/clear/", views.phone_clear, name="phone_clear"),
    path("phone/calls/<int:pk>/<slug:act>/", views.phone_call, name="phone_call"),
    path("phone/calls/<int:pk>/press/<int:digit>/", views.phone_key, name="phone_key"),
    path("phone/trouble/<str:kind>/<str:channel>/", views.phone_trouble, name="phone_trouble"),
]
