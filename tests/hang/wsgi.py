"""The tests' site for a WSGI server. Each answer says which process gave it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application

from django_otp_channels import breaker

# Never open, so that every send meets the provider that hangs, and none is spared.
breaker.FAILURES = 1_000_000

_site = get_wsgi_application()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
        return start_response(status, [*headers, ("X-Worker", str(os.getpid()))], *error)

    return _site(environ, start)
