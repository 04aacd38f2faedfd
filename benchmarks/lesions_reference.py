"""Identity and segmentation on a finished reference cohort, against its truth.

``python benchmarks/lesions_reference.py DEMO_FOLDER`` prints what docs/lesions.md states and ends
with 1 where an identity or a state is wrong or segmentation misses its figures. Every session is
segmented once more without its given mask, with the lesions of the session before as seeds and
without any seed, and compared with the lesions as drawn in truth.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
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
from afterglow.report.crosswalk import Locate, locator

NEAR = 8.0  # mm
# what truth says of a lesion with a mask of its own, and states of the lesion graph that say so
OWN = {
    "baseline": {"baseline"},
    "new": {"new"},
    "present": {"persistent"},
    "returned": {"reappeared"},
    "split": {"split", "reappeared", "persistent"},
}
# ... of one without
GONE = {"absent": {"resolved"}, "merged": {"merged"}, "joined": {"merged"}}
LEAST_DICE, LARGEST_BIAS = 0.85, 0.10

Visit = tuple[str, str]  # subject and session


@dataclass
class Judged:
    """Rows of `lesions` by visit, what was found of the truth, and what is wrong."""

    seen: dict[Visit, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    found: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def identity(folder: Path) -> bool:
    """Print how many lesions have the identity, state and edges of the truth; True if all have."""
    locate = locator(load_study(folder))
    judged = Judged()
    for row in pq.read_table(folder / "out/tables/lesions.parquet").to_pylist():
        judged.seen[row["subject"], row["session"]].append(row)
    truths = _csv(folder / "truth/truth.csv")
    _find(judged, truths, locate)
    names = _names(judged)
    if (folder / "truth/identity.csv").exists():
        fates = _csv(folder / "truth/identity.csv")
        _states(judged, fates, names, locate)
        edges = pq.read_table(folder / "out/tables/edges.parquet").to_pylist()
        _edges(judged, fates, edges, locate)
    print("identity:", dict(sorted(judged.counts.items())))
    for text in judged.wrong:
        print("  wrong:", text)
    return not judged.wrong


def _find(judged: Judged, truths: list[dict[str, str]], locate: Locate) -> None:
    """Give every drawn lesion of the truth the nearest lesion of the table."""
    visits = set()
    for truth in truths:
        where = (truth["patient"], truth["study_date"], truth["lesion"])
        place = locate(truth)
        own = [row for row in judged.seen.get(place, ()) if row["label"]] if place else []
        if not own:
            judged.counts["lesions of sessions without lesions"] += 1
            judged.wrong.append(f"{where}: the session has no lesions")
            continue
        visits.add(place)
        near = min(own, key=lambda r: apart(r, truth))
        if apart(near, truth) > NEAR:
            judged.counts["lesions missed"] += 1
            judged.wrong.append(f"{where}: missed ({truth['volume_ml']} mL)")
            continue
        judged.counts["lesions found"] += 1
        judged.found[where] = near
    matched = {(r["subject"], r["session"], r["label"]) for r in judged.found.values()}
    for visit in visits:
        for row in judged.seen[visit]:
            if row["label"] and (*visit, row["label"]) not in matched:
                judged.counts["lesions that are none"] += 1
                judged.wrong.append(f"{visit}: label {row['label']} is no lesion")


def _names(judged: Judged) -> dict[tuple[str, str], str]:
    """Return the one id of every lesion of the truth; several, or one for several, is wrong."""
    names: dict[tuple[str, str], set[str]] = defaultdict(set)
    numbers: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
    for (patient, _, lesion), row in judged.found.items():
        name = row["same_as"] or row["lesion_id"]
        names[patient, lesion].add(name)
        numbers[row["subject"], name].add((patient, lesion))
    for lesion, own in names.items():
        if len(own) > 1:
            judged.wrong.append(f"{lesion}: several ids {sorted(own)}")
    for name, lesions in numbers.items():
        if len(lesions) > 1:
            judged.wrong.append(f"{name}: one id of several lesions {sorted(lesions)}")
    judged.counts["lesions followed"] = len(names)
    return {lesion: min(own) for lesion, own in names.items()}


def _states(
    judged: Judged,
    fates: list[dict[str, str]],
    names: dict[tuple[str, str], str],
    locate: Locate,
) -> None:
    """Compare the state of every lesion at every visit."""
    known: set[tuple[str, str]] = set()
    for fate in fates:
        lesion, state = (fate["patient"], fate["lesion"]), fate["state"]
        drawn = fate["label"] == fate["lesion"]
        if drawn:
            row = judged.found.get((fate["patient"], fate["study_date"], fate["lesion"]))
            good = row is not None and row["state"] in OWN[state]
            known.add(lesion)
        elif lesion not in known:
            continue  # not seen by itself before: the table cannot know of it
        else:
            place = locate(fate)
            rows = [
                r
                for r in judged.seen.get(place, ())
                if not r["label"] and r["lesion_id"] == names.get(lesion)
            ]
            row = rows[0] if rows else None
            good = row is not None and row["state"] in GONE[state]
        judged.counts[f"state {state} {'right' if good else 'wrong'}"] += 1
        if not good:
            told = row["state"] if row else "no row"
            judged.wrong.append(f"{lesion} at {fate['study_date']}: {state}, called {told}")


def _edges(
    judged: Judged, fates: list[dict[str, str]], edges: list[dict[str, Any]], locate: Locate
) -> None:
    """Compare merges and splits with the edges of these kinds, of which there may be no others."""
    wanted = Counter(
        (fate["state"][:5], locate(fate)) for fate in fates if fate["state"] in {"merged", "split"}
    )
    located = {locate(fate) for fate in fates}
    there = Counter(
        (edge["kind"], (edge["subject"], edge["to_session"]))
        for edge in edges
        if edge["kind"] in {"merge", "split"} and (edge["subject"], edge["to_session"]) in located
    )
    judged.counts["merge and split edges"] = sum(there.values())
    if wanted != there:
        judged.wrong.append(f"merges and splits: {dict(there)} instead of {dict(wanted)}")


def _csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def apart(row: dict[str, Any], truth: dict[str, str]) -> float:
    return float(
        np.linalg.norm([row[f"centroid_{a}"] - float(truth[f"centroid_{a}"]) for a in "xyz"])
    )


@dataclass(frozen=True)
class Compared:
    """One true lesion beside what segmentation made of it; volume in mL."""

    volume: float
    dice: float
    error: float
    flagged: bool


def segmentation(folder: Path) -> bool:
    """Print Dice and volume of the segmentation by center; True where the seeded one is right."""
    rows: dict[tuple[str, str], list[Compared]] = defaultdict(list)
    extra: Counter[tuple[str, str]] = Counter()
    for center, sessions in _sessions(folder).items():
        for visits in sessions.values():
            before = None
            for session, drawn in visits:
                one = _load(folder / "out/derivatives" / session, drawn)
                if one is None:
                    continue
                for name, done in _ways(one, before).items():
                    rows[name, center] += _compare(one["labels"], done, one["grid"], name)
                    touched = set(np.unique(done.labels[one["labels"] > 0]).tolist())
                    extra[name, center] += sum(les.label not in touched for les in done.lesions)
                before = one
    good = True
    for name in ("seeded", "no seed"):
        centers = sorted(center for way, center in rows if way == name)
        for center in centers:
            _print(f"{name}, {center}", rows[name, center], extra[name, center])
        every = [one for center in centers for one in rows[name, center]]
        right = _print(f"{name}, all", every, sum(extra[name, c] for c in centers))
        good = good and (right or name != "seeded")
    return good


def _print(name: str, values: list[Compared], extra: int) -> bool:
    large = [one for one in values if one.volume > 0.1]
    if not large:
        return True
    scores = np.array([one.dice for one in large])
    bias = float(np.mean([one.error for one in large]))
    low = [one for one in large if one.dice < 0.5]
    print(
        f"{name}: {len(large)} lesions above 0.1 mL, Dice median {np.median(scores):.3f}, least"
        f" {scores.min():.3f}; volume {100 * bias:+.1f} % (mean); {extra} objects are no lesion;"
        f" {len(low)} below 0.5, {sum(one.flagged for one in low)} of them flagged"
    )
    silent = any(not one.flagged for one in low)
    return bool(np.median(scores) >= LEAST_DICE and abs(bias) <= LARGEST_BIAS and not silent)


def _ways(one: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    """Return the segmentation of a session without seeds, and with those of the one before."""
    found = enhancement(one["t1w"], one["pre"], one["white"], one["brain"], one["grid"])
    candidates = blob_candidates(found, one["brain"], 4.0, 30.0)
    ways = {"no seed": [Seed(candidates == n, "") for n in range(1, candidates.max() + 1)]}
    if before is not None and one["move"] is not None and before["move"] is not None:
        step = np.linalg.inv(before["move"]) @ one["move"]
        ways["seeded"] = moved_seeds(before["labels"], before["grid"], one["grid"], step, "")
    return {name: segment(found, one["brain"], seeds) for name, seeds in ways.items()}


def _compare(labels: Any, done: Any, grid: Grid, way: str) -> list[Compared]:
    """Compare every true lesion; one missed is flagged only where a seed told of it."""
    rows = []
    for label in np.unique(labels[labels > 0]):
        own = labels == label
        touching = np.unique(done.labels[own])
        touching = touching[touching > 0]
        made = np.isin(done.labels, touching) if touching.size else np.zeros_like(own)
        doubt = (not touching.size and way == "seeded") or any(
            lesion.doubt or lesion.quality < 0.5
            for lesion in done.lesions
            if lesion.label in touching
        )
        volume = float(own.sum()) * grid.voxel_volume / 1000
        rows.append(Compared(volume, dice(own, made), made.sum() / own.sum() - 1, doubt))
    return rows


def visits_of(folder: Path) -> list[tuple[Visit, str]]:
    """Return subject and session of every visit of the truth, and the name of its truth files."""
    locate, found = locator(load_study(folder)), []
    layout = json.loads((folder / "truth/layout.json").read_text(encoding="utf-8"))
    for entry in sorted(layout, key=lambda e: (e["patient"], e["study_date"])):
        place = locate(entry)
        if place is not None:
            found.append((place, f"{entry['patient']}_{entry['study_date']}"))
    return found


def rows_of(folder: Path) -> list[tuple[Visit, dict[str, str]]]:
    """Return the lesions of the truth with their subject and session."""
    locate = locator(load_study(folder))
    rows = [(locate(r), r) for r in _csv(folder / "truth/truth.csv")]
    return [(place, row) for place, row in rows if place is not None]


def _sessions(folder: Path) -> dict[str, dict[str, list[tuple[str, Path]]]]:
    """Return (session folder, lesions as drawn) of every patient by center, in order of date."""
    found: dict[str, dict[str, list[tuple[str, Path]]]] = defaultdict(lambda: defaultdict(list))
    layout = json.loads((folder / "truth/layout.json").read_text(encoding="utf-8"))
    centers = {entry["patient"]: entry["center"] for entry in layout}
    for (subject, session), name in visits_of(folder):
        drawn = folder / f"truth/maps/{name}_lesions.nii.gz"
        patient = name.rpartition("_")[0]
        here = (f"sub-{subject}/ses-{session}", drawn)
        found[centers[patient]][patient].append(here)
    return found


def _load(session: Path, drawn: Path) -> dict[str, Any] | None:
    """Return what segmentation needs of a session, and its lesions as drawn."""
    wanted = {
        "t1w": "anat/*_desc-preproc_T1w.nii.gz",
        "pre": "anat/*desc-precontrast_T1w.nii.gz",
        "white": "anat/*label-WM_probseg.nii.gz",
        "brain": "anat/*desc-brain_mask.nii.gz",
    }
    paths = {name: sorted(session.glob(pattern)) for name, pattern in wanted.items()}
    paths = {
        name: [p for p in found if "space-dsc" not in p.name and "space-dce" not in p.name]
        for name, found in paths.items()
    }
    if not all(paths.values()):
        return None
    one: dict[str, Any] = {}
    for name, found in paths.items():
        one[name], affine = load_nifti(found[0])
        if name == "t1w":
            one["grid"] = Grid(one[name].shape[:3], affine)
    one["labels"], one["brain"] = on_grid(drawn, one["grid"]), one["brain"] > 0.5
    transforms = json.loads(next(session.glob("anat/*transforms_xfm.json")).read_text())
    move = transforms.get("T1w_to_reference")
    one["move"] = None if move is None else np.array(move)
    return one


def on_grid(drawn: Path, grid: Grid) -> Any:
    """Return labels as drawn in the voxels of a grid, the nearest ones."""
    from scipy import ndimage

    labels, affine = load_nifti(drawn)
    step = np.linalg.inv(affine) @ grid.affine
    return ndimage.affine_transform(
        labels, step[:3, :3], step[:3, 3], output_shape=grid.shape, order=0
    ).astype(np.int32)


if __name__ == "__main__":
    fine = [identity(Path(sys.argv[1])), segmentation(Path(sys.argv[1]))]
    sys.exit(0 if all(fine) else 1)
