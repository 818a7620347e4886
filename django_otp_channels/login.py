"""The half-finished login: park it, send its first code, finish or cancel it.

While a login is parked, Django's own keys are out of the session and under one key of ours, so
every reader of the session sees nobody. What a session keeps of it is in :mod:`.sessions`.
"""

from __future__ import annotations

import enum
import math
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from django.conf import global_settings, settings
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    REDIRECT_FIELD_NAME,
    SESSION_KEY,
    get_user_model,
    load_backend,
)
from django.contrib.auth import login as django_login
from django.contrib.auth.models import AnonymousUser
from django.db import router
from django.http import HttpRequest
from django.middleware.csrf import rotate_token
from django.shortcuts import resolve_url
from django.urls import is_valid_path, reverse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _
from django_otp import DEVICE_ID_SESSION_KEY
from django_otp import login as otp_login
from django_otp.models import Device

from . import audit, choice, history, trust
from .clients import client_of
from .conf import conf
from .exceptions import SendNotAllowed
from .messages import Purpose
from .models import Activity, Challenge, ChannelDevice, TrustedBrowser
from .models.budgets import OverBudget
from .models.commits import after
from .others import OtherWay, other_ways
from .sessions import (
    CLOCK_SKEW,
    SESSION,
    Session,
    given,
    keep,
    leave_notice,
    note_given,
    ours,
    take_notices,
)

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

# How long "this login needs no code" is believed before it is asked again, in seconds.
FREE_AGE = 300
_MAX_NEXT = 2000


@dataclass(kw_only=True)
class ParkedLogin:
    """A login whose password was right and whose code is still missing.

    ``deferred`` says that Django's ``login()`` was not called yet. ``hash`` is the session
    authentication hash, so that a change of password ends the parked login. ``flow`` is the random
    value that ties challenges to this session. ``next`` is validated when it is stored, and
    ``origin`` is the path of the login page that the person came from, if any. ``single``
    says that the person had one device of ours at the password: the challenge brings it along, and
    the code page need not look for others. ``password_at`` is when the password was given, 0 where
    a running session that came to need a code does not know.
    """

    user: str
    backend: str
    hash: str
    at: int
    deferred: bool = False
    next: str = ""
    origin: str = ""
    flow: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    single: bool = False
    password_at: int = 0

    purpose = Purpose.LOGIN

    @property
    def alive(self) -> bool:
        return -CLOCK_SKEW <= time.time() - self.at <= conf.LOGIN_TIMEOUT

    def save(self, session: Session) -> None:
        session[SESSION] = {"parked": asdict(self)}


# -- who needs the step ----------------------------------------------------------------------


def needs_code(user: AbstractBaseUser, request: HttpRequest) -> bool:
    """Say whether this login must end with a code, as the policy wants it.

    A policy that cannot be evaluated raises: an unknown state never means "no code needed".
    """
    return _policy_asks(user, request) and not (in_grace() and not has_factor(user, request))


def in_grace() -> bool:
    """Say whether people who must enrol and have no device yet may still go on without."""
    end = conf.GRACE
    if end is None:
        return False
    if not isinstance(end, datetime):
        midnight = datetime.combine(end, datetime.min.time())
        end = timezone.make_aware(midnight, timezone.get_default_timezone())
    return datetime.now(UTC) < end


def _policy_asks(user: AbstractBaseUser, request: HttpRequest) -> bool:
    policy = conf.POLICY
    if policy == "everyone":
        return True
    if policy == "staff":
        return bool(getattr(user, "is_staff", False)) or has_factor(user, request)
    if policy == "enrolled":
        return has_factor(user, request)
    return bool(import_string(policy)(user, request))


def lacks_code(user: AbstractBaseUser | AnonymousUser, request: HttpRequest) -> bool:
    """Say whether this user needs a code and has entered none.

    For credentials that make no session. A user of another kind than the site's own (one that was
    read from a token, say) cannot be judged, and so lacks one.
    """
    if not isinstance(user, get_user_model()):
        return True
    # Not is_verified(): a user model may have a method of that name which means something else.
    device = getattr(user, "otp_device", None)
    if isinstance(device, Device) and device.user_id == user.pk:
        return False
    return needs_code(user, request)


