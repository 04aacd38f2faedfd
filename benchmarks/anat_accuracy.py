"""Hold the anatomical stage of a finished demo to the truth of its phantom.

    python benchmarks/anat_accuracy.py DEMO_DIR [--size small]

Prints a row per session: Dice of the brain mask; target registration errors over the voxels of the
true brain (median/95th percentile, mm) within session, over time, and of DSC and DCE to T1w; errors
of frame motion (mm and degrees, 95th percentile/largest over the frames that were kept) with the
bolus present; and the verdicts that did not pass. `dsc` is the error against the head's pose;
`dsc_with_epi` holds every brain voxel of the EPI to where its content comes from, distortion
included, and `dsc_warped` the same with `anat.epi_deformation`.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from afterglow.anat.transforms import apply, invert, rigid, rigid_parameters
from afterglow.bids.images import load_nifti
from afterglow.phantom import anatomy, atlas, fields
from afterglow.phantom.anatomy import draw_warp
from afterglow.phantom.cohort import plan_cohort
from afterglow.phantom.scan import Session, open_session

ANATOMICALS = {"pre_to_T1w": "T1w", "flair_to_T1w": "FLAIR"}


def pose(session: Session, name: str) -> np.ndarray:
    """Return head to scanner during a series; a second study repeats the T1w after contrast."""
    series = session.series(name.removesuffix("_again"))
    return session.pose_of(replace(series, name=name)).matrix()


def true_brain(session: Session, affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the brain's hull on a grid of head space."""
    warp = draw_warp(session.plan.seed, session.subject.patient)
    world = apply(affine, np.indices(shape).reshape(3, -1).T)
    index = ((world - anatomy._LOW) / anatomy.NODE_MM).T
    moved = [ndimage.map_coordinates(n, index, order=1, mode="nearest") for n in warp.nodes]
    there = world @ warp.linear.T + np.stack(moved, axis=1)
    source = atlas.load()
    place = apply(invert(source.coarse_affine), there).T
    away = ndimage.map_coordinates(source.surfaces["brain"], place, order=1, cval=60.0)
    return (away < 0).reshape(shape)


def frame_poses(session: Session, name: str) -> np.ndarray:
    """Return head to scanner at every frame, shape (n, 4, 4)."""
    series = session.series(name)
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


def percentiles(errors: np.ndarray) -> list[float]:
    return [float(np.median(errors)), float(np.percentile(errors, 95))]


def undistorted(session: Session, world: np.ndarray) -> np.ndarray:
    """Return where the content of the phantom's EPI at points (scanner world) comes from."""
    grid = session.grid_of(session.series("dsc"))
    shift, _ = fields.distortion(session.center.field, grid, session.pose_of(session.series("dsc")))
    index = apply(invert(grid.affine), world).T
    moved = ndimage.map_coordinates(shift, index, order=1, mode="nearest")
    return world + moved[:, None] * grid.affine[:3, 1]


def epi(
    out: Path,
    block: dict[str, Any],
    session: Session,
    middle: np.ndarray,
    here: np.ndarray,
    matrix: np.ndarray,
) -> Iterator[tuple[str, str]]:
    """Yield the error of every brain voxel of the EPI, its distortion included."""
    brain, affine = load_nifti(out / block["brain"])
    index = np.argwhere(brain > 0.5)
    voxels = apply(affine, index)
    truth = apply(here @ invert(middle), undistorted(session, voxels))
    yield "dsc_with_epi", percentiles(np.linalg.norm(apply(matrix, voxels) - truth, axis=1))
    if block.get("warp"):
        field, _ = load_nifti(out / block["warp"])
        warped = voxels + field[tuple(index.T)]
        yield "dsc_warped", percentiles(np.linalg.norm(apply(matrix, warped) - truth, axis=1))


def judge(
    out: Path, summary: dict[str, Any], session: Session, reference: Session, t1w: str
) -> Iterator[tuple[str, list[float]]]:
    """Yield name and numbers of every figure of one session."""
    mask, affine = load_nifti(out / summary["brain"])
    here = pose(session, t1w)
    truth = true_brain(session, invert(here) @ affine, mask.shape)
    inside = mask > 0.5
    yield "dice", [2 * float((inside & truth).sum()) / float(inside.sum() + truth.sum())]
    transforms = json.loads((out / summary["transforms"]).read_text())
    points = apply(invert(here) @ affine, np.argwhere(truth)[::37])
    in_t1w = apply(here, points)
    for name, series in ANATOMICALS.items():
        if transforms.get(name):
            there = apply(pose(session, series), points)
            moved = apply(np.array(transforms[name]), there)
            yield series, percentiles(np.linalg.norm(moved - in_t1w, axis=1))
    if reference is not session and transforms.get("T1w_to_reference"):
        wanted = apply(pose(reference, "T1w_ce"), points)
        moved = apply(np.array(transforms["T1w_to_reference"]), in_t1w)
        yield "over_time", percentiles(np.linalg.norm(moved - wanted, axis=1))
    for name in ("dce", "dsc"):
        if summary.get(name):
            yield from dynamic(out, summary[name], session, name, transforms, points, here)


