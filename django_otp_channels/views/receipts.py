"""Where providers tell what became of a message."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent
from django.http import HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.utils.datastructures import MultiValueDict
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from .. import audit, channels, receipts
from ..backends.base import Backend
from ..clients import client_of
from ..conf import conf
from ..exceptions import BackendMisconfigured, ReceiptRefused
from ..messages import Answer, Callback, Receipt
from ..models import Delivery
from ..models.deliveries import OpaqueId
from .base import CommittedView

# A receipt is some hundred bytes. Whoever sends more is no provider.
MAX_BODY = 16 * 1024
MAX_FIELDS = 100


@method_decorator([csrf_exempt, sensitive_post_parameters()], name="dispatch")
class ReceiptView(CommittedView):
    """POST by a provider. Its signature is all that counts; no session, no cookie is looked at.

    A request that cannot be verified is a 403. A verified one is answered alike whether its message
    is known here or not.
    """

    http_method_names = ["post"]  # noqa: RUF012

    @sensitive_variables()
    def post(
        self, request: HttpRequest, channel: str, provider: str, opaque_id: str
    ) -> HttpResponseBase:
        wanted = OpaqueId.parse(opaque_id)
        backend = _backend(channel, provider, wanted) if wanted is not None else None
        if wanted is None or backend is None:
            return _refuse(request)
        try:
            receipt = _receipt(request, backend)
        except ReceiptRefused:
            return _refuse(request, channel, backend.provider)
        delivery = Delivery.objects.of(channel, provider, wanted)
        words = receipts.take(delivery, receipt) if delivery is not None else receipts.Words()
        if receipt.pressed is None:
            answer = Answer()
        else:
            answer = backend.answer(words.lines, words.language)
        return HttpResponse(answer.body, content_type=answer.content_type)


def _refuse(request: HttpRequest, channel: str = "", provider: str = "") -> HttpResponse:
    """Answer what cannot be verified. ``channel`` and ``provider`` are known ones, or empty."""
    client = client_of(request)
    audit.record("receipt_refused", channel=channel, provider=provider, client=client)
    return HttpResponse(status=HTTPStatus.FORBIDDEN)


def _backend(channel: str, provider: str, wanted: OpaqueId) -> Backend | None:
    """Return the backend that the callback's URL was made for, if it takes receipts now."""
    try:
        backends: Sequence[Backend] = channels.backends(channel)
    except BackendMisconfigured:
        return None
    if wanted.position >= len(backends):
        return None
    backend = backends[wanted.position]
    return backend if backend.provider == provider and backend.receives else None


def _receipt(request: HttpRequest, backend: Backend) -> Receipt:
    if not conf.BASE_URL:
        raise ReceiptRefused
    # Of the configured origin: Host and X-Forwarded-* say what a stranger wants them to.
    url = conf.BASE_URL + request.get_full_path()
    return backend.receive(Callback(url=url, headers=request.headers, fields=_fields(request)))


def _fields(request: HttpRequest) -> MultiValueDict[str, str]:
    """Return the form's fields. Raises ``ReceiptRefused`` for what is no small, plain form."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise ReceiptRefused
    try:
        length = int(request.headers.get("Content-Length") or 0)
    except ValueError:
        raise ReceiptRefused from None
    if length > MAX_BODY:
        raise ReceiptRefused
    try:
        body = request.read(MAX_BODY + 1)
        if len(body) > MAX_BODY:
            raise ReceiptRefused
        fields = QueryDict(body.decode(), encoding="utf-8")
    except (OSError, UnicodeDecodeError, RequestDataTooBig, TooManyFieldsSent):
        raise ReceiptRefused from None
    if sum(len(values) for _name, values in fields.lists()) > MAX_FIELDS:
        raise ReceiptRefused
    return fields
