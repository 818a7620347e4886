"""A phone number has one form, an allowed country, and a line that a person answers."""

from __future__ import annotations

import time

import phonenumbers
import pytest
from django.utils.translation import override
from hypothesis import example, given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberType

from django_otp_channels import phones
from django_otp_channels.exceptions import InvalidNumber
from tests import catalogue

EVERYWHERE = frozenset(phonenumbers.SUPPORTED_REGIONS)
CANONICAL = "+12025550123"
# Satellite, global and universal numbers: codes that belong to no country.
NON_GEOGRAPHIC = sorted(phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS)
ANSWERED = {
    PhoneNumberType.MOBILE,
    PhoneNumberType.FIXED_LINE_OR_MOBILE,
    PhoneNumberType.VOIP,
    PhoneNumberType.FIXED_LINE,
}


def e164(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def refusal(text: str, **kwargs: object) -> str:
    with pytest.raises(InvalidNumber) as refused:
        phones.parse_reachable(text, countries=EVERYWHERE, **kwargs)
    return str(refused.value)


# -- one form --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed",
    [
        "+12025550123",
        "+1 202 555 0123",
        "+1-202-555-0123",
        "+1.202.555.0123",
        "+1 (202) 555-0123",
        "  +1 202 555 0123  ",
    ],
)
def test_separators_do_not_change_a_number(typed):
    assert phones.parse(typed).e164 == CANONICAL


@pytest.mark.parametrize(
    ("typed", "region", "number"),
    [
        ("(202) 555-0123", "US", CANONICAL),
        ("1 202 555 0123", "US", CANONICAL),
        ("07400 123456", "GB", "+447400123456"),
        ("447400123456", "GB", "+447400123456"),
        ("01512 3456789", "DE", "+4915123456789"),
        ("+1 202 555 0123", "DE", CANONICAL),
        ("312 345 6789", "IT", "+393123456789"),
    ],
)
def test_a_national_number_is_understood_where_the_country_is_known(typed, region, number):
    assert phones.parse(typed, region=region).e164 == number


def test_a_foreign_number_in_national_dress_is_judged_by_its_own_country():
    phone = phones.parse("0044 7400 123456", region="DE")

    assert (phone.e164, phone.region) == ("+447400123456", "GB")
    with pytest.raises(InvalidNumber, match="country"):
        phones.parse_reachable("0044 7400 123456", countries={"DE"}, region="DE")


@pytest.mark.parametrize("typed", ["202 555 0123", "12025550123", "07400 123456"])
def test_without_a_country_a_national_number_is_refused_with_what_to_do(typed):
    assert refusal(typed) == (
        "Enter the number with its country code, for example +1 202 555 0123."
    )


def test_an_unknown_region_is_a_refusal():
    assert refusal("202 555 0123", region="XX")


@pytest.mark.parametrize(
    ("number", "region"),
    [
        (CANONICAL, "US"),
        ("+16045550123", "CA"),
        ("+18762101234", "JM"),
        ("+77012345678", "KZ"),
        ("+79123456789", "RU"),
        ("+447400123456", "GB"),
        ("+447624123456", "IM"),
    ],
)
def test_countries_that_share_a_code_are_told_apart(number, region):
    assert phones.parse(number).region == region
    assert phones.parse_reachable(number, countries={region}).e164 == number
    with pytest.raises(InvalidNumber, match="country"):
        phones.parse_reachable(number, countries=EVERYWHERE - {region})


def test_the_leading_zero_of_an_italian_landline_belongs_to_it():
    assert phones.parse("+39 06 1234 5678").e164 == "+390612345678"
    assert refusal("+39 6 1234 5678")


# -- what looks like a number and is none ----------------------------------------------------


