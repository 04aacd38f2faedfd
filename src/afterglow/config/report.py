"""Settings of the `report` stage."""

from __future__ import annotations

from afterglow.config.base import Section


class ReportConfig(Section):
    """Settings of the `report` stage."""
