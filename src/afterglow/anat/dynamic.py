"""The dynamic series of one session: motion, registration, and anatomy on their native grids."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from afterglow.anat import epi, figures, motion, quality, registration
from afterglow.anat.bias import head
from afterglow.anat.grids import Volume
from afterglow.anat.refine import align, refine
from afterglow.anat.registration import Deformation, Side
from afterglow.anat.session import FAILURES
from afterglow.anat.transforms import average, invert, resample, resample_labels
from afterglow.bids.sidecars import read_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.anat.motion import Motion
    from afterglow.anat.session import Anatomy
    from afterglow.anat.store import Store
    from afterglow.config.anat import AnatConfig

Kind = Literal["dsc", "dce"]


def run_dynamic(
    store: Store,
    anatomy: Anatomy,
    bids: dict[str, Any],
    kind: Kind,
    settings: AnatConfig,
    threads: int,
) -> dict[str, Any] | None:
    """Correct one dynamic series for motion and bring the anatomy to its grid.

    Returns
    -------
    dict or None
        The block of the stage's summary, None where the session has no such series. Where the
        registration or the brain mask fails, ``evaluable`` is False and brain, tissues and lesions
        are None: masks in the wrong place are worse than none.
    """
    store.transforms[f"{kind}_to_T1w"] = None
    entry = (bids.get("series") or {}).get(kind)
    if not entry:
        return None
    try:
        series = store.load(entry["path"])
        if series.values.ndim != 4 or float(np.ptp(series.values)) == 0.0:
            store.problem(kind, "the series is blank or has one volume", "look at the series")
            return None
        return _process(store, anatomy, bids, kind, series, settings, threads)
    except FAILURES as error:
        store.problem(kind, str(error), "look at the series; exclude it if it is broken", error)
        return None


def _process(
    store: Store,
    anatomy: Anatomy,
    bids: dict[str, Any],
    kind: Kind,
    series: Volume,
    settings: AnatConfig,
    threads: int,
) -> dict[str, Any]:
    rough = motion.roughly(series, settings)
    matrix = _register(anatomy, kind, rough.target, settings, threads)
    trusted = (
        anatomy.good and _judged(anatomy, kind, rough.target, matrix, settings).verdict != "fail"
    )
    tissues = _tissues_on(anatomy, series, matrix) if trusted else None
    moved = motion.estimate(rough, settings, tissues)
    corrected = motion.correct(series, moved)
    target = series.like(corrected[..., ~moved.censored].mean(axis=3, dtype=np.float64))
    matrix = _refined(anatomy, kind, target, matrix, settings, settings.refine_points)
    good = store.judge(f"{kind}_to_T1w", _judged(anatomy, kind, target, matrix, settings))
    figures.motion(moved, store.figure(f"motion{kind.upper()}"))
    block: dict[str, Any] = {
        "moco": store.save(
            series.like(corrected), store.name("perf", kind, desc="moco"), packed=True
        ),
        "motion": _write_motion(store, kind, moved),
        "evaluable": good and anatomy.good,
        "reason": _reason(good, anatomy.good),
        "brain": None,
        "probseg": None,
        "lesions": None,
    }
    others = _other_echoes(store, bids, kind, moved)
    block["echoes"] = [block["moco"], *others] if others else None
    figures.registration(target, anatomy.t1w, matrix, store.figure(f"registration{kind.upper()}"))
    if kind == "dce":
        block["vfa"] = _vfa(store, bids, target, settings)
    if not block["evaluable"]:
        return block
    store.transforms[f"{kind}_to_T1w"] = matrix
    warp = _warp(store, anatomy, bids, kind, target, matrix, settings)
    if warp is not None:
        name = store.name("perf", "displacement", space=kind, desc="epi")
        block["warp"] = store.save(target.like(warp.field), name)
    return {**block, **_anatomy_on(store, anatomy, kind, target, warp or matrix)}


def _warp(
    store: Store,
    anatomy: Anatomy,
    bids: dict[str, Any],
    kind: Kind,
    target: Volume,
    matrix: NDArray[np.float64],
    settings: AnatConfig,
) -> Deformation | None:
    """Return the distortion of the EPI, None where it is not asked for or not known along what."""
    if kind != "dsc" or not settings.epi_deformation:
        return None
    axis = epi.phase_axis(read_json(store.find(bids["series"][kind]["sidecar"])))
    if axis is None:
        store.warn("dsc: the phase encoding is not recorded, so that distortion stays")
        return None
    return epi.undistort(target, anatomy.t1w, matrix, anatomy.inside, axis, settings)


def _reason(registered: bool, extracted: bool) -> str:
    if not extracted:
        return "brain_mask_failed"
    return "" if registered else "registration_failed"


def _register(
    anatomy: Anatomy, kind: Kind, target: Volume, settings: AnatConfig, threads: int
) -> NDArray[np.float64]:
    """Return a rigid world matrix from the series to T1w.

    Mutual information tilts a slab of few thick slices now and then, by more than least squares can
    undo. The scanner's own coordinates are the other start, and the better match is taken.
    """
    near = Side(anatomy.t1w, anatomy.near)
    starts = (registration.linear(Side(target), near, settings, threads=threads), np.eye(4))
    found = [_refined(anatomy, kind, target, start, settings) for start in starts]
    alike = [
        quality.alike(anatomy.t1w, target, invert(matrix), anatomy.inside, settings)
        for matrix in found
    ]
    return found[int(np.argmax(alike))]


def _refined(
    anatomy: Anatomy,
    kind: Kind,
    target: Volume,
    matrix: NDArray[np.float64],
    settings: AnatConfig,
    points: int | None = None,
) -> NDArray[np.float64]:
    """Return the matrix from the series to T1w, refined by least squares.

    Liquor and bone are both dark in T1w and only bone is in DSC, which must not see any.
    """
    region = anatomy.core if kind == "dsc" else anatomy.rim
    found = refine(anatomy.t1w, target, invert(matrix), region, settings, points=points)
    return invert(found)


def _judged(
    anatomy: Anatomy,
    kind: Kind,
    target: Volume,
    matrix: NDArray[np.float64],
    settings: AnatConfig,
) -> quality.Verdict:
    brain = average(anatomy.brain.values, anatomy.brain.affine, target.shape, target.affine, matrix)
    back = invert(matrix)
    return quality.registration(
        target,
        anatomy.t1w,
        matrix,
        target.like(brain > 0.5),
        settings,
        mirrored=anatomy.plane.mirror() @ matrix,
        more=quality.fine_match(kind, anatomy.t1w, target, back, anatomy.inside, settings),
    )


def _tissues_on(
    anatomy: Anatomy, series: Volume, place: NDArray[np.float64] | Deformation
) -> dict[str, NDArray[np.float32]]:
    fraction = _sampler(anatomy, series, place)
    return {c: fraction(v) for c, v in anatomy.tissues.items()}


def _sampler(
    anatomy: Anatomy, series: Volume, place: NDArray[np.float64] | Deformation
) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """Return what averages values on the T1w's grid over the voxels of a series."""
    space = anatomy.t1w
    if isinstance(place, Deformation):
        return lambda values: place.average(space.like(values), series)
    return lambda values: average(values, space.affine, series.shape, series.affine, place)