@pytest.mark.parametrize(
    "typed",
    [
        pytest.param("", id="empty"),
        pytest.param("+", id="plus alone"),
        pytest.param("112", id="emergency"),
        pytest.param("911", id="emergency in the US"),
        pytest.param("+1911", id="emergency with a country"),
        pytest.param("+1202555", id="seven digits"),
        pytest.param("+1202555012345678", id="sixteen digits"),
        pytest.param("+0 12345678", id="no country begins with zero"),
        pytest.param("+999 12345678", id="no such country"),
        pytest.param("00 1 202 555 0123", id="00 prefix"),
        pytest.param("011 1 202 555 0123", id="011 prefix"),
        pytest.param("++12025550123", id="two pluses"),
        pytest.param("+44 (0)20 7946 0958", id="trunk zero in brackets"),
        pytest.param("+44 07400 123456", id="trunk zero"),
        pytest.param("+49 (0)1512 3456789", id="German trunk zero"),
        pytest.param("+52 1 55 1234 5678", id="legacy Mexican mobile prefix"),
        pytest.param("+54 9 11 15 2345 6789", id="Argentine mobile prefix twice"),
        pytest.param("+1 202 555 0123 x123", id="extension x"),
        pytest.param("+1 202 555 0123 ext. 9", id="extension ext."),
        pytest.param("+1 202 555 0123;ext=", id="extension without digits"),
        pytest.param("+1 202 555 0123;ext=12345678", id="extension too long"),
        pytest.param("+1 202 555 0123;ext=9;ext=8", id="two extensions"),
        pytest.param("+1 202 555 0123#9", id="extension #"),
        pytest.param("+1 202 555 0123,,9", id="dialled pauses"),
        pytest.param("+1-800-FLOWERS", id="vanity"),
        pytest.param("+1 202 555 0123 xyz", id="letters after it"),
        pytest.param("Tel: +1 202 555 0123", id="words before it"),
        pytest.param("tel:+12025550123", id="URI"),
        pytest.param("tel:0958;phone-context=+44", id="phone-context"),
        pytest.param("tel:2025550123;phone-context=evil.example", id="phone-context host"),
        pytest.param("+12025550123, +12025550124", id="two numbers"),
        pytest.param("+12025550123+12025550124", id="two numbers glued"),
        pytest.param("+12025550123;+979123456789", id="two numbers by semicolon"),
        pytest.param("+1202555012３", id="a full-width digit"),
        pytest.param("＋12025550123", id="full-width plus"),
        pytest.param("﹢12025550123", id="small plus"),
        pytest.param("+١٢٠٢٥٥٥٠١٢٣", id="Arabic digits"),
        pytest.param("+१२०२५५५०१२३", id="Devanagari digits"),
        pytest.param("+1202555012²", id="superscript"),
        pytest.param("+1\N{NO-BREAK SPACE}202\N{NO-BREAK SPACE}555 0123", id="NBSP"),
        pytest.param("\N{IDEOGRAPHIC SPACE}+12025550123", id="ideographic space"),
        pytest.param("+1\N{ZERO WIDTH SPACE}2025550123", id="zero width"),
        pytest.param("\N{RIGHT-TO-LEFT OVERRIDE}+12025550123", id="bidi"),
        pytest.param("+1‐202‐555‐0123", id="typographic hyphen"),
        pytest.param("+12025550123\n", id="trailing newline"),
        pytest.param("+1\t2025550123", id="tab"),
        pytest.param("+12025550123\x00", id="NUL"),
        pytest.param("+12025550123\r\n[INFO] login ok", id="log line"),
        pytest.param("'; DROP TABLE users--", id="SQL"),
        pytest.param("=HYPERLINK(1)", id="formula"),
        pytest.param("\ud800+12025550123", id="lone surrogate"),
    ],
)
def test_what_is_not_plainly_one_number_is_refused(typed):
    assert refusal(typed)


@pytest.mark.parametrize("filler", ["1", " ", "+", "(", "x", "٣"])
def test_a_megabyte_is_refused_at_once(filler):
    started = time.perf_counter()

    assert refusal("+1" + filler * 1_000_000, region="US")

    assert time.perf_counter() - started < 0.05


# -- lines that cost, or that nobody answers -------------------------------------------------


@pytest.mark.parametrize("code", NON_GEOGRAPHIC)
def test_no_country_admits_a_number_that_belongs_to_none(code):
    number = e164(phonenumbers.example_number_for_non_geo_entity(code))
    assert phones.parse(number).region == "001"

    for country in EVERYWHERE:
        with pytest.raises(InvalidNumber):
            phones.parse_reachable(number, countries={country})
    assert refusal(number) == "Numbers of this country cannot be used here."


def test_the_codes_of_no_country_are_the_ones_we_think_of():
    assert {800, 808, 870, 878, 881, 882, 883, 888, 979} == set(NON_GEOGRAPHIC)


@pytest.mark.parametrize(
    "number",
    [
        pytest.param("+8816 1234 5678", id="satellite"),
        pytest.param("+870 773 111 632", id="ships"),
        pytest.param("+979 123 456 789", id="international premium"),
        pytest.param("+1 900 234 5678", id="premium US"),
        pytest.param("+44 909 123 4567", id="premium UK"),
        pytest.param("+49 900 1234567", id="premium DE"),
        pytest.param("+33 836 12 12 12", id="premium FR"),
        pytest.param("+44 843 123 4567", id="revenue share UK"),
        pytest.param("+49 180 1234567", id="shared cost DE"),
        pytest.param("+86 400 123 4567", id="shared cost CN"),
        pytest.param("+44 70 1234 5678", id="personal UK"),
        pytest.param("+49 700 12345678", id="personal DE"),
        pytest.param("+1 500 234 5678", id="personal US"),
        pytest.param("+44 76 4012 3456", id="pager"),
        pytest.param("+44 345 123 4567", id="UAN UK"),
        pytest.param("+353 818 123456", id="UAN IE"),
        pytest.param("+1 800 234 5678", id="toll free"),
    ],
)
def test_lines_that_earn_by_being_called_are_refused_everywhere(number):
    assert phones.parse(number)
    assert "cannot be used" in refusal(number)


