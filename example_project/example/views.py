"""The pages of the example site, and the phone simulator."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from django_otp_channels.channels import CHANNELS
from django_otp_channels.messages import Status

from . import carrier
from .models import PhoneMessage, Trouble

_SHOWN = 4


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "example/home.html")


@login_required
@require_safe
def members(request: HttpRequest) -> HttpResponse:
    return render(request, "example/members.html")


# -- the phone -------------------------------------------------------------------------------


def _screen() -> dict[str, Any]:
    """What the phone shows now. ``version`` changes whenever the rest does."""
    shown = list(PhoneMessage.objects.filter(lost=False)[:_SHOWN])
    current = next((item for item in shown if item.channel == "voice"), None)
    if current and not (current.rings or current.taken):
        current = None
    version = "-".join(f"{item.pk}{item.call}{item.missed:d}" for item in shown)
    return {
        "call": current,
        "messages": [item for item in shown if item is not current],
        "keys": range(1, 10),
        "now": timezone.now(),
        "version": version,
    }


@never_cache
@require_safe
def phone(request: HttpRequest) -> HttpResponse:
    return render(request, "example/phone.html", {**_screen(), "troubles": _troubles()})


def _troubles() -> list[dict[str, Any]]:
    """What can go wrong at a switch: a channel is off, or its messages get lost on the way."""
    on = set(Trouble.objects.values_list("kind", "channel"))
    outage, loss = Trouble.Kind.OUTAGE, Trouble.Kind.LOSS
    switches = [
        {
            "kind": outage,
            "channel": channel.name,
            "label": f"{channel.label}s".capitalize(),
            "checked": (outage, channel.name) not in on,
            "word": "off" if (outage, channel.name) in on else "on",
        }
        for channel in CHANNELS.values()
    ]
    lost = (loss, "sms") in on
    return [
        *switches,
        {
            "kind": loss,
            "channel": "sms",
            "label": "Text messages get lost",
            "checked": lost,
            "word": "yes" if lost else "no",
        },
    ]


@never_cache
@require_safe
def phone_screen(request: HttpRequest) -> JsonResponse:
    """The screen for the page's script, which asks every second."""
    screen = _screen()
    html = ""
    if request.GET.get("version") != screen["version"]:
        html = render_to_string("example/_screen.html", screen, request)
    return JsonResponse({"version": screen["version"], "html": html})


@require_POST
def phone_call(request: HttpRequest, pk: int, act: str) -> HttpResponse:
    """Answer, decline or hang up."""
    states = {
        "answer": PhoneMessage.Call.ANSWERED,
        "decline": PhoneMessage.Call.DECLINED,
        "hang-up": PhoneMessage.Call.ENDED,
    }
    if act not in states:
        raise Http404
    call = get_object_or_404(PhoneMessage, pk=pk, channel="voice")
    call.call = states[act]
    call.save(update_fields=["call"])
    return redirect("phone")


@require_POST
def phone_key(request: HttpRequest, pk: int, digit: int) -> HttpResponse:
    """Press a key during a call: the site says what is to be heard."""
    call = get_object_or_404(PhoneMessage, pk=pk, call=PhoneMessage.Call.ANSWERED)
    lines = carrier.report(call, status=Status.ANSWERED, pressed=str(digit))
    call.call = PhoneMessage.Call.SPEAKING if lines else PhoneMessage.Call.ENDED
    call.text = "\n".join(lines)
    call.save(update_fields=["call", "text"])
    return redirect("phone")


@require_POST
def phone_clear(request: HttpRequest) -> HttpResponse:
    PhoneMessage.objects.all().delete()
    return redirect("phone")


@require_POST
def phone_trouble(request: HttpRequest, kind: str, channel: str) -> HttpResponse:
    """Let a channel fail, or work again."""
    if channel not in CHANNELS or kind not in Trouble.Kind.values:
        raise Http404
    trouble, made = Trouble.objects.get_or_create(kind=kind, channel=channel)
    if not made:
        trouble.delete()
    return redirect("phone")
