"""The tables of a study: one row model each, which is also the data dictionary."""

from __future__ import annotations

from typing import ClassVar

from afterglow.tables.rows import Row, column

CENTER = "Center that acquired the session."
SUBJECT = "Label of the subject, without `sub-`."
SESSION = "Label of the session, without `ses-`; its date is shifted."
LESION = "Stable lesion id within the subject; never reissued."
RECORD = "Key of the ledger record that the row follows from."
REASON = "Why there is no number; empty where there is one."


class SessionRow(Row):
    """Acquisition, quality and stage states of one session."""

    TABLE: ClassVar[str] = "sessions"
    ONE_PER: ClassVar[str] = "session"
    KEYS: ClassVar[tuple[str, ...]] = ("center", "subject", "session")

    center: str = column(CENTER, source="plan")
    subject: str = column(SUBJECT, source="plan")
    session: str = column(SESSION, source="plan")
    arrival: int | None = column("Order in which the subject's sessions arrived.", source="plan")
    is_reference: bool | None = column("Others are registered to this one.", source="plan")
    has_mask: bool | None = column("A lesion mask was given.", source="plan")
    days_from_srs: float | None = column(
        "Days since the subject's first radiosurgery.", unit="d", source="clinical"
    )
    days_from_first: float | None = column(
        "Days since the subject's first session.", unit="d", source="plan"
    )
    vendor: str | None = column("Manufacturer of the scanner.", source="bids")
    scanner: str | None = column("Model of the scanner.", source="bids")
    field_strength: float | None = column("Static field.", unit="T", source="bids")
    agent: str | None = column("Contrast agent.", source="dsc, dce, study file")
    dose: float | None = column(
        "Dose of the imaged bolus.", unit="mmol/kg", source="dsc, dce, study file"
    )
    preload: str | None = column("Preload before DSC.", source="dsc, study file")
    leakage_model: str | None = column("Leakage model of the CBV map.", source="dsc")
    dsc_echo_time: float | None = column("Echo time of DSC.", unit="s", source="bids")
    dsc_repetition_time: float | None = column("Repetition time of DSC.", unit="s", source="bids")
    dsc_flip_angle: float | None = column("Flip angle of DSC.", unit="deg", source="bids")
    dsc_n_volumes: int | None = column("Volumes of DSC.", source="bids")
    dsc_frame_time: float | None = column("Median frame time of DSC.", unit="s", source="bids")
    dsc_timing_source: str | None = column("Where the DSC frame times come from.", source="bids")
    dsc_timing_disagreement: float | None = column(
        "Largest disagreement of candidate frame times of DSC.", unit="s", source="bids"
    )
    dce_echo_time: float | None = column("Echo time of DCE.", unit="s", source="bids")
    dce_repetition_time: float | None = column("Repetition time of DCE.", unit="s", source="bids")
    dce_flip_angle: float | None = column("Flip angle of DCE.", unit="deg", source="bids")
    dce_n_volumes: int | None = column("Volumes of DCE.", source="bids")
    dce_frame_time: float | None = column("Median frame time of DCE.", unit="s", source="bids")
    dce_timing_source: str | None = column("Where the DCE frame times come from.", source="bids")
    dce_timing_disagreement: float | None = column(
        "Largest disagreement of candidate frame times of DCE.", unit="s", source="bids"
    )
    longitudinal: bool | None = column(
        "Registered to the reference session well enough to follow lesions.", source="anat"
    )
    qc_verdict: str | None = column("Worst quality verdict.", source="anat")
    qc_reasons: str | None = column("Checks behind it, `name: verdict (reasons)`.", source="anat")
    n_lesions: int | None = column("Lesions in the session's mask.", source="features")
    patient_rano_bm: str | None = column(
        "RANO-BM of the patient from imaging alone: CR, PR, SD, PD, NE or baseline.",
        source="tables",
    )
    patient_rano_bm_facts: str | None = column(
        "Facts used, facts lacking, and version of the rule.", source="tables"
    )
    sum_longest_diameter: float | None = column(
        "Sum of longest diameters of the target lesions.", unit="mm", source="tables"
    )
    state_bids: str | None = column("State of stage bids.", source="ledger")
    state_anat: str | None = column("State of stage anat.", source="ledger")
    state_dsc: str | None = column("State of stage dsc.", source="ledger")
    state_dce: str | None = column("State of stage dce.", source="ledger")
    state_identity: str | None = column("State of stage identity.", source="ledger")
    state_features: str | None = column("State of stage features.", source="ledger")
    reason: str = column("Why stages have no result, `stage: reason`.", source="ledger", default="")
    record_id: str | None = column(RECORD, source="ledger")


