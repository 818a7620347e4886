"""The two inputs of the login step: a code, and a phone number."""

from __future__ import annotations

import re
import time

import pytest
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from django_otp_channels.forms import OtherTokenForm, PhoneForm, TokenForm
from django_otp_channels.phones import Phone
from tests import catalogue
from tests.journey import ADD_PHONE, VERIFY


def attributes(html: str, name: str) -> dict[str, str]:
    (tag,) = re.findall(rf'<input[^>]*name="{name}"[^>]*>', html)
    return dict(re.findall(r'([\w-]+)="([^"]*)"', tag)) | (
        {"autofocus": ""} if " autofocus" in tag else {}
    )


# -- the code --------------------------------------------------------------------------------


def test_the_input_of_a_code_says_to_phones_what_it_is():
    shown = attributes(str(TokenForm()), "token")

    assert shown["autocomplete"] == "one-time-code"
    assert shown["inputmode"] == "numeric"
    assert shown["autocapitalize"] == "off"
    assert shown["spellcheck"] == "false"
    assert shown["type"] == "text"  # "number" would lose leading zeros
    assert "autofocus" in shown
    assert "value" not in shown


@pytest.mark.parametrize("length", [6, 8, 10])
def test_the_input_has_room_for_a_pasted_code_of_any_length(settings, length):
    settings.OTP_CHANNELS_TOKEN_LENGTH = length
    code = "0482135790"[:length]

    room = int(attributes(str(TokenForm()), "token")["maxlength"])

    assert room >= length + 2
    for pasted in (code, f"{code[:3]} {code[3:]}", f" {code[:3]}-{code[3:]}"):
        assert len(pasted) <= room
        assert TokenForm({"token": pasted}).is_valid()


def test_a_code_of_another_device_may_have_letters():
    shown = attributes(str(OtherTokenForm()), "token")

    assert shown["autocomplete"] == "one-time-code"
    assert "inputmode" not in shown
    form = OtherTokenForm({"token": "abcd2345"})
    assert form.is_valid()
    assert form.cleaned_data == {"token": "abcd2345"}


@pytest.mark.parametrize("data", [(), ({"token": "123456"},)], ids=["empty", "filled in"])
def test_a_code_of_another_device_may_be_known_to_have_digits_only(data):
    shown = attributes(str(OtherTokenForm(*data, numeric=True)), "token")

    assert shown["inputmode"] == "numeric"
    assert "inputmode" not in attributes(str(OtherTokenForm(*data)), "token")


@pytest.mark.parametrize("form", [TokenForm, OtherTokenForm])
def test_the_input_of_a_code_can_leave_the_focus_to_something_else(form):
    shown = attributes(form()["token"].unfocused, "token")

    assert "autofocus" not in shown
    assert shown["autocomplete"] == "one-time-code"
    assert "autofocus" in attributes(str(form()), "token")


@pytest.mark.parametrize(
    "typed", ["048213", " 048213 ", "048 213", "048-213", "04 82 13", "048213\r\n", "048\t213"]
)
def test_separators_of_a_pasted_code_are_dropped(typed):
    form = TokenForm({"token": typed})

    assert form.is_valid()
    assert form.cleaned_data["token"] == "048213"


MALFORMED = [
    "04821",
    "0482133",
    "04821a",
    "٠٤٨٢١٣",
    "０４８２１３",
    "²²²²²²",
    "04\x008213",
    "04\u200b8213",
    "04\u00a08213",
    "+48213",
    "-048_213",
    "048213;048214",
    "1e5000",
    "0x1234",
    "\ud8000482",
    "9" * 1_000_000,
    "0 " * 500_000,
    "------",
]


@pytest.mark.parametrize("typed", MALFORMED, ids=[ascii(typed)[:20] for typed in MALFORMED])
def test_anything_else_is_no_code(typed):
    started = time.perf_counter()

    form = TokenForm({"token": typed})

    assert not form.is_valid()
    assert time.perf_counter() - started < 0.1
    assert "token" not in form.cleaned_data


