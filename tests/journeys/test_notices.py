"""What the owner of an account is told, by e-mail and on the other devices."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.locmem import EmailBackend as InMemory
from django.db import connections, transaction
from django.test import Client, RequestFactory

from django_otp_channels import notices
from django_otp_channels.conf import NOTICES as NAMES
from django_otp_channels.messages import Message, segments
from django_otp_channels.models import Budget, Challenge, ChannelDevice, Lockout
from django_otp_channels.testing import login_verified
from tests.factories import AppFactory, PhoneFactory
from tests.hooks import sends_are_over
from tests.journey import ADD_PHONE

pytestmark = pytest.mark.django_db

NEW = "+12025550199"
OLD = "+12025550123"
PAGE = "https://www.example.com/account/"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def told(outbox: list[Message]) -> list[Message]:
    return [message for message in outbox if not message.token]


def subjects() -> list[str]:
    return [letter.subject for letter in mail.outbox]


def html_of(letter: Any) -> str:
    ((content, kind),) = letter.alternatives
    assert kind == "text/html"
    return str(content)


def request(**meta: str) -> Any:
    return RequestFactory().get("/", REMOTE_ADDR="192.0.2.7", **meta)


def prove(journey: Any, number: str = NEW, channel: str = "sms") -> ChannelDevice:
    """Add ``number``, whoever is logged in or parked, with the code that is sent to it."""
    journey.client.post(ADD_PHONE, {"number": number, "channel": channel})
    device = ChannelDevice.objects.get(address=number)
    journey.client.post(f"/account/devices/{device.pk}/confirm/", {"token": journey.code})
    device.refresh_from_db()
    assert device.confirmed
    return device


def remove(journey: Any, device: ChannelDevice) -> Any:
    answer = journey.client.post(f"/account/devices/{device.pk}/remove/")
    assert answer.status_code == 302
    return answer


def guess(journey: Any, times: int) -> None:
    for _ in range(times):
        assert journey.enter_code(journey.wrong_code).status_code == 200


@pytest.fixture
def owner(journey, alex, phone):
    """Alex, logged in and verified."""
    login_verified(journey.client, alex)
    return journey


@pytest.fixture
def parked(journey, alex, phone):
    """Whoever knows Alex's password, on the code page."""
    journey.enter_password(alex)
    return journey


# -- what is told, and to whom ---------------------------------------------------------------


def test_a_new_phone_is_told_by_mail_and_to_the_phone_there_was(owner):
    prove(owner)

    (letter,) = mail.outbox
    assert letter.to == ["alex@example.com"]
    assert letter.subject == "Example: A device was added to your account"
    (message,) = told(owner.outbox)
    assert (message.channel, message.to) == ("sms", OLD)
    assert message.text == (
        "Example: A device was added to your account. "
        "Not you? Change your password and check your account."
    )


def test_every_other_device_hears_of_a_new_one(owner, alex):
    app = AppFactory(user=alex)
    second = PhoneFactory(user=alex, address="+12025550177")
    PhoneFactory(user=alex, address="+12025550166", confirmed=False)
    PhoneFactory(address="+12025550155")  # somebody else's

    prove(owner)

    assert {(message.channel, message.to) for message in told(owner.outbox)} == {
        ("push", app.address),
        ("sms", OLD),
        ("sms", second.address),
    }


def test_a_removed_phone_hears_of_it_as_well(owner, alex):
    other = PhoneFactory(user=alex, address=NEW)

    remove(owner, other)

    assert {message.to for message in told(owner.outbox)} == {NEW, OLD}
    assert subjects() == ["Example: A device was removed from your account"]


def test_a_number_that_was_never_proven_hears_nothing(owner, alex):
    remove(owner, PhoneFactory(user=alex, address=NEW, confirmed=False))

    assert (mail.outbox, owner.outbox) == ([], [])


