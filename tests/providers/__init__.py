"""Loopback stand-ins for Twilio, AWS and FCM.

The real SDKs reach them over real HTTPS, through a CONNECT proxy that ends TLS with a CA made for
the test run. Nothing inside an SDK is patched, and nothing but the loopback is ever contacted.
"""
