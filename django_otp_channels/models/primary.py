"""Where the rows are read: always in the database that they are written to.

A lagging replica would show a code that is spent already, a lock that is not there yet, a device
that is gone.
"""

from __future__ import annotations

from typing import TypeVar

from django.db import models, router
from django_otp.models import Device, DeviceManager

Row = TypeVar("Row", bound=models.Model)
Factor = TypeVar("Factor", bound=Device)


class PrimaryManager(models.Manager[Row]):
    """A manager whose reads follow the router's answer for writes, unless told ``using``."""

    def get_queryset(self) -> models.QuerySet[Row]:
        rows = super().get_queryset()
        return rows if self._db else rows.using(router.db_for_write(self.model))


class PrimaryDeviceManager(PrimaryManager[Factor], DeviceManager):
    """django-otp's manager of devices, on the database that is written to."""
