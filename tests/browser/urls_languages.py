"""The example site, and how to get at once to pages for which one would have to wait."""

from __future__ import annotations

from datetime import timedelta

from django.db import OperationalError
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.urls import path
from example.urls import urlpatterns as of_the_example

from django_otp_channels.models import Challenge
from django_otp_channels.outage import unavailable


def busy(request: HttpRequest) -> HttpResponse:
    response = unavailable(request, OperationalError())
    response.status_code = 200  # a browser's console complains of any other
    return response


def expire(_request: HttpRequest) -> HttpResponse:
    Challenge.objects.update(expires_at=Now() - timedelta(seconds=1))
    return HttpResponse("done")


def age(request: HttpRequest) -> HttpResponse:
    """Let the password and the code of this session have been given long ago."""
    kept = request.session["otp_channels"]
    for name in kept["given"].keys() - {"user"}:
        kept["given"][name] -= 600
    request.session.modified = True
    return HttpResponse("done")


urlpatterns = [
    *of_the_example,
    path("busy/", busy),
    path("expire/", expire),
    path("age/", age),
]