def dynamic(
    out: Path,
    block: dict[str, Any],
    session: Session,
    name: str,
    transforms: dict[str, Any],
    points: np.ndarray,
    here: np.ndarray,
) -> Iterator[tuple[str, list[float]]]:
    """Yield the errors of one dynamic series; ``points`` are those of the brain in head space."""
    middle, rest, censored = motion_errors(out, block, frame_poses(session, name))
    kept = rest[~censored]
    for unit, part in (("mm", kept[:, :3]), ("deg", kept[:, 3:])):
        yield f"{name}_motion_{unit}", [float(np.percentile(part, 95)), float(part.max())]
    yield f"{name}_censored", [float(censored.sum())]
    if not transforms.get(f"{name}_to_T1w"):
        return
    matrix = np.array(transforms[f"{name}_to_T1w"])
    moved = apply(matrix, apply(middle, points))
    yield name, percentiles(np.linalg.norm(moved - apply(here, points), axis=1))
    if name == "dsc":
        yield from epi(out, block, session, middle, here, matrix)


COLUMNS = (
    "dice",
    "T1w",
    "FLAIR",
    "over_time",
    "dce",
    "dsc",
    "dsc_with_epi",
    "dsc_warped",
    "dce_motion_mm",
    "dce_motion_deg",
    "dsc_motion_mm",
    "dsc_motion_deg",
    "dce_censored",
    "dsc_censored",
)


def row(label: str, found: dict[str, list[float]], verdicts: str) -> str:
    """Return one row of the table; several numbers of a figure are set apart by a slash."""
    digits = {"dice": 4, "dce_censored": 0, "dsc_censored": 0}
    cells = [
        "/".join(f"{v:.{digits.get(name, 2)}f}" for v in found.get(name, [])) or "-"
        for name in COLUMNS
    ]
    return "| " + " | ".join([label, *cells, verdicts]) + " |"


def worst(every: list[dict[str, list[float]]]) -> dict[str, list[float]]:
    """Return the worst of every number over the sessions."""
    result = {}
    for name in COLUMNS:
        values = [f[name] for f in every if name in f]
        if values:
            pick = np.min if name == "dice" else np.max
            result[name] = [float(v) for v in pick(np.array(values), axis=0)]
    return result


def sessions_of(demo: Path, size: str) -> Iterator[tuple[str, Session, Session, str]]:
    """Yield label, session, reference session and name of the T1w of a demo's cohort."""
    plan = plan_cohort(size)
    known = json.loads((demo / "out-private" / "crosswalk.json").read_text())["subjects"]
    for key, entry in known.items():
        patient = key.split("\0")[1]
        labels = sorted(s["label"] for s in entry["sessions"].values())
        days = sorted({label[:8] for label in labels})
        opened = [open_session(plan, patient, visit) for visit in range(len(days))]
        reference = opened[days.index(entry["reference"][:8])]
        for label in labels:
            session = opened[days.index(label[:8])]
            name = f"sub-{entry['label']}_ses-{label}"
            # Of two studies on one date, the second holds the repeated T1w and nothing else.
            both = label[8:] or f"{label}b" in labels
            alone = both and len(_series(demo, name)) == 1
            yield name, session, reference, "T1w_ce_again" if alone else "T1w_ce"


def _series(demo: Path, name: str) -> dict[str, Any]:
    path = demo / "out" / "ledger" / "states" / "bids" / f"{name}.json"
    summary: dict[str, Any] = json.loads(path.read_text())["summary"]
    return {k: v for k, v in summary["series"].items() if v}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path)
    parser.add_argument("--size", default="small")
    parser.add_argument("--out", type=Path, help="another folder with the stage's results")
    options = parser.parse_args()
    states = options.demo / "out" / "ledger" / "states" / "anat"
    every = []
    print("| session | " + " | ".join(COLUMNS) + " | not passed |")
    print("|---" * (len(COLUMNS) + 2) + "|", flush=True)
    for label, session, reference, t1w in sessions_of(options.demo, options.size):
        out = options.out or options.demo / "out"
        path = (options.out or states) / f"{label}.json"
        name = f"{session.subject.patient} {session.visit + 1}{label.partition('_ses-')[2][8:]}"
        content = json.loads(path.read_text()) if path.exists() else {"reason": "no result"}
        summary = content.get("summary", content)
        if "brain" not in summary:
            print(f"| {name} | {content.get('reason')} |")
            continue
        found = dict(judge(out, summary, session, reference, t1w))
        doubts = [
            f"{k}={v['verdict']}" for k, v in summary["verdicts"].items() if v["verdict"] != "pass"
        ]
        every.append(found)
        print(row(name, found, ", ".join(doubts)), flush=True)
    middle = {"dice": [float(np.median([f["dice"][0] for f in every]))]}
    print(row(f"median of {len(every)}", middle, ""))
    print(row("worst", worst(every), ""))


if __name__ == "__main__":
    main()
