"""Pages of the site that the tests log in to."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import SESSION_KEY, alogin, authenticate, get_user_model, login
from django.contrib.auth.decorators import login_not_required, login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.views.decorators.csrf import csrf_exempt
from django_otp import verify_token
from django_otp.decorators import otp_required


@login_required
def private(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"private page of {request.user.get_username()}")


@otp_required
def verified_only(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"verified page of {request.user.get_username()}")


@login_not_required
def public(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("public page")


@login_not_required
def whoami(request: HttpRequest) -> JsonResponse:
    """What each kind of reader of the session sees."""
    return JsonResponse(
        {
            "user": request.user.get_username(),
            "key": request.session.get(SESSION_KEY),
            "verified": bool(request.user.is_verified()),
        }
    )


async def awhoami(request: HttpRequest) -> JsonResponse:
    user = await request.auser()
    return JsonResponse(
        {
            "user": user.get_username(),
            "key": await request.session.aget(SESSION_KEY),
            "verified": bool(user.is_verified()),
        }
    )


awhoami.login_required = False  # type: ignore[attr-defined]


def _authenticated(request: HttpRequest) -> Any:
    return authenticate(
        request, username=request.POST["username"], password=request.POST["password"]
    )


@csrf_exempt
@login_not_required
def custom_login(request: HttpRequest) -> HttpResponse:
    """A site's own view that calls ``login()`` and shows and sets what it should not."""
    user = _authenticated(request)
    if user is None:
        return HttpResponse("no", status=401)
    login(request, user)
    if request.POST.get("fail"):
        return HttpResponse("secret of the person", status=503)
    if request.POST.get("crash"):
        message = "the view broke after its login"
        raise RuntimeError(message)
    if target := request.POST.get("go"):
        response: HttpResponse = redirect(target)
    else:
        response = HttpResponse("secret of the person")
    response.set_cookie("remember", "secret")
    return response


@csrf_exempt
async def async_login(request: HttpRequest) -> HttpResponse:
    from asgiref.sync import sync_to_async

    user = await sync_to_async(_authenticated)(request)
    await alogin(request, user)
    return HttpResponse("secret of the person")


async_login.login_required = False  # type: ignore[attr-defined]


@csrf_exempt
@login_not_required
def session_keys_by_hand(request: HttpRequest) -> HttpResponse:
    """Log in without ``login()``, as code that writes the session keys itself does."""
    user = _authenticated(request)
    request.session[SESSION_KEY] = str(user.pk)
    request.session["_auth_user_backend"] = "django.contrib.auth.backends.ModelBackend"
    request.session["_auth_user_hash"] = user.get_session_auth_hash()
    return HttpResponse("secret of the person")


@csrf_exempt
@login_not_required
def stock_verify(request: HttpRequest) -> HttpResponse:
    """A site's own use of django-otp's ``verify_token``, which may fail after it."""
    user = get_user_model().objects.get(username=request.POST["username"])
    device = verify_token(user, request.POST["device"], request.POST["token"])
    if request.POST["fail"]:
        message = "the view broke after its verification"
        raise RuntimeError(message)
    return HttpResponse("yes" if device else "no")


class WrappedRequest:
    """A request around a request, as REST frameworks make one."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)


@csrf_exempt
@login_not_required
def wrapped_login(request: HttpRequest) -> HttpResponse:
    login(WrappedRequest(request), _authenticated(request))  # type: ignore[arg-type]
    return HttpResponse("secret of the person")


@csrf_exempt
@login_not_required
def any_login(request: HttpRequest) -> HttpResponse:
    """Log in by GET too, as a link in a mail does."""
    data = request.POST or request.GET
    user = authenticate(request, username=data["username"], password=data["password"])
    login(request, user)
    return HttpResponse("secret of the person")


@csrf_exempt
@login_not_required
def login_and_reload(request: HttpRequest) -> HttpResponse:
    """Put a new session object in the place of the one that was logged in to, for good."""
    login(request, _authenticated(request))
    request.session.save()
    request.session = type(request.session)(request.session.session_key)
    request.session.modified = True
    return HttpResponse("secret of the person")


@csrf_exempt
@login_not_required
def reload_and_write(request: HttpRequest) -> HttpResponse:
    """Write the session keys by hand into a session object that is not the request's first."""
    request.session = type(request.session)()
    return session_keys_by_hand(request)
