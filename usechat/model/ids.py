"""Ids, as the SDK makes them."""

from __future__ import annotations

import secrets
import string

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase


def generate_id() -> str:
    """An id: 16 letters and digits at random (ai 7.0.173's form, but from a safe source)."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(16))
