"""``doctor``: is every provider well?"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from django.core import checks
from django.core.management.base import CommandError
from django.utils.formats import date_format
from django.utils.timesince import timesince
from django.utils.timezone import is_aware, localtime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ...health import BackendHealth, ChannelHealth, Event, Health, examine
from .base import Action


class Doctor(Action):
    name = "doctor"
    help = (
        "Show how the providers are, without sending anything. "
        "Exits with 1 if something is broken, or no channel can be used."
    )
    needs_sound_settings: ClassVar[bool] = False  # what is wrong with them is what it tells

    def run(self, **_options: Any) -> None:
        health = examine()
        for problem in health.problems:
            self.stdout.write(self.style.ERROR(problem))
        if not health.problems:
            self._tell_site(health)
        for channel in health.channels:
            self._tell_channel(channel)
        if health.problems or any(
            backend.broken for channel in health.channels for backend in channel.backends
        ):
            raise CommandError(_("Something is broken: see above."))
        if not health.usable:
            raise CommandError(_("No channel can be used: nobody gets a code."))
        self.stdout.write("")
        if health.silent:
            words = _("Codes can be sent, but not by: %(channels)s.")
            silent = ", ".join(health.silent)
            self.stdout.write(self.style.WARNING(words % {"channels": silent}))
        else:
            self.stdout.write(self.style.SUCCESS(_("Codes can be sent.")))

    def _tell_site(self, health: Health) -> None:
        self._fact(_("Base URL"), health.base_url or _("none, so no receipts come in"))
        self._fact(_("Countries"), ", ".join(health.countries) or _("none"))
        self._fact(
            _("Failing providers are known"),
            _("to all processes that share the cache")
            if health.shared_cache
            else _("to each process by itself: the cache is not shared"),
        )
        self._fact(_("Clients are told apart by"), health.client)
        for limit in health.limits:
            self._fact(_("Limit"), self.style.WARNING(limit))
        if health.lock_wait is not None:
            self._fact(_("A locked row is waited for"), _wait(health.lock_wait))

    def _tell_channel(self, channel: ChannelHealth) -> None:
        self.stdout.write("")
        self.stdout.write(self.style.MIGRATE_HEADING(f"{channel.label} ({channel.name})"))
        if channel.blocked:
            self.stdout.write(f"  {self.style.ERROR(channel.blocked)}")
        for number, backend in enumerate(channel.backends, start=1):
            self._tell_backend(number, backend)

    def _tell_backend(self, number: int, backend: BackendHealth) -> None:
        paint = self.style.SUCCESS if backend.ready else self.style.ERROR
        self.stdout.write(f"  {number}. {backend.provider}: {paint(backend.state)}")
        for problem in backend.problems:
            self._tell_problem(problem)
        self._fact(_("Circuit breaker"), backend.breaker, indent=5)
        self._fact(_("Last success"), _when(backend.last_success), indent=5)
        self._fact(_("Last error"), _when(backend.last_failure), indent=5)
        self._fact(_("Last 24 hours"), backend.day.words or _("nothing"), indent=5)
        self._fact(_("Receipts"), _("yes") if backend.receipts else _("no"), indent=5)

    def _tell_problem(self, problem: checks.CheckMessage) -> None:
        paint = self.style.ERROR if problem.is_serious() else self.style.WARNING
        self.stdout.write(f"     {paint(problem.msg)} ({problem.id})")
        if problem.hint:
            self.stdout.write(f"       {problem.hint}")

    def _fact(self, name: str, value: str, *, indent: int = 0) -> None:
        self.stdout.write(f"{' ' * indent}{name}: {value}")


def _wait(seconds: float) -> str:
    if seconds == math.inf:
        return _("without end: set a lock time-out in the database's options")
    words = ngettext("%(count)d second", "%(count)d seconds", round(seconds))
    return words % {"count": round(seconds)}


def _when(event: Event | None) -> str:
    if event is None:
        return _("none within 7 days")
    at = localtime(event.at) if is_aware(event.at) else event.at
    facts = [event.status, event.why, event.code and _("code %(code)s") % {"code": event.code}]
    return _("%(moment)s, %(time)s ago: %(facts)s") % {
        "moment": date_format(at, "DATETIME_FORMAT"),
        "time": timesince(event.at),
        "facts": ", ".join(fact for fact in facts if fact),
    }