@pytest.mark.parametrize("region", sorted(EVERYWHERE))
def test_of_each_country_only_answered_lines_are_reachable(region):
    kinds = [kind for name, kind in vars(PhoneNumberType).items() if name.isupper()]
    examples = [phonenumbers.example_number_for_type(region, kind) for kind in kinds]
    numbers = {e164(number) for number in examples if number is not None}
    judged = 0

    for number in numbers:
        try:
            phone = phones.parse(number)
        except InvalidNumber:  # shorter than E.164 numbers that we accept
            continue
        judged += 1
        try:
            reached = phones.parse_reachable(number, countries={phone.region})
        except InvalidNumber:
            assert phone.line_type not in ANSWERED
            assert not phone.takes_sms
            assert not phone.takes_calls
        else:
            assert reached == phone
            assert reached.line_type in ANSWERED
            assert reached.takes_calls
            assert reached.takes_sms is (reached.line_type != PhoneNumberType.FIXED_LINE)
    assert judged or all(len(number) < 9 for number in numbers)


def test_a_landline_takes_calls_only():
    landline = phones.parse("+44 20 7946 0958")

    assert (landline.takes_sms, landline.takes_calls) == (False, True)
    assert phones.parse_reachable("+44 20 7946 0958", countries={"GB"}) == landline


@pytest.mark.parametrize("countries", [set(), frozenset(), [], ()])
def test_an_empty_allow_list_admits_nobody(countries):
    with pytest.raises(InvalidNumber, match="country"):
        phones.parse_reachable(CANONICAL, countries=countries)


# -- whatever is typed -----------------------------------------------------------------------

NUMBER_LIKE = st.text(alphabet="+0123456789 -.()x;,=#*٣３\u00a0\u200b\n\x00", max_size=45)


@given(
    text=st.one_of(st.text(max_size=60), NUMBER_LIKE), region=st.sampled_from([None, "US", "IT"])
)
@example(text="\ud800", region=None)
@example(text="+390612345678", region="US")
def test_any_text_is_a_canonical_number_or_a_refusal(text, region):
    try:
        phone = phones.parse(text, region=region)
    except InvalidNumber:
        return
    assert phones.E164.fullmatch(phone.e164)
    assert phones.parse(phone.address) == phone


def national_numbers() -> st.SearchStrategy[str]:
    codes = st.sampled_from(sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE))
    rest = st.text(alphabet="0123456789", min_size=4, max_size=12)
    return st.builds("+{}{}".format, codes, rest)


@given(number=national_numbers(), region=st.sampled_from(sorted(EVERYWHERE)))
def test_a_canonical_number_is_its_own_canonical_form_wherever_it_is_read(number, region):
    try:
        phone = phones.parse(number)
    except InvalidNumber:
        return
    assert phone.address == number
    assert phones.parse(phone.address, region=region) == phone


def test_an_extension_is_kept_beside_the_number_that_limits_count_by():
    phone = phones.parse("+1 (202) 555-0123;ext=045")

    assert (phone.e164, phone.extension) == (CANONICAL, "045")
    assert phone.address == f"{CANONICAL};ext=045"
    assert phones.split_extension(phone.address) == (CANONICAL, "045")
    assert phone.takes_calls
    assert not phone.takes_sms
    assert phones.mask(phone.address) == "•••• 23"


# -- what is shown ---------------------------------------------------------------------------


@pytest.mark.parametrize("number", [CANONICAL, "+447400123456", "+4915123456789"])
def test_a_masked_number_shows_its_last_two_digits_only(number):
    masked = phones.mask(number)

    assert [char for char in masked if char.isdigit()] == list(number[-2:])
    assert masked == f"•••• {number[-2:]}"
    assert len({len(phones.mask(other)) for other in (CANONICAL, "+390612345678")}) == 1


def test_a_refusal_is_a_sentence_of_the_readers_language(settings, tmp_path):
    sentence = "Numbers of this country cannot be used here."
    catalogue.install(settings, tmp_path, "de", {sentence: "Dieses Land geht hier nicht."})

    with override("de"):
        assert refusal("+881612345678") == "Dieses Land geht hier nicht."
