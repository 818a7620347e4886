"""A person looks after their own sign-in: phones, their names and order, a changed number."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice

from django_otp_channels import enrolment, tries
from django_otp_channels.models import Activity, ChannelDevice, RecoveryDevice
from tests.clock import let_pass
from tests.factories import PASSWORD, AppFactory, PhoneFactory
from tests.journey import ADD_PHONE, DEVICES, VERIFY, Journey

pytestmark = pytest.mark.django_db

NEW = "+12025550188"
CODES = "/account/recovery-codes/"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def url_of(device: ChannelDevice, act: str) -> str:
    return f"/account/devices/{device.pk}/{act}/"


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


@pytest.fixture
def owner(journey, alex, phone):
    """Alex is signed in, just now."""
    journey.log_in(alex)
    return journey


# -- one page --------------------------------------------------------------------------------


def test_one_page_shows_all_that_one_signs_in_with(owner, alex):
    PhoneFactory(user=alex, name="Office", address="+442079460000", channel="voice")
    TOTPDevice.objects.create(user=alex, name="My app", confirmed=True)

    page = text_of(owner.client.get(DEVICES).text)

    for words in (
        "ending in 23",
        "Office",
        "Text message",
        "Phone call",
        "My app",
        "Recovery codes",
    ):
        assert words in page
    assert "555" not in page


def test_a_number_that_was_taken_over_unproven_is_told_from_a_proven_one(owner, alex):
    sentence = "To be confirmed at your next sign-in."
    assert sentence not in text_of(owner.client.get(DEVICES).text)
    PhoneFactory(user=alex, name="Office", awaits_proof=True)

    page = text_of(owner.client.get(DEVICES).text)

    assert page.count(sentence) == 1
    assert page.index("Office") < page.index(sentence)


def test_what_happened_lately_is_told_in_a_sentence(journey, alex, phone):
    journey.client = Client(headers={"user-agent": FIREFOX})
    journey.log_in(alex)

    page = text_of(journey.client.get(DEVICES).text)

    assert "Signed in text message, \u2068Phone ending in 23\u2069" in page
    assert "Firefox on Linux" in page


def test_a_device_is_named_in_words_whatever_language_it_was_noted_in(owner, alex):
    Activity.objects.create(user=alex, event="device_changed", device="Telefon", digits="88")

    assert "\u2068Telefon ending in 88\u2069" in owner.client.get(DEVICES).text


def test_what_happened_is_the_latest_ten_events_of_this_account(owner, alex, phone):
    for _ in range(12):
        Activity.objects.create(user=alex, event="device_changed")
    Activity.objects.create(user=PhoneFactory().user, event="codes_made")

    events = owner.client.get(DEVICES).context["events"]

    assert [event.what for event in events] == ["A number was changed"] * 10


# -- a new number is read back ---------------------------------------------------------------


def test_a_number_is_read_back_before_anything_is_sent(owner):
    answer = owner.client.post(ADD_PHONE, {"country": "US", "number": "(202) 555-0188"})

    assert "+1 202-555-0188" in answer.text
    assert "United States" in answer.text
    assert len(owner.outbox) == 1
    assert not ChannelDevice.objects.filter(address=NEW).exists()


def test_what_is_read_back_can_be_sent_either_way(owner):
    page = owner.client.post(ADD_PHONE, {"number": NEW}).text
    assert re.findall(r'name="channel"\s+value="(\w+)"', page) == ["sms", "voice"]

    owner.client.post(ADD_PHONE, {"number": NEW, "channel": "voice"})

    assert (owner.outbox[-1].channel, owner.outbox[-1].to) == ("voice", NEW)
    assert ChannelDevice.objects.get(address=NEW).channel == "voice"


@pytest.mark.parametrize("channel", ["", "sms", "push", "fax"])
def test_a_landline_is_offered_a_call_and_nothing_else(owner, channel):
    page = owner.client.post(ADD_PHONE, {"number": "+44 20 7946 0000", "channel": channel}).text

    assert re.findall(r'name="channel"\s+value="(\w+)"', page) == ["voice"]
    assert "landline" in page
    assert len(owner.outbox) == 1


def test_what_is_read_back_can_be_corrected(owner):
    page = owner.client.post(ADD_PHONE, {"number": NEW, "country": "US", "change": "1"}).text

    assert f'value="{NEW}"' in page
    assert 'value="US" selected' in page


@pytest.mark.parametrize(
    ("said", "chosen"), [("en-GB,en;q=0.9", "GB"), ("de-DE", "DE"), ("en", ""), ("x" * 400, "")]
)
def test_the_country_of_the_browsers_language_is_offered_first(owner, said, chosen):
    page = owner.client.get(ADD_PHONE, headers={"accept-language": said}).text

    assert re.findall(r'value="(\w*)" selected', page) == [chosen]


# -- names and order -------------------------------------------------------------------------


def test_a_device_is_renamed(owner, phone):
    owner.client.post(url_of(phone, "rename"), {"name": "My <b>mobile</b>"})

    page = owner.client.get(DEVICES)
    assert "My &lt;b&gt;mobile&lt;/b&gt;" in page.text
    assert page.context["news"] == "The name is saved."


@pytest.mark.parametrize("name", ["", "   ", "x" * 65, "a\x00b"])
def test_a_name_that_cannot_be_is_refused_in_words_and_kept_to_be_mended(owner, phone, name):
    answer = owner.client.post(url_of(phone, "rename"), {"name": name})

    assert answer.status_code == 200
    assert answer.context["form"].errors["name"]
    phone.refresh_from_db()
    assert phone.name == "Phone"


@pytest.mark.parametrize("same_browser", [True, False])
def test_the_one_that_is_preferred_is_asked_first(owner, alex, phone, same_browser):
    office = PhoneFactory(user=alex, name="Office", address=NEW)

    owner.client.post(url_of(office, "prefer"), {"channel": "voice"})

    page = owner.client.get(DEVICES)
    assert page.context["first"] == office
    assert page.context["news"] == "Your next codes go to Office ending in 88 first."
    assert owner.client.get(DEVICES).context["news"] == ""  # told once
    owner.client.post("/logout/")
    again = owner if same_browser else Journey(Client(), owner.outbox, PASSWORD)
    again.enter_password(alex)
    assert (owner.outbox[-1].to, owner.outbox[-1].channel) == (NEW, "voice")


@pytest.mark.parametrize("channel", ["push", "fax", "\x00"])
def test_a_way_that_the_device_does_not_have_is_not_preferred(owner, phone, channel):
    owner.client.post(url_of(phone, "prefer"), {"channel": channel})

    phone.refresh_from_db()
    assert (phone.channel, phone.preferred_at) == ("sms", None)


def test_an_unproven_device_is_not_preferred(owner, alex):
    unproven = PhoneFactory(user=alex, address=NEW, confirmed=False)

    owner.client.post(url_of(unproven, "prefer"), {"channel": "sms"})

    unproven.refresh_from_db()
    assert unproven.preferred_at is None


# -- another number --------------------------------------------------------------------------


def change(owner: Journey, phone: ChannelDevice, number: str = NEW) -> ChannelDevice:
    owner.client.post(url_of(phone, "change"), {"number": number, "channel": "sms"})
    return ChannelDevice.objects.get(address=number)


def test_a_changed_number_takes_the_old_ones_place_once_it_is_proven(owner, alex, phone):
    phone.name = "Mine"
    phone.save()
    new = change(owner, phone)
    assert (new.confirmed, ChannelDevice.objects.get(pk=phone.pk).confirmed) == (False, True)
    assert owner.outbox[-1].to == NEW

    owner.client.post(url_of(new, "confirm"), {"token": owner.code})

    only = ChannelDevice.objects.get()
    assert (only.pk, only.name, only.confirmed) == (new.pk, "Mine", True)
    assert owner.is_in
    assert Activity.objects.filter(user=alex, event="device_changed").count() == 1


def test_a_changed_number_stays_the_one_that_is_asked_first(owner, alex, phone):
    AppFactory(user=alex)

    new = change(owner, phone)
    owner.client.post(url_of(new, "confirm"), {"token": owner.code})

    assert owner.client.get(DEVICES).context["first"] == new


def test_the_last_use_of_a_phone_is_told(owner, phone):
    PhoneFactory(user=phone.user, address=NEW)

    page = text_of(owner.client.get(DEVICES).text)

    assert page.count("Last used") == page.count("Not used yet") == 1


def test_until_then_the_old_number_gets_the_codes(owner, alex, phone):
    change(owner, phone)

    fresh = Journey(Client(), owner.outbox, PASSWORD)
    fresh.enter_password(alex)

    assert owner.outbox[-1].to == phone.address


def test_who_has_the_most_phones_may_still_change_one(owner, alex, phone):
    for last in range(enrolment.MAX_PHONES - 1):
        PhoneFactory(user=alex, address=f"+1202555016{last}")

    new = change(owner, phone)

    owner.client.post(url_of(new, "confirm"), {"token": owner.code})
    assert ChannelDevice.objects.filter(confirmed=True).count() == enrolment.MAX_PHONES


def test_a_number_cannot_be_changed_to_one_that_is_there(owner, alex, phone):
    PhoneFactory(user=alex, address=NEW)

    answer = owner.client.post(url_of(phone, "change"), {"number": NEW, "channel": "sms"})

    assert "already" in answer.text
    assert len(owner.outbox) == 1


def test_an_app_and_an_unproven_phone_have_no_number_to_change(owner, alex):
    for device in (AppFactory(user=alex), PhoneFactory(user=alex, address=NEW, confirmed=False)):
        assert owner.client.get(url_of(device, "change")).status_code == 404


def test_of_two_numbers_in_the_place_of_one_both_can_be_proven_and_one_replaces(owner, phone):
    """Two tabs: the second finds nothing left to replace, and is a phone of its own."""
    first = change(owner, phone)
    second = PhoneFactory(user=phone.user, address="+12025550177", confirmed=False, replaces=phone)
    owner.client.post(url_of(first, "confirm"), {"token": owner.code})

    second.refresh_from_db()
    assert second.replaces is None
    assert set(ChannelDevice.objects.filter(confirmed=True)) == {first}


# -- what happens elsewhere at that very moment ----------------------------------------------


@pytest.fixture
def meanwhile(monkeypatch):
    """Return a function that has an act happen between a right code and what comes of it."""
    enter = tries.enter

    def have(act):
        def enter_and_act(*args):
            right = enter(*args)
            act()
            return right

        monkeypatch.setattr(tries, "enter", enter_and_act)

    return have


def unproven(phone: ChannelDevice, number: str, **facts) -> ChannelDevice:
    return PhoneFactory(user=phone.user, address=number, confirmed=False, **facts)


def test_nobody_has_more_phones_than_one_may_by_proving_several_that_wait(owner, alex, phone):
    for last in range(enrolment.MAX_PHONES - 1):
        PhoneFactory(user=alex, address=f"+1202555016{last}")
    first = change(owner, phone)
    second = unproven(phone, "+12025550177", replaces=phone)
    owner.client.post(url_of(first, "confirm"), {"token": owner.code})
    let_pass(31)
    owner.ask(device=second.pk)

    answer = owner.client.post(url_of(second, "confirm"), {"token": owner.code}, follow=True)

    assert "You cannot add more phones" in answer.text
    assert ChannelDevice.objects.filter(confirmed=True).count() == enrolment.MAX_PHONES


def test_an_old_number_stays_where_the_new_one_was_removed_meanwhile(owner, phone, meanwhile):
    new = change(owner, phone)
    meanwhile(ChannelDevice.objects.filter(pk=new.pk).delete)

    answer = owner.client.post(url_of(new, "confirm"), {"token": owner.code}, follow=True)

    assert answer.status_code == 200
    assert "This way is not available" in answer.text
    assert list(ChannelDevice.objects.filter(confirmed=True)) == [phone]


def test_a_number_is_proven_though_the_old_one_was_removed_meanwhile(owner, phone, meanwhile):
    new = change(owner, phone)
    meanwhile(ChannelDevice.objects.filter(pk=phone.pk).delete)

    answer = owner.client.post(url_of(new, "confirm"), {"token": owner.code})

    assert answer.status_code == 302
    assert list(ChannelDevice.objects.filter(confirmed=True)) == [new]


@pytest.mark.parametrize("policy", ["everyone", "enrolled"])
def test_whoever_gave_no_code_adds_no_phone_though_a_factor_is_proven_meanwhile(
    journey, alex, settings, meanwhile, policy
):
    """Half a login, or a session from before there was a factor."""
    settings.OTP_CHANNELS_POLICY = policy
    journey.enter_password(alex)
    journey.client.post(ADD_PHONE, {"number": NEW, "channel": "sms"})
    new = ChannelDevice.objects.get()
    meanwhile(lambda: PhoneFactory(user=alex, address="+12025550123"))

    journey.client.post(url_of(new, "confirm"), {"token": journey.code}, follow=True)

    assert journey.is_nobody
    assert not ChannelDevice.objects.get(pk=new.pk).confirmed


def test_the_only_factor_stays_though_it_was_unproven_as_its_removal_began(
    owner, phone, settings, monkeypatch
):
    settings.OTP_CHANNELS_POLICY = "everyone"
    new = unproven(phone, NEW)
    remove = enrolment.remove

    def prove_and_remove(request, device):
        ChannelDevice.objects.filter(pk=phone.pk).delete()
        ChannelDevice.objects.filter(pk=new.pk).update(confirmed=True)
        remove(request, device)

    monkeypatch.setattr(enrolment, "remove", prove_and_remove)

    answer = owner.client.post(url_of(new, "remove"))

    assert "This is your only way to sign in" in answer.text
    assert list(ChannelDevice.objects.all()) == [new]


# -- the way that was used last --------------------------------------------------------------


def test_the_browser_is_asked_the_way_that_was_used_last_in_it(owner, alex, phone):
    TOTPDevice.objects.create(user=alex, name="My app", confirmed=True)
    app = TOTPDevice.objects.get()
    owner.client.logout()
    owner.enter_password(alex)
    sent = len(owner.outbox)
    token = f"{totp(app.bin_key):06d}"
    owner.client.post(VERIFY, {"device": app.persistent_id, "token": token})
    assert owner.is_in
    owner.client.post("/logout/")
    owner.client.cookies.pop("sessionid")

    owner.enter_password(alex)

    assert len(owner.outbox) == sent, "no text, since the app is asked"
    page = owner.client.get(VERIFY)
    assert "My app" in page.text
    assert page.context["page"].other.persistent_id == app.persistent_id
    other = owner.client.get(f"{VERIFY}?device=").context["page"]
    assert other.other is None
    assert [way.channel for way in other.ways] == ["sms", "voice"]


def test_the_phone_that_was_used_last_goes_first(owner, alex, phone):
    office = PhoneFactory(user=alex, address=NEW)
    owner.client.post("/logout/")
    owner.client.cookies.pop("sessionid")
    let_pass(3601)
    owner.enter_password(alex)
    assert owner.outbox[-1].to == phone.address
    let_pass(31)
    owner.ask(device=office.pk, channel="voice")
    owner.enter_code()
    owner.client.cookies.pop("sessionid")
    let_pass(3601)

    owner.enter_password(alex)

    assert (owner.outbox[-1].to, owner.outbox[-1].channel) == (NEW, "voice")


@pytest.mark.parametrize("value", ["", "x", "x:y:z", "a" * 5000])
def test_a_cookie_that_is_none_changes_nothing(journey, alex, phone, value):
    journey.client.cookies["otp_channels_way"] = value

    journey.log_in(alex)

    assert journey.is_in


def test_the_way_of_somebody_else_is_nobodys_here(owner, alex, phone):
    other = PhoneFactory(address=NEW)
    owner.client.cookies.pop("sessionid")

    owner.enter_password(other.user)

    assert owner.outbox[-1].to == NEW


# -- the phone is lost -----------------------------------------------------------------------


def test_after_a_lost_phone_nothing_of_the_old_one_is_good_any_more(owner, alex, phone, settings):
    settings.OTP_CHANNELS_TRUST_DAYS = 30
    settings.DEBUG = True  # trust needs https, but for development
    recovery = re.findall(r"<li>([0-9a-z-]{19})</li>", owner.client.post(CODES).text)
    let_pass(61)
    trusted = Journey(Client(), owner.outbox, PASSWORD)
    trusted.enter_password(alex)
    trusted.enter_code(trust="on")
    trusted.client.cookies.pop("sessionid")
    trusted.enter_password(alex)
    assert trusted.is_in

    at_home = Journey(Client(), owner.outbox, PASSWORD)
    at_home.enter_password(alex)
    device = RecoveryDevice.objects.get(user=alex)
    at_home.client.post(VERIFY, {"device": device.persistent_id, "token": recovery[0]})
    assert at_home.is_in
    new = change(at_home, phone)
    at_home.client.post(url_of(new, "confirm"), {"token": at_home.code})

    assert at_home.is_in
    assert not trusted.is_in, "its trust went with the number"
    assert not owner.is_in, "the session that the lost phone has opened asks for a code"
    trusted.client.cookies.pop("sessionid")
    trusted.enter_password(alex)
    assert trusted.is_nobody
    assert owner.client.get(DEVICES).headers["Location"] == VERIFY


def test_a_new_person_is_led_from_the_password_to_the_page_that_they_wanted(
    journey, alex, settings
):
    settings.OTP_CHANNELS_POLICY = "everyone"
    journey.enter_password(alex, next="/private/?page=2")
    assert journey.client.get(VERIFY).headers["Location"] == ADD_PHONE
    assert "+1 202-555-0188" in journey.client.post(ADD_PHONE, {"number": NEW}).text
    answer = journey.client.post(ADD_PHONE, {"number": NEW, "channel": "voice"})

    answer = journey.client.post(answer.headers["Location"], {"token": journey.code})

    assert answer.headers["Location"] == "/private/?page=2"
    assert journey.is_in
    assert "Signed in phone call" in text_of(journey.client.get(DEVICES).text)
