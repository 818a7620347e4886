"""The tests' site as it is served here: its text messages leave through Twilio."""

from tests.providers import twilio as _twilio
from tests.settings import *  # noqa: F403

DEBUG = False

OTP_CHANNELS = {
    "sms": [
        {"BACKEND": "django_otp_channels.backends.twilio.SMS", "OPTIONS": dict(_twilio.OPTIONS)}
    ],
}
# So that people can ask for their code a second time within one measured login.
OTP_CHANNELS_SEND_COOLDOWNS = [1]
# Counted as ever, but never full: eight people log in as often here as a town does.
OTP_CHANNELS_LIMITS = {
    f"login.{bucket}": dict.fromkeys((600, 3600, 86400), 1_000_000)
    for bucket in ("number", "user", "client", "prefix", "country", "site")
}
