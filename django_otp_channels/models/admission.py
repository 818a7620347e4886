"""Whether a message may go out: asked once for each, before it is reserved.

The site's own hook comes first, outside any transaction, since it may ask somebody else. Then one
short committed transaction reserves the message and charges every budget, or does neither. If the
database cannot say, nothing is sent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TypeVar

from django.db import OperationalError
from django.db.models import Count, Q
from django.db.models.functions import Now
from django.utils.module_loading import import_string

from .. import audit
from ..conf import conf
from ..exceptions import SendNotAllowed
from ..messages import Status
from .budgets import Budget, Charge, Charged, Mark, OverBudget, Send, prefix_digest
from .commits import committed, record
from .deliveries import Delivery
from .refusals import Refusal

logger = logging.getLogger("django_otp_channels.admission")

T = TypeVar("T")

# Toll fraud sends and never verifies (DEF-16). Of so many messages within an hour to one country or
# prefix, so large a part must have led to a right code; else it is closed for a day.
ENOUGH_SENDS = 20
LEAST_VERIFIED = 0.2
PAUSE = timedelta(hours=24)
# Nor must a few passwords that somebody knows close the logins of a country.
ENOUGH_PEOPLE = 10
# Who has just got a code is still reading it.
READING = timedelta(seconds=60)
# What may have arrived. An outage, at the provider or behind it, verifies nobody either.
_ARRIVED = (Status.SENT, Status.ANSWERED, Status.DELIVERED)


def admit(send: Send, reserve: Callable[[], T], *, durable: bool = True) -> T:
    """Return what ``reserve`` returns, with the message charged and both committed.

    Raises ``SendNotAllowed``, after which nothing is reserved or charged. ``durable`` as in
    :func:`~.commits.committed`.
    """
    _ask_site(send)

    def work() -> tuple[T, Charged]:
        reservation = reserve()
        return reservation, Budget.charge(send)

    try:
        _watch_conversion(send)
        reservation, charged = committed(Budget, work, durable=durable)
    except OverBudget as over:
        _refused(send, over.bucket, enforced=True)
        raise
    except OperationalError:
        _record(send, "database", enforced=True)
        raise SendNotAllowed from None
    for bucket in charged.full:
        _refused(send, bucket, enforced=False)
    for mark in charged.passed:
        _warn(mark)
    return reservation


def _ask_site(send: Send) -> None:
    """Let ``OTP_CHANNELS_BEFORE_SEND`` refuse: a captcha, a score, a look-up of the number."""
    if not conf.BEFORE_SEND:
        return
    try:
        import_string(conf.BEFORE_SEND)(send)
    except SendNotAllowed:
        _refused(send, "hook", enforced=True)
        raise
    except Exception as error:
        # Whoever is to say whether a message may go out has said nothing: then none does.
        logger.exception("OTP_CHANNELS_BEFORE_SEND has failed (%s).", type(error).__name__)
        _refused(send, "hook", enforced=True)
        raise SendNotAllowed from None


def _watch_conversion(send: Send) -> None:
    """Pause the country or the prefix of ``send`` where hardly anybody enters a code."""
    watched = {
        charge.bucket.split(".")[1]: charge
        for charge in send.charges()
        if charge.bucket.endswith((".country", ".prefix"))
    }
    if not (watched and send.purposes) or send.channel == "push":
        return
    recent = Delivery.objects.filter(
        Q(region=send.region) | Q(prefix=prefix_digest(send.number)),
        created_at__gt=Now() - timedelta(hours=1),
        challenge__purpose__in=send.purposes,
        status__in=_ARRIVED,
    )
    decided = Q(challenge__state="verified")
    if send.part == "login":
        decided |= Q(created_at__lte=Now() - READING)
        recent = recent.filter(decided)
    columns = {"country": Q(region=send.region), "prefix": Q(prefix=prefix_digest(send.number))}
    verified = Q(challenge__state="verified")
    counted = partial(Count, distinct=True)
    counts = recent.aggregate(
        **{f"{name}_sent": counted("challenge", filter=rows) for name, rows in columns.items()},
        **{
            f"{name}_good": counted("challenge", filter=rows & verified)
            for name, rows in columns.items()
        },
        **{
            f"{name}_people": counted("challenge__user", filter=rows)
            for name, rows in columns.items()
        },
    )
    for name, charge in watched.items():
        sent, good = counts[f"{name}_sent"], counts[f"{name}_good"]
        enough = sent >= ENOUGH_SENDS and (
            send.part == "enrol" or counts[f"{name}_people"] >= ENOUGH_PEOPLE
        )
        if enough and good < sent * LEAST_VERIFIED:
            _pause(send, charge)


def _warn(mark: Mark) -> None:
    record(
        Budget,
        "budget_running_out",
        bucket=mark.bucket,
        region=mark.region,
        window=mark.window,
        percent=mark.percent,
    )


def _pause(send: Send, charge: Charge) -> None:
    if Budget.pause(charge, PAUSE):
        record(Budget, "sends_paused", bucket=charge.bucket, region=send.region)


def _refused(send: Send, bucket: str, *, enforced: bool) -> None:
    Refusal.objects.note(send, bucket, enforced=enforced)
    _record(send, bucket, enforced=enforced)


def _record(send: Send, bucket: str, *, enforced: bool) -> None:
    audit.record(
        "send_refused",
        user=send.user_id,
        channel=send.channel,
        bucket=bucket,
        region=send.region,
        enforced=enforced,
        client=send.client,
    )