def test_the_error_says_what_a_code_looks_like(settings):
    settings.OTP_CHANNELS_TOKEN_LENGTH = 8

    form = TokenForm({"token": "123456"})

    assert form.errors["token"] == ["The code has 8 digits, 0 to 9."]
    assert form.errors.as_data()["token"][0].code == "malformed"


@pytest.mark.parametrize("data", [{}, {"token": ""}, {"token": "  "}])
@pytest.mark.parametrize("form", [TokenForm, OtherTokenForm])
def test_an_empty_field_asks_for_the_code(form, data):
    assert form(data).errors["token"] == ["Enter the code."]


@given(typed=st.text(max_size=80))
def test_whatever_is_typed_is_six_digits_or_an_error(typed):
    form = TokenForm({"token": typed})

    if form.is_valid():
        assert re.fullmatch("[0-9]{6}", form.cleaned_data["token"])
        assert [char for char in typed if char.isdigit()] == list(form.cleaned_data["token"])
    else:
        assert form.errors["token"]


@pytest.mark.django_db
def test_a_wrong_code_is_not_written_back_into_the_page(journey, alex, phone):
    journey.enter_password(alex)

    page = journey.enter_code(journey.wrong_code).text

    assert journey.code not in page
    assert attributes(page, "token")["autocomplete"] == "one-time-code"


# -- the phone number ------------------------------------------------------------------------


def test_the_example_of_a_number_is_not_broken_into_two_lines(settings):
    settings.OTP_CHANNELS_COUNTRIES = ["US"]
    assert "+1\u00a0202\u00a0555\u00a00123." in str(PhoneForm().fields["number"].help_text)


def test_the_input_of_a_number_says_what_it_is():
    shown = attributes(str(PhoneForm()), "number")

    assert (shown["type"], shown["autocomplete"], shown["inputmode"]) == ("tel", "tel", "tel")
    assert int(shown["maxlength"]) >= len("+1 (202) 555-0123")


@pytest.mark.parametrize("typed", ["+12025550123", " +1 (202) 555-0123 ", "+1 202.555.0123"])
def test_a_number_is_cleaned_to_a_phone(typed):
    form = PhoneForm({"number": typed})

    assert form.is_valid()
    phone = form.cleaned_data["number"]
    assert isinstance(phone, Phone)
    assert (phone.e164, phone.region) == ("+12025550123", "US")


REFUSED = {
    "": "Enter your phone number.",
    "   ": "Enter your phone number.",
    "202 555 0123": "Enter the number with its country code, for example +1 202 555 0123.",
    "rubbish": "Enter the number with its country code, for example +1 202 555 0123.",
    "+1 202 555 01": "This is not a valid phone number.",
    "+41 44 668 18 00": "Numbers of this country cannot be used here.",
    "+881 612 345 678": "Numbers of this country cannot be used here.",
    "+1 900 234 5678": "This kind of number cannot be used. Use a mobile or landline number.",
    "+1" + "0" * 100_000: "This is not a valid phone number.",
}


@pytest.mark.parametrize(
    ("typed", "sentence"), REFUSED.items(), ids=[repr(typed)[:20] for typed in REFUSED]
)
def test_a_refused_number_is_answered_by_one_sentence(typed, sentence):
    assert PhoneForm({"number": typed}).errors["number"] == [sentence]


def test_a_missing_number_is_asked_for():
    assert PhoneForm({}).errors["number"] == ["Enter your phone number."]


def test_where_one_country_is_allowed_its_national_numbers_will_do(settings):
    settings.OTP_CHANNELS_COUNTRIES = ["US"]

    form = PhoneForm({"number": "(202) 555-0123"})

    assert form.is_valid()
    assert form.cleaned_data["number"].e164 == "+12025550123"


def test_where_several_are_allowed_nothing_is_guessed():
    assert not PhoneForm({"number": "(202) 555-0123"}).is_valid()


