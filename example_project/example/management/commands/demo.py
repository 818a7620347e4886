"""Prepare the example site and serve it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.management.commands.runserver import Command as RunServer
from django.core.management import call_command
from django.core.management.base import CommandParser
from django_otp.plugins.otp_static.models import StaticDevice

from django_otp_channels.models import ChannelDevice, Lockout

from ...models import Trouble

PASSWORD = "demo"
RECOVERY_CODES = ("maple-1", "maple-2", "maple-3")

READY = """
The demo is ready:  {url}

  1. Open {url}phone/ in a second window: it is the phone of everybody here.
  2. Sign in at {url} as "alex" with the password "demo".
  3. Type the code that arrives on the phone. Or wait a moment and let yourself be called.

  "sam" (password "demo") may enter the admin, {url}admin/.
  "kim" (password "demo") has no phone yet and is asked to add one, say +1 202 555 0125.

Stop it with Control-C.
"""


class Command(RunServer):
    """Migrate, create the people of the demo, and serve at one go, without a reloader."""

    help = "Prepare the example site and serve it on http://127.0.0.1:8000/"
    requires_system_checks: Any = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="0 picks a free one.")

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0)
        create_people()
        super().handle(
            **{
                **options,
                "addrport": f"127.0.0.1:{options['port']}",
                "skip_checks": True,
                "use_ipv6": False,
                "use_reloader": False,
                "use_static_handler": True,
                "insecure_serving": False,
                "use_threading": True,
            }
        )

    def on_bind(self, server_port: int) -> None:
        """The server listens: whoever opens the page now is answered."""
        settings.DEMO_SERVER = f"http://{self.addr}:{server_port}"
        self.stdout.write(READY.format(url=f"http://{self.addr}:{server_port}/"))
        self.stdout.flush()


def create_people() -> None:
    """Create who is missing, and undo what an earlier visitor left: locks and troubles."""
    alex = person("alex")
    own_phone(alex, "+12025550123")
    ChannelDevice.objects.get_or_create(
        kind=ChannelDevice.Kind.APP,
        address="app-of-alex",
        defaults={
            "user": alex,
            "name": "Example Bank app",
            "channel": "push",
            "confirmed": True,
        },
    )
    recovery, _ = StaticDevice.objects.get_or_create(user=alex, name="Printed codes")
    recovery.throttle_reset()
    recovery.token_set.all().delete()
    for code in RECOVERY_CODES:
        recovery.token_set.create(token=code)

    own_phone(person("sam", is_staff=True, is_superuser=True), "+12025550124")
    person("kim")

    Lockout.objects.all().delete()
    Trouble.objects.all().delete()


def person(username: str, **more: Any) -> Any:
    user, _ = get_user_model().objects.get_or_create(
        username=username, defaults={"email": f"{username}@example.com", **more}
    )
    if not user.check_password(PASSWORD):
        user.set_password(PASSWORD)
        user.save()
    return user


def own_phone(user: Any, number: str) -> None:
    ChannelDevice.objects.get_or_create(
        user=user,
        address=number,
        defaults={
            "kind": ChannelDevice.Kind.PHONE,
            "name": "Phone",
            "channel": "sms",
            "confirmed": True,
        },
    )
