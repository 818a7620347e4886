"""The tests' settings without time zones, far from UTC."""

from .settings import *  # noqa: F403

USE_TZ = False
TIME_ZONE = "Pacific/Auckland"
