"""Facts about one center that DICOM does not carry."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from afterglow.config.base import Section

Agent = Literal[
    "gadobutrol",
    "gadoterate",
    "gadoteridol",
    "gadopentetate",
    "gadobenate",
    "gadodiamide",
    "gadoxetate",
    "gadoversetamide",
    "gadopiclenol",
]


CENTER_NAME = r"^[a-z0-9]+$"


class CenterConfig(Section):
    """One center: where its data arrive and what its site knows."""

    name: str = Field(pattern=CENTER_NAME, description="Short name, lower case letters and digits.")
    dicom: list[Path] = Field(
        min_length=1, description="Folders, zip or tar files with the center's DICOM."
    )
    masks: Path | None = Field(
        None,
        description="CSV of given lesion masks: patient, study_date (YYYYMMDD), file, rater.",
    )
    contrast_agent: Agent | None = Field(
        None, description="Agent of all injections where DICOM does not say; null where unknown."
    )
    dose: float | None = Field(
        None,
        gt=0,
        le=0.5,
        description="Dose of the imaged bolus where DICOM does not say (mmol/kg).",
    )
    preload: Literal["none", "partial", "full", "dce"] | None = Field(
        None, description="Preload before DSC; `dce` where the DCE injection serves as one."
    )
    hematocrit: float = Field(
        0.42, gt=0.2, lt=0.65, description="Haematocrit of large vessels (fraction)."
    )
    subjects: Path | None = Field(
        None,
        description="CSV patient,label where the site maps patients to labels itself. A label that "
        "an earlier index gave stays.",
    )
    visits: Path | None = Field(
        None,
        description="CSV patient,study_date,label where the site names the sessions itself. A "
        "label that an earlier index gave stays.",
    )
    series_rules: list[dict[str, Any]] = Field(
        default_factory=list, description="Series rules tried before config/series.yaml."
    )
