"""What is answered where the database is gone, or keeps a row locked for too long.

Nothing is decided then: nobody is let in, and nothing is sent. The page itself asks no database.
"""

from __future__ import annotations

import logging
from http import HTTPStatus

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string

from .conf import conf
from .headers import private

logger = logging.getLogger("django_otp_channels.outage")

# What a driver raises for a lost connection, a time-out or a deadlock.
DATABASE_TROUBLE = (OperationalError, InterfaceError)
# Seconds after which it is worth another try.
RETRY_AFTER = 5


def unavailable(request: HttpRequest, error: Exception) -> HttpResponse:
    """Return the answer to a request that ``error``, one of the database's, has ended: a 503.

    Django's session middleware saves nothing with it, so that the session stays as it was.
    """
    logger.error("The database did not answer in time (%s).", type(error).__name__)
    response: HttpResponse
    if request.get_preferred_type(["text/html", "application/json"]) == "application/json":
        response = JsonResponse({"detail": "unavailable"})
    else:
        context = {"site_title": conf.SITE_NAME or request.get_host()}
        response = HttpResponse(render_to_string("otp_channels/unavailable.html", context))
    response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    response["Retry-After"] = str(RETRY_AFTER)
    return private(response)
