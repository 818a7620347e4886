"""URLs of the site that the tests log in to."""

from allauth.headless.constants import Client
from allauth.headless.urls import build_urlpatterns
from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import include, path

from . import api, views
from .admin import otp_admin, second_admin

urlpatterns = [
    path("", views.public, name="public"),
    path("private/", views.private, name="private"),
    path("verified-only/", views.verified_only, name="verified_only"),
    path("whoami/", views.whoami, name="whoami"),
    path("awhoami/", views.awhoami, name="awhoami"),
    path("login/", auth.LoginView.as_view(template_name="otp_channels/login.html"), name="login"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path("custom-login/", views.custom_login, name="custom_login"),
    path("async-login/", views.async_login, name="async_login"),
    path("stock-verify/", views.stock_verify),
    path("wrapped-login/", views.wrapped_login),
    path("any-login/", views.any_login),
    path("login-and-reload/", views.login_and_reload),
    path("reload-and-write/", views.reload_and_write),
    path("<path:tenant>/signin/", auth.LoginView.as_view(template_name="otp_channels/login.html")),
    path("by-hand/", views.session_keys_by_hand, name="by_hand"),
    path(
        "reset/<uidb64>/<token>/",
        auth.PasswordResetConfirmView.as_view(
            post_reset_login=True,
            post_reset_login_backend="django.contrib.auth.backends.ModelBackend",
        ),
        name="password_reset_confirm",
    ),
    path("reset/done/", views.public, name="password_reset_complete"),
    path("account/", include("django_otp_channels.urls")),
    path("allauth/", include("allauth.urls")),
    path("_allauth/", include("allauth.headless.urls")),
    path("_allauth/app/", include((build_urlpatterns(Client.APP), "headless"), namespace="app")),
    path("hijack/", include("hijack.urls")),
    path("api/", include(api.urlpatterns)),
    path("admin/", admin.site.urls),
    path("second-admin/", second_admin.urls),
    path("otp-admin/", otp_admin.urls),
]
