"""The pages that ``tests.bench`` visits."""

from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.urls import include, path


@login_required
def private(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("private page")


urlpatterns = [
    path("login/", LoginView.as_view(template_name="otp_channels/login.html")),
    path("private/", private),
    path("account/", include("django_otp_channels.urls")),
]
