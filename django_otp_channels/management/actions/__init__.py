"""What ``manage.py otp_channels`` can do, one module each."""

from .add_phone import AddPhone
from .base import Action
from .doctor import Doctor
from .import_phones import ImportPhones
from .purge import Purge
from .reset import Reset
from .send_test import SendTest
from .status import ShowStatus

ACTIONS: tuple[type[Action], ...] = (
    AddPhone,
    ShowStatus,
    Reset,
    Doctor,
    SendTest,
    Purge,
    ImportPhones,
)
