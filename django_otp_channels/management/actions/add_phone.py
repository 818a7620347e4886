"""``add_phone <user> <number>``."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from ... import notices
from ...conf import conf
from ...exceptions import InvalidNumber
from ...models import ChannelDevice
from ...phones import mask, parse_reachable
from .base import UserAction


class AddPhone(UserAction):
    name = "add_phone"
    help = (
        "Give a user a phone. It is unproven until its owner enters a code; "
        "--confirmed vouches for it."
    )

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("number", help="International form, for example +12025550123.")
        parser.add_argument(
            "--confirmed",
            action="store_true",
            help="You have made sure that this phone is the user's: it counts as proven.",
        )

    def run(self, **options: Any) -> None:
        user, confirmed = self.find_user(options["user"]), options["confirmed"]
        try:
            phone = parse_reachable(options["number"], countries=conf.COUNTRIES)
        except InvalidNumber as error:
            raise CommandError(str(error)) from error
        # The same number may stand twice (the admin does not mind): the proven one is meant.
        device = (
            ChannelDevice.objects.filter(
                user=user, kind=ChannelDevice.Kind.PHONE, address=phone.address
            )
            .order_by("-confirmed", "pk")
            .first()
        )
        verb, vouched = _("Already there:"), False
        if device is None:
            verb = _("Added")
            device = ChannelDevice.objects.create(
                user=user,
                kind=ChannelDevice.Kind.PHONE,
                address=phone.address,
                name=_("Phone"),
                channel="sms" if phone.takes_sms else "voice",
                confirmed=confirmed,
            )
            vouched = confirmed
        elif confirmed and not device.confirmed:
            device.confirm()
            vouched = True
        if vouched:
            device.record("device_added", by="command", reason="vouched")
            notices.tell(None, user, "device_added", device=device, by="command")
        state = _("confirmed") if device.confirmed else _("unproven until a code is entered")
        self.stdout.write(f"{verb} {mask(phone.e164)} ({state})")
