"""Compiled loops of the DSC deconvolution and of the bidirectional leakage fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from afterglow.perfusion.compiled import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GOLDEN = 0.6180339887498949
_PART_STEPS = 6
_TINY = np.float32(1e-7)
# Its 256th power is still a normal number: smaller ones slow the processor down.
_LEAST = np.float32(0.75)


@kernel
def _oscillation(row: NDArray[np.float64]) -> float:
    """Return the oscillation index: mean absolute second difference over the maximum."""
    top, total = row[0], 0.0
    for n in range(1, row.size):
        top = max(top, row[n])
    for n in range(2, row.size):
        total += abs(row[n] - 2.0 * row[n - 1] + row[n - 2])
    return total / (row.size * top) if top > 0.0 else np.inf


@kernel
def smallest_passing_residues(
    spectrum: NDArray[np.complex128],
    order: NDArray[np.int64],
    basis_cos: NDArray[np.float64],
    basis_sin: NDArray[np.float64],
    limit: float,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return, per voxel, the residue of the smallest threshold whose oscillation passes.

    Frequencies are added from the strongest of the AIF downwards, which visits every possible
    threshold from the largest to the smallest; the last one that passes is the smallest. The next
    frequency then enters in part, as far as the limit allows: without it the residue would jump
    by a whole frequency where noise or a delay moves the index across the limit.

    Parameters
    ----------
    spectrum : complex array (n_voxels, n_frequencies)
        Tissue spectrum over AIF spectrum.
    order : int array (n_kept,)
        Frequencies by falling AIF amplitude.
    basis_cos, basis_sin : array (n_frequencies, n_samples)
        Rows of the inverse Fourier transform.
    limit : float
        Largest oscillation index that passes.

    Returns
    -------
    residues : array (n_voxels, n_samples)
    kept : int array (n_voxels,)
        Number of frequencies kept whole.
    """
    n_voxels, n_samples = spectrum.shape[0], basis_cos.shape[1]
    residues = np.zeros((n_voxels, n_samples))
    kept = np.zeros(n_voxels, np.int64)
    current = np.empty(n_samples)
    for v in range(n_voxels):
        current[:] = 0.0
        for step in range(order.size):
            k = order[step]
            re, im = spectrum[v, k].real, spectrum[v, k].imag
            for n in range(n_samples):
                current[n] += re * basis_cos[k, n] - im * basis_sin[k, n]
            if _oscillation(current) <= limit:
                kept[v] = step + 1
                residues[v] = current
        if 0 < kept[v] < order.size:
            k = order[kept[v]]
            re, im = spectrum[v, k].real, spectrum[v, k].imag
            part, move = 0.0, 0.5
            for _ in range(_PART_STEPS):
                for n in range(n_samples):
                    wave = re * basis_cos[k, n] - im * basis_sin[k, n]
                    current[n] = residues[v, n] + (part + move) * wave
                if _oscillation(current) <= limit:
                    part += move
                move *= 0.5
            for n in range(n_samples):
                residues[v, n] += part * (re * basis_cos[k, n] - im * basis_sin[k, n])
    return residues, kept


