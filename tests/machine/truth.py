"""What is true of people, logins and codes, kept beside the site and not read from it.

All times are in seconds of the machine's own clock. Limits are those of the documentation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

TRIES = 5
CODE_LIFE = 300
LOGIN_LIFE = 600
DAY = 86_400
LOCKS = {10: 900, 20: 1800, 30: 3600, 40: 3600}
HARD_STOP = 50
DAILY = 20
# Messages by seconds: to one number over one channel, to one person, from one address.
NUMBER = {600: 3, 3600: 5, DAY: 10}
PERSON = {3600: 6, DAY: 15}
CLIENT = {3600: 20}


@dataclass
class Failures:
    """The wrong codes of one account, in a row and within a day."""

    in_row: int = 0
    in_day: int = 0
    day_began: float = 0
    locked_until: float = 0
    stopped: bool = False

    def add(self, now: float) -> None:
        if not self.in_day or now - self.day_began >= DAY:
            self.in_day, self.day_began = 0, now
        self.in_day += 1
        self.in_row += 1
        if self.in_day >= DAILY:
            self.locked_until = self.day_began + DAY
        elif self.in_row in LOCKS:
            self.locked_until = now + LOCKS[self.in_row]
        self.stopped = self.stopped or self.in_row == HARD_STOP

    def lock(self, now: float) -> bool:
        return self.stopped or self.locked_until > now


@dataclass(eq=False)
class Phone:
    number: str
    pk: int
    state: str = ""  # or "unregistered", "staff", "removed"


@dataclass(eq=False)
class Person:
    name: str
    user: Any
    phones: list[Phone]
    totp: Any
    static: Any
    failures: Failures = field(default_factory=Failures)

    @property
    def username(self) -> str:
        return str(self.user.get_username())


@dataclass(eq=False)
class Login:
    """A login whose password was right. ``over`` says how it ended, empty while it runs.

    ``doubtful``: a view failed over it, and whether it is still there is the site's choice.
    """

    person: Person
    began: float
    codes: list[Code] = field(default_factory=list)
    over: str = ""
    doubtful: bool = False


@dataclass(eq=False)
class Code:
    """What a challenge's messages carry. ``login`` is None where django-otp's own API asked."""

    token: str
    reference: str
    phone: Phone
    person: Person
    login: Login | None
    born: float
    key: int
    messages: int = 0
    compared: int = 0
    spent: bool = False


@dataclass(frozen=True)
class Sent:
    """A message as its carrier got it."""

    code: Code
    channel: str
    callback: str
    key: str
    sid: str
