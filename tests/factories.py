"""Factories of people and their devices. Nothing here is random."""

from __future__ import annotations

from datetime import timedelta

import factory
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.utils import timezone
from factory.django import DjangoModelFactory

from django_otp_channels.models import ChannelDevice, TrustedBrowser

PASSWORD = "correct horse"


class UserFactory(DjangoModelFactory):
    class Meta:
        model = get_user_model()
        skip_postgeneration_save = True

    username = factory.Sequence(lambda n: f"alex{n}")
    email = factory.LazyAttribute(lambda user: f"{user.username}@example.com")
    password = factory.LazyFunction(lambda: make_password(PASSWORD))

    class Params:
        staff = factory.Trait(is_staff=True, is_superuser=True)


class PhoneFactory(DjangoModelFactory):
    class Meta:
        model = ChannelDevice

    user = factory.SubFactory(UserFactory)
    name = "Phone"
    kind = "phone"
    address = factory.Sequence(lambda n: f"+120255501{n % 100:02d}")
    channel = "sms"
    confirmed = True


class AppFactory(PhoneFactory):
    name = "App"
    kind = "app"
    address = factory.Sequence(lambda n: f"app-token-{n}:APA91b")
    channel = "push"


class TrustedBrowserFactory(DjangoModelFactory):
    class Meta:
        model = TrustedBrowser

    user = factory.SubFactory(UserFactory)
    browser = "Firefox"
    system = "Linux"
    secret_hash = "0" * 64
    binding = "0" * 64
    expires_at = factory.LazyFunction(lambda: timezone.now() + timedelta(days=30))
