"""Take each guard away in turn: ``python -m tests.attacks.unguarded``.

A test that no missing guard makes fail guards nothing. So for each guard that an attack names by
``@pytest.mark.guard(…)``, its tests run in a process in which a stand-in has taken the guard's
place, and each of them has to fail: by its own assertion, not by an error of the stand-in. Of a
test with parameters, one case has to. A race is lost now and then even without its guard: its
tests may try three times. Arguments are guards to take away; without any, all are.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import sys
import time
import traceback
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

HERE = Path(__file__).resolve().parent
PACKAGE = "django_otp_channels"
TURNS = 3
# A mapping that lacks what the guard would have put there is the test's own finding too.
FINDINGS = (AssertionError, KeyError, pytest.fail.Exception)


# -- what takes a guard's place --------------------------------------------------------------


def _all_fields(device: Any) -> set[str]:
    fields = device._meta.concrete_fields
    return {each.name for each in fields if not (each.generated or each.primary_key)}


def _what_the_client_writes(request: Any) -> str:
    return str(request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")[0]) or "8.8.8.8"


def _each_address_apart(request: Any) -> str:
    import ipaddress

    from django_otp_channels import clients

    try:
        return str(ipaddress.ip_address(clients._address(request).strip()))
    except ValueError:
        return ""


def _one_code_for_all(_challenge: Any) -> Any:
    from django_otp_channels.codes import Token

    return Token("424242")


def _everybodys_devices(manager: Any, _user_id: Any) -> list[Any]:
    from django_otp_channels.models import devices

    return sorted(devices._for_login().all(), key=lambda device: device.pk)


def _open_ones() -> Any:
    from django.db.models import F

    from django_otp_channels.models import Challenge

    return Challenge.objects.filter(state="open", attempts__lt=F("granted"))


def _log_in_at_once(view: Any, form: Any) -> Any:
    from django.contrib.auth.views import LoginView

    return LoginView.form_valid(view, form)


def _let_the_parked_in(view: Any, request: Any) -> None:
    from django_otp_channels import login

    parked = login.parked_in(request.session)
    view.user = login.parked_user(parked) if parked else request.user


def _save_the_row(device: Any, **kwargs: Any) -> None:
    from django.db.models import Model

    Model.save(device, **kwargs)


def _anybodys(_view: Any, pk: int) -> Any:
    from django.http import Http404

    from django_otp_channels.models import ChannelDevice

    device = ChannelDevice.objects.filter(pk=pk).first()
    if device is None:
        raise Http404
    return device


def _anybodys_by_text(_user: Any, pk: str) -> Any:
    from django_otp_channels.models import ChannelDevice

    return ChannelDevice.objects.filter(pk=pk).first() if pk.isdigit() else None


def _verify_unproven(device: Any, token: str) -> bool:
    challenge = device._stock_challenge()
    return challenge is not None and challenge.verify(token)


def _can_be_reached(user: Any, request: Any) -> bool:
    from django_otp_channels import login

    return any(device.channels for device in login.own_devices(user, request))


def _any_country(text: str, *, countries: Any, region: Any = None) -> Any:
    from django_otp_channels import phones

    return phones.parse(text, region=region)


def _any_spelling(digits: str) -> Any:
    import phonenumbers
    from phonenumbers import PhoneNumberType

    from django_otp_channels.phones import Phone

    region = phonenumbers.region_code_for_number(phonenumbers.parse(digits))
    return Phone(digits, region or "GB", PhoneNumberType.MOBILE)


def _what_the_library_makes_of_it(text: str, *, region: Any = None) -> Any:
    import phonenumbers
    from phonenumbers import PhoneNumberFormat, PhoneNumberType

    from django_otp_channels.exceptions import InvalidNumber
    from django_otp_channels.phones import Phone

    try:
        number = phonenumbers.parse(text, region or "US")
    except phonenumbers.NumberParseException:
        raise InvalidNumber from None
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    return Phone(e164, "US", PhoneNumberType.MOBILE)


def _whole_site_name() -> str:
    from django_otp_channels.messages import site_name

    return site_name()


def _any_digits(form: Any) -> str:
    return "".join(str(unicodedata.digit(char, "")) for char in form.cleaned_data["token"])


def _only_what_is_well_formed(request: Any, form: Any) -> str | None:
    return form.cleaned_data["token"] if form.is_valid() else None


def _empty_keys_too() -> Iterator[bytes]:
    import hmac

    from django.conf import settings
    from django.utils.encoding import force_bytes

    from django_otp_channels.codes import _KEY_PURPOSE

    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        yield hmac.digest(force_bytes(secret), _KEY_PURPOSE, "sha256")


def _certainly_not_sent(_error: Exception, *, sent: bool) -> Exception:
    from django_otp_channels.exceptions import DeliveryUnavailable

    return DeliveryUnavailable()


def _by_the_newest_key(salt: str, value: str) -> str:
    from django.utils.crypto import salted_hmac

    return salted_hmac(salt, value, algorithm="sha256").hexdigest()


def _yes(*_args: Any, **_kwargs: Any) -> bool:
    return True


def _no(*_args: Any, **_kwargs: Any) -> bool:
    return False


def _nothing(*_args: Any, **_kwargs: Any) -> None:
    return None


def _unchanged(value: Any) -> Any:
    return value


STAND_INS: Mapping[str, Callable[..., Any]] = {
    "backends.twilio._Twilio._verify": _nothing,
    "backends.twilio._locale": lambda language: language,
    "backends.twilio._outcome": _certainly_not_sent,
    "clients._address": _what_the_client_writes,
    "clients._is_inside": _no,
    "clients.client_of": _each_address_apart,
    "clients.hops_problem": lambda _request: "",
    "codes._keys": _empty_keys_too,
    "codes.Token.__repr__": lambda token: f"Token({str(token)!r})",
    "codes.key_to_press": lambda _key_id, _reference: "4",
    "enrolment.unproven_device": _anybodys_by_text,
    "forms.TokenForm.clean_token": _any_digits,
    "headers.private": _unchanged,
    "lookup._why_not": lambda _found, *, line: "",
    "login.has_factor": _can_be_reached,
    "login.needs_code": _no,
    "login.owes_code": _no,
    "login._still_trusted": lambda *_args: True,
    "login.safe_next": lambda _request, url: url or "",
    "messages.plain_site_name": _whole_site_name,
    "middleware.LoginStepMiddleware.process_view": _nothing,
    "models.admission._ask_site": _nothing,
    "models.admission._watch_conversion": _nothing,
    "models.budgets.Budget._charge": lambda _cls, _charge: (),
    "models.budgets.Charge.passed": lambda _charge, _used: [],
    "models.budgets.keyed_digest": _by_the_newest_key,
    "models.budgets.part_of": lambda _purpose: "login",
    "models.challenges.last_proof": lambda _device: timezone.now(),
    "models.challenges.Challenge._token": _one_code_for_all,
    "models.challenges.Challenge.cancel": _nothing,
    "models.challenges.Challenge.send_at_once": _nothing,
    "models.challenges.Challenge.key_to_press": lambda _challenge, _reference: "",
    "models.challenges._chargeable": _open_ones,
    "models.devices.ChannelDevice._changed": _all_fields,
    "models.devices.ChannelDevice.save": _save_the_row,
    "models.devices.ChannelDevice.verify_token": _verify_unproven,
    "models.devices.ChannelDeviceManager.for_login": _everybodys_devices,
    "models.ledger.settle": _nothing,
    "models.lockouts.Lockout.record_failure": _nothing,
    "models.recovery.RecoveryDevice.verify_is_allowed": lambda _device: (True, None),
    "phones._canonical": _any_spelling,
    "phones.last_digits": _unchanged,
    "phones.parse": _what_the_library_makes_of_it,
    "phones.parse_reachable": _any_country,
    "phones.split_extension": lambda address: (address, ""),
    "trust._bindings": lambda _user, _factors: ["x"],
    "trust._successor_of": lambda _row, _secret, _binding: "",
    "trust.may_trust": lambda _user, _request: True,
    "views.owner.OwnerView.own_device": _anybodys,
    "views.owner.OwnerView.turn_away": _let_the_parked_in,
    "views.verify.LoginView.form_valid": _log_in_at_once,
    "views.verify.entered_token": _only_what_is_well_formed,
}


def take_away(guard: str) -> None:
    """Put a stand-in in the place of ``guard``, wherever it is known by its name.

    A guard that is not in :data:`STAND_INS` says yes from now on.
    """
    stand_in = STAND_INS.get(guard.removeprefix(f"{PACKAGE}."), _yes)
    path, _, name = guard.rpartition(".")
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError:
        path, _, cls = path.rpartition(".")
        owner = getattr(importlib.import_module(path), cls)
        kind = type(inspect.getattr_static(owner, name))
        as_it_was: Any = kind if kind in (classmethod, staticmethod, property) else _unchanged
        setattr(owner, name, as_it_was(stand_in))
        return
    guarded = getattr(module, name)
    for known in list(sys.modules.values()):
        if known.__name__.startswith(PACKAGE) and getattr(known, name, None) is guarded:
            setattr(known, name, stand_in)


# -- the run ---------------------------------------------------------------------------------


class Unguarded:
    """A plugin of pytest: instead of the tests, run those of each guard in a process without it.

    The processes are forked once everything is imported and collected, ``jobs`` at a time, since
    that takes longer than most of the tests. Each place among them has a database of its own.
    """

    def __init__(self, wanted: Sequence[str], jobs: int) -> None:
        self.wanted = wanted
        self.jobs = jobs
        self.missed: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Failed("The tests cannot be collected.")
        tests: dict[str, list[pytest.Item]] = {}
        for item in session.items:
            for guard in {arg for mark in item.iter_markers("guard") for arg in mark.args}:
                tests.setdefault(guard, []).append(item)
        free, running = list(range(self.jobs)), {}
        waiting = [(guard, 1) for guard in self.wanted or sorted(tests)]
        while waiting or running:
            while waiting and free:
                (guard, turn), place = waiting.pop(0), free.pop()
                work = partial(_without, guard, tests.get(guard, []), session, place)
                running[_fork(work)] = (guard, turn, place, time.monotonic())
            pid, status = os.wait()
            guard, turn, place, begun = running.pop(pid)
            free.append(place)
            word = "fails" if status == 0 else "HOLDS"
            seconds = time.monotonic() - begun
            print(f"{word} {guard} ({seconds:.1f} s)", flush=True)  # noqa: T201
            if status and turn < TURNS:
                waiting.append((guard, turn + 1))
            elif status:
                self.missed.append(guard)
        return True


def _fork(work: Callable[[], bool]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        status = 0 if work() else 1
    except BaseException:  # noqa: BLE001 (nothing may get back into the parent's loop)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def _without(guard: str, items: Sequence[pytest.Item], session: pytest.Session, place: int) -> bool:
    """Run ``items`` without ``guard``; say whether each test among them has found that out.

    A test with parameters has, once one of its cases has; the others are left out.
    """
    plugins = session.config.pluginmanager
    plugins.unregister(name="terminalreporter")
    plugins.unregister(name="logging-plugin")
    tests = connections["default"].settings_dict["TEST"]
    tests["NAME"] = _beside(tests["NAME"] or connections["default"].settings_dict["NAME"], place)
    take_away(guard)
    outcomes = _Outcomes()
    plugins.register(outcomes)
    for item in items:
        if not outcomes.found.get(_function(item)):
            # The session stays, and its database with it; all else ends with each test.
            item.ihook.pytest_runtest_protocol(item=item, nextitem=session)
    session._setupstate.teardown_exact(None)
    for test in (test for test, found in outcomes.found.items() if not found):
        print(f"withstood all the same: {test}")  # noqa: T201
    return bool(outcomes.found) and all(outcomes.found.values())


def _beside(name: str, place: int) -> str:
    path = Path(name)
    return str(path.with_name(f"{path.stem}_{place}{path.suffix}"))


def _function(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]


class _Outcomes:
    """Which tests have found out that a guard is missing: by an assertion of their own."""

    def __init__(self) -> None:
        self.found: dict[str, bool] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
        report = yield
        error = call.excinfo
        found = call.when == "call" and error is not None and error.errisinstance(FINDINGS)
        test = _function(item)
        self.found[test] = self.found.get(test, False) or found
        if error is not None and not found and not error.errisinstance(pytest.skip.Exception):
            print(f"ended in an error: {item.nodeid}: {error.exconly()}")  # noqa: T201
        return report


def guards() -> set[str]:
    """Return every guard that a test under ``tests/attacks`` names."""
    return {
        argument.value
        for path in HERE.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.guard"
        for argument in node.args
        if isinstance(argument, ast.Constant)
    }


def main(wanted: list[str]) -> int:
    # The machine is not to look for the shortest way to its finding.
    os.environ["OTP_CHANNELS_MACHINE"] = "first"
    run = Unguarded(wanted, jobs=2)
    ended = pytest.main(
        [
            "-q", "--capture=no", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-summary",
            "--reuse-db", "-m", "guard and not browser", str(HERE),
        ],
        plugins=[run],
    )  # fmt: skip
    print(f"{len(run.missed)} guards are not missed: {', '.join(run.missed) or 'none'}")  # noqa: T201
    return int(
        bool(run.missed) or ended not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
