"""Arterial input and kinetics of the synthetic cohort against its truth, at every center.

Run ``python benchmarks/dce_phantom.py``: the first session of every center's first subject is
acquired as arrays (no DICOM, no registration), analysed as stage `dce` does, and compared with the
concentrations and parameters it was made from.
"""

from __future__ import annotations

import time

import numpy as np
from scipy.ndimage import distance_transform_edt

from afterglow.config.dce import DCEConfig
from afterglow.perfusion.aif_choice import Injection
from afterglow.perfusion.dce_analysis import analyse, foreground
from afterglow.perfusion.t1 import fit_vfa
from afterglow.phantom import physics
from afterglow.phantom.cohort import plan_cohort
from afterglow.phantom.geometry import resample
from afterglow.phantom.protocol import injections, part_starts
from afterglow.phantom.scan import acquire, lesion_fractions, open_session


def acquired(session):
    """Return series, flip-angle images, their angles, and tissue fractions on the DCE grid."""
    scan = acquire(session, "dce")
    names = sorted(s for s in all_names(session) if s.startswith("vfa"))
    scans = [acquire(session, name) for name in names]
    gains = [s.series.scale / scan.series.scale for s in scans]
    images = np.stack([s.data[..., 0] / g for s, g in zip(scans, gains, strict=True)], axis=-1)
    pose, grid = session.pose_of(scan.series), scan.grid
    head = session.head
    inside = sum(head.fractions[name] for name in ("gm", "wm", "csf"))
    brain, artery = resample([inside, head.fractions["artery"]], head.affine, grid, pose, (2, 2, 4))
    each, whole, _ = lesion_fractions(session, grid, pose, scan.series.factors)
    return scan, images, [s.series.flip for s in scans], brain + whole, artery, each


def all_names(session):
    from afterglow.phantom.protocol import series_of

    return [series.name for series in series_of(session.center)]


def truth_input(session, series):
    """Return the blood concentration that this injection adds at every frame, and its arrival."""
    window = np.linspace(0.35, 0.65, 16) * series.frame_time
    starts = series.start + np.asarray(series.frame_starts())
    blood = np.interp(starts[:, None] + window, session.time, session.blood).mean(axis=1)
    arrival = next(i.arrival for i in injections(session.center) if i.arrival > series.start)
    return blood - blood[starts + series.frame_time < arrival].mean(), arrival - series.start


def one(patient, visit, plan):
    session = open_session(plan, patient, visit)
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
        center.dose_of("dce"),
    )  # fmt: skip
    found = analyse(
        series, frames, mask, t10.t1, injection, DCEConfig(), search_mask=search, native_t1=native
    )
    seconds = time.process_time() - begin
    blood, arrival = truth_input(session, scan.series)
    choice = found.choice
    step = scan.series.frame_time
    visible = frames[np.flatnonzero(blood > 0.05 * blood.max())[0]]
    print(
        f"| {center.name} | {center.vendor} {center.field:g} T | {choice.source} | "
        f"{100 * (choice.blood.max() / blood.max() - 1):+.1f} | "
        f"{(choice.arrival - visible) / step:+.2f} | {choice.scale:.2f} | "
        f"{choice.t1.value if choice.t1 else float('nan'):.2f} | {seconds:.1f} |",
        choice.rule, "true arrival", arrival, choice.arrival, "arterial fraction",
        np.round(np.sort(artery[choice.voxels])[[0, -1]], 2) if choice.voxels.any() else "",
    )  # fmt: skip
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


def main():
    plan = plan_cohort("small")
    for subject in plan.subjects:
        one(subject.patient, 0, plan)


if __name__ == "__main__":
    main()
