"""Settings of the test suite. ``DATABASE_URL`` picks another database than SQLite."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import dj_database_url

SECRET_KEY = "only-for-the-tests-of-this-package"
USE_TZ = True
TIME_ZONE = "Europe/Berlin"
LANGUAGE_CODE = "en"
ROOT_URLCONF = "tests.site.urls"
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# A file, not ":memory:": races need several connections to one database.
_SQLITE = Path(tempfile.gettempdir()) / f"otp-channels-{os.getuid()}-{os.getppid()}.sqlite3"
DATABASES = {"default": dj_database_url.config(default=f"sqlite:///{_SQLITE}")}
if DATABASES["default"]["NAME"] == str(_SQLITE):
    DATABASES["default"]["OPTIONS"] = {"timeout": 30, "transaction_mode": "IMMEDIATE"}
    DATABASES["default"]["TEST"] = {"NAME": str(_SQLITE.with_suffix(".test.sqlite3"))}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.headless",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.dummy",
    "django_otp",
    "django_otp.plugins.otp_email",
    "django_otp.plugins.otp_static",
    "django_otp.plugins.otp_totp",
    "django_otp_channels",
    "hijack",
    "rest_framework",
    "rest_framework.authtoken",
    "tests.site",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_otp_channels.middleware.LoginStepMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STATIC_URL = "static/"
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/private/"

# The app client's pages are in tests.site.urls all the same: see tests/journeys/test_ways_in.py.
HEADLESS_CLIENTS = ("browser",)
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.SessionAuthentication",
        "django_otp_channels.rest_framework.BasicAuthentication",
        "django_otp_channels.rest_framework.TokenAuthentication",
        "django_otp_channels.simplejwt.JWTAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
}

# Django's test runner makes it a list in memory, as it does with EMAIL_BACKEND before 6.1.
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.smtp.EmailBackend"}}

OTP_CHANNELS = {
    "sms": [{"BACKEND": "django_otp_channels.backends.memory.SMS"}],
    "voice": [{"BACKEND": "django_otp_channels.backends.memory.Voice"}],
    "push": [{"BACKEND": "django_otp_channels.backends.memory.Push"}],
}
OTP_CHANNELS_COUNTRIES = ["US", "GB", "DE"]
OTP_CHANNELS_SITE_NAME = "Example"
OTP_CHANNELS_BASE_URL = "https://www.example.com"
