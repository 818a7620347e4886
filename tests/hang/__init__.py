"""What a provider that hangs costs the pages: ``python -m tests.hang``.

A real gunicorn serves the tests' site on PostgreSQL, with Twilio's SDK speaking HTTPS to the
stand-in on the loopback. Eight people log in at once, in rounds, while Twilio answers at once and
while it hangs for 30 seconds.
"""
