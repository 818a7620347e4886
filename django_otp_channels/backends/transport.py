"""HTTP for the backends whose SDK lets us carry its requests: once, in time, and honestly.

An SDK tells by its exceptions what went wrong, not whether the request had left. So the transport
notes that itself: a failure before the connection stood is the only one of which it can be said
that nothing was sent. Everything else may be out.

Imported only inside the methods of those backends, since ``requests`` comes with their SDKs.
"""

from __future__ import annotations

import http.client
import io
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from ..exceptions import (
    BackendMisconfigured,
    DeliveryUnavailable,
    DeliveryUnknown,
)
from .outcomes import Outcome, not_so, not_this_one

CONNECT_TIMEOUT = 3.0
READ_TIMEOUT = 7.0
MAX_ANSWER = 64 * 1024

_thread = threading.local()


@dataclass
class Wire:
    """One send: when it must be over (monotonic seconds), and whether anything may have left.

    ``status`` is the HTTP status of its last answer, 0 where there was none.
    """

    deadline: float
    sent: bool = False
    status: int = 0

    def remaining(self) -> float:
        return self.deadline - time.monotonic()


@contextmanager
def bounded(seconds: float) -> Iterator[Wire]:
    """Hold all requests of this thread to ``seconds`` together.

    The backend sets ``sent`` just before it asks its SDK to send; a connection that did not come
    about takes it back. That way round, an SDK that bypasses this transport errs towards "may be
    out", never towards a second message.
    """
    _thread.wire = wire = Wire(time.monotonic() + seconds)
    try:
        yield wire
    finally:
        del _thread.wire


def _current_wire() -> Wire:
    # An SDK's own background threads send nothing of ours, but end in time all the same.
    return getattr(_thread, "wire", None) or Wire(time.monotonic() + READ_TIMEOUT)


class _Timed(io.RawIOBase):
    """Reads of a socket, all of them together within the send's time.

    A socket's own time-out is for each read: an answer that drips in would never exceed it.
    """

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Any:
        left = _current_wire().remaining()
        if left <= 0:
            raise TimeoutError
        own = self._sock.gettimeout()
        self._sock.settimeout(left if own is None else min(left, own))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_Timed(sock))


class _Connecting:
    response_class: Any = _Answer

    def connect(self) -> None:
        # Name look-up, TCP, the proxy's tunnel and the TLS handshake; no byte of the request.
        try:
            super().connect()  # type: ignore[misc]
        except BaseException:
            _current_wire().sent = False
            raise


class _Connection(_Connecting, HTTPSConnection):
    pass


class _PlainConnection(_Connecting, HTTPConnection):
    pass


class _Pool(HTTPSConnectionPool):
    ConnectionCls = _Connection


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class Transport(HTTPAdapter):
    """Send each request once. A body that comes slowly, or without end, is cut off."""

    def __init__(self) -> None:
        super().__init__(pool_maxsize=64, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _watch(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):
            _watch(manager)
        return manager

    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().cert_verify(*args, **kwargs)  # type: ignore[no-untyped-call]
        except OSError:
            raise BackendMisconfigured("The CA bundle cannot be read.", code="ca-bundle") from None

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002 (the signature is requests')
        timeout: Any = None,
        verify: bool | str = True,  # noqa: FBT001, FBT002
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        wire = _current_wire()
        left = wire.remaining()
        if left <= 0:
            wire.sent = False
            raise requests.ConnectTimeout(request=request)
        # Read byte by byte below, which a compressed answer would turn into a wait for many bytes.
        request.headers["Accept-Encoding"] = "identity"
        limits: Any = urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT, total=left)
        response = super().send(
            request,
            stream=stream,
            timeout=limits,  # taken by requests, though not named in its types
            verify=verify,
            cert=cert,
            proxies=proxies,
        )
        wire.status = response.status_code
        try:
            response.raw = io.BytesIO(_read(response.raw, wire))
        except urllib3.exceptions.HTTPError:
            response.close()
            raise requests.ConnectionError(request=request) from None
        return response


def _watch(manager: urllib3.PoolManager) -> None:
    manager.pool_classes_by_scheme = {"https": _Pool, "http": _PlainPool}


def _read(raw: Any, wire: Wire) -> bytes:
    body = bytearray()
    for piece in raw.stream(1):
        body += piece
        if len(body) > MAX_ANSWER or wire.remaining() <= 0:
            msg = "The answer was too slow or too long."
            raise urllib3.exceptions.ProtocolError(msg)
    return bytes(body)


def new_session() -> requests.Session:
    """Return a session that keeps its connections, follows no redirect and tries nothing twice.

    A redirect raises ``requests.TooManyRedirects``: followed, it would carry the code to whoever
    it names. Proxies and CA bundles come from the environment, as ``requests`` does it.
    """
    session = requests.Session()
    tame(session)
    return session


def tame(session: requests.Session) -> None:
    """Make an existing session behave as one of :func:`new_session`."""
    for prefix in list(session.adapters):
        if prefix.startswith(("https://", "http://")):
            session.mount(prefix, Transport())
    session.max_redirects = 0


class _Silence(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(_thread, "wire", None) is None


_silence = _Silence()


def silence(library: str) -> None:
    """Have ``library`` log nothing in a thread that is within :func:`bounded`; others it may.

    For a library that logs its requests: they hold the code and the number. A logger's filter does
    not see what its children log, so each existing logger of the library gets one.
    """
    for name in list(logging.root.manager.loggerDict):
        if name == library or name.startswith(f"{library}."):
            logging.getLogger(name).addFilter(_silence)


def by_status(status: int) -> Outcome:
    """Return the outcome of an HTTP ``status`` whose body says nothing that we know.

    A 4xx may be about this one number: unless it is known to be about our account, our rate or the
    provider's time, it is no reason to leave the provider alone.
    """
    if status in {401, 403} or 300 <= status < 400:
        return BackendMisconfigured
    if status == 404:
        return not_so
    if status in {408, 425, 429}:
        return DeliveryUnavailable
    if 400 <= status < 500:
        return not_this_one
    return DeliveryUnknown