def test_an_old_number_hears_that_another_took_its_place(alex, phone, outbox):
    new = PhoneFactory(user=alex, address=NEW)
    phone.delete()

    notices.tell(request(), alex, "device_changed", device=new, also=[phone])

    assert [message.to for message in told(outbox)] == [OLD]


def test_a_number_that_takes_calls_only_is_not_called_for_a_notice(owner, alex, settings):
    settings.OTP_CHANNELS = {"voice": [{"BACKEND": "django_otp_channels.backends.memory.Voice"}]}

    prove(owner, channel="voice")

    assert told(owner.outbox) == []
    assert len(mail.outbox) == 1


def test_the_third_wrong_code_is_told_once_and_not_to_the_phone_that_it_is_about(parked, alex):
    other = PhoneFactory(user=alex, address=NEW)
    guess(parked, 2)
    assert (mail.outbox, told(parked.outbox)) == ([], [])

    guess(parked, 2)

    assert subjects() == ["Example: Three wrong codes were entered"]
    assert [message.to for message in told(parked.outbox)] == [other.address]


def test_whom_nothing_else_reaches_is_told_on_the_device_itself(journey, phone):
    phone.user.email = ""
    phone.user.save()
    journey.enter_password(phone.user)

    guess(journey, 3)

    assert mail.outbox == []
    assert [message.to for message in told(journey.outbox)] == [OLD]


