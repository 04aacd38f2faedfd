"""Hold the anatomical stage of a finished demo to the truth of its phantom.

    python benchmarks/anat_accuracy.py DEMO_DIR [--size small]

Prints, per session: Dice of the brain mask; target registration errors over the voxels of the true
brain (median and 95th percentile, mm) within session, over time, and of DSC and DCE to T1w; errors
of frame motion (mm and degrees, 95th percentile and largest over the frames that were kept) with
the bolus present; and the verdicts. The errors of DSC are those of the rigid transform; where the
phantom distorts its EPI, the displacement that no rigid transform can undo is printed beside it.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from afterglow.anat.transforms import apply, invert, rigid, rigid_parameters
from afterglow.bids.images import load_nifti
from afterglow.phantom import atlas
from afterglow.phantom.anatomy import draw_warp
from afterglow.phantom.cohort import plan_cohort
from afterglow.phantom.scan import Session, open_session

ANATOMICALS = {"pre_to_T1w": "T1w", "flair_to_T1w": "FLAIR"}


def true_brain(session: Session, affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the brain's hull on a grid of the post-contrast T1w."""
    pose = session.pose_of(session.series("T1w_ce")).matrix()
    warp = draw_warp(session.plan.seed, session.subject.patient)
    world = apply(invert(pose) @ affine, np.indices(shape).reshape(3, -1).T)
    low, step = _warp_grid()
    index = ((world - low) / step).T
    moved = [ndimage.map_coordinates(n, index, order=1, mode="nearest") for n in warp.nodes]
    there = world @ warp.linear.T + np.stack(moved, axis=1)
    source = atlas.load()
    place = apply(invert(source.coarse_affine), there).T
    away = ndimage.map_coordinates(source.surfaces["brain"], place, order=1, cval=60.0)
    return (away < 0).reshape(shape)


def _warp_grid() -> tuple[np.ndarray, float]:
    from afterglow.phantom import anatomy

    step = getattr(anatomy, "NODE_MM", None) or anatomy._NODE_MM
    return np.asarray(anatomy._LOW), float(step)


def frame_poses(session: Session, name: str, frames: int) -> np.ndarray:
    """Return head to scanner at every frame, shape (n, 4, 4)."""
    series = session.series(name)
    if not hasattr(session, "motion_of"):
        return np.stack([session.pose_of(series).matrix()] * frames)
    motion = session.motion_of(series)
    six = np.array([[*p.rotation, *p.translation] for p in motion.poses])
    mixed = motion.weights.T @ six
    return np.stack([_pose(row) for row in mixed])


def _pose(six: np.ndarray) -> np.ndarray:
    from afterglow.phantom.geometry import Pose

    return Pose(tuple(six[:3]), tuple(six[3:])).matrix()


