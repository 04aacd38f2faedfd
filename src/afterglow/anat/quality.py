"""Verdicts: numbers against thresholds, so that a failed case announces itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from afterglow.anat.detail import sharpness
from afterglow.anat.grids import Volume, coarse, onto
from afterglow.anat.similarity import nmi

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.config.anat import AnatConfig

Word = Literal["pass", "look", "fail"]
_SIGNAL = 0.1
_FINE_BAND_MM = 2.4


@dataclass(frozen=True)
class Verdict:
    """A judgement with its reasons and the numbers behind it."""

    verdict: Word
    reasons: list[str]
    numbers: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict for a stage's summary."""
        numbers = {k: round(v, 4) for k, v in sorted(self.numbers.items())}
        return {"verdict": self.verdict, "reasons": self.reasons, "numbers": numbers}


@dataclass(frozen=True)
class Limit:
    """Where a number stops passing and where it fails; ``low`` limits are lower bounds."""

    name: str
    look: float
    fail: float
    low: bool = True

    def judge(self, value: float) -> Word:
        """Return the word for one value; a value that is not finite fails.

        Examples
        --------
        >>> Limit("dice", 0.9, 0.8).judge(0.85)
        'look'
        """
        sign = 1.0 if self.low else -1.0
        if not np.isfinite(value) or sign * value < sign * self.fail:
            return "fail"
        return "look" if sign * value < sign * self.look else "pass"


def judge(numbers: dict[str, float], limits: list[Limit]) -> Verdict:
    """Weigh numbers against limits; the worst one decides."""
    order: list[Word] = ["pass", "look", "fail"]
    worst: Word = "pass"
    reasons = []
    for limit in limits:
        if limit.name not in numbers:
            continue
        word = limit.judge(numbers[limit.name])
        if word != "pass":
            bound = limit.fail if word == "fail" else limit.look
            relation = "below" if limit.low else "above"
            reasons.append(f"{limit.name} {numbers[limit.name]:.3g} is {relation} {bound:.3g}")
            worst = order[max(order.index(worst), order.index(word))]
    return Verdict(worst, reasons, numbers)


def brain(mask: Volume, hull: Volume, image: Volume, settings: AnatConfig) -> Verdict:
    """Judge a brain mask by volume, roundness and overlap with the warped template.

    Parameters
    ----------
    mask : Volume
        Brain mask.
    hull : Volume
        The template's mask on the same grid, through the affine.
    image : Volume
        The image, for the contrast between the inside and a rim outside.
    """
    inside = np.asarray(mask.values) > 0.5
    voxel = abs(float(np.linalg.det(mask.affine[:3, :3])))
    volume = float(inside.sum()) * voxel / 1000.0
    values = np.asarray(image.values)[inside]
    middle = float(np.median(values)) if values.size else np.nan
    spread = float(np.std(values)) / middle if middle else np.nan
    numbers = {
        "volume_ml": volume,
        "template_dice": dice(inside, np.asarray(hull.values) > 0.5),
        "variation": spread,
        "surface_cm2": _surface(mask),
    }
    low, high = settings.brain_volume_look_ml, settings.brain_volume_fail_ml
    limits = [
        Limit("volume_ml", low[0], high[0]),
        Limit("volume_ml", low[1], high[1], low=False),
        Limit("template_dice", settings.brain_dice_look, settings.brain_dice_fail),
        Limit("variation", 0.03, 0.005),
    ]
    return judge(numbers, limits)


def registration(
    fixed: Volume,
    moving: Volume,
    matrix: NDArray[np.float64],
    region: Volume,
    settings: AnatConfig,
    *,
    masks: tuple[Volume, Volume] | None = None,
    mirrored: NDArray[np.float64] | None = None,
    contrast: Literal["same", "other"] | None = None,
    more: dict[str, float] | None = None,
) -> Verdict:
    """Judge a rigid registration.

    Similarity is the normalized mutual information inside ``region`` compared with that of the same
    images when the alignment is spoilt by shifts of ``quality_shift_mm`` and by exchanging left and
    right: a good alignment is a clear maximum, whatever the contrast. Heads of two people share
    their coarse structure and not their sulci: `afterglow.anat.detail` judges those of anatomical
    images.

    Parameters
    ----------
    fixed, moving : Volume
        Images.
    matrix : ndarray, shape (4, 4)
        World matrix from fixed to moving.
    region : Volume
        Brain mask on the grid of ``fixed``.
    masks : pair of Volume, optional
        Brain masks of fixed and moving; their overlap is judged.
    mirrored : ndarray, shape (4, 4), optional
        ``matrix`` with a reflection in the midsagittal plane.
    contrast : {"same", "other"}, optional
        Of ``moving``; judge the match of details, where both images show them.
    more : dict, optional
        Other numbers, to be judged with these (`fine_match`).
    """
    small = coarse(fixed, settings.quality_mm)
    where = onto(region, small, np.eye(4)).values > 0.5
    source = coarse(moving, settings.quality_mm)
    here = _similarity(small, source, matrix, where)
    numbers = {
        "nmi": here[0],
        "peak": here[0]
        / max([1e-9, *_spoilt(small, source, matrix, where, settings.quality_shift_mm)]),
        "coverage": here[1],
        "support": _support(small, source, matrix, where),
        "rotation_deg": _rotation(matrix),
        **(more or {}),
    }
    if contrast is not None:
        same = contrast == "same"
        found = sharpness(fixed, moving, matrix, region, settings.quality_mm, same_contrast=same)
        if np.isfinite(found):
            numbers["detail" if same else "sharpness"] = found
    if mirrored is not None:
        reflected = _similarity(small, source, mirrored, where)
        numbers["mirror"] = here[0] / max(1e-9, reflected[0])
    limits = [
        Limit("nmi", settings.nmi_look, settings.nmi_fail),
        Limit("peak", settings.peak_look, settings.peak_fail),
        Limit("coverage", settings.coverage_look, settings.coverage_fail),
        Limit("support", settings.support_look, settings.support_fail),
        Limit("detail", settings.detail_look, settings.detail_fail),
        Limit("sharpness", settings.sharpness_look, settings.sharpness_fail),
        Limit("dsc_detail", settings.dsc_detail_look, settings.dsc_detail_fail),
        Limit("dce_detail", settings.dce_detail_look, settings.dce_detail_fail),
        Limit("mirror", settings.mirror_look, settings.mirror_fail),
        Limit("rotation_deg", settings.rotation_look, settings.rotation_fail, low=False),
    ]
    if masks is not None:
        moved = onto(masks[1], masks[0], matrix).values > 0.5
        numbers["brain_dice"] = dice(moved, np.asarray(masks[0].values) > 0.5)
        limits.append(Limit("brain_dice", settings.overlap_look, settings.overlap_fail))
    return judge(numbers, limits)


