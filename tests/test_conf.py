"""Every setting has a sound default, and a wrong value is an error, never quietly no limit."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

import phonenumbers
import pytest
from django.core.exceptions import ImproperlyConfigured

from django_otp_channels.checks import check_settings
from django_otp_channels.conf import Conf, Setting, conf

SETTINGS = {setting.name: setting for setting in conf.all()}
BACKEND = {"BACKEND": "django_otp_channels.backends.memory.SMS"}


def attribute(name: str) -> str:
    """Return under which name of ``conf`` this setting is read."""
    return next(key for key, value in vars(Conf).items() if value is SETTINGS[name])


def value_in_force(name: str) -> Any:
    return getattr(conf, attribute(name))


def forget(settings: Any, name: str) -> None:
    if hasattr(settings, name):
        delattr(settings, name)


# -- defaults --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETTINGS)
def test_a_default_is_within_its_own_bounds(name):
    setting = SETTINGS[name]

    assert setting.accept(setting.default) == setting.default
    assert type(setting.accept(setting.default)) is type(setting.default)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_site_that_sets_nothing_gets_the_default(settings, name):
    forget(settings, name)

    assert value_in_force(name) == SETTINGS[name].default


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_named_like_its_attribute_and_explained_in_one_sentence(name):
    short = attribute(name)

    assert name == ("OTP_CHANNELS" if short == "CHANNELS" else f"OTP_CHANNELS_{short}")
    assert SETTINGS[name].help.endswith(".")
    assert "\n" not in SETTINGS[name].help
    assert getattr(Conf, short) is SETTINGS[name]


def test_all_settings_are_listed_once():
    assert len(SETTINGS) == sum(isinstance(value, Setting) for value in vars(Conf).values()) >= 14


# -- wrong values ----------------------------------------------------------------------------

WHOLE_NUMBERS = {
    "OTP_CHANNELS_TOKEN_LENGTH": (6, 10),
    "OTP_CHANNELS_TOKEN_LIFETIME": (60, 600),
    "OTP_CHANNELS_MAX_ATTEMPTS": (1, 10),
    "OTP_CHANNELS_MAX_SENDS": (1, 5),
    "OTP_CHANNELS_LOGIN_TIMEOUT": (60, 600),
    "OTP_CHANNELS_REAUTH_AGE": (60, 900),
    "OTP_CHANNELS_SEND_THREADS": (1, 64),
    "OTP_CHANNELS_FALLBACK_AFTER": (15, 600),
}
SECONDS = {"OTP_CHANNELS_SEND_TIMEOUT": (1, 60), "OTP_CHANNELS_SEND_WAIT": (0, 60)}

WRONG: list[tuple[str, Any]] = [
    *((name, low - 1) for name, (low, _) in WHOLE_NUMBERS.items()),
    *((name, high + 1) for name, (_, high) in WHOLE_NUMBERS.items()),
    *((name, value) for name in WHOLE_NUMBERS for value in (None, "6", 6.5, True, -1, [6])),
    *((name, value) for name in SECONDS for value in (None, "5", True, -1, -0.1, 60.1)),
    *((name, value) for name in SECONDS for value in (math.nan, math.inf)),
    *(("OTP_CHANNELS_SEND_COOLDOWNS", value) for value in ([], "30", 30, [0], [30, "60"], [3601])),
    *(("OTP_CHANNELS_SEND_COOLDOWNS", value) for value in (None, [True], [30.5], {30})),
    *(("OTP_CHANNELS_COUNTRIES", value) for value in ("US", None, 1, ["us"], ["USA"], [""], [1])),
    # Codes of no country: an allow-list of them would admit satellites, or quietly nobody.
    *(("OTP_CHANNELS_COUNTRIES", [value]) for value in ("001", "UK", "EU", "XX", "ÄÖ", "D1")),
    *(("OTP_CHANNELS_LOOKUP", value) for value in (None, [], {"hours": 1}, {"timeout": 0})),
    *(("OTP_CHANNELS_LOOKUP", {"when_unknown": value}) for value in (None, "", "open", ["send"])),
    *(("OTP_CHANNELS_LOOKUP", {"refuse_lines": value}) for value in (None, "premium", [1])),
    *(("OTP_CHANNELS_LOOKUP", {"sim_swap_hours": value}) for value in (None, -1, True, 8761)),
    *(("OTP_CHANNELS_FALLBACK", value) for value in (None, "voice", ["sms"], {"sms": None})),
    *(("OTP_CHANNELS_FALLBACK", value) for value in ({1: "sms"}, {"sms": "sms"})),
    *(("OTP_CHANNELS_ANDROID_APP_HASH", value) for value in (None, "FA+9qCX9VS", "FA+9qCX9VSu\n")),
    *(("OTP_CHANNELS_PUSH_SHOWS_CODE", value) for value in (None, 0, "yes")),
    *(("OTP_CHANNELS_TRUST_DAYS", value) for value in (None, -1, 31, "7", True)),
    *(("OTP_CHANNELS_TRUST_ALLOWED", value) for value in (None, 5, any)),
    *(
        ("OTP_CHANNELS_GRACE", value)
        for value in (0, "2026-03-01", "", False, datetime(2026, 3, 1), timedelta(days=9))  # noqa: DTZ001
    ),
    *(("OTP_CHANNELS_TRUSTED_PROXY_COUNT", value) for value in (None, -1, 11, "1", True)),
    *(("OTP_CHANNELS_LIMITS", value) for value in (None, 5, [], {"login.number": 3})),
    *(("OTP_CHANNELS_LIMITS", {"login.number": value}) for value in ({}, {60: 1}, {600: -1}, [3])),
    *(("OTP_CHANNELS_LIMITS", {"login.number": {600: value}}) for value in (None, "3", True, 1.5)),
    *(("OTP_CHANNELS_LIMITS", {name: {600: 3}}) for name in ("number", "login.planet", 1)),
    *(("OTP_CHANNELS_LIMITS_ENFORCED", value) for value in (None, 0, "no")),
    *(("OTP_CHANNELS_NOTICES", value) for value in (None, 5, ["app_added"], {"app": ["email"]})),
    *(("OTP_CHANNELS_NOTICES", {"app_added": v}) for v in (None, "email", ["voice"], [5])),
    *(("OTP_CHANNELS_BEFORE_SEND", value) for value in (None, 1, print)),
    *(("OTP_CHANNELS_POLICY", value) for value in (None, 1, ["staff"])),
    *(("OTP_CHANNELS_SITE_NAME", value) for value in (None, 1, b"Example")),
    *(
        ("OTP_CHANNELS_BASE_URL", value)
        for value in (
            None,
            1,
            "http://www.example.com",
            "www.example.com",
            "//www.example.com",
            "https://",
            "https:///",
            "https://www.example.com/login",
            "https://www.example.com//",
            "https://www.example.com?x=1",
            "https://www.example.com#x",
            "https://alex@www.example.com",
            "https://alex:secret@www.example.com",
            "https://www.example.com:port",
            "https://www.exa mple.com",
            "https://www.example.com\n@evil.example",
            "https://www.example.com\n",
            " https://www.example.com",
            "https://.example.com",
            "ftp://www.example.com",
        )
    ),
    *(
        ("OTP_CHANNELS", value)
        for value in (
            None,
            "sms",
            [BACKEND],
            {"sms": "django_otp_channels.backends.memory.SMS"},
            {"sms": BACKEND},
            {"sms": None},
            {"sms": ["django_otp_channels.backends.memory.SMS"]},
            {"sms": [{}]},
            {"sms": [{"BACKEND": None}]},
            {"sms": [{"backend": "django_otp_channels.backends.memory.SMS"}]},
            {"sms": [{**BACKEND, "OPTION": {}}]},
            {"sms": [{**BACKEND, "OPTIONS": []}]},
            {"sms": [{**BACKEND, "OPTIONS": None}]},
        )
    ),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=[f"{n}={v!r}" for n, v in WRONG])
def test_a_wrong_value_is_an_error_at_use_and_in_the_checks(settings, name, value):
    setattr(settings, name, value)

    with pytest.raises(ImproperlyConfigured, match=rf"^{name}: "):
        value_in_force(name)
    (message,) = check_settings()
    assert message.id == "otp_channels.E001"
    assert message.msg.startswith(f"{name}: ")
    assert message.hint == SETTINGS[name].help


def test_every_setting_has_a_wrong_value():
    assert {name for name, _ in WRONG} == set(SETTINGS)


# -- right values ----------------------------------------------------------------------------

RIGHT: list[tuple[str, Any, Any]] = [
    *((name, value, value) for name, bounds in WHOLE_NUMBERS.items() for value in bounds),
    *((name, value, float(value)) for name, bounds in SECONDS.items() for value in bounds),
    ("OTP_CHANNELS_SEND_WAIT", 0.5, 0.5),
    ("OTP_CHANNELS_SEND_COOLDOWNS", [1, 3600], (1, 3600)),
    ("OTP_CHANNELS_FALLBACK", {"sms": "voice"}, {"sms": "voice"}),
    ("OTP_CHANNELS_LOOKUP", {}, SETTINGS["OTP_CHANNELS_LOOKUP"].default),
    (
        "OTP_CHANNELS_LOOKUP",
        {"refuse_lines": ["pager"], "timeout": 10},
        {
            **SETTINGS["OTP_CHANNELS_LOOKUP"].default,
            "refuse_lines": frozenset({"pager"}),
            "timeout": 10.0,
        },
    ),
    ("OTP_CHANNELS_ANDROID_APP_HASH", "FA+9qCX9VSu", "FA+9qCX9VSu"),
    ("OTP_CHANNELS_LIMITS", {"enrol.site": {86400: 0}}, {"enrol.site": {86400: 0}}),
    ("OTP_CHANNELS_LIMITS_ENFORCED", False, False),
    ("OTP_CHANNELS_NOTICES", {"app_added": []}, {"app_added": []}),
    ("OTP_CHANNELS_NOTICES", {"app_added": ["email"]}, {"app_added": ["email"]}),
    ("OTP_CHANNELS_PUSH_SHOWS_CODE", False, False),
    ("OTP_CHANNELS_COUNTRIES", [], frozenset()),
    ("OTP_CHANNELS_COUNTRIES", ["US", "US", "DE"], frozenset({"US", "DE"})),
    ("OTP_CHANNELS_COUNTRIES", ("GB",), frozenset({"GB"})),
    ("OTP_CHANNELS_COUNTRIES", {"FR"}, frozenset({"FR"})),
    ("OTP_CHANNELS_BASE_URL", "", ""),
    ("OTP_CHANNELS_BASE_URL", "https://www.example.com/", "https://www.example.com"),
    ("OTP_CHANNELS_BASE_URL", "https://example.com:8443", "https://example.com:8443"),
    ("OTP_CHANNELS_BASE_URL", "https://münchen.example", "https://münchen.example"),
    ("OTP_CHANNELS_BASE_URL", "https://localhost", "https://localhost"),
    ("OTP_CHANNELS", {}, {}),
    ("OTP_CHANNELS", {"sms": (BACKEND,)}, {"sms": (BACKEND,)}),
    ("OTP_CHANNELS", {"sms": [{**BACKEND, "OPTIONS": {}}]}, {"sms": [{**BACKEND, "OPTIONS": {}}]}),
]


@pytest.mark.parametrize(
    ("name", "value", "clean"), RIGHT, ids=[f"{name}={value!r}" for name, value, _ in RIGHT]
)
def test_a_right_value_is_in_force_at_once(settings, name, value, clean):
    setattr(settings, name, value)

    assert value_in_force(name) == clean
    assert check_settings() == []


def test_every_country_with_phone_numbers_can_be_allowed(settings):
    settings.OTP_CHANNELS_COUNTRIES = sorted(phonenumbers.SUPPORTED_REGIONS)

    assert conf.COUNTRIES == phonenumbers.SUPPORTED_REGIONS


def test_a_wrong_country_is_named(settings):
    settings.OTP_CHANNELS_COUNTRIES = ["DE", "UK", "EU"]

    with pytest.raises(ImproperlyConfigured, match="'EU', 'UK'") as refused:
        _ = conf.COUNTRIES
    assert "'DE'" not in str(refused.value)
