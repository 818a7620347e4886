"""The same site while it moves: the old apps are still installed."""

from .settings import *  # noqa: F403
from .settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [*_APPS, "two_factor", "two_factor.plugins.phonenumber", "otp_twilio"]
TWO_FACTOR_SMS_GATEWAY = TWO_FACTOR_CALL_GATEWAY = "two_factor.gateways.fake.Fake"
