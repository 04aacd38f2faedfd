"""Settings of the `cohort` stage."""

from __future__ import annotations

from afterglow.config.base import Section


class CohortConfig(Section):
    """Settings of the `cohort` stage."""