def must_enrol(user: AbstractBaseUser, request: HttpRequest) -> bool:
    """Say whether the policy asks this user for a code even without a device.

    Also while there is grace: who has enrolled by then shall not go back.
    """
    policy = conf.POLICY
    if policy == "staff":
        return bool(getattr(user, "is_staff", False))
    return policy != "enrolled" and _policy_asks(user, request)


def is_reminded(user: AbstractBaseUser, request: HttpRequest) -> bool:
    """Say whether this user must add a device by the end of the grace, and has none yet."""
    return in_grace() and must_enrol(user, request) and not has_factor(user, request)


def has_factor(user: AbstractBaseUser, request: HttpRequest) -> bool:
    """Say whether a confirmed device exists, of this package or any other django-otp plugin.

    By its existence, never by whether it can be reached now.
    """
    return bool(own_devices(user, request)) or bool(other_ways(user))


def own_devices(user: AbstractBaseUser, request: HttpRequest) -> Sequence[ChannelDevice]:
    """Return the user's confirmed devices of this package, read once per request."""
    read: dict[Any, Sequence[ChannelDevice]]
    read = request.session.__dict__.setdefault("_otp_channels_devices", {})
    if user.pk not in read:
        read[user.pk] = ChannelDevice.objects.for_login(user.pk)
    return read[user.pk]


# -- trusted browsers ------------------------------------------------------------------------


def trusted_browser(request: HttpRequest, user: AbstractBaseUser) -> str:
    """Return the id of the trusted browser that ``user`` logs in with, if it is one.

    Judged once per request: the secret changes as it is shown.
    """
    judged: dict[Any, str] = _notes(request).setdefault("_otp_channels_trusted", {})
    if user.pk not in judged:
        found = trust.recognise(request, user, partial(_factors, user, request))
        judged[user.pk] = found.browser if found else ""
        if found:
            way = TrustedBrowser._meta.label_lower
            # After the commit of the site's own transaction: the row's foreign key shares a lock on
            # the user's, in which logins at the same instant would end in a deadlock at
            # ``last_login``.
            note = partial(history.note, request, user, Activity.Event.SIGNED_IN, way=way)
            after(TrustedBrowser, note)
        if found and found.cookie:
            _hand_out(request, found.cookie)
    return judged[user.pk]


def trust_browser(request: HttpRequest, user: AbstractBaseUser) -> None:
    """Trust this browser from now on, if that may be. The caller has just verified a code."""
    if trust.may_trust(user, request):
        _hand_out(request, trust.grant(request, user, _factors(user, request)))


def is_in_trusted_browser(request: HttpRequest) -> bool:
    """Say whether who is logged in has entered no code, since a trusted browser let them in."""
    session = request.session
    entered = DEVICE_ID_SESSION_KEY in session
    return SESSION_KEY in session and not entered and bool(_browser_in(session))


def trusted_browsers(request: HttpRequest, user: AbstractBaseUser) -> Sequence[TrustedBrowser]:
    """Return the browsers that this user's logins need no code in, the latest used first."""
    return trust.browsers_of(request, user, _factors(user, request))


def _factors(user: AbstractBaseUser, request: HttpRequest) -> list[str]:
    """Name the user's devices, with what must not change about them behind a trust's back."""
    return [
        *(
            f"{device.persistent_id} {device.version} {device.disabled_reason}"
            for device in own_devices(user, request)
        ),
        *(way.persistent_id for way in other_ways(user)),
    ]


def _hand_out(request: HttpRequest, cookie: str) -> None:
    """Have the middleware set the cookie, once the row that it belongs to is certain."""
    notes = _notes(request)
    after(TrustedBrowser, partial(notes.__setitem__, "_otp_channels_cookie", cookie))


def handed_out(request: HttpRequest) -> str:
    """Return the cookie's value that this request's browser gets, if it gets one."""
    cookie: str = _notes(request).get("_otp_channels_cookie", "")
    return cookie


