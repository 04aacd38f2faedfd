"""Settings of the `report` and `study_report` stages."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from afterglow.config.base import Section


class SessionReportConfig(Section):
    """Settings of the session page."""

    measures: list[str] = Field(
        default=[
            "rCBV:median",
            "rCBV:max",
            "PSR:curve",
            "CBF:ratio_median",
            "Ktrans:median",
            "ve:median",
            "vp:median",
        ],
        description="Columns of the lesion table, `map:statistic` in the region `lesion`.",
    )
    viewer_voxels: int = Field(
        4_500_000,
        ge=100_000,
        le=50_000_000,
        description="Most voxels of an anatomical image in the viewer (count); finer ones are"
        " averaged.",
    )
    viewer_bytes: int = Field(
        8_000_000,
        ge=500_000,
        le=100_000_000,
        description="Most bytes of all images in the viewer's page; maps beyond it are left out"
        " and named.",
    )


class StoryConfig(Section):
    """Settings of the lesion pages."""

    extent: float = Field(
        64.0,
        ge=20,
        le=256,
        description="Side of the pictures of a lesion (mm); more where it is larger.",
    )
    pixels: int = Field(160, ge=48, le=512, description="Pixels along a side of the pictures.")
    ranges: dict[str, tuple[float, float]] = Field(
        default_factory=lambda: {"rCBV": (0.0, 4.0), "PSR": (0.0, 120.0), "Ktrans": (0.0, 0.3)},
        description="Fixed range of each map's colours (ratio, percent, 1/min), so that times and"
        " centers compare.",
    )


class ReportConfig(Section):
    """Settings of the reports."""

    session: SessionReportConfig = Field(
        default_factory=SessionReportConfig, description="The session page."
    )
    stories: StoryConfig = Field(default_factory=StoryConfig, description="The lesion pages.")
    truth: Path | None = Field(
        None,
        description="CSV with the truth of a digital phantom: patient, study_date, "
        "study_uid (needed where a date has several studies), lesion, "
        "centroid_x, centroid_y, centroid_z (mm), volume_ml, rcbv, ktrans, ve, vp, t1, t1_wm (s).",
    )
    truth_distance: float = Field(
        10.0, gt=0, le=50, description="Farthest centroid that is the same lesion (mm)."
    )
