"""What is true: lesion by lesion as a table, voxel by voxel as maps, and the masks raters drew."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.phantom.fields import transmit
from afterglow.phantom.geometry import Floats, Grid, Matrix, Pose
from afterglow.phantom.lesions import Solid, enhancing_tissue
from afterglow.phantom.physics import WM_CBV
from afterglow.phantom.protocol import injections, series_of
from afterglow.phantom.scan import fractions, lesion_fractions, slabs
from afterglow.phantom.signals import course_of, relaxivity_of, tissue_signal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from afterglow.phantom.physics import Tissue
    from afterglow.phantom.plan import CohortPlan, LesionSpec
    from afterglow.phantom.scan import Session

_FACTORS = (2, 2, 2)
# Frames that are not steady yet, and when the recovered signal is read, s after arrival.
_STEADY, _TAIL = 4, (50.0, 60.0)


def lesion_rows(session: Session) -> list[dict[str, Any]]:
    """Return one row per lesion that a mask of the session shows.

    Lesions that touch make one row, their physiology weighted by enhancing volume. ``rcbv``,
    ``ktrans``, ``ve`` and ``vp`` are means over the whole lesion, core included as zero; the
    columns that end in ``_enhancing`` leave the core out. ``t1`` is that of tissue without
    contrast, ``t1_vfa`` that at the time of the flip angles, shorter where contrast was given
    before. ``psr`` is the percentage of signal recovery of the noise-free DSC curve of enhancing
    tissue at the flip angle and slice time of its place, over the windows of the protocol.
    """
    groups: dict[int, list[Solid]] = {}
    for solid in session.solids:
        groups.setdefault(solid.state.part_of or solid.number, []).append(solid)
    pose = session.pose_of(session.series("T1w_ce")).matrix()
    return [_row(session, number, group, pose) for number, group in groups.items()]


def _row(session: Session, number: int, group: list[Solid], pose: Matrix) -> dict[str, Any]:
    living = np.array([solid.volume_ml * (1.0 - solid.state.core**3) for solid in group])
    volume, centroid = _extent(group)
    share = float(living.sum()) / sum(solid.volume_ml for solid in group)

    def mean(name: str) -> float:
        values = [getattr(solid.state, name) for solid in group]
        return float(np.average(values, weights=living))

    vp = mean("rcbv") * WM_CBV * (1.0 - session.center.hematocrit)
    x, y, z = (pose @ [*centroid, 1.0])[:3]
    main = next(solid for solid in group if solid.number == number)
    return {
        "patient": session.subject.patient,
        "study_date": f"{session.subject.visits[session.visit]:%Y%m%d}",
        "study_uid": session.plan.study_uid(session.subject.patient, session.visit),
        "lesion": number,
        "centroid_x": round(float(x), 3),
        "centroid_y": round(float(y), 3),
        "centroid_z": round(float(z), 3),
        "diameter_mm": round(float(np.cbrt(6000.0 * volume / np.pi)), 4),
        "volume_ml": round(volume, 5),
        "rcbv": round(mean("rcbv") * share, 5),
        "ktrans": round(mean("ktrans") * share, 5),
        "ve": round(mean("ve") * share, 5),
        "vp": round(vp * share, 6),
        "t1": round(mean("t1"), 5),
        "t1_wm": session.tissues["wm"].t1,
        "t1_vfa": _t1_mapped(session, [f"lesion-{s.number}" for s in group], living),
        "t1_wm_vfa": _t1_mapped(session, ["wm"], np.ones(1)),
        "psr": _recovery(session, group, living, centroid),
        "rcbv_enhancing": round(mean("rcbv"), 5),
        "ktrans_enhancing": round(mean("ktrans"), 5),
        "ve_enhancing": round(mean("ve"), 5),
        "vp_enhancing": round(vp, 6),
        "mtt": round(mean("mtt"), 5),
        "core_fraction": round(1.0 - share, 5),
        "kind": main.kind,
        "identity": f"{session.subject.patient}/{number}",
    }


def identity_rows(plan: CohortPlan) -> list[dict[str, Any]]:
    """Return what happens to every lesion at every visit, for judging who is who.

    ``state`` is ``baseline`` (there at the first visit), ``new``, ``present``, ``absent``,
    ``returned``, ``merged`` (drawn with ``partner`` from this visit on), ``joined`` (still so) or
    ``split`` (no longer).

    Examples
    --------
    >>> from afterglow.phantom.plan import full_plan
    >>> rows = identity_rows(full_plan(1))
    >>> sorted({(r["patient"], r["state"]) for r in rows if r["state"] in ("merged", "split")})
    [('NORTH-0002', 'merged'), ('SOUTH-0002', 'split')]
    """
    rows = []
    for subject in plan.subjects:
        for spec in subject.lesions:
            for visit, date in enumerate(subject.visits):
                state, partner = _identity(spec, visit)
                here = spec.states[visit]
                rows.append(
                    {
                        "patient": subject.patient,
                        "study_date": f"{date:%Y%m%d}",
                        "study_uid": plan.study_uid(subject.patient, visit),
                        "lesion": spec.number,
                        "label": 0 if here is None else here.part_of or spec.number,
                        "state": state,
                        "partner": partner or "",
                    }
                )
    return rows


def _identity(spec: LesionSpec, visit: int) -> tuple[str, int]:
    here = spec.states[visit]
    before = spec.states[visit - 1] if visit else None
    if here is None:
        return "absent", 0
    if before is None:
        earlier = any(state is not None for state in spec.states[:visit])
        return ("returned" if earlier else "new" if visit else "baseline"), here.part_of
    if here.part_of != before.part_of:
        return ("merged", here.part_of) if here.part_of else ("split", before.part_of)
    return ("joined" if here.part_of else "present"), here.part_of


def _extent(group: list[Solid]) -> tuple[float, Matrix]:
    """Return volume (mL) and centroid (head space, mm) of solids that may overlap."""
    if len(group) == 1:
        return group[0].volume_ml, group[0].centroid
    reach = [solid.state.diameter for solid in group]
    low = np.min([s.center - r for s, r in zip(group, reach, strict=True)], axis=0)
    high = np.max([s.center + r for s, r in zip(group, reach, strict=True)], axis=0)
    affine = np.eye(4)
    affine[:3, 3] = low
    nx, ny, nz = np.ceil(high - low).astype(int).tolist()
    whole = np.zeros((nx, ny, nz), np.float32)
    for solid in group:
        box, parts = solid.fractions(Grid(whole.shape, affine), Pose(), _FACTORS)
        whole[box] += np.minimum(parts["whole"], 1.0 - whole[box])
    total = float(whole.sum(dtype=np.float64))
    index = np.stack(np.meshgrid(*(np.arange(n) for n in whole.shape), indexing="ij"))
    return total / 1000.0, low + (index * whole).sum(axis=(1, 2, 3), dtype=np.float64) / total


def _t1_mapped(session: Session, names: list[str], weights: Matrix) -> float | str:
    """Return the mean T1 when the third flip angle was acquired, s; empty without flip angles."""
    angles = [s for s in series_of(session.center) if s.name.startswith("vfa")]
    if not angles:
        return ""
    when = angles[len(angles) // 2].start
    times = []
    for name in names:
        tissue = session.tissues[name]
        contrast = course_of(session.center, tissue)
        dose = float(np.interp(when, contrast.time, contrast.concentration))
        times.append(1.0 / (1.0 / tissue.t1 + relaxivity_of(session.center) * dose))
    return round(float(np.average(times, weights=weights)), 5)


def _recovery(session: Session, group: list[Solid], weights: Matrix, centroid: Matrix) -> float:
    """Return the percentage of signal recovery of enhancing tissue.

    Baseline: frames from the fourth until the bolus arrives in the large arteries. Recovered
    signal: 50 to 60 s after it arrives in the tissue.
    """
    series = session.series("dsc")
    grid, pose = session.grid_of(series), session.pose_of(series)
    here = pose.matrix() @ [*centroid, 1.0]
    index = int(np.clip(round((np.linalg.inv(grid.affine) @ here)[2]), 0, grid.shape[2] - 1))
    offset = series.slice_offsets()[index]
    place = np.eye(4)
    place[:3, 3] = here[:3]
    angle = float(transmit(session.center.field, Grid((1, 1, 1), place), pose).item())
    curves = [
        tissue_signal(
            session.center, series, enhancing_tissue(solid.state), np.array([offset]), angle
        )[0]
        for solid in group
    ]
    signal = np.average(curves, axis=0, weights=weights)
    time = np.asarray(series.frame_starts()) + offset
    bolus = next(i.arrival for i in injections(session.center) if i.arrival > series.start)
    arrival = bolus - series.start
    before = signal[(np.arange(time.size) >= _STEADY) & (time < arrival)].mean()
    late = arrival + float(np.average([s.state.delay for s in group], weights=weights))
    after = signal[(time >= late + _TAIL[0]) & (time <= late + _TAIL[1])].mean()
    lowest = signal[(time > arrival) & (time < arrival + _TAIL[0])].min()
    return round(float(100.0 * (after - lowest) / (before - lowest)), 3)


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
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 1, raw, mtime=0) as packed:
        packed.write(image.to_bytes())


def _as_converted(array: np.ndarray, affine: Matrix) -> tuple[np.ndarray, Matrix]:
    """Return an array and its affine with axes that run to the right, to the front and up."""
    import nibabel

    image = nibabel.as_closest_canonical(nibabel.Nifti1Image(array, affine))
    return np.ascontiguousarray(image.dataobj), np.asarray(image.affine, dtype=float)
