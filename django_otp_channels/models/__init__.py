"""The tables: devices, challenges with their deliveries, lockouts, and what is counted and kept."""

from .activity import Activity
from .browsers import TrustedBrowser
from .budgets import Budget
from .challenges import Challenge
from .deliveries import Delivery
from .devices import ChannelDevice
from .lockouts import Lockout
from .recovery import RecoveryCode, RecoveryDevice
from .refusals import Refusal
from .takeovers import TakenOver

__all__ = [
    "Activity",
    "Budget",
    "Challenge",
    "ChannelDevice",
    "Delivery",
    "Lockout",
    "RecoveryCode",
    "RecoveryDevice",
    "Refusal",
    "TakenOver",
    "TrustedBrowser",
]
