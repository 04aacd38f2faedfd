"""The whole cohort stage on 200 patients, 600 lesions and 150 features, with its progress.

Run: ``python benchmarks/cohort_stage.py [FOLDER] [patients]``. Writes the tables of a simulated
study to FOLDER, runs the stage's script on them with default settings, and prints what it says and
how long it takes (target: under 10 minutes on 2 cores). The report's page comes after it.
"""

from __future__ import annotations

import runpy
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from afterglow.config import Study
from afterglow.config.resources import resource
from afterglow.phantom.tables import generate
from afterglow.provenance.job import Job, State
from afterglow.tables.models import FeatureRow, LesionRow, SessionRow
from afterglow.tables.write import write_table

MAPS = (
    "rCBV",
    "CBF",
    "MTT",
    "Tmax",
    "PSR",
    "PH",
    "Ktrans",
    "ve",
    "vp",
    "kep",
    "IAUC",
    "T1",
    "FLAIR",
)
NAMES = [
    f"{m}.{region}.{statistic}"
    for m in MAPS
    for region in ("lesion", "shell")
    for statistic in ("median", "p90", "hotspot", "ratio_median", "ratio_p90")
]
SIGNAL = {"rCBV.lesion.median": 0.8, "Ktrans.lesion.median": 0.5, "PSR.lesion.median": -0.5}


def write_study(root: Path, patients: int, seed: int = 11) -> None:
    """Write sessions, lesions and features of a simulated study of two sessions a patient."""
    table = generate(
        patients=patients,
        lesions_per_patient=3,
        centers=4,
        features=[*NAMES, "volume"],
        signal=SIGNAL | {"volume": 0.4},
        prevalence=(0.2, 0.3, 0.3, 0.4),
        missing=(0.0, 0.1, 0.2, 0.3),
        sessions=2,
        seed=seed,
    )
    rng = np.random.default_rng(seed)
    mixed = {
        (s, n) for s, n in zip(table.subject, table.lesion_id, strict=True) if rng.random() < 0.03
    }
    rows = table.to_dict("records")
    write(
        root,
        "sessions",
        SessionRow,
        list({r["subject"] + r["session"]: session(r) for r in rows}.values()),
    )
    write(
        root,
        "lesions",
        LesionRow,
        [lesion(r, (r["subject"], r["lesion_id"]) in mixed) for r in rows],
    )
    write(root, "features", FeatureRow, [feature(r, name) for r in rows for name in NAMES])


def write(root: Path, name: str, model: Any, rows: list[dict[str, Any]]) -> None:
    """Write one table."""
    write_table(rows, model, root / f"tables/{name}.parquet")


def keys(row: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of a row."""
    return {name: row[name] for name in ("center", "subject", "session")}


def session(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the sessions table."""
    facts = {
        "field_strength": 3.0,
        "preload": "none",
        "dsc_echo_time": 0.05,
        "dsc_flip_angle": 35.0,
    }
    states = {f"state_{s}": "done" for s in ("bids", "anat", "dsc", "dce", "identity", "features")}
    days = {"days_from_srs": row["days_from_srs"], "vendor": "GE", "qc_verdict": "pass"}
    return keys(row) | facts | states | days


def lesion(row: dict[str, Any], mixed: bool) -> dict[str, Any]:
    """Return a row of the lesions table."""
    names = ("lesion_id", "label", "volume", "days_from_srs", "record_id")
    facts = {name: row[name] for name in names}
    outcome = {
        "outcome": "mixed" if mixed else row["outcome"],
        "outcome_basis": "resection" if row["label"] == 1 else "imaging follow-up",
        "outcome_blinded": row["label"] == 1,
        "outcome_days_from_srs": 400.0,
    }
    treatment = {"prescribed_dose": 20.0 + row["label"], "fractions": 1}
    return keys(row) | facts | outcome | treatment


def feature(row: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a row of the features table."""
    map_, region, statistic = name.split(".")
    value = None if np.isnan(row[name]) else float(row[name])
    return keys(row) | {
        "lesion_id": row["lesion_id"],
        "label": row["label"],
        "region": region,
        "map": map_,
        "statistic": statistic,
        "value": value,
        "unit": "1",
        "evaluable": value is not None,
        "reason": "" if value is not None else "no_series",
        "n_voxels": 100,
        "normalization": "contralateral_nawm" if map_ == "rCBV" else "none",
        "model": "none",
        "space": "T1w",
        "record_id": row["record_id"],
    }


def run_stage(name: str, study: Study, upstream: dict[str, list[State]]) -> Job:
    """Run a stage's script in place, and print what it says."""
    began = time.perf_counter()
    job = Job(
        stage=name,
        key=name[0] * 64,
        root=study.out,
        scratch=study.out,
        study=study,
        upstream=upstream,
        say=lambda line: print(f"{time.perf_counter() - began:7.1f} s  {line}", flush=True),
    )
    runpy.run_path(str(resource(f"scripts/{name}.py")))["main"](job)
    print(f"{time.perf_counter() - began:7.1f} s  {name} done", flush=True)
    return job


def main() -> None:
    """Write the study, run the stage and then the page."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    patients = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    root.mkdir(parents=True, exist_ok=True)
    study = Study.model_validate(
        {"study": "simulated", "out": root, "centers": [{"name": "c1", "dicom": [root]}]}
    )
    write_study(root, patients)
    tables = State("tables", "t" * 64, None, None, "done", summary={})
    cohort = run_stage("cohort", study, {"tables": [tables]})
    done = State("cohort", cohort.key, None, None, "done", summary=cohort.summary)
    run_stage("study_report", study, {"tables": [tables], "cohort": [done]})
    print(root / "cohort/report.html")


if __name__ == "__main__":
    main()
