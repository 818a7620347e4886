"""What the login step costs in CPU time: ``python -m tests.bench``.

The same login side by side, without and with a second factor (a text message through the memory
backend), on SQLite with database sessions, in a site with nothing else installed. Prints the median
CPU milliseconds of this process and their ratio. Figures of one machine at one moment: only the
statement counts stand in a test.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

import django

LOGINS = 60


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.bench_settings")
    # In memory, so that the figures are Python's and not the disk's.
    os.environ.setdefault("DATABASE_URL", "sqlite://:memory:")
    django.setup()

    from django.conf import settings
    from django.contrib.auth.signals import user_logged_in
    from django.core import mail
    from django.test.utils import override_settings, setup_databases, teardown_databases

    from django_otp_channels.backends import memory
    from django_otp_channels.login import park_on_login

    from .factories import PASSWORD, PhoneFactory, UserFactory
    from .journey import VERIFY

    # Django's whole test environment would copy the context of every template; this much of it lets
    # the memory backend send.
    mail.outbox = []
    # A password hasher as in production takes hundreds of milliseconds and would hide the step.
    databases = setup_databases(verbosity=0, interactive=False)

    def login(*, second_factor: bool) -> None:
        client = django.test.Client()
        client.get("/login/")
        client.post("/login/", {"username": user.username, "password": PASSWORD})
        if second_factor:
            client.get(VERIFY)
            client.post(VERIFY, {"token": str(memory.outbox[-1].token)})
        assert client.get("/private/").status_code == 200

    def median(act: Callable[[], None]) -> float:
        for _ in range(5):
            act()
        times = []
        for _ in range(LOGINS):
            started = time.process_time()
            act()
            times.append(time.process_time() - started)
        return statistics.median(times) * 1000

    try:
        user = UserFactory()
        plain = [path for path in settings.MIDDLEWARE if "django_otp" not in path]
        with override_settings(MIDDLEWARE=plain):
            user_logged_in.disconnect(dispatch_uid="otp_channels.park_on_login")
            bare = median(lambda: login(second_factor=False))
            user_logged_in.connect(park_on_login, dispatch_uid="otp_channels.park_on_login")
        without = median(lambda: login(second_factor=False))
        PhoneFactory(user=user)
        with_code = median(lambda: login(second_factor=True))
    finally:
        teardown_databases(databases, verbosity=0)

    for name, milliseconds in (
        ("the package not installed", bare),
        ("installed, a person without a device", without),
        ("a code by SMS", with_code),
    ):
        print(f"{name:38}{milliseconds:6.1f} ms{milliseconds / bare:8.2f}")  # noqa: T201
    print(f"{'a code, to a person without a device':38}{with_code / without:17.2f}")  # noqa: T201


if __name__ == "__main__":
    main()