@kernel
def read_residues(
    residues: NDArray[np.float64], wrap: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return height and place of every residue's peak and the place of its rise to half height.

    Peaks are refined by a parabola through three samples. With ``wrap`` the second half of the
    samples stands for negative times. Places are in samples.
    """
    n_voxels, n_samples = residues.shape
    height = np.full(n_voxels, np.nan)
    place = np.full(n_voxels, np.nan)
    rise = np.full(n_voxels, np.nan)
    for v in range(n_voxels):
        row = residues[v]
        p = np.argmax(row)
        if not row[p] > 0.0:
            continue
        height[v], offset = row[p], 0.0
        if wrap or 0 < p < n_samples - 1:
            left, right = row[(p - 1) % n_samples], row[(p + 1) % n_samples]
            bend = left - 2.0 * row[p] + right
            if bend < 0.0:
                offset = 0.5 * (left - right) / bend
                height[v] = row[p] - 0.25 * (left - right) * offset
        half = 0.5 * height[v]
        first = p - n_samples if wrap and p > n_samples // 2 else p
        place[v] = first + offset
        rise[v] = 0.0 if not wrap else place[v]
        lowest = first - n_samples // 2 if wrap else 0
        for n in range(first - 1, lowest - 1, -1):
            a, b = row[n % n_samples], row[(n + 1) % n_samples]
            if a < half:
                rise[v] = n + (half - a) / (b - a)
                break
    return height, place, rise


@kernel
def decayed_integral(
    curve: NDArray[np.float64], time: NDArray[np.float64], rate: float
) -> NDArray[np.float64]:
    """Return the convolution of a piecewise linear curve with ``exp(-rate t)``, exactly."""
    out = np.zeros(curve.size)
    for i in range(1, curve.size):
        dt = time[i] - time[i - 1]
        x = rate * dt
        decay = np.exp(-x)
        if x < 1e-3:
            mean, ramp = dt * (1.0 - x / 2.0 + x * x / 6.0), dt * (0.5 - x / 6.0 + x * x / 24.0)
        else:
            mean = (1.0 - decay) / rate
            ramp = (1.0 - (1.0 - decay) / x) / rate
        out[i] = out[i - 1] * decay + curve[i - 1] * (mean - ramp) + curve[i] * ramp
    return out


@kernel
def _explained(
    row: NDArray[np.float64],
    unit: NDArray[np.float64],
    curve: NDArray[np.float64],
    time: NDArray[np.float64],
    kept: NDArray[np.bool_],
    rate: float,
) -> float:
    """Return the energy of a voxel explained by the decayed integral beside the reference."""
    basis = decayed_integral(curve, time, rate)
    along = 0.0
    for i in range(basis.size):
        if kept[i]:
            along += basis[i] * unit[i]
    dot, norm = 0.0, 0.0
    for i in range(basis.size):
        if kept[i]:
            rest = basis[i] - along * unit[i]
            dot += rest * row[i]
            norm += rest * rest
    return dot * dot / norm if norm > 0.0 else 0.0


@kernel
def refine_rates(
    data: NDArray[np.float64],
    unit: NDArray[np.float64],
    curve: NDArray[np.float64],
    time: NDArray[np.float64],
    kept: NDArray[np.bool_],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    n_steps: int,
) -> NDArray[np.float64]:
    """Return, per voxel, the rate in ``[low, high]`` that explains most (golden section).

    Parameters
    ----------
    data : array (n_voxels, n_time)
        Delta R2* (1/s), zero where a frame does not enter the fit.
    unit : array (n_time,)
        Vascular curve of unit length over the frames that enter the fit.
    curve, time : array (n_time,)
        Reference curve (1/s) and frame times (s).
    kept : bool array (n_time,)
        Frames that enter the fit.
    low, high : array (n_voxels,)
        Bracket of each voxel (1/s).
    n_steps : int
        Golden-section steps.
    """
    rates = np.empty(low.size)
    for v in range(low.size):
        a, b = low[v], high[v]
        c, d = b - _GOLDEN * (b - a), a + _GOLDEN * (b - a)
        fc = _explained(data[v], unit, curve, time, kept, c)
        fd = _explained(data[v], unit, curve, time, kept, d)
        for _ in range(n_steps):
            if fc > fd:
                b, d, fd = d, c, fc
                c = b - _GOLDEN * (b - a)
                fc = _explained(data[v], unit, curve, time, kept, c)
            else:
                a, c, fc = c, d, fd
                d = a + _GOLDEN * (b - a)
                fd = _explained(data[v], unit, curve, time, kept, d)
        rates[v] = 0.5 * (a + b)
    return rates


@kernel
def likelihood_means(
    match: NDArray[np.float32],
    best: NDArray[np.float32],
    parameters: NDArray[np.float32],
    freedom: int,
) -> NDArray[np.float32]:
    """Return, per voxel, the likelihood-weighted means over a dictionary.

    Parameters
    ----------
    match : array (n_voxels, n_atoms)
        Cosine between voxel and atom.
    best : array (n_voxels,)
        Largest cosine of each voxel.
    parameters : array (4, n_atoms)
        The first row is multiplied by the match: it scales amplitudes.
    freedom : int
        Degrees of freedom of the noise estimate.

    Returns
    -------
    array (4, n_voxels)
    """
    n_voxels, n_atoms = match.shape
    out = np.zeros((4, n_voxels), np.float32)
    one = np.float32(1.0)
    for v in range(n_voxels):
        row = match[v]
        top = best[v] * best[v]
        scale = np.float32(0.5 / 256.0) / ((one - top) / np.float32(max(freedom, 1)) + _TINY)
        total = first = second = third = fourth = np.float32(0.0)
        for a in range(n_atoms):
            # exp(x) as (1 + x/256)^256, which the compiler turns into wide multiplications
            x = one + (max(row[a], np.float32(0.0)) ** 2 - top) * scale
            x = max(x, _LEAST)
            x = x * x
            x = x * x
            x = x * x
            x = x * x
            x = x * x
            x = x * x
            x = x * x
            weight = x * x
            total += weight
            first += weight * row[a] * parameters[0, a]
            second += weight * parameters[1, a]
            third += weight * parameters[2, a]
            fourth += weight * parameters[3, a]
        if total > 0.0:
            out[0, v], out[1, v] = first / total, second / total
            out[2, v], out[3, v] = third / total, fourth / total
    return out


@kernel
def add_leakage(
    rows: NDArray[np.float64],
    data: NDArray[np.float64],
    vascular: NDArray[np.float64],
    curve: NDArray[np.float64],
    time: NDArray[np.float64],
    kept: NDArray[np.bool_],
    rates: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return corrected curves, K1 and K2 of the bidirectional model at given efflux rates.

    Parameters
    ----------
    rows, data : array (n_voxels, n_time)
        Delta R2* (1/s), and the same with zeros where a frame does not enter the fit.
    vascular : array (n_time,)
        Vascular curve of these voxels (1/s), whose weight is K1.
    curve, time : array (n_time,)
        Reference curve (1/s) and frame times (s).
    kept : bool array (n_time,)
        Frames that enter the fit.
    rates : array (n_voxels,)
        Efflux rates (1/s).
    """
    corrected = np.empty_like(rows)
    k1, k2 = np.empty(rates.size), np.empty(rates.size)
    for v in range(rates.size):
        basis = decayed_integral(curve, time, rates[v])
        aa, bb, ab, ay, by = 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(curve.size):
            if kept[i]:
                aa += vascular[i] * vascular[i]
                bb += basis[i] * basis[i]
                ab += vascular[i] * basis[i]
                ay += vascular[i] * data[v, i]
                by += basis[i] * data[v, i]
        determinant = aa * bb - ab * ab
        k1[v] = (ay * bb - by * ab) / determinant
        k2[v] = (ay * ab - by * aa) / determinant
        for i in range(curve.size):
            corrected[v, i] = rows[v, i] + k2[v] * basis[i]
    return corrected, k1, k2
