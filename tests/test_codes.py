"""A code is derived, unguessable, bound to all its parts, and shown by nothing that prints."""

from __future__ import annotations

import copy
import hmac
import itertools
import pickle
import pprint
import sys
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.signals import got_request_exception
from django.test import RequestFactory
from django.utils.encoding import force_bytes
from django.views.debug import ExceptionReporter
from hypothesis import example, given
from hypothesis import strategies as st

from django_otp_channels import codes
from django_otp_channels.codes import Token
from django_otp_channels.models import Challenge, challenges

MARK = "048213"
PARTS = st.lists(st.binary(max_size=12), max_size=6)


def derive(*parts: bytes, length: int = 6) -> Token:
    token = codes.derive(codes.current_key_id(), parts, length=length)
    assert token is not None
    return token


# -- the digits ------------------------------------------------------------------------------


def chi_square(counts: Counter[Any], categories: int) -> float:
    expected = counts.total() / categories
    missing = (categories - len(counts)) * expected
    return missing + sum((seen - expected) ** 2 / expected for seen in counts.values())


def test_no_digit_is_favoured_at_any_place():
    drawn = [derive(number.to_bytes(4, "big")) for number in range(50_000)]

    for place in range(6):
        counts = Counter(code[place] for code in drawn)
        # The 99.999th percentile of chi-square with 9 degrees of freedom.
        assert chi_square(counts, 10) < 39.4
    assert sum(code.startswith("0") for code in drawn) > 4500
    pairs = Counter(code[:2] for code in drawn)
    assert chi_square(pairs, 100) < 170  # with 99 degrees


def test_codes_of_different_nonces_repeat_no_more_than_chance():
    drawn = [derive(codes.new_nonce()) for _ in range(1000)]

    assert len(set(drawn)) > 990  # 1000 of a million: half a pair is expected


@given(parts=PARTS, length=st.integers(6, 10))
def test_a_code_is_as_many_ascii_digits_as_asked_for(parts, length):
    code = derive(*parts, length=length)

    assert len(code) == length
    assert code.isascii()
    assert code.isdecimal()


def test_leading_zeros_are_kept():
    number = next(n for n in itertools.count() if derive(n.to_bytes(4, "big")).startswith("00"))

    code = derive(number.to_bytes(4, "big"))

    assert len(code) == 6
    assert codes.matches(code, str(code))
    assert not codes.matches(code, str(int(code)))


# -- what it is bound to ---------------------------------------------------------------------


@given(parts=PARTS)
def test_the_same_parts_give_the_same_code_again(parts):
    assert derive(*parts) == derive(*parts)
    assert derive(*parts) == codes.derive(codes.current_key_id(), iter(parts), length=6)


@given(one=PARTS, other=PARTS)
@example(one=[b"ab", b"c"], other=[b"a", b"bc"])
@example(one=[b"ab"], other=[b"a", b"b"])
@example(one=[b"", b"a"], other=[b"a", b""])
@example(one=[], other=[b""])
@example(one=[b"\x00\x00\x00\x01a"], other=[b"", b"a"])
def test_other_parts_give_another_code_however_they_are_cut(one, other):
    # Ten digits of each of two shifted derivations: a chance match is out of reach.
    same = all(
        derive(salt, *one, length=10) == derive(salt, *other, length=10) for salt in (b"1", b"2")
    )

    assert same == (one == other)


def test_a_nonce_has_256_fresh_bits():
    nonces = {codes.new_nonce() for _ in range(100)}

    assert len(nonces) == 100
    assert {len(nonce) for nonce in nonces} == {32}


# -- the key ---------------------------------------------------------------------------------


def test_the_key_id_chooses_the_key(settings):
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", ["older", "oldest"]
    new = codes.current_key_id()
    code = derive(b"x")

    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "oldest", ["new"]

    assert codes.current_key_id() != new
    assert codes.derive(new, [b"x"], length=6) == code
    assert derive(b"x") != code


@pytest.mark.parametrize("fallbacks", [["old"], ["other", "old"], ["", "old"], (b"old",)])
def test_a_fallback_key_still_derives_its_codes(settings, fallbacks):
    settings.SECRET_KEY = "old"
    old, code = codes.current_key_id(), derive(b"x")

    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", fallbacks

    assert codes.derive(old, [b"x"], length=6) == code


@pytest.mark.parametrize("key_id", ["", "0" * 16, "no such key"])
def test_without_its_key_there_is_no_code(key_id):
    assert codes.derive(key_id, [b"x"], length=6) is None


def test_a_key_that_is_gone_derives_nothing(settings):
    old = codes.current_key_id()

    settings.SECRET_KEY = "another"

    assert codes.derive(old, [b"x"], length=6) is None


@pytest.mark.parametrize("empty", ["", b""], ids=["str", "bytes"])
def test_an_empty_fallback_is_no_key(settings, empty):
    # What an attacker could compute without knowing any secret.
    settings.SECRET_KEY = "known"
    settings.SECRET_KEY_FALLBACKS = []
    with_key = codes.current_key_id()
    forged = codes._key_id(hmac.digest(force_bytes(empty), codes._KEY_PURPOSE, "sha256"))
    settings.SECRET_KEY_FALLBACKS = [empty]

    assert codes.current_key_id() == with_key
    assert codes.derive(forged, [b"x"], length=6) is None


def test_a_key_id_tells_nothing_of_the_key(settings):
    settings.SECRET_KEY = "a-very-secret-key"
    key = next(codes._keys())

    assert len(codes.current_key_id()) == 16
    assert codes.current_key_id() not in key.hex()


# -- comparing -------------------------------------------------------------------------------


