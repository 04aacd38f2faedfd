"""Tables of sessions, of the flow through the study, and of failures."""

from __future__ import annotations

from typing import ClassVar

from afterglow.tables.rows import Row, column
from afterglow.tables.words import CENTER, RECORD, SESSION, SUBJECT


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
        "Days since the subject's first radiosurgery.", unit="d", source="clinical, bids"
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
    dose_source: str | None = column(
        "Where that dose comes from: dicom, center, center_not_dicom (headers that state the total "
        "of several injections), none.",
        source="dsc, dce",
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
    series_doubts: str | None = column(
        "Doubts about series and objects, `series: word (numbers)`.", source="bids"
    )
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
