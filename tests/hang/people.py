"""People who log in over HTTP, each page of theirs timed."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from tests.journey import LOGIN, SEND, STATUS, VERIFY
from tests.providers.loopback import Endpoint

# A page that takes longer than this is an error, whatever holds it.
PAGE_TIMEOUT = 60
TEXT_TIMEOUT = 10


class Traffic:
    """Whether any request is under way, and how many have begun."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.begun = 0
        self.under_way = 0

    @contextmanager
    def request(self) -> Iterator[None]:
        with self._lock:
            self.begun += 1
            self.under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self.under_way -= 1


traffic = Traffic()


@dataclass
class Figures:
    """Seconds by page, the processes that answered, by page, and the logins that came through."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    workers: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    logins: int = 0


@dataclass(frozen=True)
class Answer:
    status: int
    location: str
    body: bytes
    worker: int


class Browser:
    """Cookies, a form token, and a new connection for each request."""

    def __init__(self, address: tuple[str, int], figures: Figures | None = None) -> None:
        self.address = address
        self.figures = figures or Figures()
        self.cookies: SimpleCookie = SimpleCookie()

    def get(self, page: str, path: str) -> Answer:
        return self._ask(page, "GET", path, None)

    def post(self, page: str, path: str, **form: str) -> Answer:
        token = self.cookies["csrftoken"].value
        return self._ask(page, "POST", path, {**form, "csrfmiddlewaretoken": token})

    def _ask(self, page: str, method: str, path: str, form: dict[str, str] | None) -> Answer:
        cookies = "; ".join(f"{name}={each.value}" for name, each in self.cookies.items())
        headers = {"Cookie": cookies, "Connection": "close"}
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        with traffic.request():
            started = time.perf_counter()
            connection = http.client.HTTPConnection(*self.address, timeout=PAGE_TIMEOUT)
            try:
                body = None if form is None else urlencode(form)
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                content = response.read()
            finally:
                connection.close()
            seconds = time.perf_counter() - started
        for line in response.headers.get_all("Set-Cookie", []):
            self.cookies.load(line)
        answer = Answer(
            status=response.status,
            location=response.headers.get("Location", ""),
            body=content,
            worker=int(response.headers["X-Worker"]),
        )
        self.figures.seconds[page].append(seconds)
        self.figures.workers[page].add(answer.worker)
        return answer


@dataclass
class Person:
    """Somebody with a phone, and the browser in which the login is under way."""

    username: str
    password: str
    number: str
    browser: Browser = field(init=False)

    def log_in(self, address: tuple[str, int], figures: Figures, messages: Endpoint) -> None:
        """Walk through every page of a login. Who gets no text tries a code at random, in vain."""
        seen = len(messages.requests)
        self.enter_password(address, figures)
        asked = time.monotonic()
        expect(self.browser.get("code page", VERIFY), 200)
        texts = int(self.delivery() != "failed")
        for _ in range(2):
            expect(self.browser.get("public page", "/"), 200)
            time.sleep(0.3)
            self.delivery()
        time.sleep(max(0, asked + 1.1 - time.monotonic()))  # the wait before the next message
        expect(self.browser.post("send again", SEND), 302, VERIFY)
        texts += int(self.delivery() != "failed")
        if texts:
            # The last of them, so that none is left to turn up in this person's next login.
            self.enter_code(self.codes(messages, texts, after=seen)[-1])
        else:
            expect(self.browser.post("wrong code", VERIFY, token="000000"), 200)
            expect(self.browser.get("code page", VERIFY), 200)

    def enter_password(self, address: tuple[str, int], figures: Figures) -> Answer:
        self.browser = Browser(address, figures)
        expect(self.browser.get("login page", LOGIN), 200)
        form = {"username": self.username, "password": self.password}
        return expect(self.browser.post("password", LOGIN, **form), 302, VERIFY)

    def delivery(self) -> str:
        """Return what the code page tells of the message."""
        answer = expect(self.browser.get("status", STATUS), 200)
        status: str = json.loads(answer.body)["delivery"]
        if not status:
            raise AssertionError(f"No message was even tried: {answer.body!r}")
        return status

    def codes(self, messages: Endpoint, count: int = 1, *, after: int = 0) -> list[str]:
        """Return the codes of ``count`` texts that the provider was asked to send to this person.

        A provider that hangs may have sent them all the same.
        """
        deadline = time.monotonic() + TEXT_TIMEOUT
        while time.monotonic() < deadline:
            forms = [request.form for request in messages.requests[after:]]
            texts = [form["Body"] for form in forms if form["To"] == self.number]
            if len(texts) >= count:
                return [text[:6] for text in texts]
            time.sleep(0.01)
        raise TimeoutError("The provider was not asked to send a text.")

    def enter_code(self, code: str) -> None:
        expect(self.browser.post("code", VERIFY, token=code), 302, "/private/")
        expect(self.browser.get("private page", "/private/"), 200)
        self.browser.figures.logins += 1


def expect(answer: Answer, status: int, location: str = "") -> Answer:
    """Return the answer if it is the one that a login goes on with."""
    if (answer.status, answer.location) != (status, location):
        raise AssertionError(f"{answer.status} {answer.location} {answer.body[:500]!r}")
    return answer
