"""Firebase Cloud Messaging: push notifications, through Google's own SDK.

``django-otp-channels[fcm]``. The codes and their meanings:
https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import re
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

from django.core import checks
from django.views.decorators.debug import sensitive_variables

from ..exceptions import (
    BackendMisconfigured,
    DeliveryError,
    DeliveryRefused,
    DeliveryUnavailable,
    DeliveryUnknown,
)
from ..messages import Message, Receipt
from .base import Backend
from .outcomes import Outcome, gone, not_so, not_this_one

logger = logging.getLogger("django_otp_channels.backends.fcm")


# What FCM itself says of a message (``FcmError.errorCode``).
CODES: Mapping[str, Outcome] = {
    "UNREGISTERED": gone,  # the app is gone from the phone
    "SENDER_ID_MISMATCH": gone,  # registered with another project
    "INVALID_ARGUMENT": gone,  # not an address at all
    "QUOTA_EXCEEDED": not_this_one,  # may be the quota of this one device
    "UNAVAILABLE": DeliveryUnavailable,
    "INTERNAL": DeliveryUnavailable,
    # The APNs key or the web push key: other kinds of devices do get their messages.
    "THIRD_PARTY_AUTH_ERROR": not_so,
    "APNS_AUTH_ERROR": not_so,
    "UNSPECIFIED_ERROR": partial(DeliveryUnknown, provider_wide=False),
}

# What Google's front end says where FCM said nothing (``google.rpc.Status.status``). None of these
# is the device's fault.
STATUSES: Mapping[str, Outcome] = {
    "INVALID_ARGUMENT": DeliveryRefused,  # this message, not this address
    "UNAUTHENTICATED": BackendMisconfigured,
    "PERMISSION_DENIED": BackendMisconfigured,  # API off, or the account may not send
    "NOT_FOUND": not_so,  # no such project, or no such device after all
    "RESOURCE_EXHAUSTED": DeliveryUnavailable,
    "UNAVAILABLE": DeliveryUnavailable,
    "INTERNAL": DeliveryUnavailable,
}

_ADDRESS_FIELDS = frozenset({"message.token", "message.fid"})

# A Firebase installation id. Everything else is a registration token.
# https://firebase.google.com/docs/projects/manage-installations
INSTALLATION_ID = re.compile(r"[cdef][A-Za-z0-9_-]{21}", re.ASCII)
MAX_APNS_COLLAPSE_ID = 64  # bytes
MAX_TOPIC = 32  # characters (RFC 8030, 5.4)
HTTP_TIMEOUT = 7  # seconds
ANDROID_CHANNEL = "otp"
INSTALL = 'Install it with: pip install "django-otp-channels[fcm]"'


class Push(Backend):
    """A notification of a phone app or a browser.

    ``credentials`` is the path of a service account's JSON file or its content as a dictionary;
    empty for Google's application default (``GOOGLE_APPLICATION_CREDENTIALS``). ``project_id`` is
    read from them where they have it.
    """

    provider: ClassVar[str] = "fcm"
    channels: ClassVar[frozenset[str]] = frozenset({"push"})

    def __init__(self, *, credentials: str | Mapping[str, Any] = "", project_id: str = "") -> None:
        self._credentials = credentials
        self.project_id = project_id

    @sensitive_variables()
    def send(self, message: Message, *, timeout: float) -> Receipt:
        """Send through FCM, within ``timeout`` seconds but for the look-up of its name."""
        problems = self.check()
        if problems:
            raise BackendMisconfigured(str(problems[0].msg), code=str(problems[0].id))
        from firebase_admin import messaging

        from .transport import bounded

        failure: DeliveryError | BackendMisconfigured
        with bounded(timeout) as wire:
            try:
                app = self._app
                self._authorize(app)
                wire.sent = True
                message_id = messaging.send(_notification(message), app=app)
            except Exception as error:  # noqa: BLE001 (not all that the SDK lets out is its own)
                failure = _outcome(error, sent=wire.sent)
            else:
                if message_id:
                    return Receipt(provider=self.provider, message_id=str(message_id))
                failure = DeliveryUnknown(code="no-name")
        # Raised here, so that the SDK's error, which may quote the answer, is not its context.
        raise failure

    @cached_property
    def _app(self) -> Any:
        import firebase_admin
        from firebase_admin import credentials
        from google.auth.exceptions import DefaultCredentialsError

        try:
            app = firebase_admin.initialize_app(
                credentials.Certificate(
                    self._credentials
                    if isinstance(self._credentials, str)
                    else dict(self._credentials)
                )
                if self._credentials
                else credentials.ApplicationDefault(),
                {"projectId": self.project_id or None, "httpTimeout": HTTP_TIMEOUT},
                name=f"otp-channels-{uuid.uuid4()}",
            )
            app.credential.get_credential()
        except (ValueError, OSError, DefaultCredentialsError):
            raise BackendMisconfigured(
                "FCM's credentials are missing or cannot be used.", code="credentials"
            ) from None
        if not app.project_id:
            raise BackendMisconfigured("FCM's project id is missing.", code="project-id")
        # The SDK keeps every app for ever; this one goes with its backend.
        weakref.finalize(self, _delete, firebase_admin.delete_app, app).atexit = False
        _tame(app)
        return app

    @cached_property
    def _token_request(self) -> Any:
        from google.auth.transport.requests import Request

        from .transport import new_session

        return Request(new_session())

    def _authorize(self, app: Any) -> None:
        # Before the send proper, so that what fails here certainly sent nothing.
        credential = app.credential.get_credential()
        if not credential.valid:
            credential.refresh(self._token_request)

    def check(self) -> Sequence[checks.CheckMessage]:
        """Report a missing SDK (E111) or a credentials file that cannot be read (W112)."""
        if importlib.util.find_spec("firebase_admin") is None:
            return [
                checks.Error(
                    "The Firebase SDK is not installed.", hint=INSTALL, id="otp_channels.E111"
                )
            ]
        path = self._credentials or os.environ.get("GOOGLE_APPLICATION_CREDENTIALS", "")
        if isinstance(path, str) and path and not _readable(path):
            # No error: where the secrets are not (CI, the build of an image) commands must run.
            return [
                checks.Warning(
                    "The file with FCM's credentials cannot be read.",
                    hint="Set 'credentials' in OPTIONS, or GOOGLE_APPLICATION_CREDENTIALS in the "
                    "environment, to the path of a service account's JSON file.",
                    id="otp_channels.W112",
                )
            ]
        return []


def _delete(delete_app: Callable[[Any], None], app: Any) -> None:
    """Let the SDK's ``delete_app()`` forget ``app``, wherever the garbage is collected.

    It closes a client of its own with ``asyncio.run()``, which fails where a loop is running.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        delete_app(app)
    else:
        threading.Thread(target=delete_app, args=[app], name="otp-channels-fcm-delete").start()


