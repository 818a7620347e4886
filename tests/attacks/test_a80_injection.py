"""A80: what people and providers write is text, in the database, in a log, on a page."""

from __future__ import annotations

import json
import logging
from urllib.parse import quote

import pytest
from django.db.models.functions import Now
from django.test import Client
from django.utils.html import escape
from django.utils.http import url_has_allowed_host_and_scheme

from django_otp_channels.models import Challenge, ChannelDevice, Delivery
from django_otp_channels.testing import login_verified
from tests.factories import PhoneFactory, UserFactory
from tests.hooks import sends_are_over
from tests.journey import ADD_PHONE, DEVICES, LOGIN, SEND, VERIFY
from tests.providers.loopback import Reply

from .test_a60_forged_receipts import signed

pytestmark = pytest.mark.django_db(transaction=True)

EVIL = {
    "SQL": "'; DROP TABLE otp_channels_challenge; --",
    "a line of its own": "\r\n[INFO] login ok user=admin",
    "a line of its own, encoded": "%0d%0a[INFO] login ok user=admin",
    "a terminal's escape": "\x1b[2J\x1b[31mred",
    "a separator of lines": "\u2028[INFO] login ok\u2029\u0085user=admin",
    "a formula": '=HYPERLINK("https://evil.example","x")',
    "a template": "{{7*7}} {user.password} %(user)s ${jndi:x}",
    "markup": '"><script>alert(1)</script>',
}
BREAKS = ("\r", "\n", "\x1b", "\u2028", "\u2029", "\u0085")


@pytest.fixture(params=EVIL.values(), ids=EVIL.keys())
def evil(request) -> str:
    return request.param


class Lines(logging.Handler):
    """What the loggers of the package write, a line for each record."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append((record.name, self.format(record)))


@pytest.fixture
def lines():
    handler, logger = Lines(), logging.getLogger("django_otp_channels")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler.told
    logger.setLevel(before)
    logger.removeHandler(handler)


def test_a80_what_people_and_providers_write_stays_text(journey, alex, phone, evil, lines):
    """Through every field that a person on the way in can fill."""
    header = evil.replace("\r", "").replace("\n", "")  # no server lets these two through
    browser = {"headers": {"User-Agent": header, "X-Forwarded-For": header, "Referer": header}}
    post = journey.client.post

    post(LOGIN, {"username": evil, "password": evil, "next": evil}, **browser)
    post(LOGIN, {"username": "alex", "password": journey.password, "next": evil}, **browser)
    pages = [
        post(VERIFY, {"token": evil, "device": evil, "next": evil}, **browser),
        post(VERIFY, {"token": evil}, **browser),
        journey.client.get(VERIFY, {"device": evil}, **browser),
    ]
    post(SEND, {"device": evil, "channel": evil}, **browser)
    answer = post(VERIFY, {"token": journey.code}, **browser)
    pages.append(post(ADD_PHONE, {"number": evil, "channel": "sms"}, **browser))

    onwards = answer.headers["Location"]
    assert url_has_allowed_host_and_scheme(onwards, {"testserver"})
    assert not any(each in onwards for each in (*BREAKS, "<", '"'))
    assert Challenge.objects.get().state == "verified"
    assert lines
    for name, line in lines:
        assert not any(each in line for each in BREAKS)
        if name.endswith(".audit"):
            assert json.loads(line)["event"]
            assert evil not in line
    for page in pages:
        assert "<script>alert" not in page.content.decode()


def test_a80_a_name_is_shown_as_it_is_written(journey, alex, evil, lines):
    device = PhoneFactory(user=alex, name=evil[:64])
    journey.log_in(alex)
    staff = Client()
    login_verified(staff, UserFactory(staff=True))
    admin = "/admin/otp_channels/channeldevice/"
    urls = (admin, f"{admin}{device.pk}/change/", f"{admin}{device.pk}/delete/")

    pages = [journey.client.get(url) for url in (DEVICES, f"{DEVICES}devices/{device.pk}/remove/")]
    pages += [staff.get(url) for url in urls]
    staff.post(admin, {"action": "disable", "_selected_action": [device.pk]})

    device.refresh_from_db()
    assert (device.name, device.disabled_reason) == (evil[:64], "staff")
    for page in pages:
        assert page.status_code == 200
        assert "<script>alert" not in page.content.decode()
    assert escape(evil[:64]) in pages[0].content.decode()
    for _name, line in lines:
        assert not any(each in line for each in BREAKS)


def test_a80_what_a_provider_answers_stays_text(over_twilio, twilio_api, evil, lines):
    error = {"code": evil, "message": evil, "more_info": evil, "status": 400}
    journey = over_twilio("sms").journey
    twilio_api.messages.always(Reply(400, error))
    Challenge.objects.update(next_send_at=Now())

    journey.ask()
    sends_are_over()

    delivery = Delivery.objects.latest("pk")
    assert Delivery.objects.count() == 2
    assert delivery.status in ("failed", "unknown")
    assert evil not in delivery.error_code
    assert ChannelDevice.objects.count() == 1
    for _name, line in lines:
        assert not any(each in line for each in BREAKS)
        assert evil not in line


@pytest.mark.parametrize("field", ["MessageSid", "MessageStatus", "ErrorCode", "AccountSid"])
def test_a80_what_a_receipt_says_stays_text(over_twilio, evil, field, lines):
    """Signed, as by a provider that relays what others have written."""
    sent = over_twilio("sms")
    before = sent.delivery.message_id

    signed(sent.status("undelivered", "30003"), **{field: evil}).to(Client())

    assert sent.delivery.message_id in (before, "")
    assert evil not in sent.delivery.error_code
    for _name, line in lines:
        assert not any(each in line for each in BREAKS)
        assert evil not in line


@pytest.mark.parametrize("part", ["channel", "provider", "id"])
def test_a80_the_path_of_a_forged_receipt_stays_text(evil, part, lines):
    path = {"channel": "sms", "provider": "twilio", "id": f"{'0' * 32}-0"}
    path[part] = quote(evil.replace("/", ""), safe="")

    Client().post(f"/account/receipts/{path['channel']}/{path['provider']}/{path['id']}/")

    for name, line in lines:
        assert name == "django_otp_channels.audit"
        assert json.loads(line).keys() == {"event", "at"}
