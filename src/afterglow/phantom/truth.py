"""What is true: lesion by lesion as a table, voxel by voxel as maps, and the masks raters drew."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.phantom.geometry import Floats, Matrix
from afterglow.phantom.lesions import Solid
from afterglow.phantom.physics import WM_CBV
from afterglow.phantom.scan import fractions, lesion_fractions, slabs

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

    Lesions that touch are drawn as one (`LesionState.part_of`). Indices run to the right, to the
    front and up, as far as the grid allows.
    """
    grid = session.grid_of(session.series("T1w_ce"))
    return _as_converted(labels_on_grid(session), grid.affine)


def labels_on_grid(session: Session) -> np.ndarray:
    """Return the labels of the lesions in the voxels of the post-contrast T1w as scanned."""
    series = session.series("T1w_ce")
    grid = session.grid_of(series)
    each, _, _ = lesion_fractions(session, grid, session.pose_of(series), _FACTORS)
    shares: dict[int, Floats] = {}
    for solid in session.solids:
        share = each[f"lesion-{solid.number}"] + each.get(f"core-{solid.number}", np.float32(0.0))
        label = solid.state.part_of or solid.number
        shares[label] = shares[label] + share if label in shares else share
    labels = np.zeros(grid.shape, dtype=np.uint8)
    best = np.full(grid.shape, 0.5, dtype=np.float32)
    for label, share in shares.items():
        inside = share >= best
        labels[inside], best[inside] = label, share[inside]
    return labels


def maps(session: Session) -> dict[str, tuple[Floats, Matrix]]:
    """Return CBV, Ktrans (1/min), vp and ve fractions and mean T1 (s) on the post-contrast T1w."""
    series = session.series("T1w_ce")
    grid, pose = session.grid_of(series), session.pose_of(series)
    plasma = 1.0 - session.center.hematocrit
    values: dict[str, Callable[[Tissue], float]] = {
        "CBV": lambda t: 1.0 if t.blood else t.cbv,
        "Ktrans": lambda t: t.ktrans,
        "vp": lambda t: plasma * (1.0 if t.blood else t.cbv),
        "ve": lambda t: t.ve if t.ktrans else 0.0,
        "T1": lambda t: t.t1,
    }
    tissues = session.components.values()
    table = np.array([[value(t) for value in values.values()] for t in tissues], np.float32)
    full = np.concatenate(
        [
            fractions(session, grid.slab(part.start, part.stop), pose, series.factors) @ table
            for part in slabs(grid)
        ],
        axis=2,
    )
    return {name: _as_converted(full[..., k], grid.affine) for k, name in enumerate(values)}


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
    """Return an array and its affine with axes that run to the right, to the front and up."""
    import nibabel

    image = nibabel.as_closest_canonical(nibabel.Nifti1Image(array, affine))
    return np.ascontiguousarray(image.dataobj), np.asarray(image.affine, dtype=float)
