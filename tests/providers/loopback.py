"""A CONNECT proxy that ends TLS itself and hands each request to the stand-in of its host."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from requests.structures import CaseInsensitiveDict

from .certificates import Authority

LONGEST_HANG = 30  # seconds; a test that forgets to let go of a hang ends all the same


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    host: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def form(self) -> dict[str, str]:
        return {name: values[-1] for name, values in self.form_lists.items()}

    @property
    def form_lists(self) -> dict[str, list[str]]:
        return parse_qs(self.body.decode(), keep_blank_values=True)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """An answer, and how it arrives.

    ``how``: ``whole``; ``half`` (half the body, then the connection closes); ``half-hang`` (half
    the body, then silence); ``trickle`` (a byte at a time, for ever); ``drip-head`` (the same, of a
    header); ``hang`` (silence at once); ``reset`` (the connection is reset once the request was
    read).
    """

    status: int = 200
    body: bytes | str | dict[str, Any] | list[Any] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    how: str = "whole"

    @property
    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


HANG = Reply(how="hang")
RESET = Reply(how="reset")
HTML = "<html><body>Bad gateway</body></html>"


class Endpoint:
    """What a stand-in does with the requests to one endpoint: as scripted, else as the real one.

    ``script(reply, …)`` queues answers for the next requests; ``always(reply)`` gives one to all.
    Either happens after the request was recorded, and instead of the real behaviour.
    """

    def __init__(self, real: Callable[[Request], Reply]) -> None:
        self.real = real
        self.reset()

    def reset(self) -> None:
        self.requests: list[Request] = []
        self.arrived = threading.Semaphore(0)
        self._script: deque[Reply] = deque()
        self._always: Reply | None = None

    def script(self, *replies: Reply) -> None:
        self._script.extend(replies)

    def always(self, reply: Reply) -> None:
        self._always = reply

    def wait(self, count: int = 1, *, timeout: float = 5) -> None:
        """Wait until ``count`` more requests have arrived."""
        for _ in range(count):
            assert self.arrived.acquire(timeout=timeout), "No request arrived."

    def answer(self, request: Request) -> Reply:
        self.requests.append(request)
        reply = self._script.popleft() if self._script else self._always
        if reply is None:
            reply = self.real(request)
        self.arrived.release()
        return reply


class Network:
    """Everything that a test can reach: hosts by name, and how the way to them behaves.

    ``way``: ``open``; ``no-tunnel`` (the proxy refuses); ``hang`` (the proxy never opens the
    tunnel); ``no-tls`` (the far end never shakes hands); ``impostor`` (a certificate of nobody we
    trust). ``connections`` counts them by host.
    """

    def __init__(self, authority: Authority, impostor: Authority) -> None:
        self.authority = authority
        self.impostor = impostor
        self.hosts: dict[str, Callable[[Request], Reply]] = {}
        self.let_go = threading.Event()
        self.reset()
        self.server = _Server(self)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def reset(self) -> None:
        self.way = "open"
        self.strangers: list[str] = []
        self.problems: list[str] = []
        self.connections: Counter[str] = Counter()
        self.let_go.set()
        self.let_go = threading.Event()

    def close(self) -> None:
        self.let_go.set()
        self.server.shutdown()
        self.server.server_close()

    def environment(self) -> dict[str, str]:
        """Return the variables that lead every client here, over whatever the machine has set."""
        bundle = str(self.authority.bundle)
        names = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
        bundles = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "AWS_CA_BUNDLE")
        return {
            **dict.fromkeys(names, self.url),
            **dict.fromkeys(bundles, bundle),
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }


class _Server(ThreadingHTTPServer):
    request_queue_size = 64

    def __init__(self, network: Network) -> None:
        self.network = network
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(
            target=self.serve_forever, args=(0.02,), name="loopback", daemon=True
        ).start()

    def process_request(self, request: Any, client_address: Any) -> None:
        threading.Thread(
            target=self.process_request_thread,
            args=(request, client_address),
            name="loopback-connection",
            daemon=True,
        ).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        # A client that gave up is what many tests are about.
        if not isinstance(error, OSError):
            self.network.problems.append(f"the stand-in itself failed: {error!r}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = LONGEST_HANG
    disable_nagle_algorithm = True
    server: _Server
    host = ""

    def handle_one_request(self) -> None:
        # Through a proxy, urllib3 sends head and body apart and waits for the first to be
        # acknowledged: 40 ms for each request of each test, where that is not done at once.
        if hasattr(socket, "TCP_QUICKACK"):
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        super().handle_one_request()

    def log_message(self, *args: Any) -> None:
        pass

    def do_CONNECT(self) -> None:
        network = self.server.network
        self.host, _, port = self.path.partition(":")
        network.connections[self.host] += 1
        if self.host not in network.hosts or port != "443":
            network.strangers.append(self.path)
            self.send_error(502)
            return
        if network.way == "no-tunnel":
            self.close_connection = True
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if network.way == "hang":
            self._hang()
            return
        self.send_response_only(200, "Connection established")
        self.end_headers()
        if network.way == "no-tls":
            self._hang()
            return
        authority = network.impostor if network.way == "impostor" else network.authority
        try:
            self.connection = authority.context.wrap_socket(self.connection, server_side=True)
        except (OSError, ssl.SSLError):
            self.close_connection = True
            return
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", 0)
        self.close_connection = False

    def finish(self) -> None:
        super().finish()
        if isinstance(self.connection, ssl.SSLSocket):
            with contextlib.suppress(OSError):
                self.connection.close()

    def _take(self) -> None:
        network = self.server.network
        if not self.host:
            network.strangers.append(self.path)
            self.send_error(502)
            return
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            host=self.host,
            method=self.command,
            path=self.path,
            headers=CaseInsensitiveDict(self.headers.items()),
            body=self.rfile.read(length),
        )
        let_go = network.let_go
        self._give(network.hosts[self.host](request), let_go)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _take

    def _give(self, reply: Reply, let_go: threading.Event) -> None:
        if reply.how == "hang":
            self._hang(let_go)
            return
        if reply.how == "reset":
            self._reset()
            return
        content = reply.content
        self.send_response_only(reply.status)
        if reply.how == "drip-head":
            self.close_connection = True
            self.flush_headers()
            self.wfile.write(b"X-Slow: ")
            self._drip(b"x" * 50_000, let_go)
            return
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if reply.how == "whole":
            self.wfile.write(content)
            return
        self.close_connection = True
        if reply.how == "trickle":
            self._drip(content * 1000, let_go)
            return
        self.wfile.write(content[: max(1, len(content) // 2)])
        if reply.how == "half-hang":
            self._hang(let_go)

    def _drip(self, content: bytes, let_go: threading.Event) -> None:
        for byte in content:
            self.wfile.write(bytes([byte]))
            if let_go.wait(0.03):
                return

    def _hang(self, let_go: threading.Event | None = None) -> None:
        self.close_connection = True
        (let_go or self.server.network.let_go).wait(LONGEST_HANG)

    def _reset(self) -> None:
        # With no time to linger, closing sends a reset instead of a farewell.
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
