"""Take phones over from elsewhere, so that whoever had a factor there keeps needing one here.

What the source has proven is proven here. What it has not is a factor that the first code at a
login proves; unless its owner has a proven factor already, beside which an unproven one would be a
second way in for whoever put it there. A number that no code can go to is kept all the same, and
its account asks for a code that nobody gets until staff help: never dropped in silence.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.core.exceptions import MultipleObjectsReturned, ObjectDoesNotExist, ValidationError
from django.db import IntegrityError, OperationalError, router, transaction
from django.db.models import F
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django_otp import device_classes

from . import phones
from .conf import conf
from .enrolment import MAX_PHONES
from .exceptions import InvalidNumber
from .models import ChannelDevice, Lockout, TakenOver
from .models.commits import committed
from .phones import Phone
from .sources import Row

_MAX_ADDRESS = ChannelDevice._meta.get_field("address").max_length

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser


class Fate(enum.StrEnum):
    """What became of a row, or would."""

    PROVEN = "proven"
    TO_PROVE = "to-prove"
    UNPROVEN = "unproven"
    PARKED = "parked"
    REPAIRED = "repaired"
    PRESENT = "present"
    REMOVED = "removed"
    LEFT_OUT = "left-out"
    NO_NUMBER = "no-number"
    FULL = "full"
    NO_USER = "no-user"
    UNREADABLE = "unreadable"
    BUSY = "busy"

    @property
    def words(self) -> Promise:
        return _WORDS[self]

    @property
    def needs_attention(self) -> bool:
        return self in _FOR_STAFF


_WORDS = {
    Fate.PROVEN: _("taken over as proven"),
    Fate.TO_PROVE: _("taken over, to be proven at the next login"),
    Fate.UNPROVEN: _("added unproven: this person has a proven factor already"),
    Fate.PARKED: _("kept as a factor that no code can go to: this person will need your help"),
    Fate.REPAIRED: _("kept by an earlier import, can be reached now"),
    Fate.PRESENT: _("there already"),
    Fate.REMOVED: _("taken over before and removed since: left alone"),
    Fate.LEFT_OUT: _("left out"),
    Fate.NO_NUMBER: _("left out: there is no number"),
    Fate.FULL: _("left out: this person has as many phones as one may have"),
    Fate.NO_USER: _("left out: there is no such user"),
    Fate.UNREADABLE: _("left out: the row cannot be read"),
    Fate.BUSY: _("not decided: the database was busy. Run this again"),
}
_FOR_STAFF = {Fate.PARKED, Fate.FULL, Fate.NO_USER, Fate.UNREADABLE, Fate.BUSY}


@dataclass(frozen=True)
class Outcome:
    """What became of ``row``, whose ``user`` was found or is None. ``why`` is a sentence or empty.

    ``name`` is what the user logs in by, or what the source calls an unknown one.
    """

    row: Row
    fate: Fate
    name: str
    user: Any = None
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Takeover:
    """How to take over: ``match`` and ``table`` are the source's (see ``sources.Source``).

    ``region`` is the country of national numbers (ISO 3166), or None. ``park`` says whether a
    factor with a number that no code can go to is kept. Without ``commit`` all is decided in the
    same way, and nothing stays.
    """

    match: str
    table: str
    region: str | None = None
    park: bool = True
    commit: bool = False

    def take(self, rows: list[Row]) -> Iterator[Outcome]:
        """Take over all rows of one user, in one short transaction, and say what became of each."""
        name = rows[0].user
        unreadable = [row for row in rows if row.problem]
        rows = [row for row in rows if not row.problem]
        yield from (Outcome(row, Fate.UNREADABLE, name, why=row.problem) for row in unreadable)
        if not rows:
            return
        user, why = self._find(name)
        if user is None:
            yield from (Outcome(row, Fate.NO_USER, name, why=why) for row in rows)
            return
        name = user.get_username()
        try:
            fates = committed(ChannelDevice, partial(self._take_all, user, rows))
        except OperationalError:
            fates = [(Fate.BUSY, "")] * len(rows)
        except IntegrityError:  # the account was deleted just now
            fates = [(Fate.NO_USER, "")] * len(rows)
        for row, (fate, why) in zip(rows, fates, strict=True):
            yield Outcome(row, fate, name, user.pk, why)

    def _find(self, name: str) -> tuple[AbstractBaseUser | None, str]:
        model: Any = get_user_model()
        users = model._default_manager.using(router.db_for_write(model))
        try:
            if not name:
                return None, ""
            if self.match == "pk":
                return users.get(pk=model._meta.pk.to_python(name)), ""
            if self.match == "email":
                return users.get(**{f"{model.get_email_field_name()}__iexact": name}), ""
            return users.get(**{model.USERNAME_FIELD: name}), ""
        except MultipleObjectsReturned:
            return None, gettext("Several users have it.")
        except (ObjectDoesNotExist, ValidationError, ValueError, OverflowError):
            return None, ""

    def _take_all(self, user: AbstractBaseUser, rows: list[Row]) -> list[tuple[Fate, str]]:
        Lockout.hold(user.pk)  # beside an enrolment or another import, one sees what the other did
        fates = [_parked(*self._take(user, row)) for row in rows]
        if not self.commit:
            transaction.set_rollback(True, using=router.db_for_write(ChannelDevice))
        return fates

    def _take(self, user: AbstractBaseUser, row: Row) -> tuple[Fate, str]:
        if not (row.number or row.factor):
            return Fate.NO_NUMBER, ""
        phone, why = self._parse(row.number)
        raw = row.number[:_MAX_ADDRESS]
        address = phone.address if phone is not None else raw
        factor = row.proven or not self._has_proven_factor(user)
        known, same = TakenOver.knows(user, address), self._find_device(user, address, raw)
        if same is not None:
            TakenOver.note(user, address)
            if same.address != address:
                return self._repair(same, phone, address, why)
            return self._raise(same, row, why, wanted=factor and not known)
        if known:
            return Fate.REMOVED, ""
        if why and not (factor and self.park):
            return Fate.LEFT_OUT, why
        return self._add(user, row, address, _channel(phone, row.channel), factor=factor), why

    def _add(
        self, user: AbstractBaseUser, row: Row, address: str, channel: str, *, factor: bool
    ) -> Fate:
        if self._is_full(user, confirmed=factor):
            return Fate.FULL
        TakenOver.note(user, address)
        device = ChannelDevice.objects.create(
            user_id=user.pk,
            kind=ChannelDevice.Kind.PHONE,
            name=row.name or gettext("Phone"),
            address=address,
            channel=channel,
            confirmed=factor,
            awaits_proof=factor and not row.proven,
        )
        return self._tell(device)

    def _repair(
        self, device: ChannelDevice, phone: Phone | None, address: str, why: str
    ) -> tuple[Fate, str]:
        """Give a device the number that an earlier import could not read, and kept as it was."""
        ChannelDevice.objects.filter(pk=device.pk).update(
            address=address, version=F("version") + 1, channel=_channel(phone, device.channel)
        )
        return Fate.REPAIRED, why

    def _raise(
        self, device: ChannelDevice, row: Row, why: str, *, wanted: bool
    ) -> tuple[Fate, str]:
        """Make a device that is there already what ``row`` says, if that is more.

        ``wanted`` says whether one that is unproven may become a factor.
        """
        if device.confirmed:
            if not (device.awaits_proof and row.proven):
                return Fate.PRESENT, ""
            device.prove()
            return Fate.PROVEN, ""
        if not wanted:
            return Fate.PRESENT, ""
        if self._is_full(device.user, confirmed=True):
            return Fate.FULL, ""
        # It may be waiting to take another one's place, which only its owner's code can give it.
        device.confirmed, device.awaits_proof, device.replaces = True, not row.proven, None
        device.save(update_fields=["confirmed", "awaits_proof", "replaces"])
        return self._tell(device), why

    def _tell(self, device: ChannelDevice) -> Fate:
        if not device.confirmed:
            return Fate.UNPROVEN
        device.record("device_added", by="command", reason="imported")
        return Fate.TO_PROVE if device.awaits_proof else Fate.PROVEN

    def _parse(self, text: str) -> tuple[Phone | None, str]:
        """Return the number that ``text`` spells, if it does, and why no code can go to it."""
        text = phones.modern(text)
        try:
            phone = phones.parse(text, region=self.region)
        except InvalidNumber as error:
            return None, str(error)
        try:
            phones.parse_reachable(phone.address, countries=conf.COUNTRIES)
        except InvalidNumber as error:
            return phone, str(error)
        return phone, ""

    def _find_device(self, user: AbstractBaseUser, address: str, raw: str) -> ChannelDevice | None:
        rows = ChannelDevice.objects.filter(user_id=user.pk, kind=ChannelDevice.Kind.PHONE)
        devices = rows.filter(address__in={address, raw}).order_by("-confirmed", "pk")
        # The number itself before what an earlier import has kept of it.
        return min(devices, key=lambda device: device.address != address, default=None)

    def _has_proven_factor(self, user: AbstractBaseUser) -> bool:
        ours = ChannelDevice.objects.filter(user_id=user.pk, confirmed=True, awaits_proof=False)
        return ours.exists() or any(
            model.objects.devices_for_user(user, confirmed=True).exists()
            for model in device_classes()
            # What the source's own device was worth, its row says.
            if not issubclass(model, ChannelDevice) and model._meta.db_table != self.table
        )

    def _is_full(self, user: AbstractBaseUser, *, confirmed: bool) -> bool:
        rows = ChannelDevice.objects.filter(user_id=user.pk, kind=ChannelDevice.Kind.PHONE)
        return rows.filter(confirmed=confirmed).count() >= MAX_PHONES


def _parked(fate: Fate, why: str) -> tuple[Fate, str]:
    """Say of a factor whether a code can go to it: not if there is a reason ``why`` not."""
    factor = fate in (Fate.PROVEN, Fate.TO_PROVE, Fate.REPAIRED)
    return (Fate.PARKED if factor and why else fate), why


def _channel(phone: Phone | None, wanted: str = "") -> str:
    """Return the preferred way of a device: ``wanted``, or what the number can take."""
    if phone is not None and not phone.takes_sms:
        return "voice"
    return wanted or "sms"
