"""What is promised of the distribution: its version, its contents, and what an import costs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import call_command
from packaging.version import Version

import django_otp_channels

CHECKOUT = Path(__file__).resolve().parent.parent
PACKAGE = Path(django_otp_channels.__file__).resolve().parent

SDKS = {"boto3", "botocore", "firebase_admin", "google", "grpc", "twilio"}


def test_version_agrees_with_the_changelog() -> None:
    """The newest release is the version, unless unreleased changes wait under a higher one."""
    changelog = (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[([^\]]+)\](?: - \d{4}-\d\d-\d\d)?$", changelog, re.MULTILINE)
    assert headings, "CHANGELOG.md has no entry"
    released = [Version(name) for name in headings if name != "Unreleased"]
    assert released == sorted(released, reverse=True)

    version = Version(django_otp_channels.__version__)
    if headings[0] == "Unreleased":
        assert all(version > release for release in released)
    else:
        assert version == released[0]


@pytest.mark.django_db
def test_migrations_are_complete() -> None:
    output = StringIO()
    call_command("makemigrations", "otp_channels", check=True, dry_run=True, stdout=output)
    assert "No changes detected" in output.getvalue()


def imported_by(statements: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after the statements."""
    script = f"{statements}\nimport sys\nprint(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def test_the_package_itself_imports_nothing() -> None:
    modules = imported_by("import django_otp_channels")
    assert "django_otp_channels" in modules
    assert modules.isdisjoint({"django", "django_otp", "phonenumbers"} | SDKS)


def test_django_starts_without_the_sdks() -> None:
    modules = imported_by(
        "import os, django\n"
        "os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'\n"
        "django.setup()\n"
        "from django.core.management import call_command\n"
        "from django.urls import get_resolver\n"
        "get_resolver().url_patterns\n"
    )
    assert apps.get_app_config("otp_channels").name in modules
    assert modules.isdisjoint(SDKS)


def test_a_site_pays_for_no_guard_that_it_does_not_use() -> None:
    modules = imported_by(
        "import os, django\n"
        "os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.bench_settings'\n"
        "django.setup()\n"
        "from django.core.checks import run_checks\n"
        "run_checks()\n"
    )
    assert "django_otp_channels" in modules
    assert modules.isdisjoint({"allauth", "channels", "rest_framework", "rest_framework_simplejwt"})


@pytest.mark.skipif(
    os.environ.get("OTP_CHANNELS_EXPECT_WHEEL") != "1",
    reason="tox asks for it: the tests run against the built wheel",
)
class TestWheel:
    def test_is_what_the_tests_run_against(self) -> None:
        assert PACKAGE.parent.name == "site-packages"
        assert PACKAGE.parent.is_relative_to(sys.prefix)
        assert not (CHECKOUT / "django_otp_channels").exists()

    @pytest.mark.parametrize(
        "pattern",
        [
            "py.typed",
            "migrations/0001_*.py",
            "templates/otp_channels/*.html",
            "static/otp_channels/**/*.js",
            "static/otp_channels/**/*.css",
        ],
    )
    def test_has_more_than_code(self, pattern: str) -> None:
        assert list(PACKAGE.glob(pattern))

    def test_installs_nothing_beside_the_package(self) -> None:
        for stranger in ("tests", "example_project"):
            assert not (PACKAGE.parent / stranger).exists()
