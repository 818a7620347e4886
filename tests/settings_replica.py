"""The tests' settings with a replica that has nothing yet: reading from it is an error."""

from .settings import *  # noqa: F403
from .settings import DATABASES as _DATABASES

DATABASES = {
    **_DATABASES,
    "replica": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
}
DATABASE_ROUTERS = ["tests.replica.ReplicaRouter"]