def test_a_lock_is_told(parked, alex):
    Lockout.objects.create(user=alex, failures=9, daily_failures=9, warned=True)

    parked.enter_password(alex)
    guess(parked, 1)

    assert subjects() == ["Example: Codes are locked after too many wrong ones"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("failing", ["", "1"], ids=["commit", "rollback"])
def test_wrong_codes_of_the_stock_api_are_told_once(outbox, monkeypatch, failing):
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    device = PhoneFactory()
    device.generate_challenge()
    client = Client(raise_request_exception=False)
    for _ in range(4):
        client.post(
            "/stock-verify/",
            {
                "username": device.user.username,
                "device": device.persistent_id,
                "token": "000000",
                "fail": failing,
            },
        )
        ChannelDevice.objects.update(throttling_failure_timestamp=None)

    assert subjects() == ["Example: Three wrong codes were entered"]


# -- what one says ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_letter_says_what_when_where_and_what_to_do(name, alex, phone):
    notices.tell(request(HTTP_USER_AGENT=FIREFOX), alex, name, device=phone)

    (letter,) = mail.outbox
    notice = notices.NOTICES[name]
    assert letter.subject == f"Example: {notice.title}"
    assert letter.extra_headers == {"Auto-Submitted": "auto-generated"}
    for text in (letter.body, html_of(letter)):
        words = " ".join(re.sub(r"<[^>]*>", " ", text).split())
        assert str(notice.sentence) in words
        assert str(notice.advice) in words
        assert "Phone •••• 23" in words
        assert re.search(r"Europe/Berlin\) .*\(UTC\)", words)
        assert "192.0.2.7" in words
        assert "Firefox on Linux" in words


@pytest.mark.parametrize("name", NAMES)
def test_no_notice_holds_a_code_a_number_or_a_link_that_acts(name, parked, alex, phone):
    AppFactory(user=alex)
    PhoneFactory(user=alex, address=NEW, name="Call +1 900 555 0100")

    notices.tell(request(HTTP_USER_AGENT="https://evil.example Firefox"), alex, name, device=phone)

    (letter,) = mail.outbox
    messages = told(parked.outbox)
    assert len(messages) in (2, 3)
    for text in (letter.body, html_of(letter), *(message.text for message in messages)):
        assert parked.code not in text
        assert not re.search(r"\d{5}", text)
        assert "900" not in text
        assert "evil" not in text
        # The page of the devices, whose GET shows them to their owner and does nothing.
        assert set(re.findall(r"https?://[^\s\"<]+", text)) <= {PAGE}
        assert "?" not in "".join(re.findall(r"https?://\S+", text))
    for message in messages:
        assert "://" not in message.text
        assert "example.com" not in message.text


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("site", ["Example", "Ex" * 40])
def test_a_text_has_one_part(name, site, alex, phone, outbox, settings):
    settings.OTP_CHANNELS_SITE_NAME = site

    notices.tell(None, alex, name)

    (message,) = outbox
    assert message.text.startswith(f"{site[:30]}: ")
    assert segments(message.text) == 1
    assert len(message.text) <= 160


def test_a_notification_does_not_repeat_the_name_of_the_site(alex, outbox):
    AppFactory(user=alex)

    notices.tell(None, alex, "browser_trusted")

    (message,) = outbox
    assert (message.title, message.text) == (
        "Example",
        "A browser is trusted now. Not you? Change your password and check your account.",
    )


def test_no_host_that_a_request_claims_gets_into_a_letter(alex, settings):
    settings.OTP_CHANNELS_BASE_URL = ""
    settings.ALLOWED_HOSTS = ["*"]

    notices.tell(request(HTTP_HOST="evil.example"), alex, "app_added")

    (letter,) = mail.outbox
    assert "://" not in letter.body + html_of(letter)
    assert "evil" not in letter.body + html_of(letter)


def test_a_name_or_a_title_of_two_lines_adds_no_header(alex, settings, monkeypatch):
    translated = replace(notices.NOTICES["app_added"], title="An app\nwas added")
    monkeypatch.setattr(notices, "NOTICES", {"app_added": translated})
    settings.OTP_CHANNELS_SITE_NAME = "Ex\nBcc: eve@example.com <b>"

    notices.tell(None, alex, "app_added")

    (letter,) = mail.outbox
    assert letter.subject == "Ex Bcc: eve@example.com <b>: An app was added"
    assert "<b>" not in html_of(letter)
    assert "&lt;b&gt;" in html_of(letter)


def test_who_guesses_codes_does_not_choose_the_language(parked, alex, settings, phone):
    seen = []
    settings.LANGUAGES = [("en", "English"), ("de", "Deutsch")]
    parked.client.defaults["HTTP_ACCEPT_LANGUAGE"] = "de"
    parked.enter_password(alex)
    guess(parked, 3)
    seen.append(html_of(mail.outbox[0]))
    Challenge.objects.filter(language="de").update(state="verified")
    notices.tell(None, alex, "app_added")
    seen.append(html_of(mail.outbox[1]))
    ChannelDevice.objects.update(language="en")
    notices.tell(None, alex, "app_added")
    seen.append(html_of(mail.outbox[2]))

    assert [re.search(r'lang="(\w+)"', page)[1] for page in seen] == ["en", "de", "en"]


def test_what_staff_have_done_tells_no_address_of_theirs(alex):
    notices.tell(request(HTTP_USER_AGENT=FIREFOX), alex, "factors_reset", by=7)

    (letter,) = mail.outbox
    for text in (letter.body, html_of(letter)):
        assert "192.0.2.7" not in text
        assert "Firefox" not in text
        assert "the support of Example" in text


# -- switched off ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ways", "letters", "messages"),
    [([], 0, 0), (["email"], 1, 0), (["sms"], 0, 1), (["push"], 0, 1), (("sms", "push"), 0, 2)],
)
def test_each_notice_can_be_switched_off_way_by_way(
    alex, phone, outbox, settings, ways, letters, messages
):
    AppFactory(user=alex)
    settings.OTP_CHANNELS_NOTICES = {"app_added": ways}

    notices.tell(None, alex, "app_added")

    assert (len(mail.outbox), len(outbox)) == (letters, messages)
    notices.tell(None, alex, "app_removed")
    assert (len(mail.outbox), len(outbox)) == (letters + 1, messages + 2)


def test_a_notice_that_does_not_exist_is_no_notice(alex):
    with pytest.raises(KeyError):
        notices.tell(None, alex, "device_stolen")


# -- nothing that goes wrong is the person's business ----------------------------------------


