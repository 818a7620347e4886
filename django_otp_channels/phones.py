"""A phone number: parse it strictly, tell its region and line type, mask it. Pure.

Strict before lenient: the text must look like a plain number *before* the ``phonenumbers`` library
sees it, because that library accepts letters, extensions, ``;phone-context=`` and digits of other
scripts, and drops what it does not understand.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import lru_cache

import phonenumbers
from django.utils.translation import gettext_lazy as _
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from .exceptions import InvalidNumber

E164 = re.compile(r"\+[1-9][0-9]{7,14}", re.ASCII)
# Mexico dropped the 1 before mobile numbers on 3 August 2019 (IFT, Plan Técnico Fundamental de
# Numeración). Older versions of the library kept it, and so do the databases that they filled.
_OLD_MEXICAN = re.compile(r"\+521(?=[0-9]{10}\Z)", re.ASCII)
_EXTENSION = re.compile(r";ext=([0-9]{1,7})", re.ASCII)
_NATIONAL = re.compile(r"[0-9]{4,15}", re.ASCII)
_SEPARATORS = str.maketrans("", "", " -.()")
_MAX_TYPED = 40

# ISO 3166 codes of the countries with phone numbers.
REGIONS = frozenset(phonenumbers.SUPPORTED_REGIONS)

# Lines that a person answers. All others are refused whatever the country: premium rate, shared
# cost and personal numbers are how toll fraud earns (and pagers, voicemail and UAN reach nobody).
# Satellite and global networks (+881, +883, …) are typed MOBILE but belong to no country: the
# country allow-list refuses them.
MOBILE_TYPES = frozenset(
    {PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE, PhoneNumberType.VOIP}
)
CALLABLE_TYPES = MOBILE_TYPES | {PhoneNumberType.FIXED_LINE}


@dataclass(frozen=True)
class Phone:
    """A number in E.164, its region (ISO 3166, or ``"001"`` for no country) and its line type.

    ``repr()`` does not show the number.
    """

    e164: str = field(repr=False)
    region: str
    line_type: int
    extension: str = field(default="", repr=False)

    @property
    def address(self) -> str:
        """The number as a device keeps it: E.164, and the extension as RFC 3966 writes it."""
        return f"{self.e164};ext={self.extension}" if self.extension else self.e164

    @property
    def international(self) -> str:
        """The number as people write it, with its country code: to be read and compared."""
        number = phonenumbers.parse(self.e164)
        written = phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
        return f"{written} ext. {self.extension}" if self.extension else str(written)

    @property
    def takes_sms(self) -> bool:
        return self.line_type in MOBILE_TYPES and not self.extension

    @property
    def takes_calls(self) -> bool:
        return self.line_type in CALLABLE_TYPES


def parse(text: str, *, region: str | None = None) -> Phone:
    """Return the one canonical form of a typed number.

    ``text`` is an international number (``+1 202-555-0123``) or, where ``region`` (ISO 3166) is
    given, a national one. Spaces, hyphens, dots and brackets may separate digits. An extension may
    follow in the one form of RFC 3966 (``;ext=45``): the line behind it is the same. Raises
    :class:`~django_otp_channels.exceptions.InvalidNumber` with a sentence that says what to do.
    """
    if len(text) > _MAX_TYPED:
        raise InvalidNumber
    text, extension = _without_extension(text.strip(" "))
    digits = text.translate(_SEPARATORS)
    if not E164.fullmatch(digits):
        if region is None or not _NATIONAL.fullmatch(digits):
            raise InvalidNumber(
                _("Enter the number with its country code, for example +1 202 555 0123.")
            )
        digits = _to_e164(digits, region)
    return replace(_canonical(digits), extension=extension)


# One login asks for the same number again and again. Few are kept: they are people's addresses.
@lru_cache(maxsize=16)
def _canonical(digits: str) -> Phone:
    """Return the number that ``digits`` (E.164) spell, if they are its one spelling."""
    # Whatever does not survive the round trip (a kept trunk zero, a legacy prefix) is a second
    # spelling of the same line, and would dodge every limit that counts by number.
    if _to_e164(digits, None) != digits:
        raise InvalidNumber
    number = phonenumbers.parse(digits)
    if not phonenumbers.is_valid_number(number):
        raise InvalidNumber
    return Phone(
        e164=digits,
        region=phonenumbers.region_code_for_number(number) or "001",
        line_type=phonenumbers.number_type(number),
    )


def parse_reachable(text: str, *, countries: Collection[str], region: str | None = None) -> Phone:
    """Like :func:`parse`, and refuse what no message may be sent to.

    ``countries`` is the allow-list of ISO 3166 codes; an empty one refuses every number.
    """
    phone = parse(text, region=region)
    if phone.region not in countries:
        raise InvalidNumber(_("Numbers of this country cannot be used here."))
    if not phone.takes_calls:
        raise InvalidNumber(
            _("This kind of number cannot be used. Use a mobile or landline number.")
        )
    return phone


def modern(text: str) -> str:
    """Return a stored number as it is written today.

    Without the ``tel:`` of RFC 3966 and the 1 of old Mexican mobile numbers; else as it is.
    """
    text = text.strip().removeprefix("tel:")
    return _OLD_MEXICAN.sub("+52", text.translate(_SEPARATORS)) if text[:3] == "+52" else text


def split_extension(address: str) -> tuple[str, str]:
    """Return the number and the extension of an address that :attr:`Phone.address` wrote."""
    number, _semicolon, extension = address.partition(";ext=")
    return number, extension


def mask(address: str) -> str:
    """Show the last two digits only, always the same two: ``•••• 23`` (ASVS 14.2.6)."""
    return f"•••• {last_digits(address)}"


def last_digits(address: str) -> str:
    """Return the two digits of a number that a page may show."""
    number, _extension = split_extension(address)
    return number[-2:]


def _without_extension(text: str) -> tuple[str, str]:
    match = _EXTENSION.search(text)
    if match is None or match.end() != len(text):
        return text, ""
    return text[: match.start()], match[1]


def _to_e164(digits: str, region: str | None) -> str:
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        raise InvalidNumber from None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)
