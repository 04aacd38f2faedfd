"""Lesion rCBV and arterial voxels of the synthetic cohort against its truth, by center.

Run ``python benchmarks/dsc_reference.py [PATIENT ...]`` (all nine by default; three sessions each).
Every session is acquired as arrays by its scanner's own protocol and analysed as stage `dsc` does,
with the true brain, white matter and lesions. Lesion rCBV is the median of the corrected map over
the enhancing voxels (half of the voxel or more), over the median of contralateral normal white
matter; truth is the blood volume that the same voxels were made from, taken the same way.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from afterglow.config.dsc import DSCConfig
from afterglow.errors import NotEvaluable
from afterglow.perfusion.dsc_analysis import analyse
from afterglow.perfusion.dsc_reference import brain_like, grown
from afterglow.perfusion.dsc_series import DSCSeries
from afterglow.phantom.cohort import plan_cohort
from afterglow.phantom.scan import render
from reference_sessions import BRAIN, still_session, true_fractions

FEWEST = 5


def prepared(session):
    """Return the series as the stage sees it and the tissue fractions of its voxels."""
    series = session.series("dsc")
    grid = session.grid_of(series)
    data = render(session, series, grid).astype(np.float32)
    parts = true_fractions(session, series, grid)
    living = {n: f for n, f in parts.items() if n.startswith("lesion-")}
    solid = sum(
        (f for n, f in parts.items() if n.startswith(("lesion-", "core-"))), 0 * data[..., 0]
    )
    lesions = solid > 0.3
    brain = sum(parts[name] for name in BRAIN) + solid > 0.7
    affine = np.asarray(grid.affine, dtype=float)
    frames = np.asarray(series.frame_starts(), dtype=float)
    given = DSCSeries(
        data, frames, (series.te,), brain, affine, lesions, parts["wm"],
        np.zeros(frames.size, bool), np.asarray(series.slice_offsets(), dtype=float),
        grown(brain, affine, 6.0) & brain_like(data),
    )  # fmt: skip
    return given, parts, living, lesions


def one(session, label):
    """Return rows (center, lesion, diameter, r2s, voxels, measured, uncorrected, truth)."""
    given, parts, living, lesions = prepared(session)
    start = time.process_time()
    try:
        found = analyse(given, DSCConfig())
    except NotEvaluable as refused:
        print(label, "not evaluable:", refused)
        return [], None
    seconds = time.process_time() - start
    volume = sum(f * session.components[n].cbv for n, f in parts.items())
    shape = given.mask.shape
    index = np.moveaxis(np.indices(shape), 0, -1)
    across = (index @ given.affine[:3, :3].T + given.affine[:3, 3])[..., 0]
    across -= session.pose.translation[0]
    usable = found.evaluable_by["CBV"]
    normal = (parts["wm"] >= 0.9) & usable & ~grown(lesions, given.affine, 6.0)
    rows = []
    for name, share in living.items():
        region = (share >= 0.5) & usable
        if region.sum() < FEWEST:
            continue
        side = np.sign(across[region].mean())
        reference = normal & (np.sign(across) == -side)
        values = [
            np.median(image[region]) / np.median(image[reference])
            for image in (found.maps["CBV"], found.maps["CBVraw"], volume)
        ]
        tissue = session.components[name]
        rows.append((session.center.name, label, name, tissue.r2s_ees, region.sum(), *values))
    voxels = found.aif.voxels
    arterial = parts["artery"][voxels]
    inside = float(np.mean(arterial >= 0.5)) if voxels.any() else 0.0
    print(
        f"{label} {session.center.name}: {len(rows)} lesions, {int(voxels.sum())} arterial voxels, "
        f"{100 * inside:.0f} % of them in arteries, {seconds:.1f} s, {found.warnings}", flush=True
    )  # fmt: skip
    return rows, inside


def table(rows):
    """Print the errors by center and by kind of leakage."""
    print(
        "| sessions of | lesions | median absolute error | bias | 90th percentile | uncorrected |"
    )
    print("|---|---|---|---|---|---|")
    centers = dict.fromkeys(row[0] for row in rows)
    groups = {center: [row for row in rows if row[0] == center] for center in centers}
    groups["all"] = rows
    groups["T1-dominant (R2* below 5)"] = [r for r in rows if r[3] < 5]
    groups["mixed"] = [r for r in rows if 5 <= r[3] < 12]
    groups["T2*-dominant (R2* from 12)"] = [r for r in rows if r[3] >= 12]
    for name, part in groups.items():
        if not part:
            continue
        measured, raw, truth = np.array([r[-3:] for r in part], dtype=float).T
        error = 100 * (measured / truth - 1)
        plain = 100 * (raw / truth - 1)
        print(
            f"| {name} | {len(part)} | {np.median(np.abs(error)):.1f} % | {error.mean():+.1f} % "
            f"(median {np.median(error):+.1f} %) | {np.percentile(np.abs(error), 90):.0f} % | "
            f"{np.median(np.abs(plain)):.1f} %, {plain.mean():+.1f} % |"
        )


def main(patients):
    plan = plan_cohort("full")
    rows, inside = [], []
    for subject in plan.subjects:
        if patients and subject.patient not in patients:
            continue
        for visit in range(len(subject.visits)):
            session = still_session(plan, subject.patient, visit)
            found, share = one(session, f"{subject.patient}/{visit + 1}")
            rows += found
            inside.append(share)
    for row in rows:
        print(
            f"{row[0]:6s} {row[1]} {row[2]} R2* {row[3]:.1f} n {row[4]} rCBV {row[7]:.2f} "
            f"found {row[5]:.2f} ({100 * (row[5] / row[7] - 1):+.0f} %) raw {row[6]:.2f}"
        )
    table(rows)
    good = [share is not None and share >= 0.9 for share in inside]
    print(f"arterial voxels (9 of 10 or more) in arteries: {sum(good)} of {len(good)} sessions")


if __name__ == "__main__":
    main(sys.argv[1:])