# -- park ------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class FreshLogin:
    """The login that this very request made: ``parked``, of ``user``, over an older parked one.

    ``session`` is the one that it was made in.
    """

    parked: ParkedLogin
    user: AbstractBaseUser
    replaced: ParkedLogin | None
    session: Any


def watch(request: HttpRequest) -> None:
    """Remember the session that a request came with, as the login step begins.

    A view may put another one in its place: for a while, as allauth does for apps that hold a token
    instead of a cookie, or for good, as it does after a social login.
    """
    request.__dict__["_otp_channels_session"] = request.session


def _notes(request: HttpRequest) -> dict[str, Any]:
    """Return where to note things for this request: with its session, which its wrappers share."""
    session: Any = getattr(request, "_otp_channels_session", request.session)
    notes: dict[str, Any] = session.__dict__
    return notes


def fresh_login(request: HttpRequest) -> FreshLogin | None:
    """Return the login that was parked during this request, if any."""
    fresh: FreshLogin | None = _notes(request).get("_otp_channels_login")
    return fresh


def was_elsewhere(request: HttpRequest, fresh: FreshLogin) -> bool:
    """Say whether this login was made in a session that was the request's for a while only.

    Who holds that session has no way to the code page.
    """
    return fresh.session not in (request.session, request.__dict__.get("_otp_channels_session"))


def park(request: HttpRequest, user: AbstractBaseUser, *, deferred: bool = False) -> None:
    """Take this login out of the session until its code is right.

    ``deferred`` where Django's ``login()`` was not called. The session's key changes, and nothing
    of an earlier parked login stays in it.
    """
    session = request.session
    if deferred:
        if SESSION_KEY in session:
            session.flush()  # somebody was logged in here: nothing of that session is kept
        parked = ParkedLogin(
            user=user._meta.pk.value_to_string(user),
            backend=user.backend,
            hash=user.get_session_auth_hash(),
            at=int(time.time()),
            deferred=True,
        )
    else:
        parked = _take_keys(session)
    parked.password_at = parked.at
    replaced = _record_in(session)
    if replaced is not None and replaced.user != parked.user:
        session.flush()  # as Django does when somebody else logs in over a login
    elif session.session_key == request.COOKIES.get(settings.SESSION_COOKIE_NAME):
        session.cycle_key()
    parked.save(session)
    _notes(request)["_otp_channels_login"] = FreshLogin(
        parked=parked, user=user, replaced=replaced, session=session
    )


def keep_running_login(request: HttpRequest) -> None:
    """Undo a fresh parking of who was parked already.

    A middleware that logs in by itself (RemoteUserMiddleware) does so again at each request while
    the person is nobody. That is the same login still, not a reason to send another code.
    """
    fresh = fresh_login(request)
    if fresh is not None and fresh.replaced is not None:
        before, now = fresh.replaced, fresh.parked
        if before.alive and (before.user, before.hash) == (now.user, now.hash):
            before.save(request.session)
            del _notes(request)["_otp_channels_login"]


def _take_keys(session: Session) -> ParkedLogin:
    """Move Django's keys out of the session into a parked login."""
    session.pop(DEVICE_ID_SESSION_KEY, None)
    age = given(session, "password")
    return ParkedLogin(
        password_at=int(time.time() - age) if age < math.inf else 0,
        user=str(session.pop(SESSION_KEY)),
        backend=session.pop(BACKEND_SESSION_KEY, ""),
        hash=session.pop(HASH_SESSION_KEY, ""),
        at=int(time.time()),
    )