def test_where_several_are_allowed_the_person_chooses():
    form = PhoneForm({"country": "US", "number": "(202) 555-0123"})

    assert form.is_valid()
    assert form.cleaned_data["number"].e164 == "+12025550123"
    assert ("US", "United States (+1)") in form.fields["country"].choices


def test_a_number_with_its_country_code_needs_no_choice_and_overrules_one():
    form = PhoneForm({"country": "DE", "number": "+1 202 555 0123"})

    assert form.is_valid()
    assert form.cleaned_data["number"].region == "US"


def test_countries_have_the_names_of_the_readers_language():
    with translation.override("de"):
        assert ("US", "Vereinigte Staaten (+1)") in PhoneForm().fields["country"].choices


@pytest.mark.parametrize("country", ["XX", "CH", "us", "<script>"])
def test_a_country_that_is_not_offered_is_refused(country):
    assert "country" in PhoneForm({"country": country, "number": "+12025550123"}).errors


def test_where_none_is_allowed_no_number_will_do(settings):
    settings.OTP_CHANNELS_COUNTRIES = []

    assert PhoneForm({"number": "+12025550123"}).errors["number"] == [
        "Numbers of this country cannot be used here."
    ]


# -- languages -------------------------------------------------------------------------------

GERMAN = {
    "Code": "Kode",
    "Enter the code.": "Geben Sie den Kode ein.",
    "The code has %(digits)d digit, 0 to 9.\0The code has %(digits)d digits, 0 to 9.": (
        "Der Kode hat %(digits)d Ziffer.\0Der Kode hat %(digits)d Ziffern."
    ),
    "Phone number": "Telefonnummer",
    "Enter your phone number.": "Geben Sie Ihre Nummer ein.",
    "With the country code, for example +1\u00a0202\u00a0555\u00a00123.": "Mit Ländervorwahl.",
    "Numbers of this country cannot be used here.": "Dieses Land geht nicht.",
}


@pytest.fixture
def german(settings, tmp_path):
    catalogue.install(settings, tmp_path, "de", GERMAN)


@pytest.mark.usefixtures("german")
def test_labels_and_errors_speak_the_readers_language(settings):
    settings.OTP_CHANNELS_COUNTRIES = ["US"]
    with translation.override("de"):
        assert TokenForm().fields["token"].label == "Kode"
        assert TokenForm({}).errors["token"] == ["Geben Sie den Kode ein."]
        assert TokenForm({"token": "1"}).errors["token"] == ["Der Kode hat 6 Ziffern."]
        assert PhoneForm().fields["number"].label == "Telefonnummer"
        assert PhoneForm().fields["number"].help_text == "Mit Ländervorwahl."
        assert PhoneForm({}).errors["number"] == ["Geben Sie Ihre Nummer ein."]
        assert PhoneForm({"number": "+881 612 345 678"}).errors["number"] == [
            "Dieses Land geht nicht."
        ]
    assert TokenForm({}).errors["token"] == ["Enter the code."]


@pytest.mark.django_db
@pytest.mark.usefixtures("german")
def test_a_browser_is_answered_in_its_language(journey, alex, phone):
    journey.enter_password(alex)

    german = journey.client.post(VERIFY, {"token": "1"}, headers={"accept-language": "de"})
    english = journey.client.post(VERIFY, {"token": "1"})

    assert "Der Kode hat 6 Ziffern." in german.text
    assert "The code has 6 digits, 0 to 9." in english.text


@pytest.mark.django_db
@pytest.mark.usefixtures("german")
def test_a_refused_number_is_answered_in_the_browsers_language(journey, alex):
    journey.enter_password(alex)

    page = journey.client.post(
        ADD_PHONE,
        {"number": "+881 612 345 678", "channel": "sms"},
        headers={"accept-language": "de"},
    )

    assert "Dieses Land geht nicht." in page.text
    assert alex.channeldevice_set.count() == 0
