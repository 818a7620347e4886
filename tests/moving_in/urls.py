from __future__ import annotations

from django.apps import apps
from django.urls import include, path

urlpatterns = [path("account/", include("django_otp_channels.urls"))]
if apps.is_installed("two_factor"):
    from two_factor.urls import urlpatterns as _two_factor

    urlpatterns += [path("old/", include(_two_factor))]
