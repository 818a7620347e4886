"""Everything in any order: random steps of everybody, and the invariants after each of them.

``OTP_CHANNELS_MACHINE=long`` walks much further, ``first`` stops at the first finding.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from django_otp_channels.views import verify
from tests.journey import CANCEL, DEVICES, LOGIN, SEND, STATUS, VERIFY
from tests.machine.invariants import INVARIANTS
from tests.machine.world import FAULTS, WAYS_IN, Browser, World, heard_in, told
from tests.providers import twilio

_ANYHOW = {
    "deadline": None,
    "database": None,
    "report_multiple_bugs": False,
    "suppress_health_check": list(HealthCheck),
}
PROFILES = {
    "": settings(max_examples=10, stateful_step_count=40, derandomize=True, **_ANYHOW),
    "first": settings(
        max_examples=60,
        stateful_step_count=40,
        derandomize=True,
        phases=[Phase.generate],
        **_ANYHOW,
    ),
    "long": settings(max_examples=250, stateful_step_count=60, print_blob=True, **_ANYHOW),
}
MALFORMED = (
    "",
    "  ",
    "abc",
    "12345",
    "1234567",
    "\u0661\u0662\u0663\u0664\u0665\u0666",
    "1\x002345",
    "9" * 500,
)
PAGES = (VERIFY, STATUS, LOGIN, SEND, CANCEL, DEVICES, "/private/", "/verified-only/", "/login/")
WORDS = {
    "sms": ("queued", "sent", "delivered", "undelivered", "failed", "nonsense"),
    "voice": ("completed", "busy", "no-answer", "failed", "nonsense"),
}
FORGED = ("", "another token", twilio.AUTH_TOKEN.upper())

# How often whoever had a right to it got in, and what kept the others out.
doors: Counter[str] = Counter()

browsers = st.integers(0, 3)
who = st.integers(0, 1)
victims_first = st.sampled_from([0, 0, 0, 1])
some = st.integers(0, 10_000)


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None

    @initialize(
        atomic=st.booleans(),
        engine=st.sampled_from(["db", "cached_db", "signed_cookies"]),
        inline=st.booleans(),
    )
    def open_the_site(self, atomic: bool, engine: str, inline: bool) -> None:
        self.world = World(atomic=atomic, engine=engine, inline=inline)

    def teardown(self) -> None:
        if self.world is not None:
            self.world.close()

    @invariant()
    def invariants_hold(self) -> None:
        if self.world is None:
            return
        for each in INVARIANTS:
            each(self.world)
        self.world.over()

    # -- passwords ---------------------------------------------------------------------------

    @rule(browser=browsers, person=victims_first, way=st.sampled_from(WAYS_IN))
    def right_password(self, browser: int, person: int, way: str) -> None:
        world = self.world
        world.password(world.browsers[browser], world.people[person], way=way)

    @rule(browser=browsers, person=who, way=st.sampled_from(WAYS_IN[:3]))
    def wrong_password(self, browser: int, person: int, way: str) -> None:
        world = self.world
        world.password(world.browsers[browser], world.people[person], right=False, way=way)

    @rule(browser=browsers, person=who, how=st.sampled_from(["crash", "fail"]))
    def view_that_fails_after_its_login(self, browser: int, person: int, how: str) -> None:
        world = self.world
        world.password(
            world.browsers[browser], world.people[person], way="/custom-login/", **{how: "1"}
        )

    # -- codes -------------------------------------------------------------------------------

    def _newest(self, browser: Browser) -> str | None:
        codes = browser.login.codes if browser.login else []
        return codes[-1].token if codes else None

    @rule(browser=browsers, pasted=st.booleans())
    def right_code(self, browser: int, pasted: bool) -> None:
        at = self.world.browsers[browser]
        token = self._newest(at)
        if token is None:
            return
        self.world.enter(at, f"{token[:3]} {token[3:]}" if pasted else token)

    @rule(browser=browsers, off=st.integers(1, 999_999), times=st.integers(1, 6))
    def wrong_codes(self, browser: int, off: int, times: int) -> None:
        at = self.world.browsers[browser]
        for n in range(times):
            token = self._newest(at) or "0"
            guess = f"{(int(token) + off + n) % 10**6:06d}"
            if guess not in {code.token for code in self.world.codes.values()}:
                self.world.enter(at, guess)

    @rule(browser=browsers, person=victims_first, seconds=st.sampled_from([290, 301, 605]))
    def code_that_is_typed_late(self, browser: int, person: int, seconds: int) -> None:
        at = self.world.browsers[browser]
        self.world.password(at, self.world.people[person])
        self.world.wait(seconds)
        if (token := self._newest(at)) is not None:
            self.world.enter(at, token)

    @rule(person=victims_first, first=browsers, guesses=st.integers(3, 5))
    def guesses_over_three_logins(self, person: int, first: int, guesses: int) -> None:
        """Up to the account's lock, and past it; then with the right code."""
        for n in range(3):
            at = self.world.browsers[(first + n) % 4]
            self.world.password(at, self.world.people[person])
            self.wrong_codes(browser=(first + n) % 4, off=123_456, times=guesses)
        if (token := self._newest(at)) is not None:
            self.world.enter(at, token)

    @rule(browser=browsers, which=some)
    def any_code_ever_sent(self, browser: int, which: int) -> None:
        """Superseded, spent, expired, of another session or person, or of the stock API."""
        codes = list(self.world.codes.values())
        if codes:
            self.world.enter(self.world.browsers[browser], codes[which % len(codes)].token)

    @rule(browser=browsers, text=st.sampled_from(MALFORMED))
    def malformed_code(self, browser: int, text: str) -> None:
        self.world.enter(self.world.browsers[browser], text)

    @rule(browser=browsers, off=st.integers(1, 999_999))
    def wrong_code_whose_page_breaks(self, browser: int, off: int) -> None:
        at = self.world.browsers[browser]
        guess = f"{(int(self._newest(at) or '0') + off) % 10**6:06d}"
        if guess in {code.token for code in self.world.codes.values()}:
            return
        with mock.patch.object(verify, "render", side_effect=RuntimeError("the page broke")):
            self.world.enter(at, guess)

    @rule(browser=browsers, person=who, right=st.booleans())
    def authenticator_code(self, browser: int, person: int, right: bool) -> None:
        world, owner = self.world, self.world.people[person]
        token = world.totp_code(owner) if right else "000000"
        world.enter_elsewhere(world.browsers[browser], token, owner.totp, right=right)

    @rule(browser=browsers, person=who, n=st.integers(0, 5))
    def recovery_code(self, browser: int, person: int, n: int) -> None:
        world, owner = self.world, self.world.people[person]
        world.enter_elsewhere(
            world.browsers[browser], f"{owner.name}-{n}", owner.static, right=n < 4
        )

    # -- messages ----------------------------------------------------------------------------

    @rule(browser=browsers, channel=st.sampled_from(["", "sms", "voice", "push", "x"]), which=some)
    def ask_again(self, browser: int, channel: str, which: int) -> None:
        pks = ["", *(str(phone.pk) for owner in self.world.people for phone in owner.phones)]
        data = {"channel": channel, "device": pks[which % len(pks)]}
        self.world.ask(
            self.world.browsers[browser], **{key: value for key, value in data.items() if value}
        )

    @rule(fault=st.sampled_from(["", "", *FAULTS]))
    def provider(self, fault: str) -> None:
        self.world.fault = fault

    @precondition(lambda self: self.world and self.world.sent)
    @rule(which=some, word=some, token=st.sampled_from([twilio.AUTH_TOKEN] * 3 + list(FORGED)))
    def receipt(self, which: int, word: int, token: str) -> None:
        sent = self.world.sent[-1 - which % min(4, len(self.world.sent))]
        words = WORDS[sent.channel]
        self.world.receipt(sent, told(sent.channel, words[word % len(words)]), token=token)

    @precondition(lambda self: self.world and any(s.key for s in self.world.sent))
    @rule(which=some, right=st.booleans(), genuine=st.booleans())
    def key_press(self, which: int, right: bool, genuine: bool) -> None:
        calls = [sent for sent in self.world.sent if sent.key]
        sent = calls[which % len(calls)]
        digits = sent.key if right else str(int(sent.key) % 9 + 1)
        self.world.receipt(
            sent, heard_in(sent, digits), token=twilio.AUTH_TOKEN if genuine else FORGED[1]
        )

    # -- other doings ------------------------------------------------------------------------

    @rule(browser=browsers)
    def cancel(self, browser: int) -> None:
        self.world.cancel(self.world.browsers[browser])

    @rule(browser=browsers)
    def logout(self, browser: int) -> None:
        self.world.logout(self.world.browsers[browser])

    @rule(
        browser=browsers,
        url=st.sampled_from(PAGES),
        method=st.sampled_from(["get", "get", "head", "options"]),
        prefetch=st.booleans(),
    )
    def look(self, browser: int, url: str, method: str, prefetch: bool) -> None:
        headers = {"Sec-Purpose": "prefetch"} if prefetch else {}
        self.world.look(self.world.browsers[browser], url, method, **headers)

    @rule(browser=browsers, which=some, what=st.sampled_from(["add", "remove", "confirm"]))
    def change_factors_without_a_code(self, browser: int, which: int, what: str) -> None:
        at = self.world.browsers[browser]
        phones = [phone for owner in self.world.people for phone in owner.phones]
        if at.proven is None:
            self.world.meddle(at, phones[which % len(phones)], what)

    @rule(person=who, which=some)
    def stock_challenge(self, person: int, which: int) -> None:
        owner = self.world.people[person]
        self.world.stock_challenge(owner.phones[which % len(owner.phones)], owner)

    @rule(browser=browsers, person=who, which=some, fail=st.booleans(),
          code=st.sampled_from(["stock", "stock", "wrong", "any"]))  # fmt: skip
    def stock_verify(self, browser: int, person: int, which: int, fail: bool, code: str) -> None:
        owner = self.world.people[person]
        phone = owner.phones[which % len(owner.phones)]
        known = list(self.world.codes.values())
        own = [c for c in known if c.phone is phone and c.login is None]
        text = "000000"
        if code == "stock" and own:
            text = own[-1].token
        elif code == "any" and known:
            text = known[which % len(known)].token
        self.world.stock_verify(self.world.browsers[browser], phone, owner, text, fail=fail)

    @rule(seconds=st.sampled_from([1, 31, 31, 61, 121, 290, 301, 605, 901, 3605, 86_405]))
    def time_passes(self, seconds: int) -> None:
        self.world.wait(seconds)

    @rule(keep=st.sampled_from([True, True, True, False]))
    def new_key(self, keep: bool) -> None:
        self.world.rotate(keep=keep)

    @rule(person=who, which=some,
          action=st.sampled_from(["unlock", "unlock", "disable", "enable", "enable",
                                  "delete_selected"]))  # fmt: skip
    def staff(self, person: int, which: int, action: str) -> None:
        owner = self.world.people[person]
        phone = owner.phones[which % len(owner.phones)]
        if phone.state == "removed" or (action == "delete_selected" and which % 3):
            return
        self.world.by_staff(action, phone, owner)

    # -- the door opens ----------------------------------------------------------------------

    @rule(browser=browsers, person=victims_first, rested=st.booleans())
    def log_in_properly(self, browser: int, person: int, rested: bool) -> None:
        """Whoever has password and phone gets in now, unless something on record forbids it."""
        world = self.world
        at, owner = world.browsers[browser], world.people[person]
        world.fault = ""
        if rested:
            world.wait(86_405)
        phone = next((each for each in owner.phones if not each.state), None)
        if phone is None:
            outcome = "no phone"
        elif owner.failures.lock(world.now):
            outcome = "locked"
        elif world.full(owner, phone, "sms", at.address):
            outcome = "over budget"
        else:
            outcome = "in"
        messages = len(world.sent)
        world.password(at, owner)
        if len(world.sent) == messages:
            paused = not world.inline and world.faults >= 5
            assert outcome != "in" or paused, "no message for who may have one"
            outcome = "paused" if outcome == "in" else outcome
        else:
            world.enter(at, self._newest(at) or "")
            assert at.proven is owner, "the door did not open"
            outcome = "in"
        doors[outcome] += 1
        event(f"log in properly: {outcome}")


