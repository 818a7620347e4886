"""Settings of the example site. What belongs to django-otp-channels is at the end."""

from __future__ import annotations

import os
from pathlib import Path

import django
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = "of-this-demo-only-and-known-to-everybody"
DEBUG = True  # this is a demo: the phone simulator shows every code to everybody
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]

INSTALLED_APPS = [
    "example",  # before the package, so that its templates override the package's
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_otp",
    "django_otp.plugins.otp_static",
    "django_otp.plugins.otp_totp",
    "django_otp_channels",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django_otp_channels.middleware.LoginStepMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
if django.VERSION >= (6, 0):
    # The package's pages need nothing but their own files, not even an inline style.
    MIDDLEWARE.insert(1, "django.middleware.csp.ContentSecurityPolicyMiddleware")
    SECURE_CSP = {
        "default-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "object-src": ["'none'"],
    }
ROOT_URLCONF = "example.urls"
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
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("EXAMPLE_DB", BASE_DIR / "db.sqlite3"),
        "OPTIONS": {"timeout": 30, "transaction_mode": "IMMEDIATE"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"

# EXAMPLE_LOOK=bootstrap or tailwind: the package's pages in the look of a site with that framework.
if look := os.environ.get("EXAMPLE_LOOK"):
    LOOKS = BASE_DIR / "looks"
    if look not in {folder.name for folder in LOOKS.iterdir()}:
        message = f"EXAMPLE_LOOK is {look!r}. There are bootstrap and tailwind."
        raise ImproperlyConfigured(message)
    TEMPLATES[0]["DIRS"] = [LOOKS / look / "templates"]
    STATICFILES_DIRS = [LOOKS / look / "static"]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
LANGUAGES = [("en", "English")]
USE_TZ = True
LOGIN_REDIRECT_URL = "members"
LOGOUT_REDIRECT_URL = "home"

# Notices by e-mail are printed on the terminal.
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": "django.core.mail.backends.console.EmailBackend"}}
else:
    EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"

# -- django-otp-channels ---------------------------------------------------------------------

LOGIN_URL = "otp_channels:login"

# Every channel leads to the phone simulator. With real providers the entries would read
# "django_otp_channels.backends.twilio.SMS", "….twilio.Voice" and "….fcm.Push".
OTP_CHANNELS = {
    "sms": [{"BACKEND": "example.phone.SMS"}],
    "voice": [{"BACKEND": "example.phone.Voice"}],
    "push": [{"BACKEND": "example.phone.Push"}],
}
OTP_CHANNELS_COUNTRIES = ["US", "GB", "DE"]
OTP_CHANNELS_SITE_NAME = "Example Bank"
# Where providers send their receipts. The simulated one knows the way to this machine.
OTP_CHANNELS_BASE_URL = "https://bank.example.com"
DEMO_SERVER = "http://127.0.0.1:8000"
OTP_CHANNELS_POLICY = "everyone"
OTP_CHANNELS_TRUST_DAYS = 30
# Whoever tries the demo signs in more often than people do.
OTP_CHANNELS_LIMITS = {
    f"{part}.{bucket}": {86400: 10_000}
    for part in ("login", "enrol", "notice")
    for bucket in ("number", "user", "prefix", "country", "site")
}
# Shorter than the default, so that nobody who tries the demo waits half a minute.
OTP_CHANNELS_SEND_COOLDOWNS = (6, 10, 20, 30)
