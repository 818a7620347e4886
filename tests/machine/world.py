"""The site with its people and browsers, each act through HTTP, and the truth beside it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from copy import copy
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any
from unittest import mock

from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.core.cache import cache
from django.db import connection, connections, transaction
from django.test import Client, override_settings
from django_otp.oath import totp
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from django_otp_channels import breaker, codes, delivery
from django_otp_channels.exceptions import (
    BackendMisconfigured,
    DeliveryRefused,
    DeliveryUnavailable,
    DeliveryUnknown,
    Reason,
    SendNotAllowed,
)
from django_otp_channels.messages import Message, Receipt
from django_otp_channels.models import Budget, Challenge, ChannelDevice, Delivery, Lockout
from django_otp_channels.signals import security_event
from django_otp_channels.testing import login_verified
from tests.clock import let_pass
from tests.factories import PASSWORD, PhoneFactory, UserFactory
from tests.journey import ADD_PHONE, CANCEL, LOGIN, SEND, VERIFY
from tests.providers import twilio

from . import truth
from .carriers import line
from .truth import Code, Failures, Login, Person, Phone, Sent

ADMIN = "/admin/otp_channels/channeldevice/"
WAYS_IN = (LOGIN, "/login/", "/custom-login/", "/by-hand/")
FAULTS = {
    "refused": lambda: DeliveryRefused(code="21614"),
    "gone": lambda: DeliveryRefused(code="21211", reason=Reason.GONE),
    "unavailable": lambda: DeliveryUnavailable(code="20429"),
    "unknown": lambda: DeliveryUnknown(code="20500"),
    "misconfigured": lambda: BackendMisconfigured(code="20003"),
    "reset": lambda: ConnectionResetError("reset"),
    "anything": lambda: RuntimeError("something that nobody has sorted"),
}
# Before these the message has certainly not left.
NOT_SENT = frozenset({"refused", "gone", "unavailable", "misconfigured"})
SECRETS = ("the first secret of the machine", "the second", "the third", "the fourth", "the fifth")


def carriers() -> dict[str, Any]:
    return {
        channel: [
            {"BACKEND": f"tests.machine.carriers.{name}", "OPTIONS": dict(twilio.OPTIONS)},
        ]
        for channel, name in (("sms", "SMS"), ("voice", "Voice"))
    }


@dataclass(eq=False)
class Browser:
    """One cookie jar. ``login`` is parked in it; ``proven`` is who has given a right code in it."""

    name: str
    address: str
    client: Client
    login: Login | None = None
    proven: Person | None = None

    @property
    def cookie(self) -> str:
        morsel = self.client.cookies.get(settings.SESSION_COOKIE_NAME)
        return morsel.value if morsel else ""

    def session(self) -> dict[str, Any]:
        """What the site keeps for this browser, without touching it."""
        return stored(self.cookie)


def stored(cookie: str) -> dict[str, Any]:
    if not cookie:
        return {}
    store = import_module(settings.SESSION_ENGINE).SessionStore(cookie)
    return dict(store.load())


@dataclass
class Step:
    """What happened since the invariants were last looked at."""

    browser: Browser | None = None
    login: Login | None = None
    person: Person | None = None
    typed: list[str] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    spoken: bool = False
    refused: list[Any] = field(default_factory=list)
    # Whose consecutive count may fall, and whose all; what must not have changed at all.
    verified: set[Any] = field(default_factory=set)
    unlocked: set[Any] = field(default_factory=set)
    still: str = ""
    by_staff: bool = False
    logged_in: list[Any] = field(default_factory=list)


class Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{self.format(record)} {record.msg} {record.args}")


class World:
    def __init__(self, *, atomic: bool, engine: str, inline: bool) -> None:
        self.began, self.waited = time.monotonic(), 0.0
        self.stack = ExitStack()
        self.wrong: list[str] = []
        self.sent: list[Sent] = []
        self.codes: dict[str, Code] = {}
        self.charged: list[tuple[float, str, str, str]] = []
        self.asked: dict[str, int] = {}
        self.compared = 0
        self.fault, self.faults = "", 0
        self.inline = inline
        self.key, self.keys = 0, [0]
        self.lost_keys = False
        self.spent_elsewhere: set[str] = set()
        self.atomic, self.engine = atomic, engine
        self.step = Step()
        self._after: dict[str, Any] | None = None
        self.log = Log()
        self._open(atomic=atomic, engine=engine, inline=inline)
        self.people = [self._person("victim", ["+12025550123", "+12025550145"]),
                       self._person("attacker", ["+442079460123"])]  # fmt: skip
        self.browsers = [
            Browser(name, address, Client(raise_request_exception=False, REMOTE_ADDR=address))
            for name, address in (
                ("V1", "8.8.8.8"), ("V2", "8.8.8.8"), ("X1", "9.9.9.9"), ("X2", "9.9.9.9"),
            )
        ]  # fmt: skip
        self.staff = UserFactory(username="staff", staff=True)
        self.before = self.counters()
        self.last_logins = self._last_logins()
        self.charges = self._charges()
        self.factors = self._factors()

    # -- the rig -----------------------------------------------------------------------------

    def _open(self, *, atomic: bool, engine: str, inline: bool) -> None:
        enter = self.stack.enter_context
        block: Any = transaction.atomic()
        block._from_testcase = True  # as TestCase's own: no transaction of the site's
        enter(block)
        self.stack.callback(transaction.set_rollback, True)
        enter(
            override_settings(
                OTP_CHANNELS=carriers(),
                OTP_CHANNELS_COUNTRIES=["US", "GB"],
                OTP_CHANNELS_FALLBACK={"sms": "voice"},
                SECRET_KEY=SECRETS[0],
                SECRET_KEY_FALLBACKS=[],
                SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}",
            )
        )
        enter(mock.patch.dict(connections["default"].settings_dict, ATOMIC_REQUESTS=atomic))
        line.inline, line.hand_over = inline, self.carry
        # A network send in the request's own thread, by the same way as in a thread of its own.
        enter(mock.patch.object(delivery, "threads_available", return_value=False))
        matches = codes.matches

        def compare(expected: str, entered: str) -> bool:
            right = matches(expected, entered)
            self._was_compared(str(expected), right=right)
            return right

        enter(mock.patch.object(codes, "matches", compare))
        security_event.connect(self._was_told)
        self.stack.callback(security_event.disconnect, self._was_told)
        user_logged_in.connect(self._was_logged_in)
        self.stack.callback(user_logged_in.disconnect, self._was_logged_in)
        root = logging.getLogger()
        root.addHandler(self.log)
        self.stack.callback(root.removeHandler, self.log)
        cache.clear()
        breaker.forget()

    def close(self) -> None:
        self.stack.close()
        cache.clear()
        breaker.forget()

    def _person(self, name: str, numbers: list[str]) -> Person:
        user = UserFactory(username=name)
        phones = [Phone(each, PhoneFactory(user=user, address=each).pk) for each in numbers]
        static = StaticDevice.objects.create(user=user, name="Codes", confirmed=True)
        for n in range(4):
            static.token_set.create(token=f"{name}-{n}")
        device = TOTPDevice.objects.create(user=user, name="App", confirmed=True)
        return Person(name, user, phones, device, static)

    @property
    def now(self) -> float:
        return self.waited + time.monotonic() - self.began

    @contextmanager
    def act(self, browser: Browser | None = None, login: Login | None = None,
            person: Person | None = None) -> Iterator[Step]:  # fmt: skip
        """Whatever is compared and sent in here belongs to this browser and login, or person."""
        step = self.step
        step.browser = browser or step.browser
        step.login, step.person = login, person or (login.person if login else None)
        yield step
        step.login = step.person = None

    def post(self, browser: Browser, url: str, data: dict[str, Any], **extra: Any) -> Any:
        answer = browser.client.post(url, data, **extra)
        self.step.answers.append(answer)
        return answer

    # -- what the site does, as it does it ---------------------------------------------------

    def _was_compared(self, expected: str, *, right: bool) -> None:
        self.compared += 1
        person, now = self.step.person, self.now
        self.asked[expected] = self.asked.get(expected, 0) + 1
        if self.asked[expected] > truth.TRIES:
            self.wrong.append("I3: a challenge's code was compared more often than it may be")
        if person is None:
            self.wrong.append("I3: a code was compared where nobody had entered one")
            return
        if person.failures.lock(now):
            self.wrong.append("I3: a code was compared while its account was locked")
        if not right:
            person.failures.add(now)
        else:
            person.failures.in_row = 0
            self.step.verified.add(person.user.pk)

    def _was_told(self, event: str, fields: Any, **_kwargs: Any) -> None:
        if event == "code_sent":
            reference = getattr(fields.get("challenge"), "hex", "")
            code = self.codes.get(reference)
            number = code.phone.number if code else ""
            login = self.step.login
            person = login.person if login else code.person if code else self.step.person
            if not number and fields.get("device"):
                pk = int(str(fields["device"]).rpartition("/")[2])
                number = next((p.number for o in self.people for p in o.phones if p.pk == pk), "")
            browser = self.step.browser
            self.charged.append(
                (
                    self.now,
                    f"{fields['channel']}:{number}",
                    person.name if person else "",
                    browser.address if browser else "",
                )
            )

    def _was_logged_in(self, user: Any, **_kwargs: Any) -> None:
        self.step.logged_in.append(user.pk)

    def carry(self, message: Message) -> Receipt:
        """Take a message, note what is wrong with it, and let become of it what shall."""
        if not message.token:  # a notice to the owner: it has no code, and opens nothing
            if any(code.token in message.text for code in self.codes.values()):
                self.wrong.append("I9: a notice tells a code")
            return Receipt(provider="twilio", message_id=f"SM{0:032x}")
        self._look_at(message)
        fault = self.fault
        sid = f"{'SM' if message.channel == 'sms' else 'CA'}{len(self.sent):032x}"
        code = self.codes.get(message.reference)
        if code is not None and fault not in NOT_SENT:
            self.sent.append(Sent(code, message.channel, message.callback, message.key, sid))
        if fault:
            self.faults += 1
            if fault == "gone" and code is not None and not code.phone.state:
                code.phone.state = "unregistered"
            error = FAULTS[fault]()
            raise error
        return Receipt(provider="twilio", message_id=sid)

    def _look_at(self, message: Message) -> None:
        blocks: Any = connection.atomic_blocks
        if not all(block._from_testcase for block in blocks):
            self.wrong.append("I18: a message left inside a transaction")
        phone = next((p for o in self.people for p in o.phones if p.number == message.to), None)
        owner = next((o for o in self.people if phone in o.phones), None)
        code = self.codes.get(message.reference)
        if code is None:
            login, person = self.step.login, self.step.person
            if person is None or phone is None or owner is None:
                self.wrong.append("I11: a message left that nobody had asked for")
                return
            code = Code(
                str(message.token), message.reference, phone, person, login, self.now, self.key
            )
            self.codes[message.reference] = code
            if login is not None:
                login.codes.append(code)
        if phone is not code.phone or owner is not code.person:
            self.wrong.append("I6: a code went to another phone than its challenge's")
        if str(message.token) != code.token:
            self.wrong.append("I7: one challenge has sent two codes")
        if phone is not None and phone.state:
            self.wrong.append("I8: a message left to a device that is switched off or gone")
        if code.person.failures.lock(self.now):
            self.wrong.append("I8: a message left for a locked account")
        code.messages += 1
        self._look_at_charge(code)

    def _look_at_charge(self, code: Code) -> None:
        before, self.charges = self.charges, self._charges()
        risen = {bucket for (bucket, key), used in self.charges.items()
                 if used != before.get((bucket, key))}  # fmt: skip
        wanted = {"number", "user", "prefix", "country", "site"}
        if not wanted <= {bucket.partition(".")[2] for bucket in risen}:
            self.wrong.append(f"I11: a message left before it was charged ({sorted(risen)})")
        row = Challenge.objects.filter(pk=code.reference).values_list("sends", flat=True).first()
        if row is None or row < code.messages:
            self.wrong.append("I11: a message left that its challenge does not count")

    # -- what the rows say -------------------------------------------------------------------

    @staticmethod
    def _charges() -> dict[tuple[str, str], Any]:
        rows = Budget.objects.values()
        return {(row["bucket"], row["key"]): row for row in rows}

    @staticmethod
    def _last_logins() -> dict[Any, Any]:
        from django.contrib.auth import get_user_model

        return dict(get_user_model().objects.values_list("pk", "last_login"))

    def _factors(self) -> Any:
        return list(
            ChannelDevice.objects.order_by("pk").values_list(
                "pk", "user_id", "address", "confirmed", "version"
            )
        )

    @staticmethod
    def counters() -> dict[str, Any]:
        return {
            "challenges": {
                pk: rest
                for pk, *rest in Challenge.objects.values_list("pk", "attempts", "sends", "state")
            },
            "deliveries": {
                pk: rest for pk, *rest in Delivery.objects.values_list("pk", "status", "challenge")
            },
            "lockouts": {row["user_id"]: row for row in Lockout.objects.values()},
            "budgets": {(row["bucket"], row["key"]): row for row in Budget.objects.values()},
        }

    def after(self) -> dict[str, Any]:
        """The counters as this step has left them, read once."""
        if self._after is None:
            self._after = self.counters()
        return self._after

    def live(self, code: Code | None) -> bool:
        """Whether this code may still open the login, or the stock device, that asked for it."""
        now = self.now
        if code is None or code.spent or code.phone.state in ("staff", "removed"):
            return False
        if code.key not in self.keys or now - code.born > truth.CODE_LIFE:
            return False
        if code.person.failures.lock(now) or self.asked.get(code.token, 0) >= truth.TRIES:
            return False
        login = code.login
        if login is None:
            return True
        return not login.over and login.codes[-1] is code and now - login.began <= truth.LOGIN_LIFE

    def surely(self, code: Code | None) -> bool:
        """Whether this code must open its login: live, and no newer login has its tries."""
        if code is None or code.login is None or code.login.doubtful or not self.live(code):
            return False
        if self.lost_keys or self.now - code.born > truth.CODE_LIFE - 5:
            return False
        newest = [each for each in self.codes.values() if each.person is code.person][-1]
        return newest is code

    def full(self, person: Person, phone: Phone, channel: str, address: str) -> bool:
        """Whether some limit of the documentation may be reached."""
        now = self.now

        def used(position: int, value: str, seconds: int) -> int:
            return sum(now - each[0] < seconds for each in self.charged if each[position] == value)

        number = f"{channel}:{phone.number}"
        return (
            any(used(1, number, s) >= n for s, n in truth.NUMBER.items())
            or any(used(2, person.name, s) >= n for s, n in truth.PERSON.items())
            or any(used(3, address, s) >= n for s, n in truth.CLIENT.items())
        )

    # -- what people do ----------------------------------------------------------------------

    def password(self, browser: Browser, person: Person, *, right: bool = True,
                 way: str = LOGIN, **extra: str) -> Any:  # fmt: skip
        login = Login(person, self.now) if right else None
        data = {
            "username": person.username,
            "password": PASSWORD if right else "wrong",
            **extra,
        }
        with self.act(browser, login):
            answer = self.post(browser, way, data)
        if way == LOGIN and self.step.logged_in:
            self.wrong.append("I1: user_logged_in was sent before the code")
        if right and answer.status_code >= 500:
            # Nothing was saved; what was there before may be gone with its session's key.
            if browser.login is not None:
                browser.login.doubtful = True
        elif right and way == "/by-hand/" and browser.proven is person:
            pass  # the very keys that were there: a verified session stays what it is
        elif right:
            if browser.login is not None:
                browser.login.over = "replaced"
            browser.login, browser.proven = login, None
        return answer

    def enter(self, browser: Browser, text: str) -> None:
        """Type ``text`` on the code page, and settle whether that may, or must, let anybody in."""
        login = browser.login
        code = login.codes[-1] if login is not None and login.codes else None
        same = code is not None and "".join(text.split()).replace("-", "") == code.token
        may, must = same and self.live(code), same and self.surely(code)
        before, cookie = self.compared, browser.cookie
        with self.act(browser, login) as step:
            step.typed.append(text)
            answer = self.post(browser, VERIFY, {"token": text})
        inside = self.who(browser)
        if may and login is not None and code is not None and inside == login.person.username:
            code.spent = True
            self._in(browser, login, cookie)
        elif must:
            self.wrong.append("door: a right, live code did not open")
        elif self.compared > before or not same:
            step.refused.append(answer)

    def _in(self, browser: Browser, login: Login, cookie: str) -> None:
        login.over = "verified"
        browser.login, browser.proven = None, login.person
        if browser.cookie == cookie:
            self.wrong.append("I14: the session's key is the same after the code as before")
        if self.engine != "signed_cookies" and stored(cookie):
            self.wrong.append("I14: the old session's key is still known")

    def enter_elsewhere(self, browser: Browser, text: str, device: Any, *, right: bool) -> None:
        """Type a code of another django-otp device."""
        login, cookie = browser.login, browser.cookie
        right = right and login is not None and device.user_id == login.person.user.pk
        may = right and text not in self.spent_elsewhere and self._is_parked(login)
        with self.act(browser, login) as step:
            step.typed.append(text)
            self.post(browser, VERIFY, {"token": text, "device": device.persistent_id})
        if may and login is not None and self.who(browser) == login.person.username:
            self.spent_elsewhere.add(text)
            self._in(browser, login, cookie)

    def _is_parked(self, login: Login | None) -> bool:
        if login is None or login.over:
            return False
        return self.now - login.began <= truth.LOGIN_LIFE

    def who(self, browser: Browser) -> str:
        return str(browser.client.get("/whoami/").json()["user"])

    def ask(self, browser: Browser, **data: str) -> None:
        with self.act(browser, browser.login):
            self.post(browser, SEND, data)

    def cancel(self, browser: Browser) -> None:
        with self.act(browser):
            self.post(browser, CANCEL, {})
        if browser.login is not None:
            browser.login.over = "cancelled"
            browser.login = None

    def logout(self, browser: Browser) -> None:
        with self.act(browser):
            self.post(browser, "/logout/", {})
        if browser.login is not None:
            browser.login.over = "logout"
        browser.login = browser.proven = None

    def look(self, browser: Browser, url: str, method: str, **headers: str) -> None:
        with self.act(browser) as step:
            answer = getattr(browser.client, method)(url, headers=headers)
            step.answers.append(answer)
            step.still = f"{method.upper()} {url}"

    def meddle(self, browser: Browser, phone: Phone, what: str) -> None:
        """Try to change factors with a login that has seen no code."""
        with self.act(browser, browser.login):
            if what == "add":
                self.post(browser, ADD_PHONE, {"number": "+12025550177"})
            else:
                self.post(browser, f"/account/devices/{phone.pk}/{what}/", {"token": "000000"})

    def receipt(self, sent: Sent, fields: dict[str, str], *, token: str) -> None:
        fields = {
            "AccountSid": twilio.ACCOUNT,
            **({"MessageSid": sent.sid} if sent.channel == "sms" else {"CallSid": sent.sid}),
            **fields,
        }
        callback = twilio.Callback(
            sent.callback, fields, twilio.sign(sent.callback, fields, token) if token else ""
        )
        with self.act(login=sent.code.login, person=sent.code.person) as step:
            step.browser = None
            step.spoken = "Digits" in fields
            genuine = token == twilio.AUTH_TOKEN
            if not genuine:
                step.still = "a forged receipt"
            answer = callback.to(Client(enforce_csrf_checks=True, raise_request_exception=False))
            step.answers.append(answer)
        if answer.status_code != (200 if genuine else 403):
            self.wrong.append(f"I12: a receipt was answered with {answer.status_code}")

    def stock_challenge(self, phone: Phone, person: Person) -> None:
        device = ChannelDevice.objects.filter(pk=phone.pk).first()
        if device is None:
            return
        with self.act(person=person) as step:
            step.browser = None
            with suppress(SendNotAllowed):
                device.generate_challenge()

    def stock_verify(self, browser: Browser, phone: Phone, person: Person, text: str, *,
                     fail: bool) -> None:  # fmt: skip
        mine = [c for c in self.codes.values() if c.phone is phone and c.login is None]
        code = mine[-1] if mine else None
        may = code is not None and code.token == text and self.live(code)
        failures, step = copy(person.failures), self.step
        data = {
            "username": person.username,
            "device": f"otp_channels.channeldevice/{phone.pk}",
            "token": text,
            "fail": "1" if fail else "",
        }
        before = self.compared
        with self.act(browser, None, person):
            step.typed.append(text)
            answer = self.post(browser, "/stock-verify/", data)
        if self.atomic and fail and self.compared > before:
            # Rolled back with all it had counted, and made good as a failure, whatever it was.
            person.failures = failures
            person.failures.add(self.now)
            step.verified.discard(person.user.pk)
        if answer.status_code == 200 and answer.text == "yes":
            if not may or code is None:
                self.wrong.append("I6: django-otp's API took a code that is not its own, or dead")
            else:
                code.spent = True

    # -- what staff, providers and time do ---------------------------------------------------

    def by_staff(self, action: str, phone: Phone, person: Person) -> None:
        client = Client(raise_request_exception=False)
        login_verified(client, self.staff, TOTPDevice.objects.get_or_create(user=self.staff)[0])
        data = {"action": action, "_selected_action": [str(phone.pk)], "post": "yes"}
        with self.act() as step:
            step.browser = None
            answer = client.post(ADMIN, data)
            step.by_staff = True
        if answer.status_code != 302:
            self.wrong.append(f"staff: {action} was answered with {answer.status_code}")
        if action == "unlock":
            person.failures = Failures()
            step.unlocked.add(person.user.pk)
        phone.state = {"disable": "staff", "enable": "", "delete_selected": "removed"}.get(
            action, phone.state
        )

    def wait(self, seconds: int) -> None:
        """Let time pass for every row, and for what the sessions remember."""
        let_pass(seconds)
        self.waited += seconds
        for browser in self.browsers:
            data = browser.session()
            kept = data.get("otp_channels", {})
            for name in ("parked", "free"):
                if name in kept:
                    kept[name]["at"] -= seconds
            if kept:
                session = browser.client.session
                session["otp_channels"] = kept
                session.save()
                if self.engine == "signed_cookies":
                    browser.client.cookies[settings.SESSION_COOKIE_NAME] = session.session_key
        self.before = self.counters()  # the same counts, at older times
        self.charges = self._charges()

    def rotate(self, *, keep: bool) -> None:
        """Give the site a new ``SECRET_KEY``; the old ones stay fallbacks, or nobody knows them."""
        if self.key + 1 == len(SECRETS):
            return
        self.key += 1
        self.keys = [*self.keys, self.key] if keep else [self.key]
        self.stack.enter_context(
            override_settings(
                SECRET_KEY=SECRETS[self.key],
                SECRET_KEY_FALLBACKS=[SECRETS[key] for key in reversed(self.keys[:-1])],
            )
        )
        if not keep:
            self.lost_keys = True
            for browser in self.browsers:
                if browser.login is not None:
                    browser.login.over = "key"
                browser.login = browser.proven = None

    def totp_code(self, person: Person) -> str:
        return f"{totp(person.totp.bin_key):06d}"

    def over(self) -> None:
        """Begin the next step."""
        self.before, self._after = self.after(), None
        self.last_logins = self._last_logins()
        self.charges = self._charges()
        self.factors = self._factors()
        self.step = Step()
        self.log.lines.clear()


def heard_in(sent: Sent, digits: str) -> dict[str, str]:
    """What Twilio says when the listener of a call has pressed ``digits``."""
    return {"CallStatus": "in-progress", "Digits": digits, "FinishedOnKey": "", "msg": "Gather End"}


def told(channel: str, word: str) -> dict[str, str]:
    if channel == "sms":
        return {"MessageStatus": word}
    return {"CallStatus": word, "CallbackSource": "call-progress-events", "SequenceNumber": "0"}
