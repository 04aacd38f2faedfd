"""What is true: lesion by lesion as a table, voxel by voxel as maps, and the masks raters drew."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.phantom.geometry import Floats, Matrix, resample
from afterglow.phantom.lesions import Solid
from afterglow.phantom.physics import WM_CBV
from afterglow.phantom.scan import lesion_fractions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from afterglow.phantom.physics import Tissue
    from afterglow.phantom.scan import Session

_FACTORS = (2, 2, 2)


def lesion_rows(session: Session) -> list[dict[str, Any]]:
    """Return one row per lesion of the session.

    ``rcbv``, ``ktrans``, ``ve`` and ``vp`` are means over the whole lesion, core included as zero;
    the columns that end in ``_enhancing`` leave the core out.
    """
    pose = session.pose_of(session.series("T1w_ce")).matrix()
    white = session.tissues["wm"].t1
    return [_row(session, solid, pose, white) for solid in session.solids]


def _row(session: Session, solid: Solid, pose: Matrix, white: float) -> dict[str, Any]:
    state, living = solid.state, 1.0 - solid.state.core**3
    vp = state.rcbv * WM_CBV * (1.0 - session.center.hematocrit)
    x, y, z = (pose @ [*solid.centroid, 1.0])[:3]
    return {
        "patient": session.subject.patient,
        "study_date": f"{session.subject.visits[session.visit]:%Y%m%d}",
        "lesion": solid.number,
        "centroid_x": round(float(x), 3),
        "centroid_y": round(float(y), 3),
        "centroid_z": round(float(z), 3),
        "diameter_mm": state.diameter,
        "volume_ml": round(solid.volume_ml, 5),
        "rcbv": round(state.rcbv * living, 5),
        "ktrans": round(state.ktrans * living, 5),
        "ve": round(state.ve * living, 5),
        "vp": round(vp * living, 6),
        "t1": state.t1,
        "t1_wm": white,
        "rcbv_enhancing": state.rcbv,
        "ktrans_enhancing": state.ktrans,
        "ve_enhancing": state.ve,
        "vp_enhancing": round(vp, 6),
        "mtt": state.mtt,
        "core_fraction": round(1.0 - living, 5),
        "kind": solid.kind,
        "identity": f"{session.subject.patient}/{solid.number}",
    }


def label_mask(session: Session) -> tuple[np.ndarray, Matrix]:
    """Return the labels of the lesions on the grid of the post-contrast T1w and its affine.

    Columns and rows run to the right and to the front, as converters store an axial series.
    """
    grid = session.grid_of(session.series("T1w_ce"))
    return _as_converted(labels_on_grid(session), grid.affine)


def labels_on_grid(session: Session) -> np.ndarray:
    """Return the labels of the lesions in the voxels of the post-contrast T1w as scanned."""
    series = session.series("T1w_ce")
    grid = session.grid_of(series)
    each, _, _ = lesion_fractions(session, grid, session.pose_of(series), _FACTORS)
    labels = np.zeros(grid.shape, dtype=np.uint8)
    best = np.full(grid.shape, 0.5, dtype=np.float32)
    for solid in session.solids:
        share = each[f"lesion-{solid.number}"] + each.get(f"core-{solid.number}", np.float32(0.0))
        inside = share >= best
        labels[inside], best[inside] = solid.number, share[inside]
    return labels


def maps(session: Session) -> dict[str, tuple[Floats, Matrix]]:
    """Return CBV, Ktrans (1/min), vp and ve fractions and mean T1 (s) on the post-contrast T1w."""
    series = session.series("T1w_ce")
    grid, pose, head = session.grid_of(series), session.pose_of(series), session.head
    each, whole, edema = lesion_fractions(session, grid, pose, _FACTORS)
    plasma = 1.0 - session.center.hematocrit
    values: dict[str, Callable[[Tissue], float]] = {
        "CBV": lambda t: 1.0 if t.blood else t.cbv,
        "Ktrans": lambda t: t.ktrans,
        "vp": lambda t: plasma * (1.0 if t.blood else t.cbv),
        "ve": lambda t: t.ve if t.ktrans else 0.0,
        "T1": lambda t: t.t1,
    }
    fields = [head.fractions["wm"]]
    for value in values.values():
        total = np.zeros_like(fields[0])
        for tissue, fraction in head.fractions.items():
            total += fraction * np.float32(value(session.tissues[tissue]))
        fields.append(total)
    white, *sampled = resample(fields, head.affine, grid, pose, (1, 1, 1))
    out = {}
    for (name, value), field in zip(values.items(), sampled, strict=True):
        change = value(session.tissues["edema"]) - value(session.tissues["wm"])
        full = field * (1.0 - whole) + np.float32(change) * white * edema
        for tissue, weight in each.items():
            full += weight * np.float32(value(session.tissues[tissue]))
        out[name] = _as_converted(full.astype(np.float32), grid.affine)
    return out


def save_nifti(array: np.ndarray, affine: Matrix, path: Path) -> None:
    """Write a NIfTI whose bytes depend on nothing but array and affine."""
    import nibabel

    image = nibabel.Nifti1Image(array, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 4, raw, mtime=0) as packed:
        packed.write(image.to_bytes())


def _as_converted(array: np.ndarray, affine: Matrix) -> tuple[np.ndarray, Matrix]:
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    flip[:2, 3] = array.shape[0] - 1, array.shape[1] - 1
    return np.ascontiguousarray(array[::-1, ::-1]), affine @ flip