def park_on_login(request: HttpRequest | None, user: AbstractBaseUser, **_kwargs: Any) -> None:
    """Receive Django's ``user_logged_in``: whoever called ``login()``, the login is parked."""
    session = getattr(request, "session", None)
    if request is None or session is None or SESSION_KEY not in session:
        return
    if getattr(user, "otp_device", None) is not None:
        # A form of django-otp's, or our own resume(), has seen the code with the password. A device
        # that the session alone remembers does not count: each login() needs a code of its own.
        session.pop(SESSION, None)
        note_given(session, "password")
        note_given(session, "code")
    elif needs_code(user, request) and not trusted_browser(request, user):
        park(request, user)
    else:
        _leave_strangers_data(request, session)
        take_notices(session)  # of why to sign in, which no page of ours has shown
        _remember_free(session, trusted_browser(request, user))
        note_given(session, "password")
        if is_reminded(user, request):
            _notes(request)["_otp_channels_remind"] = True


def end_on_logout(request: HttpRequest | None, **_kwargs: Any) -> None:
    """Receive Django's ``user_logged_out``: the codes of a parked login are dead."""
    session = getattr(request, "session", None)
    parked = _record_in(session) if session is not None else None
    if request is not None and parked is not None:
        _give_up(request, parked, "logout")


def _give_up(request: HttpRequest, parked: ParkedLogin, reason: str) -> None:
    """Make the codes of a parked login dead. ``reason`` as in the audit's inventory."""
    Challenge.cancel(parked.flow)
    user = get_user_model()._meta.pk.to_python(parked.user)
    audit.record("login_cancelled", user=user, client=client_of(request), reason=reason)


def end_replaced(request: HttpRequest, fresh: FreshLogin) -> None:
    """Make the codes of the parked login dead in whose place ``fresh`` was made, if any."""
    if fresh.replaced is not None:
        _give_up(request, fresh.replaced, "replaced")


def _leave_strangers_data(request: HttpRequest, session: Any) -> None:
    """Drop what the session kept for somebody else whose login was parked in it."""
    replaced = _record_in(session)
    if replaced is not None and replaced.user != session[SESSION_KEY]:
        _give_up(request, replaced, "replaced")
        keys = {key: session[key] for key in (SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY)}
        session.flush()
        session.update(keys)


def owes_code(request: HttpRequest) -> bool:
    """Say whether who is logged in has a factor by now, and the session has seen no code.

    If so, the session is parked at once. For pages that manage factors: the remembered decision
    that a login needs no code is not good enough there.
    """
    user: Any = request.user
    if user.is_verified() or not has_factor(user, request):
        return False
    _park_again(request, request.get_full_path() if request.method == "GET" else "")
    return True


def _park_again(request: HttpRequest, then: str) -> None:
    """Park who is logged in without a code, to go on to ``then`` once it is entered."""
    parked = _take_keys(request.session)
    parked.next = safe_next(request, then)
    parked.save(request.session)


def ask_in_trusted_browser(request: HttpRequest) -> bool:
    """Park whom a trusted browser has let in, if a page sent them to log in: whether it did so.

    A page that insists on a code (``otp_required``, ``OTPAdminSite``) sends those to the login page
    who have entered none. There the password alone would lead back to it, and so on.
    """
    then = request.GET.get(REDIRECT_FIELD_NAME, "")
    if not (then and is_in_trusted_browser(request)):
        return False
    _park_again(request, then)
    return True


def remind(request: HttpRequest, then: str) -> bool:
    """Keep ``then`` for after the reminder, if this request has logged in somebody to remind.

    Once per login, since only a login asks for it: whoever leaves the page without an answer is
    left alone.
    """
    session = request.session
    if not (reminds(request) and _is_free(session)):
        return False
    session[SESSION] = {**ours(session), "then": safe_next(request, then)}
    return True


def reminds(request: HttpRequest) -> bool:
    """Whether this request has logged in somebody who is to be reminded."""
    return bool(_notes(request).get("_otp_channels_remind"))


def after_reminder(session: Session) -> str:
    """Return where the login wanted to go that was led to the reminder; an empty string if none."""
    return str(ours(session).get("then", ""))


def undecided(session: Session) -> bool:
    """Whether this session is logged in, and neither verified nor known to need no code."""
    return SESSION_KEY in session and DEVICE_ID_SESSION_KEY not in session and not _is_free(session)


def verified_in(session: Session) -> tuple[Any, Any]:
    """Return the user of this session and the device that verified them, each None if missing."""
    return session.get(SESSION_KEY), session.get(DEVICE_ID_SESSION_KEY)