class LesionRow(Row):
    """One lesion at one session: identity, size, response, treatment and outcome."""

    TABLE: ClassVar[str] = "lesions"
    ONE_PER: ClassVar[str] = "lesion x session"
    KEYS: ClassVar[tuple[str, ...]] = ("center", "subject", "session", "lesion_id", "label")

    center: str = column(CENTER, source="plan")
    subject: str = column(SUBJECT, source="plan")
    session: str = column(SESSION, source="plan")
    lesion_id: str = column(LESION, source="identity")
    label: int = column("Label in the session's mask; 0 where it shows no such lesion.")
    state: str | None = column(
        "State in the lesion graph.",
        source="identity",
        values=(
            "baseline",
            "new",
            "persistent",
            "reappeared",
            "split",
            "resolved",
            "merged",
            "unmatched",
        ),
    )
    same_as: str | None = column("Id of the lesion this one was found to be.", source="identity")
    first_session: str | None = column("First session of the lesion.", source="identity")
    days_from_srs: float | None = column(
        "Days since radiosurgery of the lesion, else of the subject.", unit="d", source="clinical"
    )
    volume: float | None = column("Volume, by counting voxels.", unit="mL", source="features")
    longest_diameter: float | None = column(
        "Longest axial diameter, on the half-level contour.", unit="mm", source="features"
    )
    perpendicular_diameter: float | None = column(
        "Longest chord at right angles to it in its slice.", unit="mm", source="features"
    )
    sphericity: float | None = column("Surface of the equal sphere over surface.", unit="ratio")
    surface: float | None = column("Surface.", unit="mm2", source="features")
    n_slices: int | None = column("Axial slices that show the lesion.", source="features")
    n_voxels: int | None = column("Voxels of the mask.", source="features")
    centroid_x: float | None = column("Centroid in the session's world.", unit="mm")
    centroid_y: float | None = column("Centroid in the session's world.", unit="mm")
    centroid_z: float | None = column("Centroid in the session's world.", unit="mm")
    edema_volume: float | None = column(
        "FLAIR hyperintensity that touches the lesion, lesion excluded.", unit="mL"
    )
    edema_ratio: float | None = column("Edema volume over lesion volume.", unit="ratio")
    volume_change_baseline: float | None = column(
        "Change of volume from the first session that shows the lesion.", unit="%"
    )
    volume_change_nadir: float | None = column(
        "Change of volume from the smallest earlier one.", unit="%"
    )
    diameter_change_baseline: float | None = column(
        "Change of longest diameter from the first session that shows the lesion.", unit="%"
    )
    diameter_change_nadir: float | None = column(
        "Change of longest diameter from the smallest earlier one.", unit="%"
    )
    response_diameter: str | None = column(
        "Response of the lesion by longest diameter.",
        values=("baseline", "CR", "PR", "SD", "PD", "not_evaluable"),
    )
    response_volume: str | None = column(
        "Response of the lesion by volume, at the volumes of equivalent spheres.",
        values=("baseline", "CR", "PR", "SD", "PD", "not_evaluable"),
    )
    measurable: bool | None = column("Measurable by RANO-BM.", source="tables")
    prescribed_dose: float | None = column("Prescribed dose.", unit="Gy", source="clinical")
    fractions: int | None = column("Fractions.", source="clinical")
    histology: str | None = column("Histology of the primary.", source="clinical")
    outcome: str | None = column("Adjudicated label.", source="outcomes")
    outcome_basis: str | None = column("What the label rests on.", source="outcomes")
    outcome_blinded: bool | None = column("Adjudicated blind to perfusion.", source="outcomes")
    outcome_days_from_srs: float | None = column(
        "Days from radiosurgery to the label.", unit="d", source="outcomes"
    )
    reason: str = column(REASON, default="")
    record_id: str | None = column(RECORD, source="ledger")


