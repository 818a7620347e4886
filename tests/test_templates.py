"""What is promised of the pages: no inline script or style, nothing from elsewhere, little weight.

A site with a strict content security policy need not make an exception for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.models.functions import Now
from django.template.loader import render_to_string
from django_otp.models import Device
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

import django_otp_channels
from django_otp_channels.backends import memory
from django_otp_channels.enrolment import is_last_factor
from django_otp_channels.exceptions import DeliveryUnavailable
from django_otp_channels.messages import Message, Receipt
from django_otp_channels.models import Challenge, ChannelDevice
from django_otp_channels.models.challenges import UNREACHABLE
from django_otp_channels.others import OtherWay
from django_otp_channels.testing import login_verified
from django_otp_channels.views.page import REASONS, CodePage
from tests.factories import PhoneFactory
from tests.journey import VERIFY, Journey

PACKAGE = Path(django_otp_channels.__file__).resolve().parent
TEMPLATES = sorted((PACKAGE / "templates").rglob("*.html"))
STATIC = PACKAGE / "static" / "otp_channels"

FORBIDDEN = {
    "inline script": r"<script(?![^>]*\ssrc=)",
    "inline style": r"<style\b|\sstyle\s*=",
    "event handler": r"\son[a-z]+\s*=",
    "script URL": r"javascript:",
    "unescaped value": r"\|\s*safe\b|autoescape\s+off",
    "address of another site": r"(?:https?:)?//[a-z]",
}


def named(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("path", TEMPLATES, ids=named)
@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_template_has(what: str, path: Path) -> None:
    if what == "inline style" and path.parent.name == "mail":
        return  # a letter brings its style along: it is under no policy, and may load nothing
    found = re.search(FORBIDDEN[what], path.read_text(encoding="utf-8"), re.IGNORECASE)
    assert found is None, found


@pytest.mark.parametrize("path", TEMPLATES, ids=named)
def test_every_form_that_posts_is_protected(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    forms = re.findall(r'<form\b[^>]*method="post".*?</form>', text, re.DOTALL)
    assert len(forms) == text.count("<form")
    assert all("{% csrf_token %}" in form for form in forms)


@pytest.mark.parametrize("path", TEMPLATES, ids=named)
def test_every_word_can_be_translated(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for marked in (
        r"\{#.*?#\}",
        r"<style>.*?</style>",
        r"\{% blocktranslate.*?\{% endblocktranslate %\}",
        r"<meta[^>]*>",
        r"\{%.*?%\}",
        r"\{\{.*?\}\}",
        r"<[^>]*>",
        r"&[a-z]+;",
    ):
        text = re.sub(marked, " ", text, flags=re.DOTALL)
    assert re.findall(r"[^\W\d_]+", text) == []


@pytest.mark.parametrize(("name", "limit"), [("otp.css", 12_000), ("otp.js", 8_000)])
def test_static_files_are_small_and_need_nothing_else(name: str, limit: int) -> None:
    text = (STATIC / name).read_text(encoding="utf-8")
    assert len(text.encode()) < limit
    assert re.search(r"(?:https?:)?//[a-z]|@import|\bimport\b|url\(", text) is None


def test_the_script_asks_for_the_fallback_alone_and_leaves_no_global() -> None:
    text = (STATIC / "otp.js").read_text(encoding="utf-8")
    assert re.search(r"\.submit\(|requestSubmit|innerHTML|eval\(", text) is None
    # The one thing that it asks for is the site's fallback, as the person could by its button.
    assert re.findall(r"method:.*", text) == [
        'method: "POST", body, redirect: "manual", signal: sending.signal };'
    ]
    assert re.search(r"\b(?:window|globalThis)\.\w+\s*=[^=]", text) is None
    pages = "".join(path.read_text(encoding="utf-8") for path in TEMPLATES)
    assert re.findall(r"<script[^>]*>", pages)
    assert all('type="module"' in tag for tag in re.findall(r"<script[^>]*>", pages))


# -- what the pages say ----------------------------------------------------------------------

SMS = {"sms": [{"BACKEND": "django_otp_channels.backends.memory.SMS"}]}
VOICE = {"voice": [{"BACKEND": "django_otp_channels.backends.memory.Voice"}]}


class Broken(memory.SMS):
    def send(self, message: Message, *, timeout: float) -> Receipt:
        raise DeliveryUnavailable


def input_of(page: str) -> str:
    (tag,) = re.findall(r'<input[^>]*name="token"[^>]*>', page)
    return tag


def title_of(page: str) -> str:
    (title,) = re.findall(r"<title>(.*?)</title>", page, re.DOTALL)
    return " ".join(title.split())


def headings(page: str) -> list[str]:
    return [
        " ".join(text.split()) for text in re.findall(r"<h\d[^>]*>(.*?)</h\d>", page, re.DOTALL)
    ]


def buttons(page: str) -> list[str]:
    found = re.findall(r"<button[^>]*>(.*?)</button>", page, re.DOTALL)
    return [" ".join(re.sub(r"<span.*", "", text, flags=re.DOTALL).split()) for text in found]


@pytest.fixture
def code_page(journey: Journey) -> Callable[[], str]:
    return lambda: journey.client.get(VERIFY).text


def test_the_code_field_takes_the_focus_unless_the_message_failed(
    journey: Journey, alex: Any, phone: Any, settings: Any, code_page: Callable[[], str]
) -> None:
    journey.enter_password(alex)
    page = code_page()
    assert "autofocus" in input_of(page)
    assert "Have a code already?" not in page
    assert title_of(page) == "Enter your code · Example"

    settings.OTP_CHANNELS = {"sms": [{"BACKEND": f"{__name__}.Broken"}], **VOICE}
    journey.enter_password(alex)
    page = code_page()

    assert "autofocus" not in input_of(page)
    assert headings(page) == ["Confirm that it is you", "Get a code", "Have a code already?"]
    assert title_of(page) == "Confirm that it is you · Example"
    page = journey.enter_code("000000").text
    assert "autofocus" in input_of(page)  # whoever has typed a wrong code is about to type another


def test_the_code_field_is_told_with_where_the_code_went(
    journey: Journey, alex: Any, phone: Any, code_page: Callable[[], str]
) -> None:
    journey.enter_password(alex)
    page = code_page()
    assert 'aria-describedby="otp-sentence"' in input_of(page)
    assert '<p id="otp-sentence"' in page

    page = journey.enter_code("000000").text

    assert 'aria-describedby="id_token_error otp-sentence"' in input_of(page)
    assert '<p id="otp-sentence"' in page


def test_the_page_that_confirms_a_phone_knows_of_a_failure_too(
    journey: Journey, alex: Any, settings: Any
) -> None:
    settings.OTP_CHANNELS = {"sms": [{"BACKEND": f"{__name__}.Broken"}], **VOICE}
    device = PhoneFactory(user=alex, address="+12025550123", confirmed=False)
    login_verified(journey.client, alex)
    journey.ask(device=device.pk)

    page = journey.client.get(f"/account/devices/{device.pk}/confirm/").text

    assert "autofocus" not in input_of(page)
    assert "Have a code already?" in headings(page)


@pytest.mark.parametrize(
    ("channel", "before", "after"),
    [
        ("sms", "Send the code again", "Send a new code"),
        ("voice", "Call me again", "Call me with a new code"),
    ],
)
def test_after_its_time_a_code_is_not_sent_again_but_a_new_one(
    journey: Journey,
    alex: Any,
    phone: Any,
    channel: str,
    before: str,
    after: str,
    code_page: Callable[[], str],
) -> None:
    ChannelDevice.objects.filter(pk=phone.pk).update(channel=channel)
    journey.enter_password(alex)
    assert before in buttons(code_page())

    Challenge.objects.update(expires_at=Now() - timedelta(seconds=1))

    page = buttons(code_page())
    assert after in page
    assert before not in page


def test_the_end_of_the_last_code_is_told_in_one_sentence(
    journey: Journey, alex: Any, phone: Any, settings: Any, code_page: Callable[[], str]
) -> None:
    settings.OTP_CHANNELS_MAX_SENDS = 1
    no_more = "No more codes can be sent."
    journey.enter_password(alex)
    assert no_more in code_page()

    Challenge.objects.update(expires_at=Now() - timedelta(seconds=1))

    page = code_page()
    assert "This code has expired. Please start over." in " ".join(page.split())
    assert no_more not in page


def test_whom_no_code_can_reach_is_told_so_where_other_ways_are_left() -> None:
    ways = [OtherWay("otp_static.staticdevice/1", "Recovery codes")]
    said = "We cannot send you a code now: none of your devices can be reached."

    def page(**facts: Any) -> str:
        shown = CodePage(challenge=None, ways=(), other_ways=ways, **facts)
        return render_to_string("otp_channels/verify.html", {"page": shown})

    assert said in page(has_devices=True)
    assert said not in page()  # of somebody who has nothing but recovery codes
    assert "ask the support" not in page(has_devices=True)
    assert said not in page(has_devices=True, other=ways[0])


@pytest.mark.parametrize(
    ("configured", "heading", "button"),
    [
        (SMS, "Get your code", "Send me a code"),
        (VOICE, "Get your code", "Call me"),
        (SMS | VOICE, "How should we send your code?", "Text me the code"),
    ],
    ids=["text", "call", "both"],
)
def test_a_waiting_number_with_one_way_leaves_no_choice(
    journey: Journey, alex: Any, settings: Any, configured: Any, heading: str, button: str
) -> None:
    settings.OTP_CHANNELS = configured
    device = PhoneFactory(user=alex, address="+12025550123", confirmed=False)
    login_verified(journey.client, alex)

    page = journey.client.get(f"/account/devices/{device.pk}/confirm/").text

    assert headings(page) == ["Confirm your phone", heading]
    assert buttons(page)[0] == button


def test_the_name_of_the_site_leads_back_to_it(client: Any, db: None) -> None:
    page = client.get("/account/login/").text

    assert re.search(r'class="otp-site">\s*<a href="/">Example</a>', page)


def test_removing_the_last_factor_is_no_surprise() -> None:
    said = "Then your password alone signs you in."

    assert said in render_to_string("otp_channels/remove_device.html", {"last": True})
    assert said not in render_to_string("otp_channels/remove_device.html", {"last": False})


def test_a_refusal_to_remove_the_last_factor_leads_to_another_phone() -> None:
    page = render_to_string("otp_channels/remove_device.html", {"refused": "Not this one."})

    assert "Not this one." in page
    assert 'href="/account/devices/add/phone/"' in page
    assert "<form" not in page


def test_the_last_factor_is_the_only_confirmed_one(alex: Any, phone: Any) -> None:
    unproven = PhoneFactory(user=alex, address="+12025550144", confirmed=False)

    def judged(device: Any) -> bool:
        return is_last_factor(type(alex).objects.get(pk=alex.pk), device)

    assert judged(phone)
    assert not judged(unproven)
    StaticDevice.objects.create(user=alex, name="Recovery codes")
    assert judged(phone)
    app = TOTPDevice.objects.create(user=alex, name="App")
    assert not judged(phone)
    app.delete()
    assert judged(phone)
    PhoneFactory(user=alex, address="+12025550145")
    assert not judged(phone)


def test_a_passkey_is_not_typed_but_used_on_the_sign_in_page(monkeypatch: Any) -> None:
    monkeypatch.setattr(OtherWay, "model", Device)  # whose verify_token() nobody has written
    passkey = OtherWay("otp_webauthn.webauthncredential/1", "My passkey")
    assert not passkey.is_typed

    page = render_to_string("otp_channels/verify.html", {"page": {"other_ways": [passkey]}})

    assert "My passkey, on the sign-in page" in " ".join(page.split())
    assert "?device=otp_webauthn" not in page


# -- a site's own templates ------------------------------------------------------------------


def test_a_sites_own_renderer_and_widgets_reach_every_field(
    client: Any, db: None, settings: Any, tmp_path: Path
) -> None:
    ours = {
        "django/forms/widgets/text.html": '<input class="form-control" name="{{ widget.name }}">',
        "django/forms/errors/list/ul.html": '<p class="invalid-feedback">{{ errors.0 }}</p>',
    }
    for name, text in ours.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    settings.FORM_RENDERER = "django.forms.renderers.TemplatesSetting"
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django.forms"]

    page = client.post("/account/login/", {"username": "", "password": "x"}).text

    assert '<input class="form-control" name="username">' in page
    assert '<p class="invalid-feedback">This field is required.</p>' in page


def test_a_sites_own_field_template_is_every_pages(
    journey: Journey, alex: Any, phone: Any, settings: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "otp_channels"
    folder.mkdir()
    (folder / "_field.html").write_text("<b>{{ field.label }}</b>{{ field }}", encoding="utf-8")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]

    assert "<b>Username</b><input" in journey.client.get("/account/login/").text
    journey.enter_password(alex)
    assert "<b>Code</b><input" in journey.client.get(VERIFY).text


def test_a_block_is_overridden_alone(
    journey: Journey, alex: Any, phone: Any, settings: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "otp_channels"
    folder.mkdir()
    (folder / "verify.html").write_text(
        '{% extends "otp_channels/verify.html" %}'
        "{% block submit %}<button>Go</button>{% endblock %}",
        encoding="utf-8",
    )
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    journey.enter_password(alex)

    page = journey.client.get(VERIFY).text

    assert buttons(page)[0] == "Go"
    assert "Sign in" not in buttons(page)
    assert "otp_channels/otp.css" in page


def test_what_a_site_adds_to_the_head_is_on_every_page(
    journey: Journey, alex: Any, phone: Any, settings: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "otp_channels"
    folder.mkdir()
    (folder / "base.html").write_text(
        '{% extends "otp_channels/base.html" %}'
        '{% block extra_head %}<link rel="stylesheet" href="/site.css">{% endblock %}',
        encoding="utf-8",
    )
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    new = PhoneFactory(user=alex, address="+12025550144", confirmed=False)
    journey.enter_password(alex)
    code_page = journey.client.get(VERIFY).text
    journey.enter_code()
    confirm = journey.client.get(f"/account/devices/{new.pk}/confirm/").text
    recovery = journey.client.get("/account/recovery-codes/").text

    for page in (code_page, confirm, recovery):
        assert 'href="/site.css"' in page
        assert "otp_channels/otp.js" in page


def test_each_reason_for_which_a_way_is_closed_has_a_sentence() -> None:
    assert set(REASONS) == UNREACHABLE
