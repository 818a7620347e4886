"""What an answer of a provider means for us: the errors that the tables of codes are written in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..exceptions import (
    BackendMisconfigured,
    DeliveryError,
    DeliveryRefused,
    DeliveryUnavailable,
    Reason,
)

Outcome = Callable[..., DeliveryError | BackendMisconfigured]

# The address itself is refused: nobody else is asked.
gone: Outcome = partial(DeliveryRefused, reason=Reason.GONE)
opted_out: Outcome = partial(DeliveryRefused, reason=Reason.OPTED_OUT)
no_texts: Outcome = partial(DeliveryRefused, reason=Reason.NO_TEXTS)
fenced: Outcome = partial(DeliveryRefused, reason=Reason.FENCED)

# What says something of this one number, country, message or sender, and not of the provider, is no
# reason to leave the provider alone: whoever owns such a number would take the channel from
# everybody. A sender counts among these, since it may be the one of a single country.
not_this_one: Outcome = partial(DeliveryUnavailable, provider_wide=False)
not_so: Outcome = partial(BackendMisconfigured, provider_wide=False)
