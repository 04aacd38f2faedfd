"""Settings of the `features` stage."""

from __future__ import annotations

from afterglow.config.base import Section


class FeaturesConfig(Section):
    """Settings of the `features` stage."""
