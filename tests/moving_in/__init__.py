"""Moving in from other packages, with databases that their own releases have filled.

``filling`` runs where those packages are installed, and the tests where ours is: their
requirements exclude each other. ``tox run -e import-source,import`` does both.
"""
