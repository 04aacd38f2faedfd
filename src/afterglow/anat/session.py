"""The anatomical stage of one session, from converted images to registered ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from afterglow.anat import bias, brain, figures, quality, registration, tissue
from afterglow.anat.grids import Volume
from afterglow.anat.refine import grown, refine
from afterglow.anat.registration import Side, lesion_free
from afterglow.anat.sampling import distance
from afterglow.anat.template import load as load_template
from afterglow.anat.transforms import resample, voxel_sizes
from afterglow.errors import AfterglowError, NotEvaluable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.anat.store import Store
    from afterglow.config.anat import AnatConfig

_NEAR_MM, _RIM_MM, _SURFACE_MM = 10.0, 4.0, 3.0
FAILURES = (AfterglowError, RuntimeError, ValueError, np.linalg.LinAlgError)


@dataclass(frozen=True)
class Anatomy:
    """The session's space: the T1w that everything else is brought to.

    Attributes
    ----------
    t1w : Volume
        Bias-corrected whole head.
    brain : Volume
        Brain mask.
    tissues : dict of str to ndarray
        Posteriors ``GM``, ``WM``, ``CSF``.
    lesions : Volume or None
        Given labels.
    plane : Plane
        Between the hemispheres.
    near, rim, inside, core : Volume
        Where a metric may look: brain with 10 mm around it, with 4 mm, brain alone, brain more than
        3 mm below its surface; without lesions.
    good : bool
        False where the brain mask failed: nothing that needs it can be evaluated.
    """

    t1w: Volume
    brain: Volume
    tissues: dict[str, NDArray[np.float32]]
    lesions: Volume | None
    plane: tissue.Plane
    near: Volume
    rim: Volume
    inside: Volume
    core: Volume
    good: bool


def run_structural(
    store: Store, bids: dict[str, Any], settings: AnatConfig, threads: int
) -> tuple[Anatomy, dict[str, Any]]:
    """Correct, extract and segment the session's T1w; bring the other anatomicals to it.

    Returns
    -------
    Anatomy
        What perfusion series are registered to.
    dict
        The part of the stage's summary that it fills.

    Raises
    ------
    NotEvaluable
        ``no_anatomical_image`` where the session has no T1w, ``blank_image`` where it is empty.
    """
    raw = store.load(_reference_path(bids))
    _refuse_blank(raw)
    lesions = _lesions(store, bids, raw)
    t1w, _ = bias.correct(raw, settings, threads=threads)
    found = brain.extract(t1w, settings, lesions=lesions, threads=threads)
    template = load_template()
    hull = resample(
        template.mask.values, template.mask.affine, t1w.shape, t1w.affine, found.to_template
    )
    verdict = quality.brain(found.mask, t1w.like(hull), t1w, settings)
    good = store.judge("brain", verdict)
    maps = found.warp.pull([getattr(template, c.lower()) for c in tissue.CLASSES], t1w)
    priors = dict(zip(tissue.CLASSES, maps, strict=True))
    tissues = tissue.segment(t1w, found.mask, priors, settings, lesions=lesions)
    plane = tissue.midsagittal(t1w, found.mask, found.to_template, settings)
    near, rim, inside, core = _regions(found.mask, lesions, settings)
    anatomy = Anatomy(t1w, found.mask, tissues, lesions, plane, near, rim, inside, core, good)
    figures.brain(t1w, found.mask, store.figure("brain"))
    store.transforms["T1w_to_MNI152"] = found.to_template
    summary = _write_structural(store, anatomy, plane)
    summary["brain_backend"] = {"name": found.backend, **found.facts}
    summary["pre"] = run_other(store, anatomy, bids, "pre", settings, threads)
    summary["flair"] = run_other(store, anatomy, bids, "flair", settings, threads)
    return anatomy, summary


def run_longitudinal(
    store: Store,
    anatomy: Anatomy,
    reference: dict[str, Any] | None,
    is_reference: bool,
    settings: AnatConfig,
    threads: int,
) -> bool:
    """Register the session's T1w to the reference session's; return whether that can be used.

    ``reference`` is the summary of the reference session's stage, None where it has none.
    """
    if is_reference:
        store.transforms["T1w_to_reference"] = np.eye(4)
        return True
    store.transforms["T1w_to_reference"] = None
    if reference is None:
        store.warn("the reference session has no anatomy: no registration over time")
        return False
    other, mask = store.load(reference["t1w"]), store.load(reference["brain"])
    start = registration.centroid_start(anatomy.brain, mask)
    matrix = registration.linear(
        Side(anatomy.t1w, anatomy.near),
        Side(other, grown(mask, _NEAR_MM)),
        settings,
        start=start,
        threads=threads,
    )
    matrix = refine(anatomy.t1w, other, matrix, anatomy.rim, settings)
    verdict = quality.registration(
        anatomy.t1w,
        other,
        matrix,
        anatomy.brain,
        settings,
        masks=(anatomy.brain, mask),
        mirrored=matrix @ anatomy.plane.mirror(),
        contrast="same",
    )
    figures.registration(anatomy.t1w, other, matrix, store.figure("registrationReference"))
    if not (store.judge("T1w_to_reference", verdict) and anatomy.good):
        return False
    store.transforms["T1w_to_reference"] = matrix
    if settings.longitudinal_deformable:
        _compare(store, anatomy, other, matrix, settings, threads)
    return True


def _compare(
    store: Store,
    anatomy: Anatomy,
    other: Volume,
    matrix: NDArray[np.float64],
    settings: AnatConfig,
    threads: int,
) -> None:
    """Write the reference session's T1w deformed to this session's: to look at, never measured."""
    warp = registration.deformable(
        Side(anatomy.t1w, anatomy.near), Side(other), matrix, settings, threads=threads
    )
    name = store.name("anat", "T1w", space="T1w", desc="deformedreference")
    store.save(anatomy.t1w.like(warp.pull([other], anatomy.t1w)[0]), name, packed=True)


def _regions(brain: Volume, lesions: Volume | None, settings: AnatConfig) -> list[Volume]:
    """Return the brain with 10 mm around, with 4 mm, alone, and its core, without lesions."""
    inside = np.asarray(brain.values) > 0.5
    away = distance(inside, voxel_sizes(brain.affine))
    below = distance(~inside, voxel_sizes(brain.affine))
    everywhere = brain.like(np.ones(brain.shape, dtype=bool))
    free = lesion_free(everywhere, lesions, settings.lesion_margin_mm).values
    parts = [away <= _NEAR_MM, away <= _RIM_MM, inside, below > _SURFACE_MM]
    return [brain.like(part & free) for part in parts]


def _reference_path(bids: dict[str, Any]) -> str:
    series = bids.get("series") or {}
    for name in (bids.get("reference"), "T1w_ce", "T1w"):
        if name and series.get(name):
            return str(series[name]["path"])
    raise NotEvaluable("no_anatomical_image", "the session has no T1-weighted image")


def _refuse_blank(image: Volume) -> None:
    values = np.asarray(image.values)
    if values.ndim != 3 or min(values.shape) < 8:
        raise NotEvaluable("unusable_anatomical_image", f"its shape is {values.shape}")
    if not np.isfinite(values).all() or float(np.ptp(values)) == 0.0:
        raise NotEvaluable("blank_image", "the T1-weighted image holds no signal")


def _lesions(store: Store, bids: dict[str, Any], image: Volume) -> Volume | None:
    """Return the given labels on the image's grid, None where there are none."""
    if not bids.get("mask"):
        return None
    labels = store.load(bids["mask"])
    values = np.rint(np.asarray(labels.values)).astype(np.int32)
    if labels.shape != image.shape or not np.allclose(labels.affine, image.affine, atol=1e-2):
        values = resample(values, labels.affine, image.shape, image.affine, order=0).astype(
            np.int32
        )
    return image.like(values)


