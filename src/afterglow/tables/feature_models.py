"""Tables of measurements: long, wide, and mean curves."""

from __future__ import annotations

from typing import ClassVar

from afterglow.tables.rows import Row, column
from afterglow.tables.words import CENTER, LESION, REASON, RECORD, SESSION, SUBJECT


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
        "Region of the lesion, or the reference tissue chosen for it. `enhancing` and `necrosis`"
        " are parts of `lesion` by enhancement, `rim` and `shell` go by distance from its surface,"
        " `flair` is the hyperintensity around it, `treated` what received at least a set share of"
        " the largest dose.",
        source="features",
        values=(
            "lesion",
            "enhancing",
            "necrosis",
            "rim",
            "shell",
            "flair",
            "treated",
            "contralateral_nawm",
            "whole_brain_nawm",
        ),
    )
    map: str = column(
        "Map measured. Made beside reference tissue: `rCBV` (leakage-corrected CBV), `rPH` (peak"
        " height of delta R2*), `nPSRln` (logarithm of relative PSR), `FTB` (fractional tumor"
        " burden by rCBV); `sRCBV` is on a standard scale; `shape` is the mask itself; `T1w` (after"
        " contrast) and `FLAIR` are over the median of white matter.",
        source="features",
    )
    statistic: str = column(
        "mean, sd, min, p10, p25, median, p75, p90, p95, max; `hotspot`: largest mean within a"
        " ball; `skewness` and `kurtosis` (excess); `curve`: from the mean curve of the region;"
        " `ratio_*`: over the median of the reference tissue; where the model is `ibsi`, the name"
        " of a feature of the Image Biomarker Standardisation Initiative.",
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
    days_from_srs: float | None = column(
        "Days since radiosurgery.", unit="d", source="clinical, bids"
    )
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
