"""Tables of rules, predictions, performance and tests."""

from __future__ import annotations

from typing import ClassVar

from afterglow.tables.rows import Row, column
from afterglow.tables.words import CENTER, LESION, REASON, RECORD, SESSION, SUBJECT


class RuleRow(Row):
    """What one published rule says of one lesion at one session."""

    TABLE: ClassVar[str] = "rules"
    ONE_PER: ClassVar[str] = "lesion x session x rule"
    KEYS: ClassVar[tuple[str, ...]] = ("center", "subject", "session", "lesion_id", "rule_id")

    center: str = column(CENTER, source="plan")
    subject: str = column(SUBJECT, source="plan")
    session: str = column(SESSION, source="plan")
    lesion_id: str = column(LESION, source="identity")
    rule_id: str = column("Name of the rule.", source="cohort")
    rule_version: str | None = column("Version of the rule.", source="cohort")
    call: str = column(
        "What the rule says.",
        source="cohort",
        values=(
            "progression",
            "treatment_effect",
            "indeterminate",
            "not_applicable",
            "not_evaluable",
        ),
    )
    value: float | None = column("Value the rule looked at, in `unit`.", source="cohort")
    unit: str | None = column("Unit of value and cut-off.", source="cohort")
    cutoff: float | None = column("Cut-off, in `unit`.", source="cohort")
    distance: float | None = column("Value minus cut-off, in `unit`.", source="cohort")
    reasons: list[str] = column(
        "Reason codes; `days_from_srs_unknown`: nobody knows whether the lesion was treated before"
        " this scan, and every rule speaks of treated lesions.",
        source="cohort",
    )
    evidence_level: str | None = column("How well the rule is supported.", source="cohort")
    constant_status: str | None = column("How far the constant is known.", source="cohort")
    record_id: str | None = column(RECORD, source="ledger")


class PredictionRow(Row):
    """One out-of-fold prediction."""

    TABLE: ClassVar[str] = "predictions"
    ONE_PER: ClassVar[str] = "out-of-fold prediction"
    KEYS: ClassVar[tuple[str, ...]] = (
        "center",
        "subject",
        "session",
        "lesion_id",
        "model",
        "split",
        "fold",
    )

    center: str = column(CENTER, source="plan")
    subject: str = column(SUBJECT, source="plan")
    session: str = column(SESSION, source="plan")
    lesion_id: str = column(LESION, source="identity")
    model: str = column("Name of the model.", source="cohort")
    split: str = column("How subjects were split.", source="cohort")
    fold: str = column("Fold that was left out.", source="cohort")
    outcome: str | None = column("Adjudicated label.", source="outcomes")
    probability: float | None = column("Predicted probability of progression.", source="cohort")
    record_id: str | None = column(RECORD, source="ledger")


class PerformanceRow(Row):
    """One metric of one model or rule under one split."""

    TABLE: ClassVar[str] = "performance"
    ONE_PER: ClassVar[str] = "metric x model x split"
    KEYS: ClassVar[tuple[str, ...]] = ("model", "split", "metric")

    model: str = column("Name of the model or rule.", source="cohort")
    split: str = column("How subjects were split.", source="cohort")
    metric: str = column("Name of the metric.", source="cohort")
    value: float | None = column("Estimate.", source="cohort")
    low: float | None = column("Lower end of the 95 % interval.", source="cohort")
    high: float | None = column("Upper end of the 95 % interval.", source="cohort")
    interval: str | None = column("Method of the interval.", source="cohort")
    p_value: float | None = column(
        "Two-sided p value of a difference, or of the area against permuted labels.",
        source="cohort",
        default=None,
    )
    p_holm: float | None = column(
        "The same, adjusted for all comparisons of models with rules (Holm).",
        source="cohort",
        default=None,
    )
    n_subjects: int | None = column("Subjects behind it.", source="cohort")
    n_lesions: int | None = column("Lesions behind it.", source="cohort")
    reason: str = column(REASON, source="cohort", default="")


class ValidationCurveRow(Row):
    """One point of a curve: ROC, calibration, decision or learning."""

    TABLE: ClassVar[str] = "validation_curves"
    ONE_PER: ClassVar[str] = "point x curve x model x split"
    KEYS: ClassVar[tuple[str, ...]] = ("model", "split", "curve", "point")

    model: str = column("Name of the model; `treat all` for the reference curve.", source="cohort")
    split: str = column("How subjects were split.", source="cohort")
    curve: str = column(
        "Which curve.", source="cohort", values=("roc", "calibration", "decision", "learning")
    )
    point: int = column("Number of the point along the curve.", source="cohort")
    x: float | None = column(
        "1 - specificity; mean prediction; threshold probability; training patients.",
        source="cohort",
    )
    y: float | None = column(
        "Sensitivity; observed share; net benefit; area within center.", source="cohort"
    )
    low: float | None = column("Lower end of the 95 % interval of y.", source="cohort")
    high: float | None = column("Upper end of the 95 % interval of y.", source="cohort")


class FeatureTestRow(Row):
    """One candidate feature against the labels, with the price of testing many."""

    TABLE: ClassVar[str] = "feature_tests"
    ONE_PER: ClassVar[str] = "candidate feature"
    KEYS: ClassVar[tuple[str, ...]] = ("feature",)

    feature: str = column("Region, map and statistic, or column of `lesions`.", source="cohort")
    n_lesions: int = column("Labelled lesions that have it.", source="cohort")
    missing: float = column("Share of labelled lesions that lack it.", unit="fraction")
    auc: float | None = column("Area under the ROC curve within center.", source="cohort")
    low: float | None = column("Lower end of the clustered 95 % interval.", source="cohort")
    high: float | None = column("Upper end of the clustered 95 % interval.", source="cohort")
    p_value: float | None = column("Two-sided p value of area 0.5.", source="cohort")
    p_holm: float | None = column("The same, adjusted for all features (Holm).", source="cohort")
    q_value: float | None = column("False discovery rate (Benjamini-Hochberg).", source="cohort")
    weight_mean: float | None = column(
        "Mean log odds for one standard deviation, over the outer folds.", source="cohort"
    )
    weight_low: float | None = column("Least over the folds.", source="cohort")
    weight_high: float | None = column("Largest over the folds.", source="cohort")
    sign_agreement: float | None = column(
        "Share of folds with the commoner sign.", unit="fraction", source="cohort"
    )
