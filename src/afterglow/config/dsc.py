"""Settings of the `dsc` stage."""

from __future__ import annotations

from afterglow.config.base import Section


class DSCConfig(Section):
    """Settings of the `dsc` stage."""
