"""The name of the site, where the ``sites`` framework is installed and not set up."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import django
from django.conf import settings

settings.configure(
    SECRET_KEY="x",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sites",
        "django_otp",
        "django_otp_channels",
    ],
)
django.setup()

from django_otp_channels.messages import site_name

print(site_name("www.example.com"), "|", site_name())
"""


def test_a_site_id_that_is_missing_costs_the_name_and_no_page():
    # In a process of its own: an app that comes and goes would stay in the registry of this one.
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "www.example.com | this site"
