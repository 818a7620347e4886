"""A site that has moved in: the database of before, our app, and the old ones gone."""

from __future__ import annotations

import os

SECRET_KEY = "only-for-the-tests-of-this-package"
ALLOWED_HOSTS = ["testserver"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("OTP_CHANNELS_OLD_DATABASE", ""),
    }
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ROOT_URLCONF = "tests.moving_in.urls"
USE_TZ = True
LOGIN_URL, LOGIN_REDIRECT_URL = "otp_channels:login", "otp_channels:devices"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django_otp",
    "django_otp.plugins.otp_static",
    "django_otp.plugins.otp_totp",
    "django_otp_channels",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django_otp_channels.middleware.LoginStepMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]
OTP_CHANNELS = {
    "sms": [{"BACKEND": "django_otp_channels.backends.memory.SMS"}],
    "voice": [{"BACKEND": "django_otp_channels.backends.memory.Voice"}],
}
OTP_CHANNELS_COUNTRIES = ["US", "GB", "MX"]
