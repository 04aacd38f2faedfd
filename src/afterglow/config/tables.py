"""Settings of the `tables` stage."""

from __future__ import annotations

from afterglow.config.base import Section


class TablesConfig(Section):
    """Settings of the `tables` stage."""
