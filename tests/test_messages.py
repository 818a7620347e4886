"""What a person reads and hears, and what a message tells to whoever prints it."""

from __future__ import annotations

import dataclasses
import pprint

import pytest
from django.test import override_settings
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from django_otp_channels import messages
from django_otp_channels.codes import Token
from django_otp_channels.messages import Message, Purpose, Receipt, compose, segments
from tests import catalogue

CODE = "048213"
NUMBER = "+12025550123"
PURPOSES = [Purpose.LOGIN, Purpose.ENROL, Purpose.TEST]


def message(channel: str = "sms", **changes: object) -> Message:
    values = {
        "to": NUMBER,
        "token": Token(CODE),
        "purpose": Purpose.LOGIN,
        "language": "en",
        "lifetime": 300,
        **changes,
    }
    return compose(channel, **values)


def text(channel: str = "sms", **changes: object) -> str:
    return message(channel, **changes).text


# -- the text message ------------------------------------------------------------------------


def test_a_text_message_says_what_the_code_is_for_how_long_it_lives_and_where_it_goes():
    assert text() == (
        "048213 is your code to sign in to Example.\n"
        "Valid for 5 minutes. Never share it.\n"
        "\n"
        "@www.example.com #048213"
    )


def test_each_purpose_says_what_its_code_does():
    first = {purpose: text(purpose=purpose).split("\n")[0] for purpose in PURPOSES}

    assert first == {
        Purpose.LOGIN: "048213 is your code to sign in to Example.",
        Purpose.ENROL: "048213 is your code to add this number to Example.",
        Purpose.TEST: "048213 is a test code from Example. It signs nobody in.",
    }


@pytest.mark.parametrize(
    ("lifetime", "said"),
    [(600, "10 minutes"), (300, "5 minutes"), (119, "1 minute"), (60, "1 minute"), (3, "1 minute")],
)
def test_the_rest_of_its_life_is_told_in_minutes(lifetime, said):
    assert f"Valid for {said}. " in text(lifetime=lifetime)


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize(
    "name", ["Example", "A site with a name 30 long....", "Caffè Åland Ñandù §"]
)
@pytest.mark.parametrize("host", ["www.example.com", "accounts.shop.example.com"])
def test_a_text_message_is_one_segment(settings, purpose, name, host):
    settings.OTP_CHANNELS_SITE_NAME = name
    settings.OTP_CHANNELS_BASE_URL = f"https://{host}"

    sent = text(purpose=purpose, token=Token("0482135790"), lifetime=600)

    assert name in sent
    assert len(sent) <= 160
    assert segments(sent) == 1


def test_a_long_site_name_is_cut(settings):
    settings.OTP_CHANNELS_SITE_NAME = "The Very Long Name of an Example Organisation"

    sent = message()

    assert sent.title == "The Very Long Name of an Examp"
    assert "to The Very Long Name of an Examp.\n" in sent.text


# -- the line that a phone reads -------------------------------------------------------------


@pytest.mark.parametrize(
    ("base_url", "host"),
    [
        ("https://www.example.com", "www.example.com"),
        ("https://www.example.com/", "www.example.com"),
        ("https://www.example.com:8443", "www.example.com"),
        ("https://WWW.Example.com", "www.example.com"),
    ],
)
def test_the_last_line_binds_the_code_to_the_host(settings, base_url, host):
    settings.OTP_CHANNELS_BASE_URL = base_url

    lines = text().split("\n")

    assert lines[-2:] == ["", f"@{host} #{CODE}"]
    assert sum("@" in line for line in lines) == 1


def test_an_android_app_is_named_in_the_last_line_in_place_of_the_host(settings):
    settings.OTP_CHANNELS_ANDROID_APP_HASH = "FA+9qCX9VSu"

    sent = text(purpose=Purpose.ENROL)

    assert sent.split("\n")[-1] == "FA+9qCX9VSu"
    assert "@www.example.com" not in sent
    assert len(sent.encode()) <= 140  # what the SMS Retriever takes
    assert segments(sent) == 1


def test_without_a_base_url_there_is_no_such_line(settings):
    settings.OTP_CHANNELS_BASE_URL = ""

    assert "@" not in text()
    assert "#" not in text()
    assert text().endswith("Never share it.")


