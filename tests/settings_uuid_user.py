"""The tests' settings with a user model of the site's own."""

from .settings import *  # noqa: F403
from .settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [*_APPS, "tests.uuid_user"]
AUTH_USER_MODEL = "uuid_user.Member"