@given(entered=st.text())
@example(entered="")
@example(entered="٣٤٥٦٧٨")
@example(entered="048213\n")
@example(entered="０48213")
@example(entered="\ud800")
@example(entered="048213\x00")
def test_only_the_very_code_matches_and_nothing_raises(entered):
    assert codes.matches(Token(MARK), entered) is (entered == MARK)


def test_every_single_changed_digit_is_noticed():
    for place, digit in itertools.product(range(6), "0123456789"):
        entered = MARK[:place] + digit + MARK[place + 1 :]
        assert codes.matches(Token(MARK), entered) is (digit == MARK[place])


# -- nothing that prints shows it ------------------------------------------------------------


@dataclass
class Holder:
    token: Token
    also: list[Token]


HOLDERS = {
    "itself": Token(MARK),
    "a list": [Token(MARK)],
    "a dictionary": {"code": (Token(MARK),)},
    "a dataclass": Holder(Token(MARK), [Token(MARK)]),
    "an error": ValueError(Token(MARK)).args,
    "a copy": copy.deepcopy(Holder(Token(MARK), [copy.copy(Token(MARK))])),
    "unpickled": pickle.loads(pickle.dumps(Token(MARK))),  # noqa: S301
}


@pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS)
@pytest.mark.parametrize(
    "printed",
    [repr, "{!r}".format, "{0!a}".format, "%r".__mod__, pprint.pformat],
    ids=["repr", "format", "ascii", "percent", "pprint"],
)
def test_a_token_is_masked_wherever_a_debugger_prints_it(holder, printed):
    if printed == "%r".__mod__ and isinstance(holder, tuple):
        holder = (holder,)

    assert MARK not in printed(holder)


def test_a_token_is_otherwise_the_string_it_is():
    assert Token(MARK) == MARK
    assert f"{Token(MARK)}" == MARK
    assert hash(Token(MARK)) == hash(MARK)
    assert ", ".join(Token(MARK)) == "0, 4, 8, 2, 1, 3"
    assert not hasattr(Token(MARK), "__dict__")


class Boom(Exception):
    """Nothing in its text."""


def boom(*_args: Any, **_kwargs: Any) -> Any:
    raise Boom


def report(request: Any, exc_info: Any) -> str:
    """All that Django would mail to the admins of this error."""
    reporter = ExceptionReporter(request, *exc_info, is_email=True)
    return reporter.get_traceback_html() + reporter.get_traceback_text()


def report_of(act: Any, *args: Any, **kwargs: Any) -> str:
    """The report of the error that ``act`` raises, without the frame of this very test."""
    try:
        act(*args, **kwargs)
    except Boom as error:
        return report(RequestFactory().post("/"), (Boom, error, error.__traceback__.tb_next))
    return pytest.fail("nothing was raised")


def test_the_report_of_an_error_would_show_a_code_that_is_not_kept_out_of_it():
    """The test of the tests below."""

    def careless(entered: str) -> None:
        boom()

    assert MARK in report_of(careless, MARK)


def test_an_error_while_deriving_reports_neither_key_nor_code(monkeypatch, settings):
    settings.SECRET_KEY = "marked-secret-key"
    key = next(codes._keys())
    mac = hmac.digest(key, (11).to_bytes(4, "big") + b"marked-part", "sha256")
    number = int.from_bytes(mac[:16], "big")
    code = derive(b"marked-part")
    assert code == f"{number % 10**6:06d}"
    monkeypatch.setattr(codes, "Token", boom)

    text = report_of(codes.derive, codes.current_key_id(), [b"marked-part"], length=6)

    assert "codes.py" in text
    for secret in ("marked-secret-key", "marked-part", repr(key)[2:-1], str(number), code):
        assert secret not in text


@pytest.mark.parametrize("entered", [MARK, "975310"])
def test_an_error_while_comparing_reports_no_code(monkeypatch, entered):
    monkeypatch.setattr(codes, "constant_time_compare", boom)

    text = report_of(codes.matches, Token(MARK), entered)

    assert "codes.py" in text
    assert MARK not in text
    assert entered not in text


@pytest.mark.django_db
@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
@pytest.mark.parametrize("broken", ["derive", "matches"])
def test_an_error_on_the_code_page_reports_no_code(
    monkeypatch, journey, alex, phone, broken, right
):
    reports: list[str] = []

    def collect(request: Any, **_kwargs: Any) -> None:
        reports.append(report(request, sys.exc_info()))

    journey.enter_password(alex)
    code, entered = journey.code, journey.code if right else journey.wrong_code
    journey.client.raise_request_exception = False
    monkeypatch.setattr(codes, broken, boom)
    got_request_exception.connect(collect)
    try:
        answer = journey.enter_code(entered)
    finally:
        got_request_exception.disconnect(collect)

    assert answer.status_code == 500
    (text,) = reports
    assert "challenges.py" in text
    assert "/account/verify/" in text
    for secret in (code, entered, phone.address):
        assert secret not in text


@pytest.mark.django_db
@pytest.mark.parametrize("broken", ["derive", "matches"])
def test_an_error_in_a_sites_own_verification_reports_no_code(
    monkeypatch, alex, phone, outbox, broken
):
    phone.generate_challenge()
    code = str(outbox[-1].token)
    monkeypatch.setattr(codes, broken, boom)

    text = report_of(phone.verify_token, code)

    assert "challenges.py" in text
    assert code not in text


@pytest.mark.django_db
def test_an_error_while_sending_reports_no_code(monkeypatch, alex, phone, outbox):
    phone.generate_challenge()
    code = str(outbox[-1].token)
    challenge = Challenge.objects.get()
    monkeypatch.setattr(challenges._Journey, "_conclude", boom)

    text = report_of(challenge.send, "sms")

    assert outbox[-1].token == code
    assert "challenges.py" in text
    assert code not in text
    assert phone.address not in text
