"""A08: make the site fail after each guess, so that its counting is rolled back."""

from __future__ import annotations

import socket
import struct
import threading
from urllib.parse import urlencode, urlsplit

import pytest
from django.db import connection, connections

from django_otp_channels.models import Challenge, Lockout
from django_otp_channels.signals import security_event
from tests.databases import locked, options
from tests.journey import VERIFY

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def broken_page(settings, tmp_path):
    """The code page fails as it is shown, inside the view and its transaction."""
    page = tmp_path / "otp_channels" / "verify.html"
    page.parent.mkdir()
    page.write_text("{% include 'nowhere.html' %}")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [str(tmp_path)]}]


@pytest.mark.parametrize("atomic", [False, True])
def test_a08_a_page_that_fails_refunds_no_try(parked, monkeypatch, compared, broken_page, atomic):
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", atomic)
    parked.client.raise_request_exception = False

    answers = [parked.enter_code(parked.wrong_code).status_code for _ in range(9)]

    assert answers == [500] * 9
    assert len(compared) == 5
    assert Challenge.objects.get().attempts == 5
    assert Lockout.objects.get().failures == 5
    parked.enter_code()
    assert parked.is_nobody


def test_a08_whoever_hangs_up_at_once_has_spent_the_try(parked, live_server):
    """The connection is reset as soon as the guess is on its way."""
    judged = threading.Event()

    def hear(event, **_kwargs):
        if event == "code_failed":
            judged.set()

    security_event.connect(hear)
    try:
        parked.client.get(VERIFY)
        guess = parked.wrong_code
        _post_and_reset(live_server.url, parked.client.cookies, guess)
        assert judged.wait(20)
    finally:
        security_event.disconnect(hear)

    assert Challenge.objects.get().attempts == 1
    assert Lockout.objects.get().failures == 1


def _post_and_reset(url, cookies, token):
    """Post ``token`` to the code page, and reset the connection without waiting for an answer."""
    site = urlsplit(url)
    fields = {"token": token, "csrfmiddlewaretoken": cookies["csrftoken"].value}
    body = urlencode(fields)
    held = "; ".join(f"{name}={morsel.value}" for name, morsel in cookies.items())
    request = (
        f"POST {VERIFY} HTTP/1.1\r\nHost: {site.netloc}\r\nCookie: {held}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )
    with socket.create_connection((site.hostname, site.port), timeout=10) as connected:
        connected.sendall(request.encode())
        # No lingering: what closes this socket resets the connection.
        linger = struct.pack("ii", 1, 0)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="statement_timeout is PostgreSQL's")
@pytest.mark.parametrize("right", [False, True])
def test_a08_a_statement_that_times_out_after_the_comparison_refunds_no_try(
    parked, alex, compared, right
):
    Lockout.objects.create(user=alex, failures=1)
    code = parked.code if right else parked.wrong_code

    with options(options="-c statement_timeout=500ms"), locked(Lockout.objects.all()):
        answer = parked.enter_code(code)

    assert answer.status_code == 503
    assert compared == [code]
    assert Challenge.objects.get().attempts == 1
    assert parked.is_nobody
    if right:  # it is burnt: whoever was let in by nobody starts over
        assert Challenge.objects.get().state == "verified"
        parked.enter_code(code)
        assert parked.is_nobody
