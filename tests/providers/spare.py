"""A second provider, which always takes the message: what a channel falls over to.

Like a real one it is no inline backend, so it is asked from a sending thread.
"""

from __future__ import annotations

from typing import ClassVar

from django_otp_channels.backends import memory


class SMS(memory.SMS):
    provider: ClassVar[str] = "spare"
    inline: ClassVar[bool] = False


class Voice(memory.Voice):
    provider: ClassVar[str] = "spare"
    inline: ClassVar[bool] = False


class Push(memory.Push):
    provider: ClassVar[str] = "spare"
    inline: ClassVar[bool] = False
