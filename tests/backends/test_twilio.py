from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from django.conf.global_settings import LANGUAGES

from django_otp_channels import channels
from django_otp_channels.backends import twilio as backends
from django_otp_channels.backends.base import Backend
from django_otp_channels.exceptions import (
    BackendMisconfigured,
    DeliveryRefused,
    DeliveryUnavailable,
    DeliveryUnknown,
    Reason,
)
from django_otp_channels.messages import Message, compose
from tests.providers import twilio as stand_in
from tests.providers.loopback import HANG, Endpoint, Reply
from tests.providers.twilio import TwilioAPI

from .contract import NUMBER, TOKEN, NetworkContract, message

pytestmark = pytest.mark.provider

# Every code that Twilio's dictionary has for a request, by what it means for us.
REFUSED = [21214, 21215, 21216, 21265, 21408, 21610, 21614, 21635, 13227]
DEAD = [21211, 21217]
MISCONFIGURED = [
    20003, 20404, 21201, 21212, 21219, 21602, 21603, 21604, 21606, 21608, 21609, 21617, 21624,
    21626, 21659, 21660, 21661, 21703, 21705, 32018,
]  # fmt: skip
UNAVAILABLE = [14107, 20429, 21611, 21612, 30022, 30023, 60728, 63017, 63038]
UNKNOWN = [20500, 20503]
# Of these the next message would fare no better, whoever it is for.
PROVIDER_WIDE = {20003, 20404, 21705, 20429, 60728, 63017, 63038, 20500, 20503}
OUTCOMES: dict[int, type[Exception]] = {
    **dict.fromkeys(REFUSED + DEAD, DeliveryRefused),
    **dict.fromkeys(MISCONFIGURED, BackendMisconfigured),
    **dict.fromkeys(UNAVAILABLE, DeliveryUnavailable),
    **dict.fromkeys(UNKNOWN, DeliveryUnknown),
}


