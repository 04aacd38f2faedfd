"""Arterial input and kinetics of the synthetic cohort against its truth, at every center.

Run ``python benchmarks/dce_phantom.py [PATIENT ...]``: the first session of every subject (or of
those named) is acquired as arrays, analysed as stage `dce` does, and compared with the
concentrations and parameters it was made from.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from scipy.ndimage import distance_transform_edt

from afterglow.config.dce import DCEConfig
from afterglow.perfusion.aif_choice import Injection
from afterglow.perfusion.dce_analysis import analyse, foreground
from afterglow.perfusion.relaxivity import transverse_relaxivity
from afterglow.perfusion.t1 import fit_vfa
from afterglow.phantom import physics
from afterglow.phantom.cohort import plan_cohort
from afterglow.phantom.protocol import injections, part_starts, series_of
from afterglow.phantom.scan import acquire
from reference_sessions import BRAIN, still_session, true_fractions


def acquired(session):
    """Return series, flip-angle images, their angles, and tissue fractions on the DCE grid."""
    scan = acquire(session, "dce")
    names = sorted(s.name for s in series_of(session.center) if s.name.startswith("vfa"))
    scans = [acquire(session, name) for name in names]
    gains = [s.series.scale / scan.series.scale for s in scans]
    images = np.stack([s.data[..., 0] / g for s, g in zip(scans, gains, strict=True)], axis=-1)
    parts = true_fractions(session, scan.series, scan.grid)
    each = {name: share for name, share in parts.items() if name.startswith("lesion-")}
    inside = [s for n, s in parts.items() if n in BRAIN or n.startswith(("lesion-", "core-"))]
    return scan, images, [s.series.flip for s in scans], sum(inside), parts["artery"], each


def truth_input(session, series):
    """Return the blood concentration that this injection adds at every frame, and its arrival."""
    window = np.linspace(0.35, 0.65, 16) * series.frame_time
    starts = series.start + np.asarray(series.frame_starts())
    blood = np.interp(starts[:, None] + window, session.time, session.blood).mean(axis=1)
    arrival = next(i.arrival for i in injections(session.center) if i.arrival > series.start)
    return blood - blood[starts + series.frame_time < arrival].mean(), arrival - series.start


def one(patient, visit, plan):
    session = still_session(plan, patient, visit)
    center = session.center
    scan, images, angles, brain, artery, each = acquired(session)
    series = scan.data.astype(np.float32)
    frames = np.asarray(scan.series.frame_starts(), dtype=float)
    spacing = np.linalg.norm(scan.grid.affine[:3, :3], axis=0)
    mask = brain > 0.5
    near = distance_transform_edt(~mask, sampling=spacing) <= 6.0
    search = (mask | near) & foreground(series)
    begin = time.process_time()
    t10 = fit_vfa(images, angles, scan.series.tr, mask=mask | search)
    order = part_starts(center)
    native = not ("dsc" in order and order["dsc"] < order["vfa"])
    relaxivity = physics.RELAXIVITY[center.agent][int(center.field > 2.0)]
    injection = Injection(
        scan.series.tr, scan.series.flip, relaxivity, center.field, center.hematocrit,
        center.dose_of("dce"), scan.series.te,
        transverse_relaxivity(center.agent, center.field).value,
    )  # fmt: skip
    found = analyse(
        series, frames, mask, t10.t1, injection, DCEConfig(), search_mask=search, native_t1=native
    )
    seconds = time.process_time() - begin
    blood, arrival = truth_input(session, scan.series)
    choice = found.choice
    step = scan.series.frame_time
    visible = frames[np.flatnonzero(blood > 0.05 * blood.max())[0]]
    peak, late = choice.blood.max() / blood.max() - 1, (choice.arrival - visible) / step
    inside = np.mean(artery[choice.voxels] >= 0.5) if choice.voxels.any() else 0.0
    print(
        f"| {center.name} | {patient} | {choice.source} | {100 * peak:+.1f} % | {late:+.2f} | "
        f"{100 * inside:.0f} % of {int(choice.voxels.sum())} | {choice.scale:.2f} | "
        f"{choice.t1.value if choice.t1 else float('nan'):.2f} | {seconds:.1f} |"
    )
    print(f"  {choice.rule}; true arrival {arrival:.1f} s, found {choice.arrival:.1f} s")
    rows = []
    for name, fraction in each.items():
        if not name.startswith("lesion"):
            continue
        tissue = session.tissues[name]
        here = (fraction > 0.9) & mask
        truth = {"Ktrans": tissue.ktrans, "ve": tissue.ve,
                 "vp": tissue.cbv * (1 - center.hematocrit)}  # fmt: skip
        cells = [center.name, name, str(int(here.sum()))]
        for parameter, value in truth.items():
            good = here & found.evaluable_by[parameter]
            part = found.maps[parameter][good]
            cells.append(f"{value:.4g}")
            cells.append(f"{100 * (np.median(part) / value - 1):+.1f}" if part.size else "-")
            cells.append(f"{good.sum() / max(here.sum(), 1):.2f}")
        rows.append("| " + " | ".join(cells) + " |")
    print("\n".join(rows), flush=True)
    return center.name, peak, late


def main(patients):
    plan = plan_cohort("full")
    print("| center | patient | input | peak | arrival, frames | in arteries | scale | T1 | s |")
    print("|---|---|---|---|---|---|---|---|---|")
    found = []
    for subject in plan.subjects:
        if subject.patient in patients or not patients:
            visit = 1 if "no_dce" in subject.troubled(0) else 0
            found.append(one(subject.patient, visit, plan))
    for center in dict.fromkeys(row[0] for row in found):
        errors = np.array([row[1:] for row in found if row[0] == center])
        worst = np.abs(errors).max(axis=0)
        print(f"{center}: peak within {100 * worst[0]:.1f} %, arrival within {worst[1]:.2f} frames")


if __name__ == "__main__":
    main(sys.argv[1:])