@pytest.mark.django_db
@pytest.mark.guard("django_otp_channels.backends.twilio._Twilio._verify")
@pytest.mark.guard("django_otp_channels.login.needs_code")
@pytest.mark.guard("django_otp_channels.models.budgets.Budget._charge")
@pytest.mark.guard("django_otp_channels.models.challenges.Challenge._charge")
@pytest.mark.guard("django_otp_channels.models.challenges.Challenge._close_verified")
@pytest.mark.guard("django_otp_channels.models.challenges.Challenge._reserve_send")
@pytest.mark.guard("django_otp_channels.models.challenges.Challenge._token")
@pytest.mark.guard("django_otp_channels.models.challenges.Challenge.cancel")
@pytest.mark.guard("django_otp_channels.models.challenges._chargeable")
@pytest.mark.guard("django_otp_channels.models.devices.ChannelDeviceManager.for_login")
@pytest.mark.guard("django_otp_channels.models.ledger.settle")
@pytest.mark.guard("django_otp_channels.models.lockouts.Lockout.record_failure")
@pytest.mark.guard("django_otp_channels.views.owner.OwnerView.turn_away")
@pytest.mark.guard("django_otp_channels.views.verify.LoginView.form_valid")
def test_whatever_everybody_does_the_invariants_hold_and_the_door_opens() -> None:
    profile: Any = PROFILES[os.environ.get("OTP_CHANNELS_MACHINE", "")]
    doors.clear()
    run_state_machine_as_test(Machine, settings=profile)

    assert doors["in"] >= profile.max_examples / 4, doors
