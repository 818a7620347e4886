"""Signals for the site. The package sends them and never listens to them itself."""

from __future__ import annotations

from django.dispatch import Signal

# A security event, as ``audit.EVENTS`` lists them: ``event`` (its name) and ``fields``, a mapping
# that nobody can change. In a sending thread too, so a receiver must not rely on a request.
security_event = Signal()