def fine_match(
    kind: Literal["dsc", "dce"],
    t1w: Volume,
    mean: Volume,
    matrix: NDArray[np.float64],
    region: Volume,
    settings: AnatConfig,
) -> dict[str, float]:
    """Return how steeply the match of a dynamic series' details with those of the T1w falls.

    Heads of two people share so much that mutual information has a clear peak all the same.

    Parameters
    ----------
    kind : {"dsc", "dce"}
        What ``mean`` is the mean of; it names the number.
    t1w, mean : Volume
        Images.
    matrix : ndarray, shape (4, 4)
        World matrix from ``t1w`` to ``mean``.
    region : Volume
        Brain without lesions, on the grid of ``t1w``.
    """
    found = sharpness(
        t1w, mean, matrix, region, settings.quality_mm, same_contrast=True, band_mm=_FINE_BAND_MM
    )
    return {f"{kind}_detail": found} if np.isfinite(found) else {}


def alike(
    fixed: Volume,
    moving: Volume,
    matrix: NDArray[np.float64],
    region: Volume,
    settings: AnatConfig,
) -> float:
    """Return the normalized mutual information of two images under a world matrix.

    ``matrix`` maps from fixed to moving, ``region`` lies on the grid of ``fixed``.
    """
    small = coarse(fixed, settings.quality_mm)
    where = onto(region, small, np.eye(4)).values > 0.5
    return _similarity(small, coarse(moving, settings.quality_mm), matrix, where)[0]


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Return the Dice overlap of two masks; 0 where both are empty."""
    total = int(a.sum()) + int(b.sum())
    return 2.0 * int((a & b).sum()) / total if total else 0.0


def _similarity(
    fixed: Volume, moving: Volume, matrix: NDArray[np.float64], where: NDArray[np.bool_]
) -> tuple[float, float]:
    """Return similarity, and the part of the region that the moving image covers."""
    from afterglow.anat.transforms import resample

    moved = resample(moving.values, moving.affine, fixed.shape, fixed.affine, matrix, fill=np.nan)
    seen = where & np.isfinite(moved)
    covered = float(seen.sum()) / max(int(where.sum()), 1)
    if int(seen.sum()) < 100:
        return 0.0, covered
    return nmi(np.asarray(fixed.values)[seen], moved[seen]), covered


def _spoilt(
    fixed: Volume,
    moving: Volume,
    matrix: NDArray[np.float64],
    where: NDArray[np.bool_],
    mm: float,
) -> list[float]:
    """Return the similarities after shifts of ``mm`` along every axis, both ways."""
    return [
        _similarity(fixed, moving, _shift(axis, sign * mm) @ matrix, where)[0]
        for axis in range(3)
        for sign in (-1.0, 1.0)
    ]


def _support(
    fixed: Volume, moving: Volume, matrix: NDArray[np.float64], where: NDArray[np.bool_]
) -> float:
    """Return the part of the region in which both images hold signal, of what they cover.

    A tenth of the upper quartile is above noise, and below liquor in FLAIR after averaging.
    """
    from afterglow.anat.transforms import resample

    moved = resample(moving.values, moving.affine, fixed.shape, fixed.affine, matrix, fill=np.nan)
    seen = where & np.isfinite(moved)
    if not seen.any():
        return 0.0
    parts = (np.asarray(v, np.float32)[seen] for v in (fixed.values, moved))
    return min(float((v > _SIGNAL * np.percentile(v, 75)).mean()) for v in parts)


def _shift(axis: int, mm: float) -> NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[axis, 3] = mm
    return matrix


def _rotation(matrix: NDArray[np.float64]) -> float:
    """Return the angle of the rotation part, degrees."""
    u, _, vt = np.linalg.svd(matrix[:3, :3])
    return float(np.degrees(np.arccos(np.clip((np.trace(u @ vt) - 1) / 2, -1, 1))))


def _surface(mask: Volume) -> float:
    """Return the area of the mask's faces, cm2, over 1.5 (the mean excess of a voxel surface)."""
    small = coarse(mask, 2.0)
    inside = np.pad(np.asarray(small.values) > 0.5, 1).astype(np.int8)
    zooms = np.linalg.norm(small.affine[:3, :3], axis=0)
    area = sum(
        float(np.abs(np.diff(inside, axis=k)).sum()) * float(np.prod(zooms) / zooms[k])
        for k in range(3)
    )
    return area / 150.0