class TwilioContract(NetworkContract):
    provider = "twilio"

    @pytest.fixture
    def options(self, twilio_api: TwilioAPI) -> Mapping[str, Any]:
        return twilio_api.options

    @pytest.fixture
    def secrets(self) -> list[str]:
        return [stand_in.AUTH_TOKEN, stand_in.API_SECRET]

    @pytest.mark.parametrize("code", OUTCOMES)
    def test_sorts_each_code_of_a_refused_request(
        self, backend: Backend, message: Message, endpoint: Endpoint, code: int,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        endpoint.always(stand_in.error(code))
        error = self.failing(backend, message, OUTCOMES[code], caplog)
        assert error.code == str(code)
        assert (getattr(error, "reason", "") == Reason.GONE) is (code in DEAD)
        assert error.provider_wide is (code in PROVIDER_WIDE)

    def test_sorts_the_newer_form_of_errors(
        self, backend: Backend, message: Message, endpoint: Endpoint,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        endpoint.always(stand_in.problem(21610))
        assert self.failing(backend, message, DeliveryRefused, caplog).code == "21610"

    @pytest.mark.parametrize(
        ("status", "expected", "provider_wide"),
        [
            (400, DeliveryUnavailable, False),
            (401, BackendMisconfigured, True),
            (403, BackendMisconfigured, True),
            (404, BackendMisconfigured, False),
            (408, DeliveryUnavailable, True),
            (409, DeliveryUnavailable, False),
            (425, DeliveryUnavailable, True),
            (429, DeliveryUnavailable, True),
            (500, DeliveryUnknown, True),
            (503, DeliveryUnknown, True),
        ],
    )
    def test_judges_an_unheard_of_code_by_the_status(
        self, backend: Backend, message: Message, endpoint: Endpoint, status: int,
        expected: type[Exception], provider_wide: bool, caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        endpoint.always(stand_in.error(99999, status=status))
        error = self.failing(backend, message, expected, caplog)
        assert (error.code, error.provider_wide) == ("99999", provider_wide)

    @pytest.mark.parametrize("code", [None, "+12025550123", ["048213"]])
    def test_takes_only_a_number_for_a_code(
        self, backend: Backend, message: Message, endpoint: Endpoint, code: Any,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        endpoint.always(Reply(400, {"code": code, "message": "x"}))
        assert self.failing(backend, message, DeliveryUnavailable, caplog).code == "400"

    def test_keeps_no_copy_of_the_request(self, backend: Any, message: Message) -> None:
        backend.send(message, timeout=5)
        self.harmless(str(vars(backend)) + str(vars(backend._client.http_client)))

    def test_prefers_the_api_key(
        self, build: Callable[..., Backend], message: Message, endpoint: Endpoint
    ) -> None:
        build(**stand_in.OPTIONS, api_key=stand_in.API_KEY, api_secret=stand_in.API_SECRET).send(
            message, timeout=5
        )
        (request,) = endpoint.requests
        assert stand_in.ACCOUNT in request.path

    def test_reads_credentials_from_the_environment(
        self, build: Callable[..., Backend], message: Message, twilio_api: TwilioAPI,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setenv("TWILIO_ACCOUNT_SID", stand_in.ACCOUNT)
        monkeypatch.setenv("TWILIO_AUTH_TOKEN", stand_in.AUTH_TOKEN)
        assert build(sender=stand_in.SENDER).send(message, timeout=5).message_id
        assert len(twilio_api.requests) == 1

    def test_does_not_mix_its_own_credentials_with_the_environments(
        self, build: Callable[..., Backend], message: Message, endpoint: Endpoint,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setenv("TWILIO_API_KEY", "SK" + "0" * 32)
        monkeypatch.setenv("TWILIO_API_SECRET", "of another account")
        assert build(**stand_in.OPTIONS).send(message, timeout=5).message_id
        assert len(endpoint.requests) == 1

    def test_wrong_credentials_are_our_fault(
        self, build: Callable[..., Backend], message: Message, endpoint: Endpoint,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        backend = build(**{**stand_in.OPTIONS, "auth_token": "wrong"})
        assert self.failing(backend, message, BackendMisconfigured, caplog).code == "20003"
        assert len(endpoint.requests) == 1

    @pytest.mark.parametrize(
        ("missing", "problem"),
        [
            ("account_sid", "otp_channels.W102"),
            ("auth_token", "otp_channels.W102"),
            ("sender", "otp_channels.E103"),
        ],
    )
    def test_reports_a_missing_option_and_sends_nothing(
        self, build: Callable[..., Backend], message: Message, twilio_api: TwilioAPI,
        missing: str, problem: str, caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        backend = build(**{**stand_in.OPTIONS, missing: ""})
        (found,) = backend.check()
        assert found.id == problem
        assert found.is_serious() is (".E" in problem)
        assert found.hint
        assert self.failing(backend, message, BackendMisconfigured, caplog).code == problem
        assert twilio_api.requests == []

    def test_reports_that_receipts_cannot_be_verified_and_sends_all_the_same(
        self, build: Callable[..., Backend], message: Message, twilio_api: TwilioAPI
    ) -> None:
        options = {**stand_in.OPTIONS, "auth_token": ""}
        backend = build(**options, api_key=stand_in.API_KEY, api_secret=stand_in.API_SECRET)
        (found,) = backend.check()
        assert found.id == "otp_channels.I104"
        assert not backend.receives
        assert backend.send(message, timeout=5).message_id

    def test_reports_a_missing_sdk(
        self, backend: Backend, message: Message, monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        monkeypatch.setitem(sys.modules, "twilio", None)  # type: ignore[arg-type]
        (found,) = backend.check()
        assert found.id == "otp_channels.E101"
        assert "django-otp-channels[twilio]" in str(found.hint)
        error = self.failing(backend, message, BackendMisconfigured, caplog)
        assert error.code == "otp_channels.E101"

    def test_a_send_that_hangs_holds_up_no_other_thread(
        self, backend: Backend, message: Message, endpoint: Endpoint
    ) -> None:
        backend.send(message, timeout=5)
        endpoint.wait()
        endpoint.script(HANG)
        outcomes: list[object] = []

        def hang() -> None:
            try:
                backend.send(message, timeout=0.6)
            except DeliveryUnknown as error:
                outcomes.append(error)

        hanging = threading.Thread(target=hang)
        hanging.start()
        endpoint.wait()
        assert len({backend.send(message, timeout=5).message_id for _ in range(3)}) == 3
        assert outcomes == []
        hanging.join(3)
        assert len(outcomes) == 1


class TestSMS(TwilioContract):
    path = "django_otp_channels.backends.twilio.SMS"
    channel = "sms"

    @pytest.fixture
    def endpoint(self, twilio_api: TwilioAPI) -> Endpoint:
        return twilio_api.messages

    @pytest.fixture
    def seen(self, twilio_api: TwilioAPI) -> Callable[[], list[str]]:
        return lambda: [text for number, text in twilio_api.texts if number == NUMBER]

    def test_sends_what_twilio_needs_and_no_more(
        self, backend: Backend, message: Message, endpoint: Endpoint
    ) -> None:
        backend.send(message, timeout=5)
        assert endpoint.requests[0].form == {
            "To": NUMBER,
            "From": stand_in.SENDER,
            "Body": message.text,
            "ValidityPeriod": "300",
        }

    @pytest.mark.parametrize(("lifetime", "period"), [(-5, "1"), (0, "1"), (90000, "14400")])
    def test_keeps_the_validity_period_in_range(
        self, backend: Backend, endpoint: Endpoint, lifetime: int, period: str
    ) -> None:
        backend.send(message("sms", lifetime=lifetime), timeout=5)
        assert endpoint.requests[0].form["ValidityPeriod"] == period

    def test_each_country_has_its_sender(
        self, build: Callable[..., Backend], endpoint: Endpoint
    ) -> None:
        backend = build(**stand_in.OPTIONS, senders={"GB": "Example", "DE": "Beispiel"})
        for number in ("+447400123456", "+4915123456789", NUMBER):
            backend.send(message("sms", number), timeout=5)
        senders = [request.form["From"] for request in endpoint.requests]
        assert senders == ["Example", "Beispiel", stand_in.SENDER]

    def test_asks_for_receipts_where_it_is_given_a_url(
        self, backend: Backend, message: Message, endpoint: Endpoint
    ) -> None:
        url = "https://www.example.com/receipts/"
        backend.send(replace(message, callback=url), timeout=5)
        assert endpoint.requests[0].form["StatusCallback"] == url

    def test_sends_through_a_messaging_service(
        self, build: Callable[..., Backend], message: Message, endpoint: Endpoint
    ) -> None:
        options = {**stand_in.OPTIONS, "sender": "", "messaging_service_sid": stand_in.SERVICE}
        build(**options).send(message, timeout=5)
        form = endpoint.requests[0].form
        assert form["MessagingServiceSid"] == stand_in.SERVICE
        assert "From" not in form


class TestVoice(TwilioContract):
    path = "django_otp_channels.backends.twilio.Voice"
    channel = "voice"

    @pytest.fixture
    def endpoint(self, twilio_api: TwilioAPI) -> Endpoint:
        return twilio_api.calls

    @pytest.fixture
    def seen(self, twilio_api: TwilioAPI) -> Callable[[], list[str]]:
        return lambda: ["\n".join(lines) for number, lines in twilio_api.spoken if number == NUMBER]

    def test_speaks_each_line_and_pauses_between(
        self, backend: Backend, message: Message, endpoint: Endpoint
    ) -> None:
        backend.send(message, timeout=5)
        form = endpoint.requests[0].form
        assert form.keys() == {"To", "From", "Twiml", "Timeout", "TimeLimit"}
        assert (form["Timeout"], form["TimeLimit"]) == ("20", "60")
        verbs = list(ET.fromstring(form["Twiml"]))  # noqa: S314 (our own)
        assert [verb.tag for verb in verbs] == ["Say", "Pause"] * 4 + ["Say", "Hangup"]
        assert [verb.text for verb in verbs if verb.tag == "Say"] == message.text.splitlines()
        assert verbs[2].text == "0, 4, 8, 2, 1, 3."

    @pytest.mark.parametrize(
        ("language", "locale"),
        [
            ("en", "en-US"),
            ("en-gb", "en-GB"),
            ("de", "de-DE"),
            ("de-ch", "de-DE"),
            ("pt-br", "pt-BR"),
            ("nb", "nb-NO"),
            ("zh-hans", "cmn-CN"),
            ("zh-hant", "cmn-TW"),
            ("eu", "en-US"),
        ],
    )
    def test_speaks_the_persons_language(
        self, backend: Backend, endpoint: Endpoint, language: str, locale: str
    ) -> None:
        backend.send(message("voice", language=language), timeout=5)
        twiml = ET.fromstring(endpoint.requests[0].form["Twiml"])  # noqa: S314 (our own)
        assert {say.get("language") for say in twiml.iter("Say")} == {locale}

    @pytest.mark.parametrize("language", [code for code, _name in LANGUAGES])
    def test_has_a_voice_for_every_language_of_django(
        self, backend: Any, language: str, twilio_api: TwilioAPI
    ) -> None:
        spoken = channels.language_for("voice", language)
        backend.send(message("voice", language=spoken), timeout=5)
        twiml = ET.fromstring(twilio_api.calls.requests[0].form["Twiml"])  # noqa: S314 (our own)
        (locale,) = {say.get("language") for say in twiml.iter("Say")}
        assert locale in backends.LOCALES.values()
        # Never a voice of one language for the words of another.
        assert locale == "en-US" or spoken == language

    def test_dials_an_extension(self, backend: Backend, endpoint: Endpoint) -> None:
        backend.send(message("voice", f"{NUMBER};ext=045"), timeout=5)
        form = endpoint.requests[0].form
        assert (form["To"], form["SendDigits"]) == (NUMBER, "wwww045")

    def test_waits_for_the_announced_key_before_a_word_of_the_code(
        self, backend: Backend, endpoint: Endpoint
    ) -> None:
        url = "https://www.example.com/receipts/"
        call = compose(
            "voice", to=NUMBER, token=TOKEN, purpose="login", language="de", lifetime=300, key="7"
        )
        backend.send(replace(call, callback=url), timeout=5)
        form = endpoint.requests[0].form
        assert (form["StatusCallback"], form["StatusCallbackEvent"]) == (url, "completed")
        gather, hangup = ET.fromstring(form["Twiml"])  # noqa: S314 (our own)
        assert (gather.tag, hangup.tag) == ("Gather", "Hangup")
        assert (gather.get("action"), gather.get("numDigits")) == (url, "1")
        assert [verb.tag for verb in gather].count("Say") == 4  # two lines, said twice
        assert {say.get("language") for say in gather.iter("Say")} == {"de-DE"}
        for digits in (TOKEN, ", ".join(TOKEN), "0, 4"):
            assert digits not in form["Twiml"]

    def test_text_cannot_become_markup(
        self, backend: Backend, twilio_api: TwilioAPI, settings: Any
    ) -> None:
        settings.OTP_CHANNELS_SITE_NAME = '<Dial>"&'
        backend.send(message("voice"), timeout=5)
        assert '<Dial>"&' in twilio_api.spoken[0][1][0]

    def test_names_the_languages_that_it_speaks(self, backend: Backend) -> None:
        assert {"en", "de", "zh", "nb"} <= (backend.spoken_languages or set())
        assert "eu" not in (backend.spoken_languages or set())


def test_the_table_has_every_code_of_a_request() -> None:
    assert backends.CODES.keys() == OUTCOMES.keys()


def test_importing_the_backends_imports_no_sdk() -> None:
    code = (
        "import sys\n"
        "from django_otp_channels.backends import aws, fcm, twilio\n"
        "sdks = {'boto3', 'botocore', 'firebase_admin', 'google.auth', 'requests', 'twilio'}\n"
        "assert not sdks & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
