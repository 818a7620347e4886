"""The app's entry in ``INSTALLED_APPS``."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import Tags, register
from django.utils.translation import gettext_lazy as _


class OTPChannelsConfig(AppConfig):
    """Connects the login step to Django's ``user_logged_in``, and registers the checks."""

    name = "django_otp_channels"
    label = "otp_channels"
    verbose_name = _("One-time codes")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.contrib.auth.signals import user_logged_in, user_logged_out

        from . import checks, login

        user_logged_in.connect(login.park_on_login, dispatch_uid="otp_channels.park_on_login")
        user_logged_out.connect(login.end_on_logout, dispatch_uid="otp_channels.end_on_logout")
        register(checks.check_settings, Tags.security)
        register(checks.check_backends, Tags.security)
        register(checks.check_hook, Tags.security)
        register(checks.check_cache, Tags.caches)
        register(checks.check_proxies, Tags.security)
        register(checks.check_database, Tags.database)
        register(checks.check_middleware, Tags.security)
        register(checks.check_urls, Tags.urls)
        register(checks.check_ways_in, Tags.security)
        register(checks.check_deployment, Tags.security, deploy=True)
