#!/usr/bin/env python
"""Django's command line for the example: ``python manage.py demo`` is the one to start with."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example.settings")
    # In a checkout the package is next door. An installed one comes first.
    sys.path.append(str(Path(__file__).resolve().parent.parent))
    execute_from_command_line(sys.argv)
