"""Settings of the `bids` stage."""

from __future__ import annotations

from afterglow.config.base import Section


class BIDSConfig(Section):
    """Settings of the `bids` stage, which has none of its own."""
