"""The attacks that this package is tested with, by number, and what must still work.

The numbers are not contiguous: one that is missing here has become part of another. A test of an
entry is called ``test_aNN_…``, that of a positive control ``test_pNN_…``;
``test_catalogue.py`` holds both lists against the tests that there are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

ATTACKS: Mapping[str, str] = {
    "A01": "Brute force on one challenge",
    "A02": "Brute force across resends",
    "A03": "Brute force across parallel sessions ('AuthQuake')",
    "A04": "Brute force across channels",
    "A05": "Evading limits by address",
    "A07": "Attempt-counter race",
    "A08": "Refund by rollback",
    "A09": "Counter kept in the session",
    "A10": "Double spend",
    "A12": "Code of the user's other session",
    "A13": "Code of another purpose",
    "A14": "Code or device of another user",
    "A15": "Superseded code",
    "A16": "Expired code",
    "A17": "Session fixation over the step",
    "A19": "Password change, deactivation, role change while parked",
    "A20": "Logout, cancel, back button",
    "A22": "next open redirect",
    "A23": "Side effects before the code",
    "A24": "Lockout DoS",
    "A26": "Remembered-browser cookie",
    "A27": "Password reset that logs in",
    "A28": "Other callers of login()",
    "A29": "Admin login",
    "A30": "API auth",
    "A31": "Websocket and other session readers",
    "A32": "allauth, social, OIDC, SAML, RemoteUser",
    "A33": "Enrolment hijack",
    "A34": "Number change while half-logged-in, or by a stale session",
    "A35": "IDOR",
    "A36": "Unconfirmed device as a factor",
    "A37": "'No device' opens the door",
    "A38": "Cross-device side effects",
    "A39": "Cooldown and budget race",
    "A40": "Proxy collapse",
    "A41": "SMS pumping / IRSF",
    "A42": "Pumping by a paying attacker",
    "A43": "Budget-exhaustion DoS",
    "A44": "Voice cost",
    "A45": "Aliases dodge budgets",
    "A46": "TwiML injection",
    "A47": "Message content abuse",
    "A48": "Voicemail hijack",
    "A49": "Replayed gather webhook reads the code again",
    "A50": "Code in the call URL, and poisoned host",
    "A51": "Gather abuse",
    "A52": "SIM swap, ported or recycled number",
    "A53": "Real-time phishing relay",
    "A54": "Push bombing / MFA fatigue",
    "A55": "Guessing the number match",
    "A56": "Forged push answer",
    "A57": "Push-token takeover",
    "A58": "Pairing-token replay and theft",
    "A59": "Push payload leak",
    "A60": "Forgery",
    "A62": "Code in logs",
    "A63": "Plaintext at rest",
    "A64": "Exception, repr, admin",
    "A65": "Error reporter",
    "A66": "User enumeration",
    "A67": "Phone enumeration",
    "A69": "Hint aggregation",
    "A70": "Cache and bfcache",
    "A71": "CSRF",
    "A72": "Clickjacking",
    "A73": "Referrer, URL and prefetch",
    "A74": "Unicode digits",
    "A75": "Whitespace, NUL, size, type",
    "A76": "E.164 pitfalls",
    "A78": "Parser tricks",
    "A79": "Mass assignment",
    "A80": "SQL, log, CSV, header injection",
    "A82": "Slow provider (30 s hang)",
    "A83": "Provider outage (500 / refused / DNS / bad TLS)",
    "A84": "429 and quota",
    "A85": "Ambiguous outcome",
    "A86": "Database trouble",
    "A87": "Clock jumps",
    "A89": "Limit store down or per-process",
    "A90": "Test backends in production",
    "A92": "Missing secret falls open",
    "A93": "Key rotation",
    "A96": "Recovery codes",
}

# A gate that refuses everything would withstand every attack above.
CONTROLS: Mapping[str, str] = {
    "P01": "One password, one message, one code",
    "P02": "A typo, then the right code",
    "P03": "A message that takes four minutes",
    "P04": "A resend, and a late first message",
    "P05": "A provider is down: another way in the same login",
    "P06": "Two browsers of one person at the same time",
    "P07": "A pasted code, and what phones fill in",
    "P08": "Without JavaScript, for screen readers, from the right",
    "P09": "One phone of a family on two accounts",
    "P10": "A lost phone: a recovery code, then a new number",
    "P11": "Two hundred people behind one address",
    "P12": "A deployment and a new key in the middle of a login",
    "P13": "A provider that hangs",
    "P14": "Devices of other django-otp plugins",
    "P15": "A locked person with another factor",
}

# What cannot be attacked before it exists: the entry, and the feature that it waits for.
WAITING: Mapping[str, str] = {
    "A54": "answering a push in the app",
    "A55": "answering a push in the app",
    "A56": "answering a push in the app",
    "A57": "pairing an app",
    "A58": "pairing an app",
}
# What is covered as far as it exists: the entry, and what its tests do not reach yet.
PARTLY: Mapping[str, str] = {}
# What no single function of ours stands in the way of, and what does: these name no guard. It must
# be exact too.
UNGUARDED: Mapping[str, str] = {
    "A17": "Django's cycle_key() and flush(), at each step",
    "A38": "that a count is of one device; there is none to take away",
    "A50": "the configured origin; nothing reads a header",
    "A53": "the words of the message",
    "A59": "the fields of the notification",
    "A62": "that nothing logs a code",
    "A63": "that nothing stores a code",
    "A65": "decorators of Django, and errors that are raised anew",
    "A66": "one sentence for all that is dead, and Django's own form",
    "A67": "that the table of devices is not asked",
    "A71": "Django's CsrfViewMiddleware",
    "A79": "the fields of the forms",
    "A80": "Django's templates and queries, and JSON",
    "A82": "that the thread of the request does not send",
    "A86": "transactions, and the order of the steps",
}
# Neither covered nor waiting. It must be exact, so it only ever shrinks.
MISSING: frozenset[str] = frozenset()


def entry_of(name: str) -> str:
    """Return the entry that the test called ``name`` belongs to, empty if to none."""
    match = re.match(r"test_([ap][0-9]{2})_", name)
    return match[1].upper() if match else ""
