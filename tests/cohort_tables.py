"""Hand-made rows of tables and states of stages, small enough to check by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from afterglow.provenance.job import Problem, State


def feature(
    value: float | None,
    *,
    lesion: str = "L001",
    session: str = "s1",
    map: str = "rCBV",  # noqa: A002 - the name of the column
    statistic: str = "max",
    region: str = "lesion",
    reason: str = "",
    normalization: str = "contralateral_nawm",
    subject: str = "a",
    label: int = 1,
    unit: str = "ratio",
) -> dict[str, Any]:
    return {
        "center": "north",
        "subject": subject,
        "session": session,
        "lesion_id": lesion,
        "label": label,
        "region": region,
        "map": map,
        "statistic": statistic,
        "value": value,
        "unit": unit,
        "evaluable": value is not None,
        "reason": reason,
        "n_voxels": 40,
        "normalization": normalization,
        "record_id": "r" * 8,
    }


def session(name: str = "s1", day: float | None = 200.0, **facts: Any) -> dict[str, Any]:
    base = {
        "center": "north",
        "subject": "a",
        "session": name,
        "days_from_srs": day,
        "days_from_first": None if day is None else day + 1,
        "vendor": "GE",
        "field_strength": 3.0,
        "preload": "none",
        "dsc_echo_time": 0.05,
        "dsc_flip_angle": 35.0,
        "qc_verdict": "pass",
        "n_lesions": 1,
        **{f"state_{s}": "done" for s in ("bids", "anat", "dsc", "dce", "identity", "features")},
    }
    return base | facts


def lesion(name: str = "s1", lesion_id: str = "L001", **facts: Any) -> dict[str, Any]:
    base = {
        "center": "north",
        "subject": "a",
        "session": name,
        "lesion_id": lesion_id,
        "label": 1,
        "volume": 1.2,
        "days_from_srs": None,
        "outcome": None,
        "centroid_x": 10.0,
        "centroid_y": 0.0,
        "centroid_z": 5.0,
    }
    return base | facts


def study_tables() -> dict[str, list[dict[str, Any]]]:
    """Two subjects, two sessions, two lesions each; the second subject's DSC file is corrupt."""
    sessions, lesions, features = [], [], []
    for s, subject in enumerate(("a", "b")):
        for v, name in enumerate(("s1", "s2")):
            state = {"state_dsc": "failed"} if (subject, name) == ("b", "s2") else {}
            sessions.append(session(name, [-7.0, 90.0][v], subject=subject, n_lesions=2, **state))
            for k, lesion_id in enumerate(("L001", "L002")):
                where = {"subject": subject, "label": k + 1}
                lesions.append(
                    lesion(name, lesion_id, volume=1.0 + s + k + v, centroid_x=30.0 * k, **where)
                )
                cells = {"session": name, "lesion": lesion_id, **where}
                if not state:
                    features += [
                        feature(2.5 - k - 0.4 * v, **cells),
                        feature(2.0 - k - 0.2 * v, statistic="median", **cells),
                    ]
                else:
                    features.append(feature(None, reason="no_map", **cells))
                features += [
                    feature(0.1 - 0.03 * v, map="Ktrans", statistic="median", **cells),
                    feature(0.1 - 0.03 * v, map="Ktrans", statistic="mean", **cells),
                    feature(3.0 - k, map="Ktrans", statistic="ratio_mean", **cells),
                    feature(4.0 - k, map="vp", statistic="ratio_mean", **cells),
                    feature(0.93, map="T1", statistic="median", region="whole_brain_nawm", **cells),
                ]
    flow = [
        {"step": 1, "name": "sessions indexed", "reason": "", "n_subjects": 2, "n_sessions": 4},
        {
            "step": 2,
            "name": "DSC evaluable",
            "reason": "corrupt_file",
            "n_subjects": 0,
            "n_sessions": 1,
        },
        {"step": 2, "name": "DSC evaluable", "reason": "", "n_subjects": 2, "n_sessions": 3},
    ]
    failures = [
        {
            "center": "north",
            "subject": "b",
            "session": "s2",
            "stage": "dsc",
            "what": "stage",
            "cause": "north:0a1b2c3d4e5f ends before its pixel data",
            "remedy": "fetch the series again and run `afterglow index`",
            "log": "logs/dsc/sub-b_ses-s2.log",
        }
    ]
    return {
        "sessions": sessions,
        "lesions": lesions,
        "features": features,
        "flow": flow,
        "failures": failures,
    }


def session_states(root: Path) -> dict[str, State]:
    """States of one session and the files they name, below ``root``."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    import pyarrow as pa
    import pyarrow.parquet as pq

    root.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(figsize=(6, 2.4))
    axes.imshow([[0, 1, 2], [2, 1, 0]], cmap="viridis")
    figure.savefig(root / "desc-brain_mask.png")
    plt.close(figure)
    sidecar = {
        "Manufacturer": "GE",
        "MagneticFieldStrength": 3,
        "EchoTime": 0.03,
        "RepetitionTime": 1.5,
        "FlipAngle": 60,
        "VolumeTiming": [0.0, 1.5, 3.0],
        "TimingSource": "trigger_time",
        "TimingDisagreement": 0.2,
    }
    (root / "dsc.json").write_text(json.dumps(sidecar))
    (root / "t1.json").write_text(json.dumps({"Manufacturer": "GE", "FlipAngle": 12}))
    shapes = [{"label": 1, "volume": 1.25, "longest_diameter": 14.2}]
    pq.write_table(pa.Table.from_pylist(shapes), root / "lesions.parquet")
    cells = [
        feature(2.345, statistic="median"),
        feature(None, map="PSR", statistic="curve", reason="too_small", unit="percent"),
        feature(0.0812, map="Ktrans", statistic="median", unit="1/min"),
    ]
    pq.write_table(pa.Table.from_pylist(cells), root / "features.parquet")

    def entry(name: str) -> dict[str, Any]:
        return {"sidecar": name, "series_key": "0a1b2c", "evaluable": True, "reason": ""}

    def state(stage: str, status: Any = "done", **more: Any) -> State:
        return State(stage, stage[0] * 64, "a", "s1", status, **more)

    bids = {"series": {"dsc": entry("dsc.json"), "T1w_ce": entry("t1.json"), "dce": None}}
    anat = {
        "verdicts": {
            "registration_dsc": {
                "verdict": "warn",
                "reasons": ["edge_distance"],
                "numbers": {"edge_distance_mm": 2.31},
            },
            "brain": {"verdict": "pass", "reasons": [], "numbers": {"volume_ml": 1412.0}},
        },
        "figures": ["desc-brain_mask.png"],
    }
    maps = {"rCBV": {"path": "x", "units": "ratio", "model": "bsw", "kind": "map"}}
    dsc = {"maps": maps, "aif": {"peak_time": 21.4, "source": "auto"}, "domain": {"te": 0.03}}
    return {
        "bids": state("bids", summary=bids, warnings=["VFA without flip angle 5"]),
        "anat": state("anat", summary=anat),
        "dsc": state(
            "dsc",
            summary=dsc,
            problems=[Problem("Tmax", "the bolus is cut off", "use a longer series")],
        ),
        "dce": state("dce", "not_evaluable", reason="no_dce_series", detail="none was acquired"),
        "features": state(
            "features", summary={"lesions": "lesions.parquet", "features": "features.parquet"}
        ),
    }
