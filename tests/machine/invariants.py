"""The invariants, each as far as a machine of one process can see it.

Not here: I10's first half (what is answered before a right password, ``test_a66_enumeration.py``
and ``test_a67_phone_enumeration.py``); websockets, tokens and other credentials of I1
(``journeys/test_websockets.py`` and ``test_ways_in.py``); I17 (``test_races.py``,
``test_a39_budget_race.py``, ``test_a89_limit_store.py``); of I5 what a killed worker and a lost
connection do (``test_a08_rollback.py``, ``test_a86_database.py``); of I9 caches, error reports and
the log of statements (``test_a62_code_in_logs.py`` to ``test_a65_error_reporter.py``); of I15
the notice to other addresses, which does not exist yet. I2's and I3's parallel half is in
``test_races.py``. I14's step-up does not exist yet.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta

from django.contrib.sessions.models import Session
from django.db import connection
from django.db.models import Count
from django.utils import timezone
from django_otp import DEVICE_ID_SESSION_KEY

from django_otp_channels.messages import Status
from django_otp_channels.models import Challenge
from django_otp_channels.models.budgets import WINDOWS
from tests.attacks.leaks import _CHANCE

from .world import World

USER = "_auth_user_id"
REFUSED = "This code is not right or no longer valid."
TABLES = (
    "otp_channels_challenge", "otp_channels_delivery", "otp_channels_budget",
    "otp_channels_lockout", "otp_channels_refusal", "django_admin_log", "auth_user",
)  # fmt: skip


def nothing_was_noted(world: World) -> None:
    """I2, I3, I6, I7, I8, I11, I12, I14, I18: what was seen as it happened."""
    assert not world.wrong, world.wrong


def i01_nobody_is_in_who_has_given_no_right_code(world: World) -> None:
    for browser in world.browsers:
        session = browser.session()
        inside = session.get(USER)
        proven = str(browser.proven.user.pk) if browser.proven else None
        assert inside in (None, proven), f"{browser.name} is in without a code"
        assert inside is None or DEVICE_ID_SESSION_KEY in session
        assert inside is None or "parked" not in session.get("otp_channels", {})
    acting = world.step.browser
    if acting is not None:
        seen = world.who(acting)
        assert seen in ("", acting.proven.username if acting.proven else ""), "is somebody"


def i01_no_trace_of_a_login_before_its_code(world: World) -> None:
    acting = world.step.browser
    verified = acting is not None and acting.proven is not None
    for answer in () if verified else world.step.answers:
        assert "remember" not in answer.cookies
        assert "secret of the person" not in answer.content.decode(errors="replace")
    proven = {browser.proven.user.pk for browser in world.browsers if browser.proven}
    told = set(world.step.logged_in) | proven
    changed = {pk for pk, at in world._last_logins().items() if at != world.last_logins.get(pk)}
    assert changed - {world.staff.pk} <= told


def i02_a_code_that_was_used_is_closed(world: World) -> None:
    used = [code.reference for code in world.codes.values() if code.spent]
    still = Challenge.objects.filter(pk__in=used).exclude(state="verified")
    assert not still.exists(), "a used code is not closed"


def i03_every_comparison_was_charged(world: World) -> None:
    charged = sum(attempts for attempts, *_rest in world.after()["challenges"].values())
    assert world.compared <= charged, f"{world.compared} compared, {charged} charged"
    assert all(row[1] <= 4 for row in world.after()["challenges"].values())
    assert all(row[0] <= 5 for row in world.after()["challenges"].values())


def i04_no_counter_falls(world: World) -> None:
    before, after = world.before, world.after()
    for pk, (attempts, sends, _state) in before["challenges"].items():
        row = after["challenges"].get(pk)
        assert row is not None, "a challenge is gone"
        assert row[0] >= attempts, "tries were given back"
        assert row[1] >= sends, "messages were given back"
    for user, row in before["lockouts"].items():
        now, step = after["lockouts"].get(user), world.step
        assert now is not None, "a lockout is gone"
        if user in step.unlocked:
            continue
        assert now["failures"] >= row["failures"] or user in step.verified, "failures fell"
        aged = row["day_started_at"] <= timezone.now() - timedelta(days=1)
        assert now["daily_failures"] >= row["daily_failures"] or aged, "daily failures fell"
        assert now["stopped_at"] == row["stopped_at"] or row["stopped_at"] is None


def i05_every_failure_is_on_record(world: World) -> None:
    rows = world.after()["lockouts"]
    for person in world.people:
        row = rows.get(person.user.pk, {"failures": 0, "daily_failures": 0})
        truth = person.failures
        assert row["failures"] >= truth.in_row, "a failure is not on record"
        if truth.in_day and world.now - truth.day_began < 86_400 - 60:
            assert row["daily_failures"] >= truth.in_day, "a failure of the day is not on record"
        if world.lost_keys:  # a code without a key fails without a comparison
            truth.in_row = row["failures"]
            truth.in_day = max(truth.in_day, row["daily_failures"])


def i07_one_open_challenge_per_flow_and_purpose(world: World) -> None:
    doubled = (
        Challenge.objects.filter(state="open", expires_at__gt=timezone.now())
        .exclude(flow=None)
        .values("flow", "purpose")
        .annotate(rows=Count("pk"))
        .filter(rows__gt=1)
    )
    assert not doubled.exists(), "two live codes in one flow"
    tokens = Counter(code.token for code in world.codes.values())
    assert all(times == 1 for times in tokens.values()), "two challenges have one code"


def i07_the_codes_of_an_ended_login_are_dead(world: World) -> None:
    # Not where the key or a failing view ended it: then the site was not told.
    ended = [
        code.reference
        for code in world.codes.values()
        if code.login is not None
        and code.login.over in ("cancelled", "logout", "replaced")
        and not code.login.doubtful
        and world.now - code.login.began < 600
        and not world.lost_keys
    ]
    assert not Challenge.objects.filter(pk__in=ended, state="open").exists(), "still open"


def i09_no_code_is_anywhere_in_the_clear(world: World) -> None:
    tokens = {code.token for code in world.codes.values()}
    if not tokens:
        return
    spelt = re.compile("|".join(sorted(tokens)))

    def clean(where: str, text: str) -> None:
        found = spelt.search(_CHANCE.sub("", text))
        around = found and found.string[max(0, found.start() - 60) : found.end() + 40]
        assert found is None, f"a code stands in {where}: …{around}…"

    clean("the log", "\n".join(world.log.lines))
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"SELECT * FROM {table}")  # noqa: S608
            clean(table, "\n".join(str(row) for row in cursor.fetchall()))
    if world.engine != "signed_cookies":
        for session in Session.objects.all():
            clean("a session", str(session.get_decoded()))
    for browser in world.browsers:
        clean("a cookie", str(browser.session()))
    typed = set(world.step.typed)
    for answer in () if world.step.spoken else world.step.answers:
        clean("a URL", answer.headers.get("Location", ""))
        body = answer.content.decode(errors="replace")
        for text in typed:
            body = body.replace(text, "") if text else body
        clean("a page", body)


def i10_a_wrong_code_is_answered_alike_whatever_is_wrong(world: World) -> None:
    for answer in world.step.refused:
        assert answer.status_code in (200, 302, 500)
        form = (answer.context or {}).get("form") if answer.status_code == 200 else None
        if form is None:
            continue
        errors = list(form.errors.get("token", []))
        assert errors, "a refused code without a word"
        assert len(errors) == 1
        if re.fullmatch(r"[0-9]{6}", form.data.get("token", ""), re.ASCII):
            assert errors == [REFUSED]


def i11_what_was_charged_stays_charged(world: World) -> None:
    before, after = world.before["budgets"], world.after()["budgets"]
    now = timezone.now()
    for key, row in before.items():
        assert key in after, "a budget is gone"
        for seconds, name in WINDOWS.items():
            over = row[f"{name}_since"] <= now - timedelta(seconds=seconds)
            assert over or after[key][f"{name}_used"] >= row[f"{name}_used"], "a budget fell"


def i11_every_message_has_its_delivery(world: World) -> None:
    rows = Counter(challenge for _status, challenge in world.after()["deliveries"].values())
    counted = {challenge.hex: times for challenge, times in rows.items()}
    for code in world.codes.values():
        assert counted.get(code.reference, 0) >= code.messages, "a message without a delivery"


def i12_a_delivery_only_moves_forward(world: World) -> None:
    after = world.after()["deliveries"]
    for pk, (status, _challenge) in world.before["deliveries"].items():
        now = after[pk][0]
        assert now == status or status in Status(now).may_follow, f"{status} became {now}"


def i13_what_must_change_nothing_counts_nothing(world: World) -> None:
    what = world.step.still
    if not what:
        return
    before, after = world.before, world.after()
    if what.startswith("a forged"):
        assert after == before, what
    # A page may close what is over already, but counts, charges and sends nothing.
    states = {pk: row[:2] for pk, row in before["challenges"].items()}
    assert {pk: row[:2] for pk, row in after["challenges"].items()} == states, what
    for name in ("deliveries", "lockouts", "budgets"):
        assert after[name] == before[name], f"{what} changed {name}"


def i15_factors_change_only_by_staff(world: World) -> None:
    if world.step.by_staff:
        return
    assert world._factors() == world.factors, "a factor was changed by who has given no code"


INVARIANTS: Sequence[Callable[[World], None]] = (
    nothing_was_noted,
    i01_nobody_is_in_who_has_given_no_right_code,
    i01_no_trace_of_a_login_before_its_code,
    i02_a_code_that_was_used_is_closed,
    i03_every_comparison_was_charged,
    i04_no_counter_falls,
    i05_every_failure_is_on_record,
    i07_one_open_challenge_per_flow_and_purpose,
    i07_the_codes_of_an_ended_login_are_dead,
    i09_no_code_is_anywhere_in_the_clear,
    i10_a_wrong_code_is_answered_alike_whatever_is_wrong,
    i11_what_was_charged_stays_charged,
    i11_every_message_has_its_delivery,
    i12_a_delivery_only_moves_forward,
    i13_what_must_change_nothing_counts_nothing,
    i15_factors_change_only_by_staff,
)
