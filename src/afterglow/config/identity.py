"""Settings of the `identity` stage."""

from __future__ import annotations

from pydantic import Field

from afterglow.config.base import Section


class IdentityConfig(Section):
    """Lesion identity over time."""

    dilation: float = Field(
        2.0, ge=0, le=10, description="Dilation of a lesion when overlap is measured (mm)."
    )
    min_overlap: float = Field(
        0.25,
        gt=0,
        le=1,
        description="Least overlap of a split or merge edge (fraction of the smaller lesion).",
    )
    max_distance: float = Field(
        6.0, gt=0, le=50, description="Largest distance of centroids without overlap (mm)."
    )
    min_score: float = Field(
        0.2, gt=0, lt=1, description="Least score of a one-to-one edge (0 to 1)."
    )
    uncertain_margin: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Edges whose best rival is within this margin are flagged (fraction).",
    )
    gap_penalty: float = Field(
        0.15,
        ge=0,
        lt=1,
        description="Score taken off a match across a scan that did not show the lesion (0 to 1).",
    )
    realign: bool = Field(
        True,
        description="Remove the median displacement of four or more matched lesions (switch).",
    )