def motion_errors(
    out: Path, block: dict[str, Any], poses: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return head to motion target, errors (frames, 6) in mm and degrees, and censored frames."""
    with (out / block["motion"]).open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    names = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]
    six = np.array([[float(r[n]) for n in names] for r in rows])
    censored = np.array([r["censored"] == "1" for r in rows])
    values, affine = load_nifti(out / block["moco"])
    center = apply(affine, (np.array(values.shape[:3]) - 1) / 2)
    found = [rigid([*s[:3], *np.radians(s[3:])], center) for s in six]
    to_target = [invert(m) @ p for m, p in zip(found, poses[: len(found)], strict=True)]
    relative = np.array([rigid_parameters(t @ invert(to_target[0]), center) for t in to_target])
    middle = rigid(np.median(relative[~censored], axis=0), center) @ to_target[0]
    rest = np.array([rigid_parameters(t @ invert(middle), center) for t in to_target])
    rest[:, 3:] = np.degrees(rest[:, 3:])
    return middle, np.abs(rest), censored


def percentiles(errors: np.ndarray) -> str:
    return f"{np.median(errors):.2f}/{np.percentile(errors, 95):.2f}"


def epi_displacement(session: Session, world: np.ndarray) -> np.ndarray | None:
    """Return by how many mm the phantom's EPI displaces points (scanner world), None where not."""
    try:
        from afterglow.phantom import fields
    except ImportError:
        return None
    grid = session.grid_of(session.series("dsc"))
    shift, _ = fields.distortion(session.center.field, grid, session.pose_of(session.series("dsc")))
    index = apply(invert(grid.affine), world).T
    return np.abs(ndimage.map_coordinates(shift, index, order=1, mode="nearest")) * grid.spacing[1]


def judge(
    out: Path, summary: dict[str, Any], session: Session, reference: Session
) -> Iterator[tuple[str, str]]:
    """Yield name and value of every figure of one session."""
    mask, affine = load_nifti(out / summary["brain"])
    truth = true_brain(session, affine, mask.shape)
    inside = mask > 0.5
    yield "dice", f"{2 * (inside & truth).sum() / (inside.sum() + truth.sum()):.4f}"
    transforms = json.loads((out / summary["transforms"]).read_text())
    here = session.pose_of(session.series("T1w_ce")).matrix()
    points = apply(invert(here) @ affine, np.argwhere(truth)[::37])
    in_t1w = apply(here, points)
    for name, series in ANATOMICALS.items():
        if transforms.get(name):
            there = apply(session.pose_of(session.series(series)).matrix(), points)
            moved = apply(np.array(transforms[name]), there)
            yield series, percentiles(np.linalg.norm(moved - in_t1w, axis=1))
    if summary.get("longitudinal") and transforms.get("T1w_to_reference"):
        wanted = apply(reference.pose_of(reference.series("T1w_ce")).matrix(), points)
        moved = apply(np.array(transforms["T1w_to_reference"]), in_t1w)
        yield "over_time", percentiles(np.linalg.norm(moved - wanted, axis=1))
    for name in ("dsc", "dce"):
        block = summary.get(name)
        if not block:
            continue
        frames = sum(1 for _ in (out / block["motion"]).open()) - 1
        middle, rest, censored = motion_errors(out, block, frame_poses(session, name, frames))
        kept = rest[~censored]
        yield (
            f"{name}_motion",
            (
                f"mm {np.percentile(kept[:, :3], 95):.2f} max {kept[:, :3].max():.2f}"
                f" deg {np.percentile(kept[:, 3:], 95):.2f} max {kept[:, 3:].max():.2f}"
                f" censored {int(censored.sum())}/{frames}"
            ),
        )
        if not transforms.get(f"{name}_to_T1w"):
            yield name, "none"
            continue
        there = apply(middle, points)
        moved = apply(np.array(transforms[f"{name}_to_T1w"]), there)
        yield name, percentiles(np.linalg.norm(moved - in_t1w, axis=1))
        apart = epi_displacement(session, there) if name == "dsc" else None
        if apart is not None:
            yield "epi_displacement", percentiles(apart)
    verdicts = {k: v["verdict"] for k, v in summary["verdicts"].items()}
    doubts = [f"{k}={v}" for k, v in verdicts.items() if v != "pass"]
    yield "verdicts", f"{len(verdicts)} given, {', '.join(doubts) or 'all pass'}"


def sessions_of(demo: Path, size: str) -> Iterator[tuple[str, Session, Session]]:
    """Yield label, session and reference session of a demo's cohort."""
    plan = plan_cohort(size)
    known = json.loads((demo / "out-private" / "crosswalk.json").read_text())["subjects"]
    for key, entry in known.items():
        patient = key.split("\0")[1]
        labels = sorted(s["label"] for s in entry["sessions"].values())
        opened: dict[int, Session] = {}
        for visit, label in enumerate(labels):
            opened[visit] = open_session(plan, patient, visit)
            reference = opened[labels.index(entry["reference"])] if visit else opened[0]
            yield f"sub-{entry['label']}_ses-{label}", opened[visit], reference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path)
    parser.add_argument("--size", default="small")
    parser.add_argument("--out", type=Path, help="another folder with the stage's results")
    options = parser.parse_args()
    states = options.demo / "out" / "ledger" / "states" / "anat"
    for label, session, reference in sessions_of(options.demo, options.size):
        out = options.out or options.demo / "out"
        path = next((options.out or states).glob(f"{label}*.json"), None)
        if path is None:
            print(label, "no result")
            continue
        content = json.loads(path.read_text())
        summary = content.get("summary", content)
        if "brain" not in summary:
            print(label, content.get("status"), content.get("reason"))
            continue
        print(label, session.center.name, session.subject.patient, flush=True)
        for name, value in judge(out, summary, session, reference):
            print(f"    {name:16s} {value}", flush=True)


if __name__ == "__main__":
    main()
