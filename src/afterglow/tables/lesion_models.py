"""Tables of lesions and of the edges between them."""

from __future__ import annotations

from typing import ClassVar

from afterglow.tables.rows import Row, column
from afterglow.tables.words import CENTER, LESION, RECORD, SESSION, SUBJECT


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
    decision: str | None = column(
        "What a person decided of it in the decisions file, with rater and reason as written there;"
        " absent where the tracking stands as it is.",
        source="identity",
    )
    days_from_srs: float | None = column(
        "Days since the first radiosurgery of the lesion, else of the subject; negative before.",
        unit="d",
        source="clinical, bids",
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
        "Change of volume from the first session that shows the lesion; with all that it holds"
        " since a merge or split, there and here (`reason` says with which).",
        unit="%",
    )
    volume_change_nadir: float | None = column(
        "Change of volume from the smallest earlier one, compared in the same way.", unit="%"
    )
    diameter_change_baseline: float | None = column(
        "Change of longest diameter from the first session that shows the lesion; diameters of all"
        " that it holds are added.",
        unit="%",
    )
    diameter_change_nadir: float | None = column(
        "Change of longest diameter from the smallest earlier one.", unit="%"
    )
    volume_change_month: float | None = column(
        "Change of volume per month since the last session that shows the lesion, compounded.",
        unit="%",
    )
    diameter_change_month: float | None = column(
        "Change of longest diameter per month since the last such session, compounded.", unit="%"
    )
    volume_change_real: bool | None = column(
        "Change of volume from baseline exceeds the limits of repeatability; absent where the study"
        " names no coefficient of variation of `volume`."
    )
    diameter_change_real: bool | None = column(
        "Change of diameter from baseline exceeds the limits of repeatability; absent where the"
        " study names no coefficient of variation of `longest_diameter`."
    )
    growth_exponent: float | None = column(
        "Exponent b of dV/dt = a V^b over the volumes that grew one after the other up to here."
    )
    growth_exponent_low: float | None = column("Its lower 95 % limit, by profile likelihood.")
    growth_exponent_high: float | None = column("Its upper 95 % limit, by profile likelihood.")
    growth_reason: str | None = column(
        "Why there is no exponent of growth; empty where there is one.",
        values=(
            "fewer_than_three_growing",
            "no_repeatability",
            "not_identifiable",
            "no_dates",
        ),
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
    mask_source: str | None = column(
        "Where the lesion's voxels come from.",
        source="features",
        values=("given", "segmented", "external"),
    )
    mask_quality: float | None = column(
        "Quality of the segmentation, 0 to 1; absent for given masks.", source="features"
    )
    mask_doubt: str | None = column(
        "What a person should look at in the segmentation; empty where nothing.", source="features"
    )
    rater: str | None = column("Who drew the lesion, or its format.", source="bids")
    rater_dice: float | None = column(
        "Least Dice coefficient with another rater's lesion; 0 where one drew none.",
        unit="ratio",
        source="bids",
    )
    dose_plan: str | None = column("Session on which the dose was planned.", source="identity")
    dose_type: str | None = column("Physical or effective dose.", source="identity")
    dose_mean: float | None = column("Mean dose of the lesion.", unit="Gy", source="identity")
    dose_d98: float | None = column(
        "Dose that 98 % of the lesion receive at least.", unit="Gy", source="identity"
    )
    dose_d95: float | None = column(
        "Dose that 95 % of the lesion receive at least.", unit="Gy", source="identity"
    )
    dose_d50: float | None = column("Median dose of the lesion.", unit="Gy", source="identity")
    dose_d2: float | None = column(
        "Dose that 2 % of the lesion receive at least.", unit="Gy", source="identity"
    )
    dose_v10: float | None = column(
        "Tissue at or above 10 Gy that is nearest to this lesion, target included.",
        unit="mL",
        source="identity",
    )
    dose_v12: float | None = column(
        "Tissue at or above 12 Gy that is nearest to this lesion, target included.",
        unit="mL",
        source="identity",
    )
    dose_reason: str | None = column("Why there is no dose of this lesion.", source="identity")
    prescribed_dose: float | None = column(
        "Prescribed dose of the lesion's first course, all fractions together, else that of the"
        " subject's rows that name no lesion; absent where the lesion came later.",
        unit="Gy",
        source="clinical",
    )
    fractions: int | None = column("Fractions of that course.", source="clinical")
    histology: str | None = column("Histology of the primary.", source="clinical")
    outcome: str | None = column("Adjudicated label.", source="outcomes")
    outcome_basis: str | None = column("What the label rests on.", source="outcomes")
    outcome_blinded: bool | None = column("Adjudicated blind to perfusion.", source="outcomes")
    outcome_days_from_srs: float | None = column(
        "Days from that radiosurgery to the label.", unit="d", source="outcomes"
    )
    reason: str = column(
        "Why something is absent, and `with: ID` where changes count other lesions in.", default=""
    )
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
    corrected: bool = column("A person decided it, in the decisions file.", source="identity")
    record_id: str | None = column(RECORD, source="ledger")
