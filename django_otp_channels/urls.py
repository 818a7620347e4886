"""The URLs of the package: ``path("account/", include("django_otp_channels.urls"))``."""

from __future__ import annotations

from django.urls import path

from .views import (
    authenticators,
    browsers,
    devices,
    phones,
    receipts,
    recovery,
    reminder,
    stepup,
    verify,
)

app_name = "otp_channels"

urlpatterns = [
    path("", devices.DevicesView.as_view(), name="devices"),
    path("login/", verify.LoginView.as_view(), name="login"),
    path("verify/", verify.VerifyView.as_view(), name="verify"),
    path("send/", verify.SendView.as_view(), name="send"),
    path("status/", verify.StatusView.as_view(), name="status"),
    path(
        "receipts/<slug:channel>/<slug:provider>/<slug:opaque_id>/",
        receipts.ReceiptView.as_view(),
        name="receipt",
    ),
    path("reauth/", stepup.ReauthView.as_view(), name="reauth"),
    path("cancel/", verify.CancelView.as_view(), name="cancel"),
    path("reminder/", reminder.RemindView.as_view(), name="remind"),
    path("devices/add/phone/", phones.AddPhoneView.as_view(), name="add_phone"),
    path(
        "devices/add/authenticator/",
        authenticators.AddAuthenticatorView.as_view(),
        name="add_authenticator",
    ),
    path("devices/<int:pk>/", devices.DeviceView.as_view(), name="device"),
    path("devices/<int:pk>/confirm/", phones.ConfirmDeviceView.as_view(), name="confirm_device"),
    path("devices/<int:pk>/rename/", devices.RenameDeviceView.as_view(), name="rename_device"),
    path("devices/<int:pk>/prefer/", devices.PreferDeviceView.as_view(), name="prefer_device"),
    path("devices/<int:pk>/change/", phones.ChangePhoneView.as_view(), name="change_phone"),
    path("devices/<int:pk>/remove/", devices.RemoveDeviceView.as_view(), name="remove_device"),
    path(
        "authenticators/<int:pk>/confirm/",
        authenticators.ConfirmAuthenticatorView.as_view(),
        name="confirm_authenticator",
    ),
    path(
        "authenticators/<int:pk>/remove/",
        authenticators.RemoveAuthenticatorView.as_view(),
        name="remove_authenticator",
    ),
    path("recovery-codes/", recovery.RecoveryCodesView.as_view(), name="recovery_codes"),
    path("recovery-codes/file/", recovery.RecoveryFileView.as_view(), name="recovery_file"),
    path("browsers/revoke/", browsers.RevokeAllView.as_view(), name="revoke_browsers"),
    path("browsers/<uuid:pk>/revoke/", browsers.RevokeView.as_view(), name="revoke_browser"),
]
