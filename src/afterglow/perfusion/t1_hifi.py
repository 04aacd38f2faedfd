"""T1 and flip-angle ratio together, of variable flip angles and inversion recovery (HIFI)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from afterglow.perfusion.signal import spgr_signal
from afterglow.perfusion.t1_map import T1_RANGE, T1Map, chosen_voxels, finish
from afterglow.perfusion.t1_separable import fit_scaled, nearest_entry
from afterglow.perfusion.t1_steady_state import inversion_signals

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

B1_RANGE = (0.3, 1.8)
"""Range of the flip-angle ratio that is searched."""

_BLOCK_VOXELS = 4_000
_NAMES = ("t1", "b1", "m0", "se_t1", "se_b1", "se_m0")


def fit_hifi(
    signal_vfa: ArrayLike,
    flip_angles: ArrayLike,
    tr: float,
    signal_ir: ArrayLike,
    inversion_times: ArrayLike,
    *,
    flip_angle_ir: float,
    tr_ir: float,
    cycle: float,
    pulses: tuple[int, int],
    efficiency: float = 1.0,
    mask: ArrayLike | None = None,
    threads: int | None = 1,
) -> T1Map:
    """Return T1, M0 and the flip-angle ratio by DESPOT1-HIFI (Deoni 2007, JMRI 26:1106).

    Spoiled gradient echoes of several flip angles see T1 and the flip-angle ratio together;
    inversion-prepared ones of the same receiver gain see T1 nearly alone. The inversion-prepared
    signal is the exact periodic steady state of its train, magnitude.

    Parameters
    ----------
    signal_vfa : array (..., n_angles)
        Spoiled gradient echoes.
    flip_angles : array (n_angles,)
        Nominal flip angles (degrees).
    tr : float
        Their repetition time (s).
    signal_ir : array (..., n_times)
        Inversion-prepared spoiled gradient echoes, magnitude.
    inversion_times : array (n_times,)
        Inversion to the middle of the readout (s).
    flip_angle_ir, tr_ir : float
        Nominal flip angle (degrees) and repetition time (s) of the readout train.
    cycle : float
        Inversion to inversion (s).
    pulses : (int, int)
        Pulses of a train before its middle, and from the middle on.
    efficiency : float
        Of the (adiabatic) inversion, 0 to 1.
    mask : array (...) of bool, optional
        Voxels to fit.
    threads : int or None
        Threads to use; None for all.

    Returns
    -------
    T1Map
        With ``b1``.

    Raises
    ------
    ValueError
        Where shapes disagree or a train does not fit into its cycle.

    Examples
    --------
    >>> how = {"flip_angle_ir": 5.0, "tr_ir": 0.006, "cycle": 1.5, "pulses": (40, 40)}
    >>> vfa = spgr_signal(1 / 1.2, 1000.0, 0.006, 0.9 * np.array([3.0, 8.0, 15.0]))
    >>> ir = 1000 * np.abs([inversion_signals(1.2, 0.9, [t], [5.0], 0.006, (40, 40), 1.5)[0]
    ...                     for t in (0.35, 0.6, 1.0)])
    >>> r = fit_hifi(vfa, [3.0, 8.0, 15.0], 0.006, ir, [0.35, 0.6, 1.0], **how)
    >>> float(r.t1.round(4)), float(r.b1.round(4)), float(r.m0.round(2))
    (1.2, 0.9, 1000.0)
    """
    from afterglow.perfusion.compiled import each

    angles, times = np.atleast_1d(flip_angles), np.atleast_1d(inversion_times)
    spoiled, inverted = np.asarray(signal_vfa), np.asarray(signal_ir)
    if spoiled.shape[-1:] != angles.shape or inverted.shape[-1:] != times.shape:
        raise ValueError(f"{spoiled.shape} and {inverted.shape} do not fit angles and times")
    if spoiled.shape[:-1] != inverted.shape[:-1]:
        raise ValueError(f"images of {spoiled.shape[:-1]} and of {inverted.shape[:-1]}")

    def model(theta: Array) -> Array:
        t1, b1 = theta[:, :1], theta[:, 1:]
        steady = spgr_signal(1.0 / t1, 1.0, tr, angles * b1)
        ir = [
            inversion_signals(
                theta[:, 0], theta[:, 1], [float(time)], [flip_angle_ir], tr_ir, pulses, cycle,
                efficiency,
            )
            for time in times
        ]  # fmt: skip
        return np.concatenate([steady, np.abs(np.concatenate(ir, axis=1))], axis=1)

    data = np.concatenate([np.atleast_2d(spoiled), np.atleast_2d(inverted)], axis=-1)
    shape = data.shape[:-1]
    low, high = np.array([T1_RANGE[0], B1_RANGE[0]]), np.array([T1_RANGE[1], B1_RANGE[1]])
    grid = np.stack(
        np.meshgrid(np.geomspace(0.1, 6.0, 64), np.linspace(0.5, 1.5, 15), indexing="ij"), axis=-1
    ).reshape(-1, 2)
    book = model(grid)
    maps = {name: np.full(shape, np.nan) for name in _NAMES}
    where = chosen_voxels(mask, shape)

    def work(start: int) -> None:
        place = np.unravel_index(where[start : start + _BLOCK_VOXELS], shape)
        block = np.ascontiguousarray(data[place], dtype=np.float64)
        usable = np.isfinite(block).all(axis=1) & (block.max(axis=1) > 0)
        y = np.where(usable[:, None], block, 1.0)
        theta, scale, errors, rested = fit_scaled(model, y, grid[nearest_entry(y, book)], low, high)
        inner = ((theta > low * 1.0001) & (theta < high * 0.9999)).all(axis=1)
        good = usable & rested & inner & (scale > 0)
        columns = (theta[:, 0], theta[:, 1], scale, errors[:, 0], errors[:, 1], errors[:, 2])
        for name, values in zip(_NAMES, columns, strict=True):
            maps[name][place] = np.where(good, values, np.nan)

    each(work, range(0, where.size, _BLOCK_VOXELS), threads)
    return finish(maps, spoiled.shape[:-1])
