"""What every view of the package has in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import connections, transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters

from ..outage import DATABASE_TROUBLE, unavailable


class CommittedView(View):
    """A view that no surrounding transaction can undo. The middleware adds the private headers.

    Where the database is in trouble the answer is a 503, and nothing is decided.

    ``ATOMIC_REQUESTS`` would hand a spent try back with a rollback, so these views opt out of it
    on every database. Whether somebody is logged in is decided by each view itself.
    """

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., HttpResponseBase]:
        view = super().as_view(**initkwargs)
        for alias in connections:
            view = transaction.non_atomic_requests(using=alias)(view)
        return login_not_required(view)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return self.turn_away(request) or super().dispatch(request, *args, **kwargs)
        except DATABASE_TROUBLE as error:
            return unavailable(request, error)

    def turn_away(self, request: HttpRequest) -> HttpResponseBase | None:
        """Return the answer for somebody who may not see this page, else None."""
        return None


@method_decorator([sensitive_post_parameters(), csrf_protect], name="dispatch")
class PrivateView(CommittedView):
    """A page for people."""