class EdgeRow(Row):
    """One edge of a subject's lesion graph."""

    TABLE: ClassVar[str] = "edges"
    ONE_PER: ClassVar[str] = "edge"
    KEYS: ClassVar[tuple[str, ...]] = (
        "center",
        "subject",
        "from_session",
        "from_label",
        "to_session",
        "to_label",
    )

    center: str = column(CENTER, source="plan")
    subject: str = column(SUBJECT, source="plan")
    from_session: str = column("Earlier session.", source="identity")
    from_label: int = column("Label in the earlier mask.", source="identity")
    from_lesion_id: str | None = column(LESION, source="identity")
    to_session: str = column("Later session.", source="identity")
    to_label: int = column("Label in the later mask.", source="identity")
    to_lesion_id: str | None = column(LESION, source="identity")
    kind: str = column(
        "What the edge says.",
        source="identity",
        values=("continuation", "reappearance", "split", "merge"),
    )
    overlap: float = column("Share of the smaller lesion within the dilated larger one.")
    distance: float = column("Distance of the centroids.", unit="mm", source="identity")
    score: float = column("Score of the edge, 0 to 1.", source="identity")
    margin: float = column("Distance to the best rival, relative to the score.", source="identity")
    uncertain: bool = column("The rival is so close that a person should look.", source="identity")
    record_id: str | None = column(RECORD, source="ledger")


class FeatureRow(Row):
    """One measured number, or the reason why there is none."""

    TABLE: ClassVar[str] = "features"
    ONE_PER: ClassVar[str] = "lesion x session x region x map x statistic"
    KEYS: ClassVar[tuple[str, ...]] = (
        "center",
        "subject",
        "session",
        "lesion_id",
        "label",
        "region",
        "map",
        "statistic",
    )

    center: str = column(CENTER, source="plan")
    subject: str = column(SUBJECT, source="plan")
    session: str = column(SESSION, source="plan")
    lesion_id: str = column(LESION, source="identity")
    label: int = column("Label in the session's mask.", source="bids")
    region: str = column(
        "Region of the lesion, or the reference tissue chosen for it.",
        source="features",
        values=("lesion", "core", "rim", "shell", "contralateral_nawm", "whole_brain_nawm"),
    )
    map: str = column(
        "Map measured. Made beside reference tissue: `rCBV` (leakage-corrected CBV), `rPH` (peak"
        " height of delta R2*), `nPSRln` (logarithm of relative PSR), `FTB` (fractional tumor"
        " burden by rCBV); `sRCBV` is on a standard scale; `shape` is the mask itself.",
        source="features",
    )
    statistic: str = column(
        "mean, sd, min, p10, p25, median, p75, p90, p95, max; `hotspot`: largest mean within a"
        " ball; `curve`: from the mean curve of the region; `ratio_*`: over the median of the"
        " reference tissue.",
        source="features",
    )
    value: float | None = column("The number, in `unit`.", source="features")
    unit: str = column("Unit of the number.", source="features")
    evaluable: bool = column("There is a number.", source="features")
    reason: str = column(REASON, source="features")
    n_voxels: int = column("Evaluable voxels behind the number, native grid.", source="features")
    normalization: str = column(
        "Reference tissue of a ratio.",
        source="features",
        values=("none", "contralateral_nawm", "whole_brain_nawm", "standard_scale"),
    )
    model: str = column("Model of the map.", source="features")
    space: str = column("Grid on which it was measured.", values=("T1w", "dsc", "dce"))
    leakage_model: str = column(
        "Leakage correction of the DSC curves behind the number; `none` for uncorrected ones.",
        source="dsc",
        values=("none", "bsw", "bidirectional"),
    )
    window: str = column("Part of the dynamic series behind the number.", source="dsc, dce")
    domain: str = column(
        "Acquisition of the series: protocol, field, TE, TR, flip angle, preload, agent and dose,"
        " each with `unknown` where nobody said.",
        source="dsc, dce",
    )
    record_id: str = column(RECORD, source="ledger")