def _readable(path: str) -> bool:
    return Path(path).is_file() and os.access(path, os.R_OK)


def _tame(app: Any) -> None:
    """Let the SDK's own sessions send once and in time.

    By itself it repeats a POST after an error, sleeps out a ``Retry-After`` inside the send, and
    takes six minutes over a TLS error. There is no public option for that. Without this a send may
    be late or double, but its outcome is still told rightly.
    """
    from firebase_admin import messaging

    from .transport import silence, tame

    silence("google")  # at DEBUG it tells the token that Google gave us
    try:
        session = messaging._get_messaging_service(app)._client.session
        tame(session)
        tame(session._auth_request.session)
    except AttributeError:
        logger.warning("This version of firebase-admin repeats a failed send by itself.")


@sensitive_variables()
def _notification(message: Message) -> Any:
    from firebase_admin import messaging

    reference = message.reference or None
    lifetime = max(0, message.lifetime)
    apns_headers = {
        "apns-priority": "10",
        "apns-expiration": str(int(time.time()) + lifetime),
    }
    if reference:
        collapse_id = reference.encode()[:MAX_APNS_COLLAPSE_ID]
        apns_headers["apns-collapse-id"] = collapse_id.decode(errors="ignore")
    webpush_headers = {"TTL": str(lifetime), "Urgency": "high"}
    if reference:
        webpush_headers["Topic"] = reference[:MAX_TOPIC]
    notification = messaging.Message(
        notification=messaging.Notification(title=message.title, body=message.text),
        # An app may log its data; the code is in the visible text only.
        data={"kind": "otp"},
        android=messaging.AndroidConfig(
            priority="high",
            ttl=timedelta(seconds=lifetime),
            collapse_key=reference,
            notification=messaging.AndroidNotification(tag=reference, channel_id=ANDROID_CHANNEL),
        ),
        apns=messaging.APNSConfig(
            headers=apns_headers,
            payload=messaging.APNSPayload(
                aps=messaging.Aps(
                    sound="default", custom_data={"interruption-level": "time-sensitive"}
                )
            ),
        ),
        webpush=messaging.WebpushConfig(headers=webpush_headers),
    )
    # Set, not passed: the SDK warns of every registration token that is passed, and phones will
    # have them for years.
    if INSTALLATION_ID.fullmatch(message.to):
        notification.fid = message.to
    else:
        notification.token = message.to
    return notification


def _outcome(error: Exception, *, sent: bool) -> DeliveryError | BackendMisconfigured:
    from firebase_admin.exceptions import FirebaseError
    from google.auth.exceptions import GoogleAuthError, RefreshError

    if isinstance(error, BackendMisconfigured):
        return BackendMisconfigured(  # anew, without a context
            error.detail, code=error.code, provider_wide=error.provider_wide
        )
    if isinstance(error, FirebaseError) and error.http_response is not None:
        return _answered(error.http_response)
    if isinstance(error, RefreshError) and not error.retryable:
        return BackendMisconfigured("Google refused FCM's credentials.", code="RefreshError")
    # No token, no send; and a send that was answered with 401, for which the SDK fetches a new
    # token by itself, did not go out either.
    if not sent or isinstance(error, GoogleAuthError):
        return DeliveryUnavailable(code=type(error).__name__)
    # What the SDK itself refuses to send is about this message.
    local = isinstance(error, ValueError) and not isinstance(error, OSError)
    return DeliveryUnknown(code=type(error).__name__, provider_wide=not local)


def _answered(response: Any) -> DeliveryError | BackendMisconfigured:
    from .transport import by_status

    try:
        error = response.json()["error"]
        status = str(error["status"])
        details = error.get("details", [])
        code = next((str(each["errorCode"]) for each in details if "errorCode" in each), "")
        wrong = {
            str(violation["field"])
            for each in details
            for violation in each.get("fieldViolations", ())
        }
    except (ValueError, LookupError, TypeError, AttributeError):
        status, code, wrong = "", "", set()
    if code == "INVALID_ARGUMENT" and wrong - _ADDRESS_FIELDS:
        # Our own payload: it is no fault of the device, which must stay reachable.
        return not_so("FCM does not take our payload.", code=code)
    if code in CODES:
        return CODES[code](code=code)
    if status in STATUSES:
        return STATUSES[status](code=status)
    return by_status(response.status_code)(code=str(response.status_code))