def drop_strangers_device(session: Session, before: tuple[Any, Any]) -> None:
    """Forget the device of whom this session was verified for, where it is somebody else's by now.

    ``before`` is what :func:`verified_in` said as the request began. Django's ``login()`` flushes
    such a session; code that writes the keys by hand does not.
    """
    user, device = verified_in(session)
    if device is not None and user is not None and device == before[1] and user != before[0]:
        del session[DEVICE_ID_SESSION_KEY]


class Screening(enum.Enum):
    """What :func:`screen` did to a session."""

    UNTOUCHED = enum.auto()
    FREE = enum.auto()
    PARKED = enum.auto()


def screen(request: HttpRequest, session: Session) -> Screening:
    """Park a session that is logged in, not verified, and needs a code.

    This is the net under everything else: a session from before the app was installed, one whose
    device is gone, or one whose keys somebody wrote by hand.
    """
    browser = _browser_in(session)
    if not undecided(session) and _still_trusted(request, session, browser):
        return Screening.UNTOUCHED
    user = _session_user(session)
    if user is None:  # nobody, or somebody whom Django will not accept either
        return Screening.UNTOUCHED
    if not needs_code(user, request):
        browser = ""
    elif not (browser and trust.holds(request, user, browser, _factors(user, request))):
        replaced = _record_in(session)
        if replaced is not None:  # whoever wrote the keys by hand has told nobody
            _give_up(request, replaced, "replaced")
        _take_keys(session).save(session)
        return Screening.PARKED
    _remember_free(session, browser)
    return Screening.FREE


def _still_trusted(request: HttpRequest, session: Session, browser: str) -> bool:
    """Ask at each request for the row that this session is due to, so that its end is at once."""
    if not browser or SESSION_KEY not in session or DEVICE_ID_SESSION_KEY in session:
        return True  # not due to one
    return trust.stands(request, _pk_in(session), browser)


def _pk_in(session: Session) -> Any:
    return get_user_model()._meta.pk.to_python(session[SESSION_KEY])


def _session_user(session: Session) -> AbstractBaseUser | None:
    backend = session.get(BACKEND_SESSION_KEY, "")
    if SESSION_KEY not in session or backend not in settings.AUTHENTICATION_BACKENDS:
        return None
    user: AbstractBaseUser | None = load_backend(backend).get_user(_pk_in(session))
    if user is None or not same_login(user, session.get(HASH_SESSION_KEY, "")):
        return None
    return user


def same_login(user: AbstractBaseUser, session_hash: str) -> bool:
    """Say whether the password (or ``SECRET_KEY``, with its fallbacks) is still the one of then."""
    hashes = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return any(constant_time_compare(session_hash, current) for current in hashes)


def _remember_free(session: Session, browser: str = "") -> None:
    kept = {name: value for name, value in ours(session).items() if name != "parked"}
    user = session[SESSION_KEY]
    free = kept.get("free")
    if isinstance(free, dict) and free.get("user") != user:
        kept = {}
    session[SESSION] = {
        **kept,
        "free": {
            "user": user,
            "hash": session.get(HASH_SESSION_KEY, ""),
            "policy": conf.POLICY,
            "at": int(time.time()),
            "grace": in_grace(),
            "browser": browser,
        },
    }


def _is_free(session: Session) -> bool:
    free = ours(session).get("free")
    return (
        isinstance(free, dict)
        and free.get("user") == session.get(SESSION_KEY)
        and free.get("hash") == session.get(HASH_SESSION_KEY)
        and free.get("policy") == conf.POLICY
        and free.get("grace") == in_grace()
        and isinstance(free.get("at"), int)
        and 0 <= time.time() - free["at"] < FREE_AGE
    )


def _browser_in(session: Session) -> str:
    """Return the id of the trusted browser that let this session in, if one did."""
    free = ours(session).get("free")
    return str(free.get("browser") or "") if isinstance(free, dict) else ""


