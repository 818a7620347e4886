"""A19: finish a login whose account has changed meanwhile."""

from __future__ import annotations

import pytest

from django_otp_channels.models import ChannelDevice

pytestmark = pytest.mark.django_db


def new_password(user):
    user.set_password("another one")
    user.save()


def deactivate(user):
    user.is_active = False
    user.save()


@pytest.mark.parametrize("change", [new_password, deactivate])
@pytest.mark.guard("django_otp_channels.login.may_resume")
def test_a19_a_login_ends_with_the_password_and_the_account_that_it_began_with(
    parked, alex, change
):
    change(alex)

    parked.enter_code()

    assert "_auth_user_id" not in parked.client.session
    assert parked.is_nobody


def test_a19_a_deleted_account_is_nobody(parked, alex):
    code = parked.code
    alex.delete()

    parked.enter_code(code)

    assert parked.is_nobody


@pytest.mark.parametrize(
    "change",
    [
        lambda phones: phones.delete(),
        lambda phones: phones.update(disabled_reason="staff"),
        lambda phones: phones.update(address="+12025550199", version=2),
    ],
    ids=["removed", "switched off", "another number"],
)
def test_a19_a_code_dies_with_the_device_that_it_went_to(parked, change):
    change(ChannelDevice.objects.all())

    parked.enter_code()

    assert parked.is_nobody
