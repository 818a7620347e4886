"""The example site in languages that only a test speaks. ``PSEUDO_LOCALE`` names their folder."""

from __future__ import annotations

import datetime
import os

from example.settings import *  # noqa: F403

LANGUAGES = [("en", "English"), ("de", "Deutsch"), ("ar", "العربية")]
LOCALE_PATHS = [os.environ["PSEUDO_LOCALE"]]
ROOT_URLCONF = "tests.browser.urls_languages"
if days := int(os.environ.get("PSEUDO_GRACE_DAYS", "0")):
    OTP_CHANNELS_GRACE = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days)
