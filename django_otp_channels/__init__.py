"""Two-factor login for Django: one-time codes by SMS, voice call and push."""

__version__ = "0.1.0"
