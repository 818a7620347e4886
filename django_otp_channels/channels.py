"""The setting ``OTP_CHANNELS`` → the backends of each channel, and what a channel can reach."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

from . import phones
from .backends.base import Backend
from .conf import PREFIX, conf
from .exceptions import BackendMisconfigured, InvalidNumber


@dataclass(frozen=True, kw_only=True)
class Channel:
    """A way to reach a person: its name, the kind of device it needs, and its words."""

    name: str
    kind: str
    label: str | Promise
    ask: str | Promise
    ask_instead: str | Promise


CHANNELS: Mapping[str, Channel] = {
    channel.name: channel
    for channel in (
        Channel(
            name="sms",
            kind="phone",
            label=_("text message"),
            ask=_("Text me the code"),
            ask_instead=_("Text me the code instead"),
        ),
        Channel(
            name="voice",
            kind="phone",
            label=_("phone call"),
            ask=_("Call me"),
            ask_instead=_("Call me instead"),
        ),
        Channel(
            name="push",
            kind="app",
            label=_("app notification"),
            ask=_("Use the app"),
            ask_instead=_("Use the app instead"),
        ),
    )
}


class _Registry:
    """The backends of this process, built once for the setting that is in force."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.source: object = None
        self.backends: Mapping[str, tuple[Backend, ...]] = {}

    def read(self) -> Mapping[str, tuple[Backend, ...]]:
        source = conf.CHANNELS
        if self.source is not source:
            self.backends = {
                channel: tuple(build(channel, position) for position in range(len(entries)))
                for channel, entries in source.items()
            }
            self.source = source
        return self.backends


_registry = _Registry()
# A forked worker must not share its parent's sockets to a provider.
os.register_at_fork(after_in_child=_registry.forget)


def backends(channel: str) -> Sequence[Backend]:
    """Return the backends of ``channel`` in failover order; empty where it is not configured."""
    return _registry.read().get(channel, ())


def build(channel: str, position: int) -> Backend:
    """Return a new backend for one entry of the setting.

    Raises ``BackendMisconfigured`` whose ``detail`` names the entry: an unknown channel, a path
    that does not import, a channel that the backend cannot carry, an unknown or missing option.
    """
    where = f"{PREFIX}[{channel!r}][{position}]"
    entry = conf.CHANNELS[channel][position]
    path, options = entry["BACKEND"], dict(entry.get("OPTIONS", {}))
    if channel not in CHANNELS:
        known = ", ".join(sorted(CHANNELS))
        raise BackendMisconfigured(f"{where}: unknown channel. Channels are {known}.")
    try:
        backend_class = import_string(path)
    except ImportError as error:
        raise BackendMisconfigured(f"{where}: {path} cannot be imported: {error}") from error
    if not (inspect.isclass(backend_class) and issubclass(backend_class, Backend)):
        raise BackendMisconfigured(f"{where}: {path} is not a backend.")
    if not getattr(backend_class, "provider", ""):
        raise BackendMisconfigured(f"{where}: {path} names no provider.")
    if channel not in getattr(backend_class, "channels", ()):
        raise BackendMisconfigured(f"{where}: {path} does not carry {channel}.")
    if wrong := _wrong_options(backend_class, options):
        raise BackendMisconfigured(f"{where}: {path} {wrong}.")
    try:
        return backend_class(**options)
    except (TypeError, ValueError) as error:
        raise BackendMisconfigured(
            f"{where}: {path} does not take these options ({type(error).__name__})."
        ) from None


def _wrong_options(backend_class: type[Backend], options: Mapping[Any, Any]) -> str:
    """Return what is wrong with the names of the options, or an empty string."""
    signature = inspect.signature(backend_class)
    takes_any = any(option.kind is option.VAR_KEYWORD for option in signature.parameters.values())
    unknown = set() if takes_any else set(options) - set(signature.parameters)
    if unknown:
        known = f"only {', '.join(signature.parameters)}" if signature.parameters else "none at all"
        return f"has no option {', '.join(sorted(map(str, unknown)))}, {known}"
    try:
        signature.bind(**options)
    except TypeError as error:
        return f"cannot be made with these options: {error}"
    return ""


def reaching(kind: str, address: str) -> list[str]:
    """Return the configured channels that can carry a message to this address now.

    ``kind`` is ``phone`` (``address`` in E.164) or ``app`` (an FCM token or installation id).
    A number outside the allowed countries, or one that is refused everywhere, has none.
    """
    configured = _registry.read()
    names = [
        name for name, channel in CHANNELS.items() if channel.kind == kind and configured.get(name)
    ]
    if kind == "phone":
        try:
            phone = phones.parse_reachable(address, countries=conf.COUNTRIES)
        except InvalidNumber:
            return []
        if not phone.takes_sms:
            names = [name for name in names if name != "sms"]
    return names


def language_for(channel: str, language: str) -> str:
    """Return ``language``, or English where a backend of this channel cannot speak it."""
    for backend in backends(channel):
        spoken = backend.spoken_languages
        if (
            channel == "voice"
            and spoken is not None
            and language.split("-", maxsplit=1)[0] not in spoken
        ):
            return "en"
    return language
