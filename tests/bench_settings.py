"""A small site: Django's own parts, django-otp and the package. For ``tests.bench``."""

from .settings import *  # noqa: F403
from .settings import MIDDLEWARE as _MIDDLEWARE

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django_otp",
    "django_otp_channels",
]
MIDDLEWARE = [
    path for path in _MIDDLEWARE if not path.startswith(("allauth", "django.contrib.messages"))
]
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
ROOT_URLCONF = "tests.bench_urls"