class WideRow(Row):
    """The modelling matrix: one column per region, map and statistic of `features`."""

    TABLE: ClassVar[str] = "features_wide"
    ONE_PER: ClassVar[str] = "lesion x session"
    KEYS: ClassVar[tuple[str, ...]] = ("center", "subject", "session", "lesion_id", "label")
    FREE: ClassVar[bool] = True

    center: str = column(CENTER, source="plan")
    subject: str = column(SUBJECT, source="plan")
    session: str = column(SESSION, source="plan")
    lesion_id: str = column(LESION, source="identity")
    label: int = column("Label in the session's mask.", source="bids")
    days_from_srs: float | None = column("Days since radiosurgery.", unit="d", source="clinical")
    outcome: str | None = column("Adjudicated label.", source="outcomes")
    record_id: str | None = column(RECORD, source="ledger")


class CurveRow(Row):
    """One mean curve."""

    TABLE: ClassVar[str] = "curves"
    ONE_PER: ClassVar[str] = "lesion x session x region x kind"
    KEYS: ClassVar[tuple[str, ...]] = (
        "center",
        "subject",
        "session",
        "lesion_id",
        "label",
        "region",
        "kind",
    )

    center: str = column(CENTER, source="plan")
    subject: str = column(SUBJECT, source="plan")
    session: str = column(SESSION, source="plan")
    lesion_id: str = column("Stable lesion id; `all` for the input function.", source="identity")
    label: int = column("Label in the session's mask; 0 for the input function.", source="bids")
    region: str = column("Region, or `aif`.", source="features")
    kind: str = column(
        "What the curve is.",
        source="features",
        values=("dsc_signal", "dsc_dr2s", "dsc_aif", "dce_signal", "dce_concentration", "dce_aif"),
    )
    time: list[float] = column("Frame times.", unit="s", source="features")
    value: list[float] = column("The curve, in `unit`.", source="features")
    unit: str = column("Unit of the curve.", source="features")
    n_voxels: int = column("Voxels averaged.", source="features")
    record_id: str = column(RECORD, source="ledger")


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
    reasons: list[str] = column("Reason codes.", source="cohort")
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


class FlowRow(Row):
    """How many entered one step, how many left it, and why."""

    TABLE: ClassVar[str] = "flow"
    ONE_PER: ClassVar[str] = "step x reason"
    KEYS: ClassVar[tuple[str, ...]] = ("step", "name", "reason")

    step: int = column("Number of the step.", source="tables")
    name: str = column("What the step asks for.", source="tables")
    reason: str = column("Why they left; empty for the row that counts who stays.")
    n_subjects: int = column("Subjects.", source="tables")
    n_sessions: int = column("Sessions.", source="tables")
    n_lesions: int | None = column("Lesions x sessions, once they are known.", source="tables")


class FailureRow(Row):
    """One thing that failed."""

    TABLE: ClassVar[str] = "failures"
    ONE_PER: ClassVar[str] = "failure"
    KEYS: ClassVar[tuple[str, ...]] = ("center", "subject", "session", "stage", "what", "cause")

    center: str = column(CENTER, source="plan")
    subject: str = column("Label of the subject; empty for the study.", source="ledger")
    session: str = column("Label of the session; empty for the subject.", source="ledger")
    stage: str = column("Stage that failed.", source="ledger")
    what: str = column("`stage`, or the part that failed while the rest went on.", source="ledger")
    cause: str = column("Cause.", source="ledger")
    remedy: str = column("What to do about it.", source="ledger")
    transient: bool = column("Trying again may help.", source="ledger")
    log: str = column("Log, relative to the study's output.", source="ledger")
    record_id: str | None = column(RECORD, source="ledger")


MODELS: tuple[type[Row], ...] = (
    SessionRow,
    LesionRow,
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
