"""Settings of the `cohort` stage."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from afterglow.config.base import Section

ModelName = Literal["logistic", "boosting", "clinical_perfusion", "clinical_only", "volume_only"]


class CohortConfig(Section):
    """Settings of the `cohort` stage."""

    rules: list[Path] = Field(
        default_factory=list, description="A site's own rule files (YAML), beside the published."
    )
    mixed: Literal["progression", "treatment_effect", "drop"] = Field(
        "progression", description="How a lesion of mixed histology is labelled for the models."
    )
    models: list[ModelName] = Field(
        default=["logistic", "clinical_perfusion", "clinical_only", "volume_only"],
        min_length=1,
        description="Models to validate; baselines are always added.",
    )
    outer_folds: int = Field(5, ge=2, le=20, description="Outer folds, grouped by patient (count).")
    inner_folds: int = Field(3, ge=2, le=10, description="Inner folds, grouped by patient (count).")
    repeats: int = Field(1, ge=1, le=50, description="Repetitions of the outer folds (count).")
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
        20, ge=0, le=1000, description="Runs with labels permuted by patient (count)."
    )
    prevalence: float | None = Field(
        None, gt=0, lt=1, description="Prevalence for predictive values (fraction); null: observed."
    )
    missing_indicators: bool = Field(
        True, description="Tell the models what is missing; off where missing follows the center."
    )
    seed: int = Field(20170, ge=0, le=2**31 - 1, description="Seed of every random choice.")
