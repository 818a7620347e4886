"""``send_test <channel> <address>``: one real message, each step told."""

from __future__ import annotations

import secrets
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from ... import channels
from ...backends.base import Backend
from ...codes import Token
from ...conf import conf
from ...delivery import BUSY, NO_THREAD, PAUSED, Attempt, carry
from ...exceptions import BackendMisconfigured, InvalidNumber
from ...messages import Message, Purpose, Status, compose, segments
from ...models import Delivery
from ...models.deliveries import new_reference
from ...phones import mask, parse_reachable
from .base import Action

SPARE = 10  # seconds over the time-out, for a provider whose answer trickles in
_DOT = "•"


class SendTest(Action):
    name = "send_test"
    help = "Send one real message to an address, and show what becomes of it. It costs money."

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        parser.add_argument("channel", help="sms, voice or push, as far as configured.")
        parser.add_argument(
            "address", help="A number (+12025550123), or for push an app's registration token."
        )
        parser.add_argument("--yes", action="store_true", help="Do not ask before it is sent.")

    @sensitive_variables()
    def run(self, **options: Any) -> None:
        name, address = options["channel"], options["address"]
        backends = _backends(name)
        address = _reachable(name, address)
        # A random code that is kept nowhere: whoever reads it can do nothing with it.
        token = Token("".join(secrets.choice("0123456789") for _ in range(conf.TOKEN_LENGTH)))
        message = _compose(name, address, token)
        self._announce(message, backends, _compose(name, address, Token(_DOT * len(token))))
        if not options["yes"]:
            _ask()
        attempts = carry(message, backends).claim(
            lambda _attempts: None, wait=conf.SEND_TIMEOUT + SPARE
        )
        for number, attempt in enumerate(attempts or (), start=1):
            self.stdout.write(f"{number}. {_told(attempt)}")
        self._conclude(attempts)

    def _announce(self, message: Message, backends: Sequence[Backend], shown: Message) -> None:
        channel = channels.CHANNELS[message.channel]
        self.stdout.write(
            _("One %(channel)s to %(address)s, through %(providers)s:")
            % {
                "channel": channel.label,
                "address": mask(message.to) if channel.kind == "phone" else _("the app"),
                "providers": _(", then ").join(backend.provider for backend in backends),
            }
        )
        for line in shown.text.splitlines():
            self.stdout.write(f"    {line}")
        if message.channel == "sms":
            self.stdout.write(
                _("Parts that the provider charges for: %(count)d.")
                % {"count": segments(message.text)}
            )

    def _conclude(self, attempts: Sequence[Attempt] | None) -> None:
        if attempts and attempts[-1].status == Status.SENT:
            self.stdout.write(self.style.SUCCESS(_("The provider has taken it.")))
        elif attempts is None or (attempts and attempts[-1].status == Status.UNKNOWN):
            raise CommandError(_("Whether it was sent is not known: look at the phone."))
        else:
            raise CommandError(_("It was not sent."))


def _backends(channel: str) -> Sequence[Backend]:
    try:
        backends = channels.backends(channel)
    except BackendMisconfigured as error:
        raise CommandError(error.detail) from error
    if not backends:
        raise CommandError(
            _("The channel %(name)s is not configured. Configured are: %(names)s.")
            % {
                "name": channel,
                "names": ", ".join(name for name, entries in conf.CHANNELS.items() if entries),
            }
        )
    return backends


def _reachable(channel: str, address: str) -> str:
    """Return the address in its canonical form, by the rules for everybody's."""
    kind = channels.CHANNELS[channel].kind
    if kind == "phone":
        try:
            address = parse_reachable(address, countries=conf.COUNTRIES).address
        except InvalidNumber as error:
            raise CommandError(str(error)) from error
    if not address or channel not in channels.reaching(kind, address):
        raise CommandError(_("This channel does not reach this address."))
    return address


@sensitive_variables()
def _compose(channel: str, address: str, token: Token) -> Message:
    return compose(
        channel,
        to=address,
        token=token,
        purpose=Purpose.TEST,
        language=channels.language_for(channel, get_language() or "en"),
        lifetime=conf.TOKEN_LIFETIME,
        reference=new_reference(),
    )


def _ask() -> None:
    try:
        answer = input(_("This may cost money. Send it? [y/N] "))
    except EOFError:
        raise CommandError(_("Nothing was sent. Say --yes where nobody can be asked.")) from None
    if answer.strip().lower() not in {"y", "yes", _("yes")}:
        raise CommandError(_("Nothing was sent."))


def _told(attempt: Attempt) -> str:
    """Return in words what came of one attempt."""
    reasons = {
        PAUSED: _("skipped, since it has failed again and again"),
        BUSY: _("skipped, since all its sends are busy"),
        NO_THREAD: _("skipped, since this process may start no more threads"),
    }
    if attempt.error_code in reasons:
        return f"{attempt.provider}: {reasons[attempt.error_code]}"
    facts = [
        Delivery(reason=attempt.reason).get_reason_display(),
        attempt.error_code and _("code %(code)s") % {"code": attempt.error_code},
        attempt.message_id and _("id %(id)s") % {"id": attempt.message_id},
    ]
    told = _("%(provider)s: %(status)s after %(seconds).1f s") % {
        "provider": attempt.provider,
        "status": Delivery.Outcome(attempt.status).label,
        "seconds": attempt.ended - attempt.started,
    }
    return ", ".join([told, *(str(fact) for fact in facts if fact)])
