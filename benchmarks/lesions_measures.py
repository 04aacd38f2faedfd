"""Measurements of a finished reference cohort: reasons, the wide matrix, reference tissue, parts.

``python benchmarks/lesions_measures.py DEMO_FOLDER`` prints what docs/tables.md states and ends
with 1 where something does not hold: a cell without number has a reason and no other has, every
cell of `features_wide` is that of `features`, contralateral white matter holds no lesion and no CSF
as drawn in truth and at least 2 mL, and rCBV errs by 10 % at most (median). It prints how far the
necrotic share of lesions is from that of truth, too.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from afterglow.bids.images import load_nifti
from afterglow.config import load_study
from afterglow.lesions.inputs import load_labels, load_space
from afterglow.lesions.measure import region_index
from afterglow.lesions.regions import CONTRALATERAL
from afterglow.lesions.session import SessionLesions
from afterglow.provenance.job import State
from afterglow.provenance.records import read_state
from lesions_reference import NEAR, apart, rows_of, visits_of

CSF_T1 = 2.5  # s; brain and lesions have less
LARGEST_ERROR = 10.0  # %
_INNER = (np.indices((3, 3, 3)).reshape(3, -1).T - 1) / 3.0  # points within a voxel


def reasons(folder: Path) -> bool:
    """Print how many cells have a number or a reason, and whether the wide matrix says the same."""
    table = pq.read_table(folder / "out/tables/features.parquet").to_pandas()
    odd = int(((table.value.isna()) != (table.reason != "")).sum())
    odd += int((table.value.isna() == table.evaluable).sum())
    wide = pq.read_table(folder / "out/tables/features_wide.parquet").to_pandas()
    keys = ["center", "subject", "session", "lesion_id", "label"]
    table["name"] = table["map"].str.cat([table.region, table.statistic], sep=".")
    columns = [name for name in wide.columns if name.count(".") == 2]
    long = wide[keys + columns].melt(keys, var_name="name", value_name="wide")
    both = table.merge(long, on=[*keys, "name"], how="outer", indicator=True)
    alone = Counter(both._merge[both._merge != "both"].tolist())
    same = (both.value == both.wide) | (both.value.isna() & both.wide.isna())
    different = int((~same & (both._merge == "both")).sum())
    print(
        f"features: {len(table)} cells, {int((table.reason != '').sum())} with a reason; {odd} odd"
    )
    print("reasons:", dict(Counter(table.reason[table.reason != ""]).most_common()))
    print(
        f"features_wide: {len(wide)} x {len(columns)} cells; {different} differ; in one only:"
        f" {dict(alone)}"
    )
    return odd == 0 and different == 0 and not alone


def reference_tissue(folder: Path) -> bool:
    """Print volume of contralateral white matter, and what truth says lies in it."""
    study, good = load_study(folder), True
    states: dict[str, dict[tuple[Any, Any], State]] = {}
    for stage in ("bids", "anat", "features"):
        paths = sorted((study.out / "ledger/states" / stage).glob("*.json"))
        read = [read_state(path) for path in paths]
        states[stage] = {(s.subject, s.session): s for s in read if s.done}
    volumes: list[float] = []
    counts: Counter[str] = Counter()
    for place, name in visits_of(folder):
        if not all(place in states[stage] for stage in states):
            counts["sessions without features"] += 1
            continue
        drawn = {kind: load_nifti(folder / f"truth/maps/{name}_{kind}.nii.gz")
                 for kind in ("lesions", "T1")}  # fmt: skip
        for found in _tissue(study, [states[s][place] for s in ("bids", "anat", "features")]):
            volumes.append(found["volume"])
            lesion = _at(*drawn["lesions"], found["points"]) > 0
            csf = _at(*drawn["T1"], found["centers"]) > CSF_T1
            counts["voxels"] += len(csf)
            counts["points in a lesion"] += int(lesion.sum())
            counts["voxels whose center is CSF"] += int(csf.sum())
            counts["regions below 2 mL"] += found["volume"] < 2.0
    known = np.array([v for v in volumes if v > 0])
    none = len(volumes) - len(known)
    print(
        f"contralateral white matter: {len(volumes)} lesions x series, {none} without; volume"
        f" {known.min():.1f} to {known.max():.1f} mL; {dict(counts)}"
    )
    good &= counts["points in a lesion"] == 0 and counts["voxels whose center is CSF"] == 0
    return good and counts["regions below 2 mL"] == none


def _tissue(study: Any, own: list[State]) -> list[dict[str, Any]]:
    """Return volume and points of the contralateral tissue of every lesion in DSC and DCE."""
    bids, anat, features = own
    path = bids.summary.get("mask") or features.summary["mask"]

    def find(relative: str) -> Path:
        return Path(study.out / relative)

    labels, grid = load_labels(find, path)
    session = SessionLesions.load(find, labels, grid, anat.summary, study.features)
    found = []
    for series in ("dsc", "dce"):
        space = load_space(find, anat.summary, series)
        if space is None:
            continue
        index = region_index(space, session.lesions, session.perfusion, session.tissue)
        for voxels in (own[CONTRALATERAL].index for own in index.values()):
            inner = (voxels[:, None, :] + _INNER[None]).reshape(-1, 3)
            found.append(
                {
                    "volume": len(voxels) * space.grid.voxel_volume / 1000,
                    "centers": space.grid.world(voxels, space.to_session),
                    "points": space.grid.world(inner, space.to_session),
                }
            )
    return found


def _at(image: Any, affine: Any, points: Any) -> Any:
    """Return the values of an image at world points, the nearest ones."""
    inverse = np.linalg.inv(affine)
    index = np.rint(points @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
    inside = ((index >= 0) & (index < image.shape)).all(axis=1)
    values = np.zeros(len(points))
    values[inside] = image[tuple(index[inside].T)]
    return values


def errors(folder: Path) -> bool:
    """Print the error of rCBV that the cohort page states, and necrotic shares beside truth."""
    path = folder / "out/cohort/accuracy.json"
    found = {a["quantity"]: a for a in json.loads(path.read_text(encoding="utf-8"))}
    error = found["rCBV"]["median_absolute_error_percent"]
    print(f"rCBV: median absolute error {error:.1f} % of {found['rCBV']['n']} lesions x sessions")
    wide = pq.read_table(folder / "out/tables/features_wide.parquet").to_pylist()
    shares = {
        (r["subject"], r["session"], r["label"]): r["shape.lesion.necrosis_share"] for r in wide
    }
    places = dict(visits_of(folder))
    lesions = pq.read_table(folder / "out/tables/lesions.parquet").to_pylist()
    gaps = []
    for place, truth in rows_of(folder):
        near = [r for r in lesions if (r["subject"], r["session"]) == place and r["label"]]
        near = [r for r in near if apart(r, truth) < NEAR]
        share = shares.get((*place, near[0]["label"])) if near and place in places else None
        if share is not None:
            gaps.append((share, float(truth["core_fraction"])))
    both = np.array(gaps)
    if len(both):
        with_core = both[both[:, 1] > 0.02]
        print(
            f"necrotic share: {len(both)} lesions, {len(with_core)} with a core in truth; median"
            f" absolute error {np.median(np.abs(both[:, 0] - both[:, 1])):.3f} (with a core"
            f" {np.median(np.abs(with_core[:, 0] - with_core[:, 1])) if len(with_core) else 0:.3f},"
            f" largest {np.abs(both[:, 0] - both[:, 1]).max():.3f})"
        )
    return bool(error <= LARGEST_ERROR)


if __name__ == "__main__":
    demo = Path(sys.argv[1])
    fine = [reasons(demo), reference_tissue(demo), errors(demo)]
    sys.exit(0 if all(fine) else 1)
