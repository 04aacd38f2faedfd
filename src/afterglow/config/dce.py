"""Settings of the `dce` stage."""

from __future__ import annotations

from afterglow.config.base import Section


class DCEConfig(Section):
    """Settings of the `dce` stage."""
