"""The tables of a study: one row model each, which is also the data dictionary."""

from __future__ import annotations

from afterglow.tables.cohort_models import (
    FeatureTestRow,
    PerformanceRow,
    PredictionRow,
    RuleRow,
    ValidationCurveRow,
)
from afterglow.tables.feature_models import CurveRow, FeatureRow, WideRow
from afterglow.tables.lesion_models import EdgeRow, LesionRow
from afterglow.tables.rows import Row
from afterglow.tables.session_models import FailureRow, FlowRow, SessionRow
from afterglow.tables.therapies import TherapyRow

__all__ = [
    "MODELS",
    "CurveRow",
    "EdgeRow",
    "FailureRow",
    "FeatureRow",
    "FeatureTestRow",
    "FlowRow",
    "LesionRow",
    "PerformanceRow",
    "PredictionRow",
    "RuleRow",
    "SessionRow",
    "TherapyRow",
    "ValidationCurveRow",
    "WideRow",
]

MODELS: tuple[type[Row], ...] = (
    SessionRow,
    LesionRow,
    TherapyRow,
    EdgeRow,
    FeatureRow,
    WideRow,
    CurveRow,
    RuleRow,
    PredictionRow,
    PerformanceRow,
    ValidationCurveRow,
    FeatureTestRow,
    FlowRow,
    FailureRow,
)