class Broken(InMemory):
    def send_messages(self, messages: Any) -> int:
        raise OSError("no route to alex@example.com")


class Hanging(BaseEmailBackend):
    """A mail host that does not answer until it may."""

    may: ClassVar[threading.Event] = threading.Event()
    sent: ClassVar[list[str]] = []

    def send_messages(self, messages: Any) -> int:
        assert self.may.wait(30)
        self.sent.extend(message.subject for message in messages)
        return len(messages)


@pytest.fixture
def send_by(settings):
    def use(backend: type) -> None:
        path = f"{__name__}.{backend.__name__}"
        if hasattr(mail, "mailers"):
            settings.MAILERS = {"default": {"BACKEND": path}}
        else:
            settings.EMAIL_BACKEND = path

    return use


def test_a_mail_host_that_fails_is_a_line_in_the_log(owner, alex, send_by, caplog):
    send_by(Broken)

    prove(owner)

    assert len(told(owner.outbox)) == 1
    (line,) = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert line == f"User {alex.pk} was not told of device_added by email (OSError)."
    assert "alex@example.com" not in caplog.text


def test_a_mail_host_that_hangs_holds_no_page(owner, send_by, caplog, settings):
    settings.OTP_CHANNELS_SEND_THREADS = 1
    Hanging.may.clear()
    Hanging.sent.clear()
    send_by(Hanging)

    device = prove(owner)
    assert Hanging.sent == []
    remove(owner, device)  # while the only thread is busy
    Hanging.may.set()
    sends_are_over()

    assert Hanging.sent == ["Example: A device was added to your account"]
    assert "was not told of device_removed by email (busy)" in caplog.text


def test_a_template_that_cannot_be_rendered_stops_no_removal(owner, alex, settings, tmp_path):
    (tmp_path / "otp_channels" / "mail").mkdir(parents=True)
    broken = tmp_path / "otp_channels" / "mail" / "device_removed.html"
    broken.write_text("{% nothing of the kind %}", encoding="utf-8")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    other = PhoneFactory(user=alex, address=NEW)

    remove(owner, other)

    assert mail.outbox == []
    assert len(told(owner.outbox)) == 2


def test_a_site_can_word_one_notice_its_own_way(alex, settings, tmp_path):
    (tmp_path / "otp_channels" / "mail").mkdir(parents=True)
    own = tmp_path / "otp_channels" / "mail" / "app_added.txt"
    own.write_text("Hello from {{ site }}", encoding="utf-8")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]

    notices.tell(None, alex, "app_added")
    notices.tell(None, alex, "app_removed")

    first, second = mail.outbox
    assert first.body == "Hello from Example\n"
    assert "Hello from" not in second.body


# -- only what is certain --------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("back", [True, False])
def test_a_notice_waits_for_the_commit_and_a_rollback_tells_nothing(outbox, back):
    phone = PhoneFactory()
    with transaction.atomic():
        notices.tell(None, phone.user, "app_added")
        assert (mail.outbox, outbox) == ([], [])
        transaction.set_rollback(back)

    assert (len(mail.outbox), len(outbox)) == ((0, 0) if back else (1, 1))


# -- what they cost --------------------------------------------------------------------------


def test_notices_have_a_limit_of_their_own_and_close_no_login(journey, alex, phone):
    for _ in range(8):
        notices.tell(None, alex, "app_added")

    assert len(told(journey.outbox)) == 3
    assert len(mail.outbox) == 8
    journey.log_in(alex)
    assert journey.is_in
    assert set(Budget.objects.values_list("bucket", flat=True)) >= {"notice.number", "login.number"}


def test_whoever_has_many_phones_is_told_a_few_times_a_day(alex, outbox, settings):
    for n in range(4):
        PhoneFactory(user=alex, address=f"+1202555017{n}")

    for _ in range(4):
        notices.tell(None, alex, "app_added")

    assert len(outbox) == 5
