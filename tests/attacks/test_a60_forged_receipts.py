"""A60: nobody but the provider moves a delivery, and nobody but the listener hears a code."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path

from tests.hooks import Sent, everything, spoken_in
from tests.providers.twilio import API_KEY, API_SECRET, AUTH_TOKEN, Callback, sign

pytestmark = pytest.mark.django_db(transaction=True)

BASE = "https://www.example.com"
SECOND_TOKEN = "the-other-auth-token-of-the-tests"
FORM = "application/x-www-form-urlencoded"
EVIL = "https://evil.example"
HOOKS: dict[str, tuple[str, Callable[[Sent], Callback]]] = {
    "status of a text": ("sms", lambda sent: sent.status("undelivered", "30003")),
    "status of a call": ("voice", lambda sent: sent.status("no-answer")),
    "key press": ("voice", lambda sent: sent.pressed()),
}


@pytest.fixture(params=HOOKS.values(), ids=HOOKS.keys())
def hook(request) -> tuple[str, Callable[[Sent], Callback]]:
    return request.param


def where(callback: Callback) -> str:
    parts = urlsplit(callback.url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def post(callback: Callback, body: Any = None, content_type: str = FORM, **headers: str) -> Any:
    """Make the request of ``callback`` by hand, with its signature unless ``headers`` has one."""
    headers = {"X-Twilio-Signature": callback.signature, **headers}
    return Client(enforce_csrf_checks=True).post(
        where(callback),
        urlencode(callback.fields) if body is None else body,
        content_type=content_type,
        headers=headers,
    )


def signed(callback: Callback, token: str = AUTH_TOKEN, *, url: str = "", **fields: str) -> Any:
    """Sign anew, as only the holder of the token can."""
    fields = {**callback.fields, **fields}
    return replace(callback, fields=fields, signature=sign(url or callback.url, fields, token))


def without_signature(callback: Callback) -> Any:
    return Client().post(where(callback), urlencode(callback.fields), content_type=FORM)


def with_query(callback: Callback, **query: str) -> Callback:
    url = f"{callback.url}?{urlencode(query)}"
    return replace(callback, url=url, signature=sign(url, callback.fields))


def body_digest(callback: Callback) -> Any:
    body = json.dumps(dict(callback.fields))
    digest = hashlib.sha256(body.encode()).hexdigest()
    url = f"{callback.url}?bodySHA256={digest}"
    return post(replace(callback, url=url, signature=sign(url, {})), body, "application/json")


def form_digest(callback: Callback) -> Any:
    digest = hashlib.sha256(urlencode(callback.fields).encode()).hexdigest()
    url = f"{callback.url}?bodySHA256={digest}"
    return post(replace(callback, url=url, signature=sign(url, {})))


def other_algorithm(callback: Callback) -> Any:
    text = callback.url + "".join(name + callback.fields[name] for name in sorted(callback.fields))
    signature = base64.b64encode(hmac.digest(AUTH_TOKEN.encode(), text.encode(), "sha256")).decode()
    headers = {"X-Twilio-Webhooks-Signature-Settings": "key=x,algorithm=HMAC_SHA256"}
    return post(replace(callback, signature=signature), **headers)


def by_other_origin(origin: str, **headers: str) -> Callable[[Callback], Any]:
    """Sign for the origin that the headers claim."""
    return lambda callback: post(
        signed(callback, url=callback.url.replace(BASE, origin)), **headers
    )


def elsewhere(callback: Callback, **parts: str) -> Callback:
    """Return the same request, signed for the address with some parts replaced."""
    url = callback.url
    for old, new in parts.items():
        assert f"/{old}/" in url or old == "end"
        url = f"{url[:-2]}{new}/" if old == "end" else url.replace(f"/{old}/", f"/{new}/")
    return replace(callback, url=url, signature=sign(url, callback.fields))


FORGED: dict[str, Callable[[Callback], HttpResponse]] = {
    "no signature": without_signature,
    "an empty signature": lambda hook: post(hook, **{"X-Twilio-Signature": ""}),
    "two signatures, the right one first": lambda hook: post(
        hook, **{"X-Twilio-Signature": f"{hook.signature},{sign(hook.url, {})}"}
    ),
    "two signatures, the right one last": lambda hook: post(
        hook, **{"X-Twilio-Signature": f"{sign(hook.url, {})}, {hook.signature}"}
    ),
    "the right signature twice": lambda hook: post(
        hook, **{"X-Twilio-Signature": f"{hook.signature},{hook.signature}"}
    ),
    "a wrong signature": lambda hook: post(signed(hook, "a-token-of-somebody-else")),
    "a signature that is no text": lambda hook: post(hook, **{"X-Twilio-Signature": "\xff\xfe="}),
    "an underscore for a hyphen": lambda hook: Client().post(
        where(hook), urlencode(hook.fields), content_type=FORM,
        headers={"X_Twilio_Signature": "x"},
    ),
    "signed for http": lambda hook: post(
        signed(hook, url=hook.url.replace("https://", "http://"))
    ),
    "signed for another path": lambda hook: post(signed(hook, url=f"{BASE}/account/receipts/")),
    "signed for another id": lambda hook: post(signed(hook, url=f"{hook.url[:-10]}00000000-0/")),
    "signed without its query": lambda hook: post(
        replace(with_query(hook, x="1"), signature=hook.signature)
    ),
    "one field more": lambda hook: post(hook, urlencode({**hook.fields, "Extra": "1"})),
    "one field less": lambda hook: post(hook, urlencode(dict(list(hook.fields.items())[:-1]))),
    "another value": lambda hook: post(hook, urlencode({**hook.fields, "To": "+12025550199"})),
    "the fields in the query": lambda hook: post(with_query(hook, **hook.fields), ""),
    "JSON with the digest of its body": body_digest,
    "a form with the digest of its body": form_digest,
    "the signed form as JSON": lambda hook: post(
        hook, json.dumps(dict(hook.fields)), "application/json"
    ),
    "the signed form as text": lambda hook: post(hook, None, "text/plain"),
    "another account": lambda hook: post(signed(hook, AccountSid="AC" + "9" * 32)),
    "no account": lambda hook: post(signed(hook, AccountSid="")),
    "another algorithm, named": other_algorithm,
    "an algorithm that there is not": lambda hook: post(
        signed(hook, "wrong"), **{"X-Twilio-Webhooks-Signature-Settings": "algorithm=NONE"}
    ),
    "a message without an id": lambda hook: post(signed(hook, MessageSid="", CallSid="")),
    "an id without end": lambda hook: post(signed(hook, MessageSid="S" * 65, CallSid="C" * 65)),
    "a port that there is not": by_other_origin("https://x:99999", Host="x:99999"),
    "the Host of the request": by_other_origin(EVIL, Host="evil.example"),
    "a forwarded host": by_other_origin(EVIL, **{"X-Forwarded-Host": "evil.example"}),
    "a forwarded scheme": by_other_origin(
        "http://www.example.com", **{"X-Forwarded-Proto": "http"}
    ),
    "a forwarded port": by_other_origin(f"{BASE}:8443", **{"X-Forwarded-Port": "8443"}),
    "5 MB": lambda hook: post(signed(hook, Extra="x" * 5_000_000)),
    "10,000 fields": lambda hook: post(signed(hook, **{f"f{n}": "" for n in range(10_000)})),
    "101 fields": lambda hook: post(signed(hook, **{f"f{n}": "" for n in range(101)})),
    "bytes that are no text": lambda hook: post(hook, b"\xff\xfe=%ff&" * 9),
    "another channel": lambda hook: post(
        elsewhere(hook, **({"sms": "push"} if "/sms/" in hook.url else {"voice": "sms"}))
    ),
    "a channel that there is not": lambda hook: post(
        elsewhere(hook, **({"sms": "fax"} if "/sms/" in hook.url else {"voice": "fax"}))
    ),
    "another provider": lambda hook: post(elsewhere(hook, twilio="memory")),
    "a backend that there is not": lambda hook: post(elsewhere(hook, end="7")),
}  # fmt: skip


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
@pytest.mark.guard("django_otp_channels.backends.twilio._Twilio._verify")
def test_a60_a_forged_request_is_refused_and_changes_nothing(
    over_twilio, hook, forge, settings, caplog
):
    settings.ALLOWED_HOSTS = ["*"]
    settings.USE_X_FORWARDED_HOST = settings.USE_X_FORWARDED_PORT = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    channel, make = hook
    sent = over_twilio(channel)
    before = everything()
    caplog.clear()

    answer = forge(make(sent))

    assert (answer.status_code, answer.content) == (403, b"")
    assert everything() == before
    told = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert [(each.name, each.levelno) for each in told] == [
        ("django_otp_channels.audit", logging.WARNING),
        ("django.request", logging.WARNING),
    ]
    assert "receipt_refused" in told[0].getMessage()


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete", "trace"])
def test_a60_no_other_method_is_heard(over_twilio, hook, method):
    channel, make = hook
    sent = over_twilio(channel)
    callback = with_query(make(sent), **make(sent).fields)
    callback = replace(callback, signature=sign(callback.url, {}))
    before = everything()

    answer = getattr(Client(), method)(
        where(callback), headers={"X-Twilio-Signature": callback.signature}
    )

    assert answer.status_code == 405
    assert everything() == before


def test_a60_a_missing_secret_accepts_nobody(over_twilio, hook, settings):
    """The signature of an empty token is easily made."""
    channel, make = hook
    sent = over_twilio(channel)
    callback = make(sent)
    options = {"api_key": API_KEY, "api_secret": API_SECRET, "auth_token": ""}
    settings.OTP_CHANNELS = {
        name: [{**entry, "OPTIONS": {**entry["OPTIONS"], **options}} for entry in entries]
        for name, entries in settings.OTP_CHANNELS.items()
    }
    before = everything()

    for token in ("", AUTH_TOKEN):
        assert post(signed(callback, token)).status_code == 403
    assert everything() == before


def test_a60_without_a_base_url_nobody_is_heard(over_twilio, hook, settings):
    channel, make = hook
    sent = over_twilio(channel)
    callback = make(sent)
    settings.OTP_CHANNELS_BASE_URL = ""
    before = everything()

    for origin in ("", "http://testserver", "https://testserver", BASE):
        url = callback.url.replace(BASE, origin)
        assert post(signed(callback, url=url)).status_code == 403
    assert everything() == before


def test_a60_a_host_that_is_not_allowed_gets_no_further(over_twilio, hook):
    channel, make = hook
    sent = over_twilio(channel)
    before = everything()

    assert post(make(sent), Host="x:99999").status_code == 400
    assert everything() == before


# ── Positive controls ───────────────────────────────────────────────────────────────────────────


def accepted(sent: Sent, callback: Callback, **headers: str) -> None:
    before = sent.delivery.status
    assert before == "sent"
    answer = post(callback, **headers)
    assert answer.status_code == 200
    assert sent.delivery.status != before


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "inner.example:8000"},
        {"Host": "x:99999"},
        {"X-Forwarded-Host": "evil.example"},
        {"X-Forwarded-Proto": "http"},
        {"X-Forwarded-Port": "99999"},
        {"X-Twilio-Webhooks-Signature-Settings": "key=x,algorithm=HMAC_SHA256"},
        {"Accept-Language": "de"},
        {"Cookie": "sessionid=somebody; csrftoken=else"},
        {"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"},
    ],
    ids=lambda headers: " ".join(headers.values()) or "plain",
)
def test_a60_a_genuine_request_passes_whatever_a_proxy_says(over_twilio, hook, headers, settings):
    settings.ALLOWED_HOSTS = ["*"]
    settings.USE_X_FORWARDED_HOST = settings.USE_X_FORWARDED_PORT = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    channel, make = hook
    sent = over_twilio(channel)

    accepted(sent, make(sent), **headers)


@pytest.mark.parametrize(
    ("base", "signed_for"),
    [
        (BASE, BASE),
        (BASE, f"{BASE}:443"),
        (f"{BASE}:443", f"{BASE}:443"),
        (f"{BASE}:443", BASE),
        (f"{BASE}:8443", f"{BASE}:8443"),
        (f"{BASE}/", BASE),
    ],
)
def test_a60_the_signature_is_of_the_configured_origin_with_its_port(
    over_twilio, hook, settings, base, signed_for
):
    settings.OTP_CHANNELS_BASE_URL = base
    channel, make = hook
    sent = over_twilio(channel)
    callback = make(sent)
    asked = base.rstrip("/")
    assert callback.url.startswith(f"{asked}/account/receipts/{channel}/twilio/")

    accepted(sent, signed(callback, url=callback.url.replace(asked, signed_for)))


@pytest.mark.parametrize(
    "fields",
    [
        {"Body": "Grüße aus Zürich 你好 🙂"},
        {"Body": "a+b c%20d&e=f;g", "From": "+15005550006"},
        {"FromCity": "", "FromZip": ""},
        {"Empty": " "},
    ],
)
def test_a60_any_text_may_stand_in_the_fields(over_twilio, hook, fields):
    channel, make = hook
    sent = over_twilio(channel)

    accepted(sent, signed(make(sent), **fields))


def test_a60_a_query_is_part_of_what_is_signed(over_twilio, hook):
    channel, make = hook
    sent = over_twilio(channel)

    accepted(sent, with_query(make(sent), name="Zürich + 1", empty=""))


def test_a60_the_path_may_be_percent_encoded(over_twilio, hook, settings):
    urls = ModuleType("urls_below_a_name_that_is_not_ascii")
    below = path("anmeldung für alle/", include("tests.site.urls"))
    urls.urlpatterns = [below, path("", include("tests.site.urls"))]
    settings.ROOT_URLCONF = urls
    channel, make = hook
    sent = over_twilio(channel)
    callback = make(sent)
    assert "/anmeldung%20f%C3%BCr%20alle/" in callback.url

    accepted(sent, callback)


@pytest.mark.parametrize("token", [AUTH_TOKEN, SECOND_TOKEN])
def test_a60_both_auth_tokens_are_good_during_a_rotation(over_twilio, hook, token):
    channel, make = hook
    sent = over_twilio(channel, secondary_auth_token=SECOND_TOKEN)

    accepted(sent, signed(make(sent), token))


def test_a60_after_the_rotation_only_the_new_auth_token_is_good(over_twilio, hook, settings):
    channel, make = hook
    sent = over_twilio(channel, secondary_auth_token=SECOND_TOKEN)
    callback = make(sent)
    settings.OTP_CHANNELS = {
        name: [
            {
                **entry,
                "OPTIONS": {
                    **entry["OPTIONS"], "auth_token": SECOND_TOKEN, "secondary_auth_token": ""
                },
            }
            for entry in entries
        ]
        for name, entries in settings.OTP_CHANNELS.items()
    }  # fmt: skip

    assert post(callback).status_code == 403
    accepted(sent, signed(callback, SECOND_TOKEN))


def test_a60_an_api_key_sends_and_the_auth_token_verifies(over_twilio, hook):
    channel, make = hook
    sent = over_twilio(channel, api_key=API_KEY, api_secret=API_SECRET)
    name = base64.b64decode(sent.request.headers["Authorization"].partition(" ")[2])
    assert name.startswith(API_KEY.encode())

    assert post(signed(make(sent), API_SECRET)).status_code == 403
    accepted(sent, make(sent))


def test_a60_an_unknown_id_is_answered_like_a_known_one(over_twilio, hook):
    channel, make = hook
    sent = over_twilio(channel)
    callback = make(sent)
    unknown = replace(callback, url=callback.url.replace(sent.delivery.reference, "0" * 32))
    unknown = signed(unknown)
    before = everything()

    answer = post(unknown)

    assert everything() == before
    if "Digits" in callback.fields:
        assert spoken_in(answer) == []
        callback = signed(callback, Digits="0")  # a known call, and nothing to tell either
    known = post(callback)
    assert (answer.status_code, answer.content) == (known.status_code, known.content)
    assert dict(answer.headers) == dict(known.headers)