def _write_structural(store: Store, anatomy: Anatomy, plane: tissue.Plane) -> dict[str, Any]:
    t1w = anatomy.t1w
    probseg = {
        c: store.save(t1w.like(v), store.name("anat", "probseg", label=c), packed=True)
        for c, v in anatomy.tissues.items()
    }
    return {
        "t1w": store.save(t1w, store.name("anat", "T1w", desc="preproc"), packed=True),
        "brain": store.save(anatomy.brain, store.name("anat", "mask", desc="brain"), "uint8"),
        "probseg": probseg,
        "midsagittal": {
            "normal": [round(float(v), 6) for v in plane.normal],
            "offset": round(plane.offset, 4),
        },
    }


def run_other(
    store: Store,
    anatomy: Anatomy,
    bids: dict[str, Any],
    kind: Literal["pre", "flair"],
    settings: AnatConfig,
    threads: int,
) -> str | None:
    """Register one more anatomical image to the T1w and write it there; None where that fails."""
    entry = (bids.get("series") or {}).get("T1w" if kind == "pre" else "FLAIR")
    name = f"{kind}_to_T1w"
    store.transforms[name] = None
    if not entry or entry["path"] == _reference_path(bids):
        return None
    try:
        image = store.load(entry["path"])
        _refuse_blank(image)
        matrix = registration.linear(
            Side(anatomy.t1w, anatomy.near), Side(image), settings, threads=threads
        )
        matrix = refine(anatomy.t1w, image, matrix, anatomy.rim, settings)
        turned = matrix @ anatomy.plane.mirror()
        verdict = quality.registration(
            anatomy.t1w,
            image,
            matrix,
            anatomy.brain,
            settings,
            mirrored=turned,
            contrast="same" if kind == "pre" else "other",
        )
    except (*FAILURES, NotEvaluable) as error:
        store.problem(name, str(error), "look at the image; correct or exclude the series", error)
        return None
    figures.registration(anatomy.t1w, image, matrix, store.figure(f"registration{kind.title()}"))
    if not store.judge(name, verdict):
        return None
    store.transforms[name] = np.linalg.inv(matrix)
    if kind == "flair":
        image, _ = bias.correct(image, settings, threads=threads)
    return _write_other(store, anatomy.t1w, image, matrix, kind)


def _write_other(
    store: Store,
    t1w: Volume,
    image: Volume,
    matrix: NDArray[np.float64],
    kind: Literal["pre", "flair"],
) -> str:
    """Write an image on the grid of the T1w, within its own range; return the path."""
    moved = resample(image.values, image.affine, t1w.shape, t1w.affine, matrix, 3)
    low, high = float(np.min(image.values)), float(np.max(image.values))
    target = (
        store.name("anat", "T1w", space="T1w", desc="precontrast")
        if kind == "pre"
        else store.name("anat", "FLAIR", space="T1w", desc="preproc")
    )
    return store.save(t1w.like(np.clip(moved, low, high)), target, packed=True)
