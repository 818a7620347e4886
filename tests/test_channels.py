"""Which backends a channel has, what is wrong with an entry, and whom a channel can reach."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from django.core.checks import CheckMessage, Error

from django_otp_channels import channels
from django_otp_channels.backends import memory
from django_otp_channels.backends.base import Backend
from django_otp_channels.checks import check_backends
from django_otp_channels.exceptions import BackendMisconfigured, DeliveryUnavailable
from django_otp_channels.messages import Message, Receipt
from django_otp_channels.models import Delivery
from tests.journey import VERIFY

MEMORY = "django_otp_channels.backends.memory"


def here(name: str) -> str:
    return f"{__name__}.{name}"


class Pigeons(Backend):
    """A backend as a site would write one, in one class."""

    provider: ClassVar[str] = "pigeons"
    channels: ClassVar[frozenset[str]] = frozenset({"sms", "voice"})
    inline: ClassVar[bool] = True
    spoken_languages: ClassVar[frozenset[str]] = frozenset({"de", "en"})

    loft: ClassVar[list[tuple[str, str, str]]] = []

    def __init__(self, *, home: str, tired: bool = False) -> None:
        self.home = home
        self.tired = tired

    def send(self, message: Message, *, timeout: float) -> Receipt:
        assert timeout > 0
        if self.tired:
            raise DeliveryUnavailable(code="tired")
        self.loft.append((self.home, message.to, message.token))
        return Receipt(provider=self.provider, message_id=f"feather-{len(self.loft)}")

    def check(self) -> list[CheckMessage]:
        if self.home:
            return []
        return [Error("The pigeons have no home.", hint="Give them one.", id="pigeons.E001")]


class AnyOption(Pigeons):
    def __init__(self, **options: Any) -> None:
        super().__init__(home="here")
        self.options = options


class Nameless(Backend):
    channels: ClassVar[frozenset[str]] = frozenset({"sms"})


class Channelless(Backend):
    provider: ClassVar[str] = "nobody"


class NotABackend:
    provider = "x"
    channels = frozenset({"sms"})


def a_function() -> None:
    """Importable, and no class."""


@pytest.fixture(autouse=True)
def loft():
    Pigeons.loft.clear()
    return Pigeons.loft


def pigeons(**options: Any) -> dict[str, Any]:
    return {"BACKEND": here("Pigeons"), "OPTIONS": {"home": "roof", **options}}


# -- wrong entries ---------------------------------------------------------------------------

SECRET = "marked-secret"

WRONG = {
    "an unknown channel": ("fax", {"BACKEND": f"{MEMORY}.SMS"}, "unknown channel"),
    "a module that is not there": ("sms", {"BACKEND": "no.such.Thing"}, "no.such.Thing"),
    "a class that is not there": ("sms", {"BACKEND": f"{MEMORY}.Fax"}, "memory.Fax"),
    "no path": ("sms", {"BACKEND": "memory"}, "cannot be imported"),
    "an empty path": ("sms", {"BACKEND": ""}, "cannot be imported"),
    "a class that is no backend": ("sms", {"BACKEND": here("NotABackend")}, "is not a backend"),
    "a function": ("sms", {"BACKEND": here("a_function")}, "is not a backend"),
    "a module": ("sms", {"BACKEND": MEMORY}, "is not a backend"),
    "the base class": (
        "sms",
        {"BACKEND": "django_otp_channels.backends.base.Backend"},
        "names no provider",
    ),
    "a backend without a provider": ("sms", {"BACKEND": here("Nameless")}, "names no provider"),
    "a backend without channels": ("sms", {"BACKEND": here("Channelless")}, "not carry sms"),
    "another channel's backend": ("sms", {"BACKEND": f"{MEMORY}.Push"}, "does not carry sms"),
    "an option of a backend without any": (
        "sms",
        {"BACKEND": f"{MEMORY}.SMS", "OPTIONS": {"sender": SECRET}},
        "has no option sender, none at all.",
    ),
    "unknown options": (
        "sms",
        pigeons(zoo=SECRET, coop=SECRET),
        "has no option coop, zoo, only home, tired.",
    ),
    "an option that is no name": ("sms", pigeons() | {"OPTIONS": {1: SECRET}}, "no option 1"),
    "a missing option": ("sms", {"BACKEND": here("Pigeons")}, "'home'"),
    "no name where any is taken": (
        "sms",
        {"BACKEND": here("AnyOption"), "OPTIONS": {1: SECRET}},
        "cannot be made",
    ),
}


@pytest.mark.parametrize(("channel", "entry", "reason"), WRONG.values(), ids=WRONG)
def test_a_wrong_entry_is_named_with_what_is_wrong(settings, channel, entry, reason):
    fine = [{"BACKEND": f"{MEMORY}.{kind}"} for kind in ("SMS",) if channel == "sms"]
    settings.OTP_CHANNELS = {channel: [*fine, entry]}
    position = len(fine)

    with pytest.raises(BackendMisconfigured) as refused:
        channels.build(channel, position)

    assert refused.value.detail.startswith(f"OTP_CHANNELS['{channel}'][{position}]: ")
    assert reason in refused.value.detail
    assert SECRET not in refused.value.detail
    assert str(refused.value) == "The message could not be sent."
    with pytest.raises(BackendMisconfigured):
        channels.backends(channel)
    assert [message.msg for message in check_backends()] == [refused.value.detail]


def test_options_become_keyword_arguments(settings):
    settings.OTP_CHANNELS = {
        "sms": [pigeons(tired=True), {"BACKEND": here("AnyOption"), "OPTIONS": {"a": 1, "b": 2}}]
    }

    first, second = channels.backends("sms")

    assert (first.home, first.tired) == ("roof", True)
    assert second.options == {"a": 1, "b": 2}


# -- the registry ----------------------------------------------------------------------------


def test_backends_stand_in_the_order_of_the_setting(settings):
    settings.OTP_CHANNELS = {"sms": [pigeons(), {"BACKEND": f"{MEMORY}.SMS"}, pigeons()]}

    assert [backend.provider for backend in channels.backends("sms")] == [
        "pigeons",
        "memory",
        "pigeons",
    ]
    assert channels.backends("voice") == ()


def test_backends_are_made_once_and_anew_for_another_setting(settings):
    before = channels.backends("sms")
    assert channels.backends("sms") is before

    settings.OTP_CHANNELS = {"sms": [pigeons()]}

    after = channels.backends("sms")
    assert [backend.provider for backend in after] == ["pigeons"]
    assert channels.backends("sms") is after
    settings.OTP_CHANNELS = {"sms": [pigeons()]}
    assert channels.backends("sms")[0] is not after[0]


def test_a_setting_that_was_wrong_is_read_again_when_it_is_right(settings):
    settings.OTP_CHANNELS = {"sms": [{"BACKEND": "no.such.Thing"}]}
    for _ in range(2):
        with pytest.raises(BackendMisconfigured):
            channels.backends("sms")

    settings.OTP_CHANNELS = {"sms": [pigeons()]}

    assert len(channels.backends("sms")) == 1


def test_a_forked_worker_makes_backends_of_its_own(settings):
    settings.OTP_CHANNELS = {"sms": [pigeons()]}
    before = channels.backends("sms")[0]

    channels._registry.forget()  # what os.register_at_fork calls in the child

    assert channels.backends("sms")[0] is not before


# -- whom a channel reaches ------------------------------------------------------------------

MOBILE, LANDLINE = "+12025550123", "+442079460958"


@pytest.mark.parametrize(
    ("kind", "address", "reached_by"),
    [
        ("phone", MOBILE, ["sms", "voice"]),
        ("phone", LANDLINE, ["voice"]),
        ("app", "token:APA91b", ["push"]),
        ("phone", "+41446681800", []),
        ("phone", "+19002345678", []),
        ("phone", "+881612345678", []),
        ("phone", "rubbish", []),
        ("phone", "", []),
        ("fax", MOBILE, []),
    ],
)
def test_a_device_is_reached_by_what_can_carry_to_its_address(kind, address, reached_by):
    assert channels.reaching(kind, address) == reached_by


@pytest.mark.parametrize(
    ("configured", "reached_by"),
    [({}, []), ({"sms": []}, []), ({"voice": [{"BACKEND": f"{MEMORY}.Voice"}]}, ["voice"])],
)
def test_only_configured_channels_reach_anybody(settings, configured, reached_by):
    settings.OTP_CHANNELS = configured

    assert channels.reaching("phone", MOBILE) == reached_by
    assert channels.reaching("app", "token") == []


def test_no_country_means_no_phone_is_reached(settings):
    settings.OTP_CHANNELS_COUNTRIES = []

    assert channels.reaching("phone", MOBILE) == []
    assert channels.reaching("app", "token") == ["push"]


# -- the language of a channel ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("channel", "language", "spoken"),
    [
        ("voice", "de", "de"),
        ("voice", "de-at", "de-at"),
        ("voice", "en-gb", "en-gb"),
        ("voice", "cy", "en"),
        ("voice", "", "en"),
        ("sms", "cy", "cy"),
    ],
)
def test_a_call_in_a_language_without_a_voice_is_in_english(settings, channel, language, spoken):
    settings.OTP_CHANNELS = {"voice": [pigeons()], "sms": [pigeons()]}

    assert channels.language_for(channel, language) == spoken


def test_every_provider_of_a_call_must_speak_its_language(settings):
    settings.OTP_CHANNELS = {"voice": [{"BACKEND": f"{MEMORY}.Voice"}]}
    assert channels.language_for("voice", "cy") == "cy"

    settings.OTP_CHANNELS = {"voice": [{"BACKEND": f"{MEMORY}.Voice"}, pigeons()]}

    assert channels.language_for("voice", "cy") == "en"


# -- a provider of one's own -----------------------------------------------------------------


@pytest.mark.django_db
def test_a_person_logs_in_by_a_backend_that_the_site_wrote(settings, journey, alex, phone, loft):
    settings.OTP_CHANNELS = {"sms": [pigeons()]}

    answer = journey.enter_password(alex)

    assert answer.headers["Location"] == VERIFY
    ((home, to, code),) = loft
    assert (home, to) == ("roof", phone.address)
    journey.enter_code(code)
    assert journey.is_in
    assert Delivery.objects.values_list("provider", "status", "message_id").get() == (
        "pigeons",
        "sent",
        "feather-1",
    )


@pytest.mark.django_db
def test_the_next_backend_sends_what_the_sites_own_could_not(settings, journey, alex, phone, loft):
    settings.OTP_CHANNELS = {"sms": [pigeons(tired=True), {"BACKEND": f"{MEMORY}.SMS"}]}

    journey.log_in(alex)

    assert journey.is_in
    assert loft == []
    assert len(memory.outbox) == 1
    assert list(
        Delivery.objects.order_by("pk").values_list("provider", "status", "error_code")
    ) == [
        ("pigeons", "failed", "tired"),
        ("memory", "sent", ""),
    ]


def test_the_check_of_a_sites_own_backend_is_asked(settings):
    settings.OTP_CHANNELS = {"sms": [pigeons(), pigeons(home="")]}

    assert [message.id for message in check_backends()] == ["pigeons.E001"]
