"""A person's devices and second factor on the person's own page in the admin."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User

from django_otp_channels.admin import (
    ChannelDeviceInline,
    SecondFactorFilter,
    SecondFactorMixin,
)

admin.site.unregister(User)


@admin.register(User)
class PersonAdmin(SecondFactorMixin, UserAdmin):
    list_filter = (SecondFactorFilter, *UserAdmin.list_filter)
    inlines = (ChannelDeviceInline,)
