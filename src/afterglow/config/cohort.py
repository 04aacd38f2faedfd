"""Settings of the `cohort` stage."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from afterglow.config.base import Section

ModelName = Literal[
    "logistic", "sparse", "boosting", "clinical_perfusion", "clinical_only", "volume_only"
]


class CohortConfig(Section):
    """Settings of the `cohort` stage."""

    rules: list[Path] = Field(
        default_factory=list, description="A site's own rule files (YAML), beside the published."
    )
    mixed: Literal["progression", "treatment_effect", "drop"] = Field(
        "progression", description="How a lesion of mixed histology is labelled for the models."
    )
    landmark_day: float | None = Field(
        None,
        gt=0,
        le=3650,
        description="Features come from scans up to this day after SRS (d); null: up to the label.",
    )
    imaging_labels: bool = Field(
        False,
        description="Label lesions without an outcome by their later volumes; never adjudicated.",
    )
    imaging_growth: float = Field(
        0.4,
        gt=0.05,
        le=5,
        description="Growth over the nadir that raises the question, and again that is progression"
        " (fraction of volume).",
    )
    imaging_confirmation: float = Field(
        30, ge=7, le=365, description="Least time from the growth to the scan that decides (d)."
    )
    imaging_follow_up: float = Field(
        120, ge=30, le=1095, description="Time without further growth that is treatment effect (d)."
    )
    harmonization: Literal["none", "combat"] = Field(
        "none", description="ComBat of centers inside the training folds, never on shapes."
    )
    combat_lesions: int = Field(
        20, ge=5, le=10000, description="Lesions a center needs to be harmonized (count)."
    )
    learning_curve: list[float] = Field(
        default=[0.4, 0.7],
        max_length=8,
        description="Shares of training patients for the learning curve (fraction); 1 is added.",
    )
    models: list[ModelName] = Field(
        default=["logistic", "clinical_perfusion", "clinical_only", "volume_only"],
        min_length=1,
        description="Models to validate; baselines are always added.",
    )
    outer_folds: int = Field(5, ge=2, le=20, description="Outer folds, grouped by patient (count).")
    inner_folds: int = Field(3, ge=2, le=10, description="Inner folds, grouped by patient (count).")
    min_patients: int = Field(
        20, ge=4, le=10000, description="Labelled patients below which no model is fitted (count)."
    )
    min_events: int = Field(
        10, ge=2, le=10000, description="Lesions of the rarer class below which no model (count)."
    )
    min_center_lesions: int = Field(
        10, ge=4, le=10000, description="Lesions a center needs for its own figures (count)."
    )
    bootstrap: int = Field(
        500, ge=0, le=20000, description="Bootstrap samples of patients; 0 leaves them out (count)."
    )
    permutations: int = Field(
        50, ge=0, le=1000, description="Runs with labels permuted by patient (count)."
    )
    prevalence: float | None = Field(
        None, gt=0, lt=1, description="Prevalence for predictive values (fraction); null: observed."
    )
    missing_indicators: bool = Field(
        True, description="Tell the models what is missing; off where missing follows the center."
    )
    seed: int = Field(20170, ge=0, le=2**31 - 1, description="Seed of every random choice.")
