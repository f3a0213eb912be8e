"""Hypothesis: a slow machine is no failure."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("usechat", deadline=None)
settings.load_profile("usechat")
