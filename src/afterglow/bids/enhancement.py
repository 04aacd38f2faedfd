"""Whether an image enhances over another one: pixels as evidence for contrast agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from afterglow.bids.images import load_nifti

if TYPE_CHECKING:
    from afterglow.provenance.job import Job

_STRIDE = 2
_HEAD = 0.15
_BRIGHTER = 1.4
# vessels, mucosa and sinuses make up more of a head than this where an agent is in the blood
_ENHANCED = 0.002


def enhanced_share(
    before: NDArray[np.floating],
    before_affine: NDArray[np.float64],
    after: NDArray[np.floating],
    after_affine: NDArray[np.float64],
) -> float | None:
    """Return which share of the head is at least 1.4 times brighter than before.

    Images are compared where their headers place them, each over its own median; what got
    brighter is counted less what got darker by the same factor, so that noise and small
    movement cancel.

    Parameters
    ----------
    before, after : ndarray, shape (x, y, z)
        Two images of one session.
    before_affine, after_affine : ndarray, shape (4, 4)
        Voxels to world millimetres.

    Returns
    -------
    float or None
        None where fewer than a thousand voxels of the head are in both.
    """
    from scipy import ndimage

    step = np.diag([_STRIDE, _STRIDE, _STRIDE, 1.0])
    shape = tuple(-(-n // _STRIDE) for n in after.shape[:3])
    to_before = np.linalg.inv(before_affine) @ after_affine @ step
    smooth = [ndimage.uniform_filter(np.asarray(i, np.float32), 3) for i in (before, after)]
    moved = ndimage.affine_transform(
        smooth[0], to_before[:3, :3], to_before[:3, 3], output_shape=shape, order=1, cval=np.nan
    )
    own = smooth[1][::_STRIDE, ::_STRIDE, ::_STRIDE]
    inside = np.isfinite(moved)
    for image in (moved, own):
        bright = np.nanpercentile(image[np.isfinite(image)], 99) if inside.any() else 0.0
        inside &= np.nan_to_num(image) > _HEAD * bright
    if inside.sum() < 1000:
        return None
    first, second = moved[inside], own[inside]
    ratio = (second / np.median(second)) / (first / np.median(first))
    return float(np.mean(ratio > _BRIGHTER) - np.mean(ratio < 1 / _BRIGHTER))


def enhances(share: float) -> bool:
    """Tell whether a share of :func:`enhanced_share` is that of an image after contrast."""
    return share >= _ENHANCED


def check_contrast(
    job: Job, converted: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]
) -> dict[str, Any] | None:
    """Compare what a session's T1w series are called with what their pixels show.

    Only series of one protocol are compared: another sequence has another contrast. Nothing is
    renamed; a doubt is a warning, and a series before contrast that enhances over the one after
    it is a problem.

    Returns
    -------
    dict or None
        ``share`` of the head that enhances and whether that ``agrees`` with the classes; None
        where no two series can be compared.
    """
    first = {entry["class"]: (entry, written) for entry, written in reversed(converted)}
    if not {"T1w", "T1w_ce"} <= first.keys():
        return None
    (before, image), (after, other) = first["T1w"], first["T1w_ce"]
    if _protocol(before) != _protocol(after):
        return None
    share = enhanced_share(*load_nifti(job.out(image["path"])), *load_nifti(job.out(other["path"])))
    if share is None:
        return None
    said = f"{share:.2%} of the head enhances from T1w to T1w_ce"
    remedy = "look at both; `series_rules` of the center or a decision can name them otherwise"
    if enhances(-share):
        job.problem("order of contrast", f"{said}: they seem to be exchanged", remedy)
    elif not enhances(share):
        job.warn(f"{said}: nothing shows that contrast agent was given; {remedy}")
    return {"share": round(share, 4), "agrees": enhances(share)}


def _protocol(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    facts = entry["acquisition"]
    times = (facts["repetition_time"], facts["inversion_time"], *facts["echo_times"][:1])
    kind = (facts["dimension"], facts["spin_echo"], facts["gradient_echo"])
    return (*kind, *(None if t is None else float(f"{t:.2g}") for t in times))
