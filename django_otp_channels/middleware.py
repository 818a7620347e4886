"""The login step: a login that still needs a code is parked, whoever made it.

It stands after every middleware that logs in (``AuthenticationMiddleware``, ``OTPMiddleware``,
``RemoteUserMiddleware``) and before ``LoginRequiredMiddleware``. Parking itself is in
:mod:`django_otp_channels.login`; here is where it meets a request: as the session is first read,
and after the view.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.contrib.admin.sites import AdminSite
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.urls import reverse
from django.utils.functional import SimpleLazyObject
from django.utils.http import escape_leading_slashes

from . import login, notices, trust
from .headers import private
from .models.ledger import open_ledger, settle
from .outage import DATABASE_TROUBLE, unavailable

_NEVER_SEND = frozenset({"HEAD", "OPTIONS", "TRACE"})


class LoginStepMiddleware:
    """Park every login that needs a code. One body, two thin shells: sync and async."""

    sync_capable = True
    async_capable = True

    def __init__(
        self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]
    ) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if self.is_async:
            return self.__acall__(request)
        step = _Step(request)
        step.before_view()
        response = cast("HttpResponseBase", self.get_response(request))
        if step.has_work_left():
            response = step.after_view(response)
        return private(response) if _is_ours(request) else response

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        step = _Step(request)
        if step.logged_in_before_view or request.session.accessed:
            await sync_to_async(step.before_view)()
        else:
            step.before_view()
        response = await cast("Awaitable[HttpResponseBase]", self.get_response(request))
        if step.has_work_left():
            response = await sync_to_async(step.after_view)(response)
        return private(response) if _is_ours(request) else response

    def process_view(
        self, request: HttpRequest, view: Any, _args: Any, _kwargs: Any
    ) -> HttpResponseBase | None:
        """Lead a parked visitor who opens a login page to the code page."""
        if (
            request.method == "GET"
            and _is_login_page(request, view)
            and (
                login.parked_in(request.session) is not None
                or login.ask_in_trusted_browser(request)
            )
        ):
            return private(HttpResponseRedirect(reverse("otp_channels:verify")))
        return None


class _Step:
    """What the middleware does for one request."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        self.session: Any = request.session
        self.ledger = open_ledger()
        self.logged_in_before_view = login.fresh_login(request) is not None
        self.verified_before: tuple[Any, Any] = (None, None)

    # -- before the view ---------------------------------------------------------------------

    def before_view(self) -> None:
        if self.logged_in_before_view:
            login.keep_running_login(self.request)
            login.be_nobody(self.request)
        if self.session.accessed and self._screen(self.session):
            # A middleware before this one has read, and cached, who seemed to be logged in.
            login.be_nobody(self.request)
        login.watch(self.request)
        self._guard_session()
        self._guard_user()

    def _guard_session(self) -> None:
        """Screen the session as it is first read, so that all its readers agree."""
        session = self.session
        load, aload = session.load, session.aload
        loading_async = False

        def guarded_load() -> Any:
            data = load()
            if not loading_async:
                self._screen(data)
            return data

        async def guarded_aload() -> Any:
            # Some stores' aload() calls their load(): the screening is done once, out here.
            nonlocal loading_async
            loading_async = True
            try:
                data = await aload()
            finally:
                loading_async = False
            await sync_to_async(self._screen)(data)
            return data

        session.load, session.aload = guarded_load, guarded_aload

    def _screen(self, data: Any) -> bool:
        outcome = login.screen(self.request, data)
        self.verified_before = login.verified_in(data)
        if outcome is not login.Screening.UNTOUCHED:
            self.session.modified = True
        return outcome is login.Screening.PARKED

    def _guard_user(self) -> None:
        """A user whose verifying device is gone is nobody, from this very request on.

        So is one of a session that a view has put in the place of the request's own.
        """
        request = self.request
        user, auser = request.user, request.auser

        def guarded_user() -> Any:
            return login.anonymous() if self._unverified(user) and self._screen_current() else user

        async def guarded_auser() -> Any:
            found = await auser()
            if self._unverified(found) and await sync_to_async(self._screen_current)():
                return login.anonymous()
            return found

        request.user = SimpleLazyObject(guarded_user)  # type: ignore[assignment]
        request.auser = guarded_auser

    def _unverified(self, user: Any) -> bool:
        return user.is_authenticated and login.undecided(self.request.session)

    def _screen_current(self) -> bool:
        return login.screen(self.request, self.request.session) is login.Screening.PARKED

    # -- after the view ----------------------------------------------------------------------

    def has_work_left(self) -> bool:
        return (
            bool(self.ledger)
            or login.fresh_login(self.request) is not None
            or bool(login.handed_out(self.request))
            or login.reminds(self.request)
            or self._undecided()
        )

    def _undecided(self) -> bool:
        session: Any = self.request.session
        if not session.accessed:
            return False
        login.drop_strangers_device(session, self.verified_before)
        return login.undecided(session)

    def after_view(self, response: HttpResponseBase) -> HttpResponseBase:
        try:
            response = self._answer(response)
            if cookie := login.handed_out(self.request):
                trust.put_cookie(self.request, response, cookie)
        except DATABASE_TROUBLE as error:
            # The view's answer, and its session, may be for somebody whose code is missing.
            login.be_nobody(self.request)
            return unavailable(self.request, error)
        return response

    def _answer(self, response: HttpResponseBase) -> HttpResponseBase:
        settle(self.ledger)
        notices.tell_news(self.request, self.ledger.news)
        fresh = login.fresh_login(self.request)
        if fresh is None and not (self._undecided() and self._screen_current()):
            return self._reminding(response)
        if fresh is not None and login.was_elsewhere(self.request, fresh):
            fresh.session.flush()
            return self._refused(response)
        parked = login.parked_in(self.request.session)
        if parked is None:  # logged out again in the same view
            return response
        login.be_nobody(self.request)
        if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            # The view's answer was for somebody who is not logged in: only its status goes out.
            return private(HttpResponse(status=response.status_code))
        parked.next = login.safe_next(self.request, self._wanted(response))
        match = self.request.resolver_match
        if match is not None and _is_login_page(self.request, match.func):
            parked.origin = escape_leading_slashes(self.request.path)
        parked.save(self.request.session)
        if fresh is not None:
            login.end_replaced(self.request, fresh)
            if self._may_send():
                fresh.parked = parked
                login.begin(self.request, fresh)
        return private(self._ask_for_code())

    def _reminding(self, response: HttpResponseBase) -> HttpResponseBase:
        """Lead a login to the reminder that a device must be added soon, if it is to go anywhere.

        A script that logs in gets its answer: it would take the reminder for the page it wanted.
        """
        redirects = response.status_code in (HTTPStatus.FOUND, HTTPStatus.SEE_OTHER)
        by_script = self.request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate"
        if redirects and not by_script and not self._wants_json():
            then = response.headers.get("Location", "")
            if login.remind(self.request, then):
                response.headers["Location"] = reverse("otp_channels:remind")
        return response

    def _refused(self, response: HttpResponseBase) -> HttpResponseBase:
        login.be_nobody(self.request)
        if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return private(HttpResponse(status=response.status_code))
        return private(JsonResponse({"detail": "otp_required"}, status=HTTPStatus.FORBIDDEN))

    def _wanted(self, response: HttpResponseBase) -> str:
        if self.logged_in_before_view and self.request.method == "GET":
            return self.request.get_full_path()
        return response.headers.get("Location", "")

    def _may_send(self) -> bool:
        """Whether this login may ring the phone by itself.

        Not one that a middleware makes anew at each request (RemoteUserMiddleware), and not one
        that a browser makes ahead of time: those people ask for their code on the code page.
        """
        purpose = self.request.headers.get("Sec-Purpose", self.request.headers.get("Purpose", ""))
        ahead = self.request.method == "GET" and "prefetch" in purpose
        never = self.request.method in _NEVER_SEND
        return not (never or ahead or self.logged_in_before_view)

    def _ask_for_code(self) -> HttpResponseBase:
        url = reverse("otp_channels:verify")
        if self._wants_json():
            return JsonResponse({"detail": "otp_required", "verify": url}, status=403)
        return HttpResponseRedirect(url)

    def _wants_json(self) -> bool:
        preferred = self.request.get_preferred_type(["text/html", "application/json"])
        return preferred == "application/json"


def _is_ours(request: HttpRequest) -> bool:
    """Whether one of our pages was asked for, be the answer a page, a redirect or an error."""
    match = request.resolver_match
    return match is not None and "otp_channels" in match.app_names


def _is_login_page(request: HttpRequest, view: Any) -> bool:
    view_class = getattr(view, "view_class", None)
    return (
        (isinstance(view_class, type) and issubclass(view_class, LoginView))
        or (isinstance(getattr(view, "__self__", None), AdminSite) and view.__name__ == "login")
        or request.path == resolve_url(settings.LOGIN_URL).split("?")[0]
    )
