"""Slices of 2D EPI are acquired one after another, but a frame carries one time for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.perfusion.dsc_series import DSCSeries


def after_frame_time(series: DSCSeries) -> NDArray[np.float64] | float:
    """Return, per voxel of the mask, its slice's acquisition after the frame time (s).

    Zero where the slice times are unknown.
    """
    if series.slice_offsets is None:
        return 0.0
    return np.asarray(np.broadcast_to(series.slice_offsets, series.mask.shape)[series.mask])


def after_artery(series: DSCSeries, artery: NDArray[np.bool_]) -> NDArray[np.float64] | float:
    """Return, per voxel of the mask, its slice's acquisition after that of the artery (s).

    What is measured in frames, such as Tmax, lacks this.

    Parameters
    ----------
    series : DSCSeries
    artery : bool array (x, y, z)
        Arterial voxels.
    """
    if series.slice_offsets is None:
        return 0.0
    offsets = np.broadcast_to(series.slice_offsets, series.mask.shape)
    return np.asarray(offsets[series.mask] - offsets[artery].mean())


def slice_offsets(sidecar: dict[str, object], n_slices: int) -> NDArray[np.float64] | None:
    """Return the acquisition of each slice after the frame time (s), None where unknown.

    Motion correction keeps the grid, and the few degrees it turns leave slices where they are but
    for a fraction of their thickness.

    Examples
    --------
    >>> slice_offsets({"SliceTiming": [0.0, 0.7], "SliceEncodingDirection": "k-"}, 2).tolist()
    [0.7, 0.0]
    """
    timing = sidecar.get("SliceTiming")
    if not isinstance(timing, list) or len(timing) != n_slices:
        return None
    offsets = np.asarray(timing, dtype=np.float64)
    return offsets[::-1].copy() if sidecar.get("SliceEncodingDirection") == "k-" else offsets
