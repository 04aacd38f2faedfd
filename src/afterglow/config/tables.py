"""Settings of the `tables` stage."""

from __future__ import annotations

from pydantic import Field

from afterglow.config.base import Section


class TablesConfig(Section):
    """Consolidated tables, change over time and response."""

    change_floor: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="PD: least increase of a diameter or of the sum over the nadir (fraction).",
    )
    response_drop: float = Field(
        0.3,
        gt=0,
        lt=1,
        description="PR: least decrease of a diameter or of the sum from baseline (fraction).",
    )
    absolute_increase: float | None = Field(
        None,
        gt=0,
        le=20,
        description="PD also needs this increase of a lesion (mm); null: off, unverified.",
    )
    slice_factor: float | None = Field(
        None,
        gt=0,
        le=5,
        description="Measurable diameter at least this many slice thicknesses above 5 mm (ratio);"
        " null (default): clause unverified.",
    )
    immunotherapy: bool = Field(
        False,
        description="A new lesion alone is no progression, as under immunotherapy (true or false).",
    )
    quality_range: float = Field(
        5.0,
        gt=0,
        le=50,
        description="A quality number this far below the center's median deserves a look (robust"
        " standard deviations).",
    )
    change_statistics: list[str] = Field(
        default_factory=lambda: [
            "mean",
            "median",
            "p90",
            "ratio_median",
            "volume",
            "longest_diameter",
        ],
        description="Statistics of lesions whose change over time enters `features_wide`.",
    )
    repeatability: dict[str, float] = Field(
        default_factory=lambda: {"rCBV": 0.31},
        description="Within-subject coefficient of variation by map (fraction); sets the limits of"
        " a real change on the log scale.",
    )
