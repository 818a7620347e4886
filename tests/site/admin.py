"""More admin sites: one that asks for a code by django-otp's own means, and a plain one."""

from django.contrib.admin import AdminSite
from django.contrib.auth import get_user_model
from django_otp.admin import OTPAdminSite

from django_otp_channels.admin import ChannelDeviceAdmin, DeliveryAdmin
from django_otp_channels.models import ChannelDevice, Delivery

otp_admin = OTPAdminSite(name="otpadmin")
otp_admin.register(get_user_model())
otp_admin.register(ChannelDevice, ChannelDeviceAdmin)
otp_admin.register(Delivery, DeliveryAdmin)

second_admin = AdminSite(name="second_admin")
second_admin.register(get_user_model())
