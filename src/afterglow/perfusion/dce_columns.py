"""The columns of a kinetic model for given rates and delay, and their derivatives, compiled.

Every model is a sum of at most two columns, each the input, its integral or its convolution with an
exponential, that are linear in their factors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from afterglow.perfusion.compiled import kernel
from afterglow.perfusion.convolution import convolve, shift
from afterglow.perfusion.dce_linear import copy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

INPUT, INTEGRAL, EXPONENTIAL = 0, 1, 2
"""Kinds of columns."""


@kernel
def build(
    kinds: NDArray[np.int64],
    rates: Array,
    delay: float,
    t: Array,
    h: Array,
    c: Array,
    root_weight: Array,
    with_delay: bool,
    columns: Array,
    by_rate: Array,
    by_delay: Array,
) -> None:
    """Fill the weighted columns and their derivatives in (log) rate and in delay."""
    which = 0
    for j in range(kinds.size):
        if kinds[j] == INPUT and not with_delay and delay == 0.0:
            for i in range(t.size):
                columns[j, i] = c[i] * root_weight[i]
            continue
        if kinds[j] == INPUT:
            shift(delay, t, h, c, columns[j], by_delay[j])
            for i in range(t.size):
                columns[j, i] *= root_weight[i]
                by_delay[j, i] *= -root_weight[i]
            continue
        k = 0.0
        if kinds[j] == EXPONENTIAL:
            k = rates[which]
            which += 1
        convolve(k, delay, t, h, c, columns[j], by_rate[j])
        if with_delay:
            shift(delay, t, h, c, by_delay[j], by_delay[j + 2])
            for i in range(t.size):
                by_delay[j, i] = root_weight[i] * (k * columns[j, i] - by_delay[j, i])
        for i in range(t.size):
            columns[j, i] *= root_weight[i]
            by_rate[j, i] *= k * root_weight[i]


@kernel
def jacobian(
    kinds: NDArray[np.int64],
    with_delay: bool,
    beta: Array,
    columns: Array,
    by_rate: Array,
    by_delay: Array,
    out: Array,
) -> int:
    """Fill the derivatives in factors, log rates, delay; return how many there are."""
    n = kinds.size
    m = n
    for j in range(n):
        copy(columns[j], out[j])
    for j in range(n):
        if kinds[j] == EXPONENTIAL:
            for i in range(columns.shape[1]):
                out[m, i] = beta[j] * by_rate[j, i]
            m += 1
    if with_delay:
        for i in range(columns.shape[1]):
            out[m, i] = beta[0] * by_delay[0, i]
            if n == 2:
                out[m, i] += beta[1] * by_delay[1, i]
        m += 1
    return m


@kernel
def predict_block(
    kinds: NDArray[np.int64],
    parameters: Array,
    t: Array,
    h: Array,
    c: Array,
    out: Array,
) -> None:
    """Fill the model curves (n_voxels, n_time) of parameters (two factors, two rates, delay)."""
    n = kinds.size
    n_voxels, n_time = out.shape
    work, ones = np.zeros((8, n_time)), np.ones(n_time)
    for v in range(n_voxels):
        p = parameters[v]
        build(kinds, p[2:4], p[4], t, h, c, ones, False, work[0:2], work[2:4], work[4:8])
        for i in range(n_time):
            out[v, i] = p[0] * work[0, i] + (p[1] * work[1, i] if n == 2 else 0.0)