def _anatomy_on(
    store: Store,
    anatomy: Anatomy,
    kind: Kind,
    target: Volume,
    place: NDArray[np.float64] | Deformation,
) -> dict[str, Any]:
    """Write brain, tissues and lesions on the grid of a series."""
    fraction = _sampler(anatomy, target, place)
    brain = fraction(anatomy.brain.values) >= 0.5
    block: dict[str, Any] = {"lesions": None}
    if anatomy.lesions is not None:
        labels = resample_labels(anatomy.lesions.values, target.shape, fraction)
        brain = brain | (labels > 0)
        name = store.name("perf", "dseg", space=kind, desc="lesions")
        block["lesions"] = store.save(target.like(labels), name, "int16")
    name = store.name("perf", "mask", space=kind, desc="brain")
    block["brain"] = store.save(target.like(brain), name, "uint8")
    block["probseg"] = {
        c: store.save(
            target.like(v), store.name("perf", "probseg", space=kind, label=c), packed=True
        )
        for c, v in _tissues_on(anatomy, target, place).items()
    }
    return block


def _other_echoes(store: Store, bids: dict[str, Any], kind: Kind, moved: Motion) -> list[str]:
    """Move the later echoes like the first, with which they were acquired."""
    paths = []
    for number, path in enumerate((bids["series"][kind].get("echoes") or [])[1:], start=2):
        echo = store.load(path)
        name = store.name("perf", kind, desc="moco", echo=number)
        paths.append(store.save(echo.like(motion.correct(echo, moved)), name))
    return paths


def _vfa(
    store: Store, bids: dict[str, Any], target: Volume, settings: AnatConfig
) -> list[str | None]:
    """Register the flip-angle images to the DCE target, in their order; None where that fails."""
    entries = (bids.get("series") or {}).get("vfa") or []
    paths: list[str | None] = []
    region = target.like(head(target.values))
    for number, entry in enumerate(entries, start=1):
        image = store.load(entry["path"])
        matrix = align(image, target, settings)
        verdict = quality.registration(target, image, matrix, region, settings)
        if not store.judge(f"vfa-{number}_to_dce", verdict):
            paths.append(None)
            continue
        grid = (target.shape, target.affine, matrix)
        values = resample(image.values, image.affine, *grid, 3, fill=np.nan)
        # Outside the field of view there is no signal to fit, and zero would read as one.
        flat = resample(image.values, image.affine, *grid, 0, fill=np.nan)
        low, high = float(np.min(image.values)), float(np.max(image.values))
        values = np.clip(np.where(np.isnan(values), flat, values), low, high)
        name = store.name("perf", "VFA", space="dce", flip=number)
        paths.append(store.save(target.like(values), name))
    return paths


def _write_motion(store: Store, kind: Kind, moved: Motion) -> str:
    """Write the motion table (mm, degrees)."""
    relative = store.name("perf", "motion", ".tsv", desc=kind)
    names = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]
    lines = ["\t".join(["frame", *names, "framewise_displacement", "censored"])]
    rows = zip(moved.parameters, moved.displacement, moved.censored, strict=True)
    for frame, (six, jump, censored) in enumerate(rows):
        numbers = [f"{v + 0.0:.5f}" for v in (*six, jump)]
        lines.append("\t".join([str(frame), *numbers, str(int(censored))]))
    store.out(relative).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return relative
