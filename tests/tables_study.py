"""A small study as the stages before `identity` would have left it, for tests of what follows."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from afterglow.bids.images import save_nifti
from afterglow.config import load_study
from afterglow.provenance.job import Job, Problem, State

REPOSITORY = Path(__file__).resolve().parents[1]
SHAPE, SPACING = (60, 72, 40), (2.0, 2.0, 3.0)
DSC_SHAPE, DSC_SPACING = (44, 52, 20), (2.6, 2.6, 6.0)
# center (mm), radius (mm), CBV; by subject and session
LESIONS = {
    ("s1", "20190101"): {1: ((-30, 10, 5), 9.0, 6.0), 2: ((25, -20, 10), 6.0, 3.0)},
    ("s1", "20190401"): {1: ((25, -20, 10), 7.5, 3.0), 2: ((-30, 10, 5), 6.0, 6.0)},
    ("s1", "20190701"): {1: ((25, -20, 10), 7.5, 3.0), 2: ((20, 30, -10), 6.0, 4.0)},
    ("s2", "20200101"): {1: ((-25, -15, 0), 8.0, 2.0)},
}


def affine(shape, spacing, move=(0.0, 0.0, 0.0)):
    matrix = np.diag([*spacing, 1.0])
    matrix[:3, 3] = -np.array(spacing) * (np.array(shape) - 1) / 2 + np.array(move)
    return matrix


def world(shape, matrix):
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    return index @ matrix[:3, :3].T + matrix[:3, 3]


def tissue(points):
    """Return brain mask and probabilities of white matter and CSF at world points."""
    inside = ((points / np.array([52, 64, 50])) ** 2).sum(-1)
    return inside < 1, (inside < 0.8).astype(np.float32), (inside >= 0.9).astype(np.float32)


def make_study(root: Path, sessions=tuple(LESIONS)) -> Path:
    """Write images, states and plan; return the folder with ``study.yaml``."""
    out = root / "out"
    rows, states = [], {}
    for subject, session in sessions:
        rows.append(_plan_row(subject, session, rows))
        states |= _session(out, subject, session)
    (out / "index").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), out / "index" / "plan.parquet")
    (root / "study.yaml").write_text(
        "study: small\nout: out\ncenters:\n  - {name: north, dicom: [incoming]}\n"
        "features: {radiomics: {anatomy: [stat]}}\n"
    )
    (root / "states.json").write_text(json.dumps({"/".join(k): v for k, v in states.items()}))
    return root


DOUBT = "T1w_run-1: slices_may_be_missing (88 of 176 by instance_number)"


def _plan_row(subject, session, rows):
    first = not any(row["subject"] == subject for row in rows)
    return {
        "center": "north",
        "subject": subject,
        "session": session,
        "arrival": 1 + sum(row["subject"] == subject for row in rows),
        "is_reference": first,
        "has_mask": True,
        "date_shifted": session,
        "status": "planned",
        "reason": "",
    }


def _session(out, subject, session):
    base = f"derivatives/sub-{subject}/ses-{session}"
    stem = f"{base}/perf/sub-{subject}_ses-{session}"
    for folder in ("anat", "perf", "lesions"):
        (out / base / folder).mkdir(parents=True, exist_ok=True)
    t1, dsc = affine(SHAPE, SPACING), affine(DSC_SHAPE, DSC_SPACING, (1.0, -2.0, 0.5))
    points = world(SHAPE, t1)
    labels = np.zeros(SHAPE, np.int16)
    for label, (center, radius, _) in LESIONS[subject, session].items():
        labels[((points - center) ** 2).sum(-1) <= radius**2] = label
    mask = f"{base}/lesions/sub-{subject}_ses-{session}_desc-given_dseg.nii.gz"
    save_nifti(labels, t1, out / mask)
    anat = {"transforms": f"{base}/anat/xfm.json", "longitudinal": True, "flair": None}
    anat["midsagittal"] = {"normal": [1.0, 0.0, 0.0], "offset": 0.0}
    anat["verdicts"] = {"brain": {"verdict": "pass", "reasons": [], "numbers": {}}}
    eye = np.eye(4).tolist()
    shift = np.eye(4)
    shift[0, 3] = 1.5
    transforms = {"dsc_to_T1w": shift.tolist(), "T1w_to_reference": eye}
    (out / anat["transforms"]).write_text(json.dumps(transforms))
    anat |= _tissues(out, f"{base}/anat/t1", points, t1)
    inside = world(DSC_SHAPE, dsc) + np.array([1.5, 0, 0])
    anat["dsc"] = _tissues(out, f"{stem}_dsc", inside, dsc)
    anat["dce"] = None
    dsc_summary = _dsc(out, stem, inside, dsc, LESIONS[subject, session])
    bids = {"series": {}, "mask": mask, "reference": "T1w", "doubts": [DOUBT]}
    return {
        ("bids", subject, session): bids,
        ("anat", subject, session): anat,
        ("dsc", subject, session): dsc_summary,
    }


def _tissues(out, stem, points, matrix):
    brain, white, csf = tissue(points)
    names = {"brain": brain, "WM": white, "CSF": csf}
    paths = {name: f"{stem}_{name}.nii.gz" for name in names}
    for name, image in names.items():
        save_nifti(image, matrix, out / paths[name])
    return {"brain": paths["brain"], "probseg": {"WM": paths["WM"], "CSF": paths["CSF"]}}


def _dsc(out, stem, points, matrix, lesions):
    rng = np.random.default_rng(1)
    cbv = np.full(DSC_SHAPE, 2.0) * rng.normal(1, 0.05, DSC_SHAPE)
    for center, radius, value in lesions.values():
        cbv[((points - center) ** 2).sum(-1) <= (radius + 2) ** 2] = value
    evaluable = np.ones(DSC_SHAPE, bool)
    evaluable[0] = False
    save_nifti(cbv, matrix, out / f"{stem}_cbv.nii.gz")
    save_nifti(evaluable, matrix, out / f"{stem}_ok.nii.gz")
    entry = {"units": "a.u.", "model": "bsw", "kind": "map", "evaluable": f"{stem}_ok.nii.gz"}
    return {
        "maps": {"CBV": {"path": f"{stem}_cbv.nii.gz", **entry}},
        "domain": {"preload": "none", "dose_source": "center"},
    }


def run_stage(root: Path, name: str, subject=None, session=None, upstream=None, key=None) -> State:
    """Run one script on the study and return its state; outputs go to their places."""
    spec = importlib.util.spec_from_file_location(
        f"script_{name}", REPOSITORY / f"scripts/{name}.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    study = load_study(root)
    key = key or f"{name}-{subject}-{session}"
    job = Job(
        name,
        key,
        study.out,
        study.out,
        study,
        subject,
        session,
        "north",
        upstream or {},
        say=_quiet,
    )
    module.main(job)
    return State(
        name,
        key,
        subject,
        session,
        "done",
        summary=job.summary,
        problems=job.problems,
        warnings=job.warnings,
    )


def _quiet(_: str) -> None:
    return None


def run_all(root: Path) -> dict[str, list[State]]:
    """Run identity, features and tables on the whole study and return all states."""
    given = json.loads((root / "states.json").read_text())
    upstream: dict[str, list[State]] = {"dce": []}
    for name, summary in given.items():
        stage, subject, session = name.split("/")
        state = State(
            stage, f"{stage}-{subject}-{session}", subject, session, "done", summary=summary
        )
        upstream.setdefault(stage, []).append(state)
        if stage == "bids":
            state.problems.append(Problem("FLAIR", "no such series", "none"))
            failed = State("dce", f"dce-{subject}-{session}", subject, session, "failed", "broken")
            upstream["dce"].append(failed)
    subjects = sorted({s.subject for s in upstream["bids"]})
    upstream["identity"] = [
        run_stage(root, "identity", subject, None, _only(upstream, subject)) for subject in subjects
    ]
    upstream["features"] = [
        run_stage(root, "features", s.subject, s.session, _only(upstream, s.subject, s.session))
        for s in upstream["bids"]
    ]
    upstream["tables"] = [run_stage(root, "tables", upstream=upstream)]
    return upstream


def _only(upstream, subject, session=None):
    return {
        stage: [s for s in states if s.subject == subject and session in {None, s.session}]
        for stage, states in upstream.items()
    }
