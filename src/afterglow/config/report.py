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


class ReportConfig(Section):
    """Settings of the reports."""

    session: SessionReportConfig = Field(
        default_factory=SessionReportConfig, description="The session page."
    )
    truth: Path | None = Field(
        None,
        description="CSV with the truth of a digital phantom: patient, study_date, lesion, "
        "centroid_x, centroid_y, centroid_z (mm), volume_ml, rcbv, ktrans, ve, vp, t1, t1_wm (s).",
    )
    truth_distance: float = Field(
        10.0, gt=0, le=50, description="Farthest centroid that is the same lesion (mm)."
    )
