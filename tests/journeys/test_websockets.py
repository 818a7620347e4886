"""A websocket belongs to nobody while the code is missing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.auth import AuthMiddlewareStack, get_user
from channels.auth import login as channels_login
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.models import Session
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.test import Client

from django_otp_channels.testing import login_verified
from django_otp_channels.websockets import LoginStepMiddleware
from tests.factories import PhoneFactory, UserFactory

# Channels closes the connection after each use, as Django does after a request.
pytestmark = pytest.mark.django_db(transaction=True)

BACKEND = "django.contrib.auth.backends.ModelBackend"


class WhoAmI(AsyncJsonWebsocketConsumer):
    """Says whose the connection is, and logs in on demand."""

    async def connect(self) -> None:
        await self.accept()

    async def receive_json(self, content: dict[str, Any], **_kwargs: Any) -> None:
        refused = False
        if name := content.get("login"):
            user = await get_user_model().objects.aget(username=name)
            try:
                await channels_login(self.scope, user, backend=BACKEND)
                await self.scope["session"].asave()
            except PermissionDenied:
                refused = True
        if name := content.get("page_login"):
            user = await get_user_model().objects.aget(username=name)
            await user_logged_in.asend(sender=type(user), request=HttpRequest(), user=user)
        user = self.scope["user"]
        await self.send_json(
            {
                "user": user.get_username(),
                "verified": bool(user.is_authenticated and getattr(user, "otp_device", None)),
                "session": (await get_user(self.scope)).get_username(),
                "refused": refused,
            }
        )


GUARDED = AuthMiddlewareStack(LoginStepMiddleware(WhoAmI.as_asgi()))
UNGUARDED = AuthMiddlewareStack(WhoAmI.as_asgi())


def ask(
    app: Any,
    client: Client,
    *,
    scheme: str = "wss",
    address: str = "203.0.113.7",
    **question: Any,
) -> dict[str, Any]:
    """Open a websocket with the cookies of ``client``, and ask one question."""
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    scope = {
        "type": "websocket",
        "scheme": scheme,
        "path": "/ws/",
        "query_string": b"",
        "headers": [(b"cookie", cookies.encode()), (b"host", b"testserver")],
        "client": [address, 4242],
    }

    async def talk() -> dict[str, Any]:
        connection = ApplicationCommunicator(app, scope)
        await connection.send_input({"type": "websocket.connect"})
        assert (await connection.receive_output(5))["type"] == "websocket.accept"
        await connection.send_input({"type": "websocket.receive", "text": json.dumps(question)})
        answer = json.loads((await connection.receive_output(5))["text"])
        await connection.send_input({"type": "websocket.disconnect", "code": 1000})
        await connection.wait(5)
        return answer

    return async_to_sync(talk)()


NOBODY = {"user": "", "verified": False, "session": "", "refused": False}


@pytest.fixture
def sam(db):
    user = UserFactory(username="sam")
    PhoneFactory(user=user)
    return user


@pytest.fixture
def cold_session(client, sam):
    """A browser that logged in before the package was installed, and has seen no page since."""
    device = sam.channeldevice_set.get()
    device.confirmed = False
    device.save()
    client.force_login(sam)
    device.confirmed = True
    device.save()
    session = client.session
    session.pop("otp_channels")
    session.save()
    return client


@pytest.mark.parametrize("app", [GUARDED, UNGUARDED], ids=["guarded", "unguarded"])
def test_a_parked_login_is_nobody_in_a_websocket(journey, sam, app):
    journey.enter_password(sam)

    assert ask(app, journey.client) == NOBODY


def test_after_the_code_a_websocket_is_the_persons(journey, sam):
    journey.log_in(sam)

    assert ask(GUARDED, journey.client) == {
        "user": "sam",
        "verified": True,
        "session": "sam",
        "refused": False,
    }


def test_who_needs_no_code_has_a_websocket_as_ever(client, alex):
    client.force_login(alex)

    seen = ask(GUARDED, client)

    assert (seen["user"], seen["session"]) == ("alex", "alex")


def test_a_stranger_has_a_websocket_as_a_stranger(client, db):
    assert ask(GUARDED, client) == NOBODY


def test_a_session_that_no_page_has_screened_is_nobodys(cold_session):
    assert ask(UNGUARDED, cold_session)["user"] == "sam"

    assert ask(GUARDED, cold_session) == NOBODY


def test_a_session_whose_device_is_gone_is_nobodys(client, sam):
    login_verified(client, sam)
    sam.channeldevice_set.all().delete()
    PhoneFactory(user=sam)

    assert ask(GUARDED, client) == NOBODY


@pytest.mark.parametrize(
    ("scheme", "address", "is_in"),
    [("wss", "203.0.113.7", True), ("ws", "203.0.113.7", False), ("wss", "203.0.113.8", False)],
)
def test_the_policy_sees_the_request_of_the_websocket(
    client, alex, settings, scheme, address, is_in
):
    client.force_login(alex)
    settings.OTP_CHANNELS_POLICY = f"{__name__}.unless_in_the_office"

    seen = ask(GUARDED, client, scheme=scheme, address=address)

    assert (seen["user"] == "alex") is is_in


def unless_in_the_office(user: Any, request: Any) -> bool:
    return not (request.is_secure() and request.META["REMOTE_ADDR"] == "203.0.113.7")


def test_a_consumer_cannot_log_in_who_needs_a_code(client, sam):
    seen = ask(GUARDED, client, login="sam")

    assert seen["refused"]
    assert seen["session"] == ""
    assert not any("_auth_user_id" in row.get_decoded() for row in Session.objects.all())


def test_a_consumer_may_log_in_who_needs_no_code(client, alex):
    seen = ask(GUARDED, client, login="alex")

    assert not seen["refused"]
    assert (seen["user"], seen["session"]) == ("alex", "alex")


class LaterPhone(WhoAmI):
    """A connection during which its person gets a phone."""

    async def connect(self) -> None:
        await sync_to_async(PhoneFactory)(user=self.scope["user"])
        await super().connect()


def test_a_phone_that_came_during_the_connection_counts(client, alex):
    client.force_login(alex)
    session = client.session
    session.pop("otp_channels")  # so that alex is judged, and found to need no code, as it opens
    session.save()

    seen = ask(AuthMiddlewareStack(LoginStepMiddleware(LaterPhone.as_asgi())), client, login="alex")

    assert seen["refused"]


def test_a_login_with_a_request_is_left_to_the_login_step_of_requests(client, sam):
    """As when a site runs its pages, too, inside the stack of its websockets."""
    seen = ask(GUARDED, client, page_login="sam")

    assert not seen["refused"]


def test_logins_elsewhere_are_not_the_websockets_business(sam):
    """``user_logged_in`` without a request is for the guard only inside a connection."""
    LoginStepMiddleware(WhoAmI.as_asgi())

    user_logged_in.send(sender=type(sam), request=None, user=sam)


def test_the_guard_says_where_it_belongs(client, db):
    misplaced = LoginStepMiddleware(WhoAmI.as_asgi())

    with pytest.raises(ValueError, match="inside AuthMiddleware"):
        async_to_sync(misplaced)({"type": "websocket", "headers": []}, None, None)
