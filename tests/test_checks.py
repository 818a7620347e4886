"""The system checks: each is silent on a sound site, and says what to do on an unsound one."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.middleware import (
    LoginRequiredMiddleware,
    PersistentRemoteUserMiddleware,
    RemoteUserMiddleware,
)
from django.core.checks import CheckMessage, run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from django_otp_channels import checks
from django_otp_channels.middleware import LoginStepMiddleware

# The checks of allauth look into the database.
pytestmark = pytest.mark.django_db

MEMORY = "django_otp_channels.backends.memory"
CONSOLE = "django_otp_channels.backends.console"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
OTP = "django_otp.middleware.OTPMiddleware"
STEP = "django_otp_channels.middleware.LoginStepMiddleware"
LOGIN_REQUIRED = "django.contrib.auth.middleware.LoginRequiredMiddleware"
REMOTE_USER = "django.contrib.auth.middleware.RemoteUserMiddleware"

TWILIO = {
    "BACKEND": "django_otp_channels.backends.twilio.SMS",
    "OPTIONS": {
        "account_sid": "AC" + "0" * 32,
        "auth_token": "0" * 32,
        "sender": "+12025550100",
    },
}


def here(name: str) -> str:
    return f"{__name__}.{name}"


class OwnRemoteUser(RemoteUserMiddleware):
    header = "HTTP_X_USER"


class OwnLoginRequired(LoginRequiredMiddleware):
    pass


class OwnStep(LoginStepMiddleware):
    pass


def function_middleware(get_response: Callable[..., Any]) -> Callable[..., Any]:
    return get_response


def policy(user: Any, request: Any) -> bool:
    return True


NOT_CALLABLE = "enrolled"
urlpatterns: list[Any] = []  # of a site that forgot to include ours


def found(*, deploy: bool = False) -> list[CheckMessage]:
    """Our messages, as ``manage.py check`` would find them."""
    messages = run_checks(include_deployment_checks=deploy)
    return [message for message in messages if (message.id or "").startswith("otp_channels.")]


def ids(*, deploy: bool = False) -> list[str]:
    return [message.id for message in found(deploy=deploy)]


@pytest.fixture
def uwsgi(monkeypatch) -> Callable[..., None]:
    """Run as if under uWSGI with these options."""

    def run_under(**options: Any) -> None:
        opt = {name.replace("_", "-"): value for name, value in options.items()}
        monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(opt=opt))

    return run_under


# -- a sound site ----------------------------------------------------------------------------


def test_a_sound_site_hears_nothing():
    assert found() == []


@pytest.mark.parametrize("path", ["enrolled", "staff", "everyone", here("policy")])
def test_every_policy_that_exists_is_sound(settings, path):
    settings.OTP_CHANNELS_POLICY = path

    assert found() == []


@pytest.mark.parametrize(
    "options", [{"enable_threads": True}, {"enable_threads": b"true"}, {"threads": b"2"}]
)
def test_uwsgi_with_threads_is_sound(uwsgi, options):
    uwsgi(**options)

    assert found() == []


# -- every message ---------------------------------------------------------------------------

SETTINGS: dict[str, tuple[str, Any, str]] = {
    "otp_channels.E001": ("OTP_CHANNELS_TOKEN_LENGTH", 4, "from 6 to 10"),
    "otp_channels.E002": ("OTP_CHANNELS_POLICY", "enroled", "enroled"),
    "otp_channels.E013": ("OTP_CHANNELS_TRUST_ALLOWED", "example.nobody", "example.nobody"),
    "otp_channels.E003": ("OTP_CHANNELS", {}, "no code can be sent"),
    "otp_channels.E004": ("OTP_CHANNELS", {"sms": [{"BACKEND": "no.such.Thing"}]}, "no.such"),
    "otp_channels.E005": ("MIDDLEWARE", [AUTHENTICATION, OTP], "nobody would be asked"),
    "otp_channels.E006": ("MIDDLEWARE", [STEP, AUTHENTICATION, OTP], "must come after"),
    "otp_channels.E007": (
        "MIDDLEWARE",
        [AUTHENTICATION, OTP, LOGIN_REQUIRED, STEP],
        "must come before",
    ),
    "otp_channels.E008": ("ROOT_URLCONF", __name__, "not included"),
    "otp_channels.W001": ("OTP_CHANNELS_COUNTRIES", [], "no text message and no call"),
}


@pytest.mark.parametrize("wanted", SETTINGS)
def test_an_unsound_setting_is_reported_with_what_to_do(settings, wanted):
    name, value, said = SETTINGS[wanted]
    setattr(settings, name, value)

    messages = found()

    assert {message.id for message in messages} == {wanted}
    for message in messages:
        assert said in message.msg
        assert message.hint
        assert message.is_serious() is (".E" in wanted)


def test_a_process_without_threads_is_told(uwsgi):
    uwsgi(master=True)

    (message,) = found()

    assert message.id == "otp_channels.W002"
    assert "--enable-threads" in message.hint


def test_the_server_does_not_start_on_an_unsound_site(settings):
    settings.OTP_CHANNELS_MAX_ATTEMPTS = 1000

    with pytest.raises(SystemCheckError, match=r"otp_channels\.E001"):
        call_command("check")


@pytest.mark.parametrize(
    "path", ["", "enroled", "no.such.policy", here("nobody"), here("NOT_CALLABLE")]
)
def test_a_policy_that_cannot_be_asked_is_reported(settings, path):
    settings.OTP_CHANNELS_POLICY = path

    assert ids() == ["otp_channels.E002"]


@pytest.mark.parametrize("empty", [{}, {"sms": []}, {"sms": [], "push": ()}])
def test_channels_without_backends_are_no_channels(settings, empty):
    settings.OTP_CHANNELS = empty

    assert ids() == ["otp_channels.E003"]


def test_every_wrong_entry_is_reported_at_once(settings):
    settings.OTP_CHANNELS = {
        "sms": [{"BACKEND": f"{MEMORY}.SMS"}, {"BACKEND": f"{MEMORY}.Push"}],
        "fax": [{"BACKEND": f"{MEMORY}.SMS"}],
    }

    messages = found()

    assert [message.id for message in messages] == ["otp_channels.E004"] * 2
    assert messages[0].msg.startswith("OTP_CHANNELS['sms'][1]: ")
    assert messages[1].msg.startswith("OTP_CHANNELS['fax'][0]: ")


def test_every_wrong_setting_is_reported_at_once(settings):
    settings.OTP_CHANNELS_TOKEN_LENGTH = 4
    settings.OTP_CHANNELS_MAX_SENDS = 0

    assert [message.msg.split(":")[0] for message in found()] == [
        "OTP_CHANNELS_TOKEN_LENGTH",
        "OTP_CHANNELS_MAX_SENDS",
    ]


@pytest.mark.parametrize("channel", ["sms", "voice", "push"])
def test_only_phones_need_countries(settings, channel):
    settings.OTP_CHANNELS_COUNTRIES = []
    kind = {"sms": "SMS", "voice": "Voice", "push": "Push"}[channel]
    settings.OTP_CHANNELS = {channel: [{"BACKEND": f"{MEMORY}.{kind}"}]}

    assert ids() == ([] if channel == "push" else ["otp_channels.W001"])


VOICE = "django_otp_channels.backends.twilio.Voice"


@pytest.mark.parametrize(
    ("entry", "base_url", "told"),
    [
        ({"BACKEND": VOICE, "OPTIONS": TWILIO["OPTIONS"]}, "https://www.example.com", []),
        ({"BACKEND": VOICE, "OPTIONS": TWILIO["OPTIONS"]}, "", ["otp_channels.W105"]),
        (
            {
                "BACKEND": "django_otp_channels.backends.aws.Voice",
                "OPTIONS": {"region": "eu-west-1", "sender": "+12025550100"},
            },
            "https://www.example.com",
            ["otp_channels.W105"],
        ),
        ({"BACKEND": f"{MEMORY}.Voice"}, "", []),
    ],
)
def test_calls_that_speak_to_a_voicemail_are_named(settings, entry, base_url, told):
    settings.OTP_CHANNELS = {"voice": [entry]}
    settings.OTP_CHANNELS_BASE_URL = base_url

    assert [check for check in ids() if check != "otp_channels.W003"] == told


@pytest.mark.parametrize("senders", ["US", {"us": "Example"}, {"EU": "Example"}, ["US"]])
def test_senders_of_no_country_are_an_error_and_no_crash(settings, senders):
    settings.OTP_CHANNELS = {
        "sms": [{**TWILIO, "OPTIONS": {**TWILIO["OPTIONS"], "senders": senders}}]
    }

    assert "otp_channels.E004" in ids()


@pytest.mark.parametrize("fallback", [{"sms": "vioce"}, {"smms": "sms"}])
def test_a_fallback_to_no_channel_is_reported(settings, fallback):
    settings.OTP_CHANNELS_FALLBACK = fallback

    assert ids() == ["otp_channels.E010"]


LOCMEM = "django.core.cache.backends.locmem.LocMemCache"
FILES = "django.core.cache.backends.filebased.FileBasedCache"


@pytest.fixture
def shared_cache(settings, tmp_path) -> None:
    settings.CACHES = {"default": {"BACKEND": FILES, "LOCATION": str(tmp_path)}}


@pytest.mark.parametrize("backend", [LOCMEM, "django.core.cache.backends.dummy.DummyCache"])
def test_processes_that_cannot_warn_each_other_are_told(settings, backend):
    settings.OTP_CHANNELS = {"voice": [{"BACKEND": f"{MEMORY}.Voice"}], "sms": [TWILIO]}
    settings.CACHES = {"default": {"BACKEND": backend}}

    (message,) = found()

    assert message.id == "otp_channels.W003"
    assert "CACHES" in message.hint
    assert not message.is_serious()


def test_processes_with_one_cache_are_sound(settings, shared_cache):
    settings.OTP_CHANNELS = {"sms": [TWILIO]}

    assert found() == []


def test_without_a_provider_no_shared_cache_is_needed(settings):
    settings.CACHES = {"default": {"BACKEND": LOCMEM}}

    assert found() == []


# -- the order of the middleware -------------------------------------------------------------


@pytest.mark.parametrize(
    ("middleware", "reported"),
    [
        pytest.param([AUTHENTICATION, OTP, STEP], [], id="sound"),
        pytest.param([AUTHENTICATION, OTP, here("OwnStep")], [], id="a subclass of the step"),
        pytest.param([AUTHENTICATION, OTP, STEP, LOGIN_REQUIRED], [], id="login required after"),
        pytest.param([AUTHENTICATION, REMOTE_USER, OTP, STEP], [], id="remote user before"),
        pytest.param(
            [here("function_middleware"), AUTHENTICATION, OTP, STEP, "no.such.Middleware"],
            [],
            id="functions and what Django itself reports",
        ),
        pytest.param([], ["E005"], id="nothing"),
        pytest.param([AUTHENTICATION, OTP], ["E005"], id="no step"),
        pytest.param([STEP, AUTHENTICATION, OTP], ["E006", "E006"], id="step first"),
        pytest.param([AUTHENTICATION, STEP, OTP], ["E006"], id="before django-otp"),
        pytest.param([OTP, STEP], ["E006"], id="no authentication"),
        pytest.param([AUTHENTICATION, STEP], ["E006"], id="no django-otp"),
        pytest.param([AUTHENTICATION, OTP, STEP, REMOTE_USER], ["E006"], id="remote user after"),
        pytest.param(
            [AUTHENTICATION, OTP, STEP, here("OwnRemoteUser")],
            ["E006"],
            id="a subclass of remote user after",
        ),
        pytest.param(
            [
                AUTHENTICATION,
                OTP,
                STEP,
                f"{PersistentRemoteUserMiddleware.__module__}.PersistentRemoteUserMiddleware",
            ],
            ["E006"],
            id="persistent remote user after",
        ),
        pytest.param(
            [AUTHENTICATION, LOGIN_REQUIRED, OTP, STEP], ["E007"], id="login required before"
        ),
        pytest.param(
            [AUTHENTICATION, OTP, here("OwnLoginRequired"), STEP],
            ["E007"],
            id="a subclass of login required before",
        ),
        pytest.param(
            [AUTHENTICATION, OTP, LOGIN_REQUIRED, STEP, REMOTE_USER],
            ["E006", "E007"],
            id="two wrongs",
        ),
    ],
)
def test_the_step_has_its_place_among_the_middleware(settings, middleware, reported):
    settings.MIDDLEWARE = middleware

    assert sorted(ids()) == [f"otp_channels.{number}" for number in reported]
    assert all(message.hint for message in found())


# -- ways in that make no session ------------------------------------------------------------

DRF = "rest_framework.authentication"
OURS = "django_otp_channels.rest_framework"
PERMISSION = f"{OURS}.IsFullyAuthenticated"
SESSION_ONLY = [f"{DRF}.SessionAuthentication"]


def rest_framework(classes: Any = None, permissions: Any = None) -> dict[str, Any]:
    configured = {
        "DEFAULT_AUTHENTICATION_CLASSES": classes,
        "DEFAULT_PERMISSION_CLASSES": permissions,
    }
    return {name: value for name, value in configured.items() if value is not None}


@pytest.fixture
def without_lasting_tokens(settings):
    settings.INSTALLED_APPS = [
        app for app in settings.INSTALLED_APPS if app != "rest_framework.authtoken"
    ]


@pytest.mark.usefixtures("without_lasting_tokens")
@pytest.mark.parametrize(
    ("configured", "named"),
    [
        pytest.param(
            rest_framework(), [f"{DRF}.BasicAuthentication"], id="what DRF does by itself"
        ),
        pytest.param(rest_framework([f"{DRF}.TokenAuthentication"]), None, id="token"),
        pytest.param(
            rest_framework(["rest_framework_simplejwt.authentication.JWTAuthentication"]),
            None,
            id="jwt",
        ),
        pytest.param(rest_framework(["knox.auth.TokenAuthentication"]), None, id="knox"),
        pytest.param(
            rest_framework(
                [*SESSION_ONLY, f"{DRF}.TokenAuthentication", f"{OURS}.BasicAuthentication"]
            ),
            [f"{DRF}.TokenAuthentication"],
            id="one of several",
        ),
    ],
)
def test_an_api_that_takes_credentials_without_a_code_is_reported(settings, configured, named):
    settings.REST_FRAMEWORK = configured

    (message,) = found()

    assert message.id == "otp_channels.W010"
    for name in named or configured["DEFAULT_AUTHENTICATION_CLASSES"]:
        assert name in message.msg
    assert "BasicAuthentication" not in message.msg or named == [f"{DRF}.BasicAuthentication"]
    assert PERMISSION in message.hint


def test_an_api_is_reported_by_its_classes_as_well_as_by_their_names(settings):
    from rest_framework.authentication import BasicAuthentication

    settings.REST_FRAMEWORK = rest_framework((BasicAuthentication, f"{OURS}.TokenAuthentication"))

    assert ids() == ["otp_channels.W010"]


@pytest.mark.usefixtures("without_lasting_tokens")
@pytest.mark.parametrize(
    "configured",
    [
        pytest.param(rest_framework(SESSION_ONLY), id="sessions only"),
        pytest.param(rest_framework([]), id="nobody"),
        pytest.param(rest_framework([f"{OURS}.BasicAuthentication"]), id="our classes"),
        pytest.param(rest_framework(["site.api.Own"]), id="a class of the site's own"),
        pytest.param(rest_framework(permissions=[PERMISSION]), id="our permission"),
        pytest.param(
            rest_framework([f"{DRF}.TokenAuthentication"], [PERMISSION]), id="our permission too"
        ),
    ],
)
def test_a_guarded_api_is_sound(settings, configured):
    settings.REST_FRAMEWORK = configured

    assert found() == []


def test_an_api_without_an_entry_in_the_apps_is_judged_as_well(settings):
    settings.INSTALLED_APPS = [
        app for app in settings.INSTALLED_APPS if not app.startswith("rest_framework")
    ]

    assert ids() == []
    settings.REST_FRAMEWORK = {}
    assert ids() == ["otp_channels.W010"]
    del settings.REST_FRAMEWORK
    assert ids() == []


@pytest.mark.parametrize(
    ("configured", "reported"),
    [
        pytest.param(rest_framework(SESSION_ONLY), ["W011"], id="tokens of views that choose"),
        pytest.param(rest_framework([f"{OURS}.TokenAuthentication"]), [], id="our class"),
        pytest.param(rest_framework(permissions=[PERMISSION]), [], id="our permission"),
        pytest.param(rest_framework([f"{DRF}.TokenAuthentication"]), ["W010", "W011"], id="both"),
    ],
)
def test_lasting_tokens_are_reported_until_they_are_guarded(settings, configured, reported):
    settings.REST_FRAMEWORK = configured

    messages = found()

    assert [message.id for message in messages] == [f"otp_channels.{name}" for name in reported]
    for message in messages:
        assert OURS in message.hint


OTHER_WAYS = {
    "channels": ("otp_channels.W012", "django_otp_channels.websockets.LoginStepMiddleware"),
    "oauth2_provider": ("otp_channels.W014", "password grant"),
}


@pytest.mark.parametrize("app", OTHER_WAYS)
def test_another_way_in_is_reported_until_the_site_says_that_it_is_shut(monkeypatch, app, settings):
    from django.apps import apps

    wanted, hint = OTHER_WAYS[app]
    installed = apps.is_installed
    monkeypatch.setattr(apps, "is_installed", lambda name: name == app or installed(name))

    (message,) = found()

    assert message.id == wanted
    assert hint in message.hint
    assert wanted in message.hint
    settings.SILENCED_SYSTEM_CHECKS = [wanted]
    assert message.is_silenced()


@pytest.mark.parametrize(
    ("clients", "reported"),
    [
        (("browser",), []),
        (("browser", "app"), ["otp_channels.W013"]),
        (["app"], ["otp_channels.W013"]),
        (None, ["otp_channels.W013"]),
    ],
)
def test_the_app_client_of_allauth_is_reported_while_it_is_on(settings, clients, reported):
    if clients is None:
        del settings.HEADLESS_CLIENTS
    else:
        settings.HEADLESS_CLIENTS = clients

    assert ids() == reported


# -- before a deployment ---------------------------------------------------------------------

ENTRIES = {
    "memory": {"sms": [{"BACKEND": f"{MEMORY}.SMS"}]},
    "console": {"voice": [{"BACKEND": f"{CONSOLE}.Voice"}]},
    "console as the second": {
        "sms": [
            TWILIO,
            {"BACKEND": f"{CONSOLE}.SMS"},
        ]
    },
}


@pytest.mark.parametrize("entries", ENTRIES.values(), ids=ENTRIES)
def test_a_deployment_that_would_show_codes_is_refused(settings, entries, shared_cache):
    settings.OTP_CHANNELS = entries
    settings.DEBUG = False

    (message,) = found(deploy=True)

    assert message.id == "otp_channels.E009"
    assert f"OTP_CHANNELS['{next(iter(entries))}']" in message.msg
    assert message.hint
    assert found() == []


def test_a_developers_site_may_show_codes(settings):
    settings.DEBUG = True

    assert found(deploy=True) == []


def test_a_deployment_with_real_providers_only_is_sound(settings, shared_cache):
    settings.OTP_CHANNELS = {"sms": [TWILIO]}

    assert found(deploy=True) == []


@pytest.mark.parametrize("wanted", ["otp_channels.E001", "otp_channels.E004"])
def test_the_deployment_check_leaves_a_broken_setting_to_its_own_check(settings, wanted):
    name, value, _ = SETTINGS[wanted]
    setattr(settings, name, value)

    assert ids(deploy=True) == [wanted]


# -- proxies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECURE_PROXY_SSL_HEADER", ("HTTP_X_FORWARDED_PROTO", "https")),
        ("USE_X_FORWARDED_HOST", True),
        ("USE_X_FORWARDED_PORT", True),
    ],
)
@pytest.mark.parametrize("count", [0, 1])
def test_a_proxy_that_only_django_knows_is_reported(settings, name, value, count):
    setattr(settings, name, value)
    settings.OTP_CHANNELS_TRUSTED_PROXY_COUNT = count

    assert ("otp_channels.W004" in ids()) is (count == 0)


# -- the hook before a message -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("", []),
        (here("policy"), []),
        (here("NOT_CALLABLE"), ["otp_channels.E011"]),
        ("no.such.hook", ["otp_channels.E011"]),
    ],
)
def test_a_hook_that_cannot_be_asked_is_reported(settings, path, found):
    settings.OTP_CHANNELS_BEFORE_SEND = path

    assert [each for each in ids() if each == "otp_channels.E011"] == found


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, ["otp_channels.W102"]),
        ({"account_sid": "AC0", "auth_token": "0"}, []),
        (
            {"account_sid": "AC0", "auth_token": "0", "refuse_lines": ["voip"]},
            ["otp_channels.E012"],
        ),
    ],
)
def test_what_the_look_up_lacks_is_reported(settings, monkeypatch, options, found):
    for name in ("ACCOUNT_SID", "AUTH_TOKEN", "API_KEY", "API_SECRET"):
        monkeypatch.delenv(f"TWILIO_{name}", raising=False)
    settings.OTP_CHANNELS_BEFORE_SEND = "django_otp_channels.lookup.before_send"
    settings.OTP_CHANNELS_LOOKUP = options

    assert [each for each in ids() if each in ("otp_channels.W102", "otp_channels.E012")] == found


def test_each_id_is_given_by_one_check():
    """Who silences one of them must not silence another."""
    source = Path(checks.__file__).read_text(encoding="utf-8")
    given = [
        set(re.findall(r'\bid="(otp_channels\.[EW]\d+)"', function))
        for function in source.split("\ndef ")
    ]
    counted = Counter(name for names in given for name in names)

    assert counted
    assert {name for name, count in counted.items() if count > 1} == set()