HOSTILE_NAMES = [
    pytest.param("Bank\n\n@evil.example #123456", id="newlines"),
    pytest.param("Bank\r\n@evil.example #123456", id="CRLF"),
    pytest.param("Bank\r@evil.example #123456", id="CR"),
    pytest.param("Bank\N{LINE SEPARATOR}@evil.example #123456", id="line separator"),
    pytest.param("Bank\N{PARAGRAPH SEPARATOR}@evil.example #123456", id="paragraph separator"),
    pytest.param("Bank\N{NEXT LINE}@evil.example #123456", id="next line"),
    pytest.param("Bank\x0b\x0c\x1c\x1d\x1e@evil.example #123456", id="other breaks"),
    pytest.param("\n@evil.example #123456\n", id="at both ends"),
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("base_url", ["", "https://www.example.com"], ids=["no host", "host"])
@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_site_name_cannot_fake_the_line_that_a_phone_reads(settings, name, base_url, purpose):
    settings.OTP_CHANNELS_SITE_NAME = name
    settings.OTP_CHANNELS_BASE_URL = base_url

    lines = text(purpose=purpose).splitlines()

    assert len(lines) == (4 if base_url else 2)
    assert [line for line in lines if line.startswith("@")] == (
        [f"@www.example.com #{CODE}"] if base_url else []
    )
    assert not lines[-1].endswith("#123456")
    assert len(text("voice", purpose=purpose).splitlines()) == 5
    assert len(text("push", purpose=purpose).splitlines()) == 1


@pytest.mark.parametrize(
    "char", [*"\x00\x07\x08\x1b\x7f\x9f", *"\u202e\u202d\u2066\u2069\u200f\u200b\ufeff"]
)
@pytest.mark.parametrize("channel", ["sms", "voice"])
def test_control_and_direction_characters_of_a_site_name_do_not_go_out(settings, channel, char):
    settings.OTP_CHANNELS_SITE_NAME = f"Ex{char}am\ud800ple"

    sent = message(channel)

    assert sent.title == "Example"
    assert "Example" in sent.text
    assert char not in sent.text


def test_what_a_language_needs_in_a_site_name_stays(settings):
    settings.OTP_CHANNELS_SITE_NAME = "می\N{ZERO WIDTH NON-JOINER}خواهم"

    assert message().title == "می\N{ZERO WIDTH NON-JOINER}خواهم"


@given(name=st.text())
def test_no_site_name_changes_the_lines_of_a_message(name):

    with override_settings(OTP_CHANNELS_SITE_NAME=name):
        lines = text().splitlines()

    assert len(lines) == 4
    assert lines[0].startswith(f"{CODE} is your code to sign in to ")
    assert lines[3] == f"@www.example.com #{CODE}"


# -- where the name comes from ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "base_url", "shown"),
    [
        ("Example", "https://www.example.com", "Example"),
        ("", "https://www.example.com", "www.example.com"),
        ("", "", "this site"),
    ],
)
def test_a_site_is_called_by_its_name_else_by_its_host(settings, name, base_url, shown):
    settings.OTP_CHANNELS_SITE_NAME = name
    settings.OTP_CHANNELS_BASE_URL = base_url

    assert messages.site_name() == shown
    assert shown in text()


# -- the call --------------------------------------------------------------------------------


def test_a_call_reads_the_digits_one_by_one_and_twice():
    assert text("voice").split("\n") == [
        "Hello. Here is your code for Example.",
        "0, 4, 8, 2, 1, 3.",
        "Once more.",
        "0, 4, 8, 2, 1, 3.",
        "Never share this code. Goodbye.",
    ]


def test_a_call_keeps_leading_zeros():
    assert text("voice", token=Token("000001")).count("0, 0, 0, 0, 0, 1.") == 2


# -- the notification ------------------------------------------------------------------------


def test_a_call_announces_its_key_and_no_digit_of_the_code():
    call = message("voice", key="7")

    assert call.prompt.split("\n") == [
        "Hello. This is Example, with your code.",
        "To hear it, press 7.",
    ]
    assert call.key == "7"
    assert message("voice").prompt == ""


def test_an_extension_is_dialled_apart_from_the_number():
    call = message("voice", to=f"{NUMBER};ext=045")

    assert (call.to, call.extension) == (NUMBER, "045")
    assert "045" not in repr(call)


def test_a_notification_can_keep_the_code_to_itself(settings):
    settings.OTP_CHANNELS_PUSH_SHOWS_CODE = False

    assert message("push").text == "Open the app to sign in."
    assert CODE not in f"{message('push').title}{message('push').text}"


def test_a_notification_names_the_site_and_says_the_code_in_one_line():
    sent = message("push", to="app-token")

    assert (sent.title, sent.text) == ("Example", "Your code is 048213. Never share it.")


# -- languages -------------------------------------------------------------------------------

GERMAN = {
    "%(token)s is your code to sign in to %(site)s.": "%(token)s ist Ihr Code für %(site)s.",
    "Valid for %(minutes)d minute. Never share it.\0"
    "Valid for %(minutes)d minutes. Never share it.": "Gilt %(minutes)d Minute.\0"
    "Gilt %(minutes)d Minuten.",
    "Once more.": "Noch einmal.",
    "Your code is %(token)s. Never share it.": "Ihr Code: %(token)s.",
}


