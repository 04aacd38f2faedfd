"""Settings of the `identity` stage."""

from __future__ import annotations

from afterglow.config.base import Section


class IdentityConfig(Section):
    """Settings of the `identity` stage."""