def forget_decision(session: Session) -> None:
    """Forget that this login needed no code: its devices have changed."""
    if "free" in ours(session):
        keep(session, "free", None)


def parked_in(session: Session) -> ParkedLogin | None:
    """Return the parked login of this session, if there is one and its time is not up."""
    parked = _record_in(session)
    return parked if parked is not None and parked.alive else None


def overdue_in(session: Session) -> ParkedLogin | None:
    """Return the parked login of this session whose time is up, if there is one."""
    parked = _record_in(session)
    return parked if parked is not None and not parked.alive else None


def _record_in(session: Session) -> ParkedLogin | None:
    record = ours(session).get("parked")
    try:
        parked = ParkedLogin(**record) if isinstance(record, dict) else None
    except TypeError:  # written by another version of the package
        return None
    return parked if parked is not None and isinstance(parked.at, int) else None


# -- begin, resume, cancel -------------------------------------------------------------------


def begin(request: HttpRequest, fresh: FreshLogin) -> None:
    """Send the first code of a login that this request has parked."""
    send_first(request, fresh.parked, fresh.user)
    # Also what a refusal has left for the code page stays.
    keep(request.session, "parked", asdict(fresh.parked))


def send_first(request: HttpRequest, step: Any, user: AbstractBaseUser) -> None:
    """Send the first code to the person's first device that can be reached, its preferred way.

    The way that this browser was used with last goes first. ``step`` is a :class:`ParkedLogin`, or
    whatever else asks for a code: it has a ``flow`` and a ``purpose``. Where no device can be
    reached, or the account is locked, nothing is sent: the code page says so and offers what else
    there is.
    """
    devices = own_devices(user, request)
    step.single = len(devices) == 1
    wish, wished = choice.remembered(request)
    if remembered_way(request, user) is not None:
        return  # the code page asks for that one, and nothing needs to be sent
    for device in sorted(devices, key=lambda device: device.persistent_id != wish):
        names = device.channels
        if device.persistent_id == wish:
            names = sorted(names, key=lambda name: name != wished)
        if names and device.lock is None:
            try:
                Challenge.open_flow(
                    device,
                    names[0],
                    purpose=step.purpose,
                    flow=step.flow,
                    client=client_of(request),
                )
            except SendNotAllowed as refused:
                # Over that limit the code page's button sends all the same.
                if not (isinstance(refused, OverBudget) and refused.bucket == "login.client"):
                    leave_notice(request.session, str(refused))
            return


def remembered_way(request: HttpRequest, user: AbstractBaseUser) -> OtherWay | None:
    """Return the authenticator app, say, that this browser has been used with last, if any."""
    wish, _channel = choice.remembered(request)
    if not wish or wish.startswith(f"{ChannelDevice.model_label()}/"):
        return None
    ways = (way for way in other_ways(user) if way.is_typed and not way.recovers)
    return next((way for way in ways if way.persistent_id == wish), None)


def send(
    request: HttpRequest,
    step: Any,
    current: Challenge | None,
    device: ChannelDevice,
    channel: str,
) -> None:
    """Send a code for ``step`` over ``channel`` to ``device``: again, or another way.

    ``step`` is as in :func:`send_first`, and ``current`` is its challenge so far. Raises
    ``SendNotAllowed`` with the reason.
    """
    client = client_of(request)
    if current is not None:
        current.send_again(device, channel, client=client)
    elif device.lock is not None:
        raise SendNotAllowed(
            _("Codes are locked for a while after too many wrong ones."),
            retry_after=device.lock.seconds_left,
        )
    else:
        Challenge.open_flow(
            device,
            channel,
            purpose=step.purpose,
            flow=step.flow,
            client=client,
            by_hand=True,
        )


def parked_user(parked: ParkedLogin) -> AbstractBaseUser | None:
    """Re-read the user of a parked login. None if deactivated, gone, or with another password."""
    model = get_user_model()
    pk = model._meta.pk.to_python(parked.user)
    user = model._default_manager.using(router.db_for_write(model)).filter(pk=pk).first()
    return user if user is not None and may_resume(parked, user) else None


