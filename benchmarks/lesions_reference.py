"""Identity and segmentation on a finished reference cohort, against its truth.

``python benchmarks/lesions_reference.py DEMO_FOLDER`` prints what docs/lesions.md states. Sessions
with a given mask are segmented once more without it, with the lesions of the session before as
seeds and without any; the given masks of the cohort are the truth.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from afterglow.bids.images import load_nifti
from afterglow.config import load_study
from afterglow.lesions.agreement import dice
from afterglow.lesions.enhancement import blob_candidates, enhancement
from afterglow.lesions.grids import Grid
from afterglow.lesions.seeding import moved_seeds
from afterglow.lesions.segmentation import Seed, segment
from afterglow.report.crosswalk import locator

NEAR = 8.0  # mm
# state of a truth table to states of the lesion graph
EXPECTED = {
    "baseline": {"baseline"},
    "new": {"new"},
    "present": {"persistent"},
    "returned": {"reappeared"},
    "joined": {"persistent", "merged"},
    "merged": {"persistent", "merged"},
    "split": {"persistent", "split", "reappeared"},
}


def identity(folder: Path) -> None:
    """Print how many lesions have the identity and the state of the truth."""
    locate = locator(load_study(folder))
    rows = pq.read_table(folder / "out/tables/lesions.parquet").to_pylist()
    seen: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["label"]:
            seen[row["subject"], row["session"]].append(row)
    names: dict[tuple[str, str], set[str]] = defaultdict(set)
    numbers: dict[tuple[str, str], set[str]] = defaultdict(set)
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    counts: Counter[str] = Counter()
    for truth in _csv(folder / "truth/truth.csv"):
        place = locate(truth["patient"], truth["study_date"])
        own = seen.get(place, []) if place else []
        if not own:
            counts["of sessions without lesions"] += 1
            continue
        near = min(own, key=lambda r: _apart(r, truth))
        if _apart(near, truth) > NEAR:
            counts["missed"] += 1
            print("  missed:", truth["patient"], truth["study_date"], truth["lesion"])
            continue
        counts["found"] += 1
        found[truth["patient"], truth["study_date"], truth["lesion"]] = near
        name = near["same_as"] or near["lesion_id"]
        names[truth["patient"], truth["lesion"]].add(name)
        numbers[near["subject"], name].add(truth["lesion"])
    matched = {(r["subject"], r["session"], r["label"]) for r in found.values()}
    every = {(r["subject"], r["session"], r["label"]) for r in rows if r["label"]}
    counts["not in the truth"] = len(every - matched)
    print("lesions:", dict(counts))
    print("lesions with several ids:", {k: sorted(v) for k, v in names.items() if len(v) > 1})
    print("ids with several lesions:", {k: sorted(v) for k, v in numbers.items() if len(v) > 1})
    _states(folder, found)


def _states(folder: Path, found: dict[tuple[str, str, str], dict[str, Any]]) -> None:
    if not (folder / "truth/identity.csv").exists():
        print("states: the truth has none")
        return
    right: Counter[str] = Counter()
    for truth in _csv(folder / "truth/identity.csv"):
        row = found.get((truth["patient"], truth["study_date"], truth["lesion"]))
        if row is None or truth["state"] not in EXPECTED:
            continue
        good = row["state"] in EXPECTED[truth["state"]]
        right[f"{truth['state']} {'right' if good else 'wrong'}"] += 1
        if not good:
            where = (truth["patient"], truth["study_date"], truth["lesion"])
            print("  state:", *where, truth["state"], "but", row["state"])
    print("states:", dict(sorted(right.items())))


def _csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _apart(row: dict[str, Any], truth: dict[str, str]) -> float:
    return float(
        np.linalg.norm([row[f"centroid_{a}"] - float(truth[f"centroid_{a}"]) for a in "xyz"])
    )


def segmentation(folder: Path) -> None:
    """Print Dice and volume of the segmentation of every session with a given mask."""
    rows: dict[str, list[tuple[float, float, float, float]]] = defaultdict(list)
    extra: Counter[str] = Counter()
    for subject in sorted((folder / "out/derivatives").glob("sub-*")):
        before = None
        for session in sorted(subject.glob("ses-*")):
            one = _load(session)
            if one is None:
                continue
            found = enhancement(one["t1w"], one["pre"], one["white"], one["brain"], one["grid"])
            candidates = blob_candidates(found, one["brain"], 4.0, 30.0)
            ways = {"no seed": [Seed(candidates == n, "") for n in range(1, candidates.max() + 1)]}
            if before is not None and one["move"] is not None and before["move"] is not None:
                step = np.linalg.inv(before["move"]) @ one["move"]
                ways["seeded"] = moved_seeds(
                    before["labels"], before["grid"], one["grid"], step, ""
                )
            for name, seeds in ways.items():
                done = segment(found, one["brain"], seeds)
                rows[name] += _compare(one["labels"], done, one["grid"])
                touched = set(np.unique(done.labels[one["labels"] > 0]).tolist())
                extra[name] += sum(lesion.label not in touched for lesion in done.lesions)
            before = one
    for name, values in rows.items():
        large = np.array([v for v in values if v[0] > 0.1])
        if len(large):
            low = large[:, 1] < 0.5
            print(
                f"{name}: {len(large)} lesions above 0.1 mL, Dice median"
                f" {np.median(large[:, 1]):.3f}, least {large[:, 1].min():.3f}; volume"
                f" {100 * large[:, 2].mean():+.1f} % (mean); {extra[name]} objects are no lesion;"
                f" {int(low.sum())} below 0.5, {int((low & (large[:, 3] > 0)).sum())} flagged"
            )


def _compare(labels: Any, done: Any, grid: Grid) -> list[tuple[float, float, float, float]]:
    """Return volume (mL), Dice, relative error of volume, and whether flagged, by true lesion."""
    rows = []
    for label in np.unique(labels[labels > 0]):
        own = labels == label
        touching = np.unique(done.labels[own])
        touching = touching[touching > 0]
        made = np.isin(done.labels, touching) if touching.size else np.zeros_like(own)
        doubt = not touching.size or any(
            lesion.doubt or lesion.quality < 0.5
            for lesion in done.lesions
            if lesion.label in touching
        )
        volume = float(own.sum()) * grid.voxel_volume / 1000
        rows.append((volume, dice(own, made), made.sum() / own.sum() - 1, float(doubt)))
    return rows


def _load(session: Path) -> dict[str, Any] | None:
    """Return what segmentation needs of a session with a given mask."""
    wanted = {
        "t1w": "anat/*_desc-preproc_T1w.nii.gz",
        "pre": "anat/*desc-precontrast_T1w.nii.gz",
        "white": "anat/*label-WM_probseg.nii.gz",
        "brain": "anat/*desc-brain_mask.nii.gz",
        "labels": "lesions/*desc-given_dseg.nii.gz",
    }
    paths = {name: sorted(session.glob(pattern)) for name, pattern in wanted.items()}
    if not all(paths.values()):
        return None
    one: dict[str, Any] = {}
    for name, found in paths.items():
        values, affine = load_nifti(found[0])
        one[name] = values
        if name == "labels":
            one["grid"] = Grid((values.shape[0], values.shape[1], values.shape[2]), affine)
    one["labels"], one["brain"] = one["labels"].astype(np.int32), one["brain"] > 0.5
    transforms = json.loads(next(session.glob("anat/*transforms_xfm.json")).read_text())
    move = transforms.get("T1w_to_reference")
    one["move"] = None if move is None else np.array(move)
    return one


if __name__ == "__main__":
    identity(Path(sys.argv[1]))
    segmentation(Path(sys.argv[1]))
