"""Settings of the `anat` stage."""

from __future__ import annotations

from afterglow.config.base import Section


class AnatConfig(Section):
    """Settings of the `anat` stage."""
