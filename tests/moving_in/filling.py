"""Fill a database as a site with django-two-factor-auth and django-otp-twilio has done.

    python tests/moving_in/filling.py DATABASE

People enrol through the packages' own pages and API. Nothing of ours is installed here.
"""

from __future__ import annotations

import logging
import sys
from base64 import b32decode
from pathlib import Path
from typing import Any

import django
from django.conf import settings

PASSWORD = "correct horse"


def configure(database: Path) -> None:
    settings.configure(
        SECRET_KEY="only-for-the-tests-of-this-package",
        ALLOWED_HOSTS=["testserver"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database}},
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        ROOT_URLCONF="two_factor_urls",
        USE_TZ=True,
        LOGIN_REDIRECT_URL="two_factor:profile",
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.messages",
            "django.contrib.sessions",
            "django_otp",
            "django_otp.plugins.otp_static",
            "django_otp.plugins.otp_totp",
            "two_factor",
            "two_factor.plugins.phonenumber",
            "otp_twilio",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "django_otp.middleware.OTPMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
            }
        ],
        TWO_FACTOR_CALL_GATEWAY="two_factor.gateways.fake.Fake",
        TWO_FACTOR_SMS_GATEWAY="two_factor.gateways.fake.Fake",
        OTP_TWILIO_NO_DELIVERY=True,
    )
    sys.modules["two_factor_urls"] = _urls = type(sys)("two_factor_urls")
    django.setup()
    from django.test.utils import setup_test_environment
    from django.urls import include, path
    from two_factor.urls import urlpatterns

    setup_test_environment()  # so that the pages' contexts can be looked at
    _urls.urlpatterns = [path("", include(urlpatterns))]


class Phone(logging.Handler):
    """Reads the codes that the packages' development gateways write to the log."""

    def emit(self, record: logging.LogRecord) -> None:
        self.code = record.getMessage().rstrip('"').split()[-1]


class Site:
    def __init__(self) -> None:
        self.phone = Phone()
        for name in ("two_factor", "otp_twilio"):
            logging.getLogger(name).addHandler(self.phone)
            logging.getLogger(name).setLevel(logging.INFO)

    def person(self, name: str) -> tuple[Any, Any]:
        from django.contrib.auth.models import User
        from django.test import Client

        user, client = User.objects.create_user(name, password=PASSWORD), Client()
        client.force_login(user)
        return user, client

    def enrol(self, name: str, method: str, number: str = "") -> Any:
        """Walk two_factor's set-up, and return the person's browser."""
        user, client = self.person(name)
        wizard = Wizard(client, "/account/two_factor/setup/", "setup_view")
        wizard.submit("welcome")
        page = wizard.submit("method", method=method)
        if method == "generator":
            from django_otp.oath import totp

            key = b32decode(page.context["secret_key"])
            wizard.submit("generator", token=totp(key))
        else:
            wizard.submit(method, number=number)
            wizard.submit("validation", token=self.phone.code)
        wizard.is_done(user)
        return client

    def add_backup_phone(self, client: Any, method: str, number: str) -> None:
        wizard = Wizard(client, "/account/two_factor/phone/register/", "phone_setup_view")
        wizard.submit("setup", number=number, method=method)
        wizard.submit("validation", token=self.phone.code)
        wizard.is_done(None)

    def enrol_with_twilio(self, name: str, number: str, *, proven: bool) -> None:
        from otp_twilio.models import TwilioSMSDevice

        user, _client = self.person(name)
        self.add_twilio(user, number, proven=proven)
        assert TwilioSMSDevice.objects.get(user=user).confirmed is proven

    def add_twilio(self, user: Any, number: str, *, proven: bool) -> None:
        from otp_twilio.models import TwilioSMSDevice

        device = TwilioSMSDevice.objects.create(
            user=user, name="Mobile", number=number, confirmed=False
        )
        device.generate_challenge()
        if proven:
            assert device.verify_token(self.phone.code)
            device.confirmed = True
            device.save()


class Wizard:
    def __init__(self, client: Any, url: str, prefix: str) -> None:
        self.client, self.url, self.prefix = client, url, prefix
        self.last = client.get(url)
        assert self.last.status_code == 200, (url, self.last.status_code)

    def submit(self, step: str, **fields: Any) -> Any:
        data = {f"{step}-{name}": value for name, value in fields.items()}
        self.last = self.client.post(self.url, {f"{self.prefix}-current_step": step, **data})
        if self.last.context is not None and "form" in self.last.context:
            assert not self.last.context["form"].errors, self.last.context["form"].errors
        return self.last

    def is_done(self, user: Any) -> None:
        from django_otp import user_has_device

        assert self.last.status_code == 302, self.last.content
        assert user is None or user_has_device(user)


def fill() -> None:
    from django.core.management import call_command
    from two_factor.plugins.phonenumber.models import PhoneDevice

    call_command("migrate", verbosity=0)
    site = Site()
    alex = site.enrol("alex", "sms", "+12025550123")
    site.add_backup_phone(alex, "call", "+12025550144")
    site.enrol("sam", "call", "+442079460958")
    kim = site.enrol("kim", "generator")
    site.add_backup_phone(kim, "sms", "+12025550155")
    assert kim.post("/account/two_factor/backup/tokens/").status_code == 302
    site.enrol("pat", "sms", "+19002345678")  # a premium number, which the package lets pass
    site.enrol("maria", "sms", "+525512345678")
    # As it was written when the package was built with an older library.
    PhoneDevice.objects.filter(user__username="maria").update(number="+5215512345678")
    site.enrol_with_twilio("robin", "+12025550166", proven=True)
    site.enrol_with_twilio("jo", "+12025550177", proven=False)
    site.enrol_with_twilio("casey", "2025550133", proven=True)
    site.enrol("lee", "sms", "+12025550199")
    from django.contrib.auth.models import User

    site.add_twilio(User.objects.get(username="lee"), "+12025550188", proven=False)
    site.person("nobody")


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    configure(file)
    fill()
    print(f"Filled {file}")  # noqa: T201
