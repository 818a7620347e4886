"""One browser's way through the login pages, over HTTP, in the words of a person."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.test import Client

from django_otp_channels.messages import Message

VERIFY = "/account/verify/"
SEND = "/account/send/"
STATUS = "/account/status/"
CANCEL = "/account/cancel/"
LOGIN = "/account/login/"
DEVICES = "/account/"
REAUTH = "/account/reauth/"
ADD_PHONE = "/account/devices/add/phone/"


class Journey:
    def __init__(self, client: Client, outbox: list[Message], password: str) -> None:
        self.client = client
        self.outbox = outbox
        self.password = password

    def enter_password(self, user: Any, url: str = LOGIN, **extra: Any) -> HttpResponse:
        data = {"username": user.get_username(), "password": self.password, **extra}
        return self.client.post(url, data)

    def enter_code(self, code: str | None = None, **extra: Any) -> HttpResponse:
        """Type ``code``, by default the one in the latest message."""
        return self.client.post(VERIFY, {"token": self.code if code is None else code, **extra})

    def log_in(self, user: Any, url: str = LOGIN, **extra: Any) -> HttpResponse:
        self.enter_password(user, url, **extra)
        return self.enter_code()

    def let_proof_age(self, seconds: int = 301) -> None:
        """Let time pass since the password and the code were given here."""
        session = self.client.session
        given = session["otp_channels"]["given"]
        for name in given.keys() - {"user"}:
            given[name] -= seconds
        session.save()

    def confirm_password(self, password: str | None = None) -> HttpResponse:
        """Enter the password again, where a page has asked for it."""
        return self.client.post(REAUTH, {"password": password or self.password})

    def ask(self, **data: Any) -> HttpResponse:
        return self.client.post(SEND, data)

    @property
    def code(self) -> str:
        """The code in the latest message with one."""
        return next(str(message.token) for message in reversed(self.outbox) if message.token)

    @property
    def wrong_code(self) -> str:
        return f"{(int(self.code) + 1) % 10 ** len(self.code):0{len(self.code)}d}"

    def whoami(self, url: str = "/whoami/") -> dict[str, Any]:
        return self.client.get(url).json()

    @property
    def is_in(self) -> bool:
        return self.client.get("/private/").status_code == 200

    @property
    def is_nobody(self) -> bool:
        seen = self.whoami()
        return seen == {"user": "", "key": None, "verified": False} and not self.is_in