def may_resume(parked: ParkedLogin, user: AbstractBaseUser) -> bool:
    """Say whether ``user`` is still who was parked: active, same password, alive in time."""
    return (
        parked.alive
        and user._meta.pk.value_to_string(user) == parked.user
        and bool(getattr(user, "is_active", True))
        and same_login(user, parked.hash)
    )


def resume(
    request: HttpRequest, parked: ParkedLogin, user: AbstractBaseUser, device: Device
) -> str:
    """Finish the login: the code is right. Return the URL to go on to.

    The session gets a new key and the old one is dead on the server; the CSRF token rotates.
    """
    session = request.session
    kept = {key: value for key, value in session.items() if key != SESSION}
    session.flush()
    session.update(kept)
    session[SESSION_KEY] = parked.user
    session[BACKEND_SESSION_KEY] = parked.backend
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    user.otp_device = device  # type: ignore[attr-defined]
    if parked.deferred:
        # Django's keys are in place, so login() neither flushes nor cycles the session again.
        django_login(request, user, backend=parked.backend)  # type: ignore[arg-type]
    else:
        request.user = user  # type: ignore[assignment]
        rotate_token(request)
    otp_login(request, device)
    session.pop(SESSION, None)
    if parked.password_at:
        note_given(session, "password", parked.password_at)
    note_given(session, "code")
    return parked.next or resolve_url(settings.LOGIN_REDIRECT_URL)


def cancel(request: HttpRequest, notice: str = "", *, reason: str = "person") -> str:
    """End the parked login: its codes are dead, and nothing of its session is kept.

    ``notice`` is a sentence for the login page, ``reason`` one of the audit's inventory. Returns
    the URL of that page.
    """
    parked = _record_in(request.session)
    if parked is not None:
        _give_up(request, parked, reason)
    request.session.flush()
    if notice:
        leave_notice(request.session, notice)
    return login_page(parked)


def be_nobody(request: HttpRequest) -> None:
    """Make every accessor of the request's user anonymous."""
    nobody = anonymous()

    async def auser() -> AnonymousUser:
        return nobody

    request.user = nobody
    request.auser = auser
    request.__dict__["_cached_user"] = nobody
    request.__dict__["_acached_user"] = nobody


def anonymous() -> AnonymousUser:
    """Return an anonymous user as django-otp's middleware would: not verified by any device."""
    nobody: Any = AnonymousUser()
    nobody.otp_device = None
    nobody.is_verified = lambda: False
    return nobody


# -- where to go -----------------------------------------------------------------------------


def login_page(parked: ParkedLogin | None = None) -> str:
    """Return the URL of the login page: the one that ``parked`` came from, else the site's.

    A site whose ``LOGIN_URL`` leads nowhere (Django's default, on a new project) has ours.
    """
    page = parked.origin if parked else ""
    if not page:
        page = resolve_url(settings.LOGIN_URL)
        if settings.LOGIN_URL == global_settings.LOGIN_URL and not is_valid_path(page):
            page = reverse("otp_channels:login")
    if parked is not None and parked.next:
        joint = "&" if "?" in page else "?"
        page = f"{page}{joint}{urlencode({REDIRECT_FIELD_NAME: parked.next})}"
    return page


def safe_next(request: HttpRequest, url: str | None) -> str:
    """Return ``url`` if a login may go on to it, as Django judges ``next``; else an empty string.

    The step's own pages are no targets: they would lead in a circle.
    """
    if (
        not url
        or len(url) > _MAX_NEXT
        or not url.isprintable()
        or not url_has_allowed_host_and_scheme(
            url, allowed_hosts={request.get_host()}, require_https=request.is_secure()
        )
    ):
        return ""
    if url in (resolve_url(settings.LOGIN_REDIRECT_URL), resolve_url(settings.LOGIN_URL)):
        return ""  # where people go anyway
    path = urlsplit(url).path
    circle = {
        reverse(f"otp_channels:{name}") for name in ("verify", "send", "cancel", "login", "remind")
    }
    return "" if path in circle or path == login_page() else url
