"""What the attacks share, and the line at the end of a run that says which were withstood."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from django_otp_channels import codes
from django_otp_channels.models.budgets import DEFAULT_LIMITS
from tests.factories import PASSWORD
from tests.hooks import sends_are_over
from tests.journey import Journey
from tests.providers.twilio import TwilioAPI

from .catalogue import ATTACKS, CONTROLS, MISSING, PARTLY, WAITING, entry_of


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every code that was compared with the right one."""
    seen: list[str] = []
    matches = codes.matches

    def counted(expected: str, entered: str) -> bool:
        seen.append(entered)
        return matches(expected, entered)

    monkeypatch.setattr(codes, "matches", counted)
    return seen


@pytest.fixture
def endless_budgets(settings: Any) -> None:
    """No budget refuses a message, so that the guard under test has to."""
    settings.OTP_CHANNELS_LIMITS = {bucket: {86400: 100_000} for bucket in DEFAULT_LIMITS}


@pytest.fixture
def parked(journey: Journey, alex: Any, phone: Any) -> Journey:
    """The attacker has entered Alex's password, and the code is on Alex's phone."""
    journey.enter_password(alex)
    return journey


@pytest.fixture
def elsewhere(journey: Journey) -> Journey:
    """Another browser."""
    return Journey(type(journey.client)(), journey.outbox, PASSWORD)


@pytest.fixture
def twilio(settings: Any, twilio_api: TwilioAPI) -> Iterator[TwilioAPI]:
    """Send over Twilio's stand-in, which does as it is told."""
    settings.OTP_CHANNELS = {
        name: [
            {
                "BACKEND": f"django_otp_channels.backends.twilio.{backend}",
                "OPTIONS": dict(twilio_api.options),
            }
        ]
        for name, backend in (("sms", "SMS"), ("voice", "Voice"))
    }
    settings.OTP_CHANNELS_SEND_TIMEOUT = 1
    yield twilio_api
    sends_are_over()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    passed, failed = (_entries(terminalreporter, *of) for of in (["passed"], ["failed", "error"]))
    if not (passed or failed):
        return
    whole = {**ATTACKS, **CONTROLS}
    terminalreporter.section("attacks")
    held = sorted(passed - failed)
    terminalreporter.write_line(f"Withstood, {len(held)} of {len(whole)}: {', '.join(held)}")
    if MISSING:
        terminalreporter.write_line(f"Not written yet: {', '.join(sorted(MISSING))}")
    for title, entries in (
        ("Failed", {entry: whole[entry] for entry in sorted(failed)}),
        ("Waiting", WAITING),
        ("Partly", PARTLY),
    ):
        if entries:
            listed = "; ".join(f"{entry} ({text})" for entry, text in entries.items())
            terminalreporter.write_line(f"{title}: {listed}")


def _entries(terminalreporter: Any, *outcomes: str) -> set[str]:
    reports: Iterable[Any] = (
        report for outcome in outcomes for report in terminalreporter.stats.get(outcome, [])
    )
    names = {report.nodeid.rpartition("::")[2] for report in reports}
    return {entry_of(name) for name in names} - {""}