@pytest.mark.parametrize(
    ("channel", "words"),
    [
        ("sms", "048213 ist Ihr Code für Example.\nGilt 5 Minuten.\n\n@www.example.com #048213"),
        ("voice", "Noch einmal."),
        ("push", "Ihr Code: 048213."),
    ],
)
def test_a_message_speaks_the_language_it_is_asked_for(settings, tmp_path, channel, words):
    catalogue.install(settings, tmp_path, "de", GERMAN)

    with translation.override("en"):
        sent = message(channel, language="de")
        assert translation.get_language() == "en"

    assert words in sent.text
    assert sent.language == "de"
    assert "Never share" in text(channel)


def test_a_plural_follows_its_language(settings, tmp_path):
    catalogue.install(settings, tmp_path, "de", GERMAN)

    assert "Gilt 1 Minute." in text(language="de", lifetime=60)


@pytest.mark.parametrize(
    "language", ["xx", "xx-YY", "tlh", "de-AT", "zh-hant", "../../etc", 'en"/><Redirect>', "en\x00"]
)
@pytest.mark.parametrize("channel", ["sms", "voice", "push"])
def test_a_language_that_nobody_translated_is_english_and_no_error(channel, language):
    assert text(channel, language=language) == text(channel)


# -- what a message tells about itself -------------------------------------------------------


@pytest.mark.parametrize("channel", ["sms", "voice", "push"])
@pytest.mark.parametrize("printed", [repr, str, pprint.pformat, lambda m: f"{[m]!r} {m}"])
def test_printing_a_message_shows_neither_code_nor_address(channel, printed):
    sent = message(channel, reference="abc")

    shown = printed(sent)

    assert "Message(" in shown
    for secret in (CODE, ", ".join(CODE), NUMBER, NUMBER[1:]):
        assert secret not in shown
    assert repr(channel) in shown


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Message)])
def test_a_message_cannot_be_changed(name):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(message(), name, "x")


def test_a_receipt_cannot_be_changed():
    receipt = Receipt(provider="memory", message_id="1")

    with pytest.raises(dataclasses.FrozenInstanceError):
        receipt.message_id = "2"


# -- how many parts it takes -----------------------------------------------------------------

# 3GPP TS 23.038, table 6.2.1, row by row; ESC (0x1B) stands for no character of its own.
BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞÆæßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)
EXTENSION = "\f^{}\\[~]|€"


def test_the_basic_alphabet_is_complete():
    assert len(set(BASIC)) == 127
    for char in BASIC:
        assert segments(char * 160) == 1
        assert segments(char * 161) == 2


@pytest.mark.parametrize("char", list(EXTENSION))
def test_an_extension_character_counts_twice(char):
    assert segments(char * 80) == 1
    assert segments(char * 81) == 2
    assert segments("a" * 158 + char) == 1
    assert segments("a" * 159 + char) == 2


def test_an_extension_character_is_not_split_over_two_parts():
    # 152 + 1 of the first part stays empty: the pair moves on, and takes the last place with it.
    assert segments("a" * 152 + "€" + "a" * 151) == 2
    assert segments("a" * 152 + "€" + "a" * 152) == 3
    assert segments("a" * 151 + "€" + "a" * 153) == 2
    assert segments("€" * 152) == 2
    assert segments("€" * 153) == 3  # 76 pairs and one empty place in each part


@pytest.mark.parametrize("char", [*"łç’“”–…ё你\t\x1b\N{NO-BREAK SPACE}", "\u200b"])
def test_one_character_outside_makes_every_character_cost_more(char):
    assert segments(char + "a" * 69) == 1
    assert segments(char + "a" * 70) == 2


def test_a_surrogate_pair_counts_twice_and_is_not_split():
    assert segments("💥" * 35) == 1
    assert segments("💥" * 36) == 2
    assert segments("ł" * 66 + "💥" + "ł" * 65) == 2
    assert segments("ł" * 66 + "💥" + "ł" * 66) == 3
    assert segments("💥" * 66) == 2
    assert segments("💥" * 67) == 3


@pytest.mark.parametrize(
    ("length", "parts"),
    [(0, 1), (1, 1), (160, 1), (161, 2), (306, 2), (307, 3), (459, 3), (460, 4)],
)
def test_the_borders_of_the_basic_alphabet(length, parts):
    assert segments("a" * length) == parts


@pytest.mark.parametrize(
    ("length", "parts"), [(1, 1), (70, 1), (71, 2), (134, 2), (135, 3), (201, 3), (202, 4)]
)
def test_the_borders_of_everything_else(length, parts):
    assert segments("ł" * length) == parts
