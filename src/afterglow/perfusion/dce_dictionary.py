"""The first search of every voxel: a dictionary of columns over rates and delays, compiled.

All voxels share the columns and their products, so that a trial costs a handful of operations.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from afterglow.perfusion.compiled import kernel
from afterglow.perfusion.convolution import convolve, shift
from afterglow.perfusion.dce_columns import EXPONENTIAL, INPUT
from afterglow.perfusion.dce_linear import best_factors, dot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@kernel
def nearest(grid: Array, value: float) -> int:
    """Return the index of the nearest grid point."""
    best = 0
    for i in range(grid.size):
        if abs(grid[i] - value) < abs(grid[best] - value):
            best = i
    return best


@kernel
def search(  # noqa: C901 (one loop over the dictionary for all models is what makes it fast)
    kinds: NDArray[np.int64],
    y: Array,
    book: Array,
    fixed: Array,
    grams: Array,
    pairs: Array,
    lower: Array,
    upper: Array,
    first: int,
    last: int,
    products: Array,
    beta: Array,
    small: Array,
) -> tuple[int, int, int]:
    """Return the places (delay, rate, second rate) in the dictionary that fit best.

    ``book[d, r]`` holds the exponential columns, ``fixed[d]`` the other column, ``grams[d, r]``
    their products (00, 01, 11) in the order of the model, ``pairs[d, r, s]`` the products of two
    exponentials. Only delays from ``first`` up to ``last`` are tried.
    """
    n = kinds.size
    best = -math.inf
    found = (first, 0, 0)
    yy, g = small[0], small[1]
    n_rates = book.shape[1]
    exponentials = 0
    for kind in kinds:
        exponentials += kind == EXPONENTIAL
    for d in range(first, last):
        if exponentials < n:
            yy[0] = dot(y, fixed[d])
        if exponentials == 0:
            yy[1] = dot(y, book[d, 0])
            drop = best_factors(grams[d, 0], yy, n, lower, upper, beta)
            if drop > best:
                best = drop
                found = (d, 0, 0)
            continue
        for r in range(n_rates):
            products[r] = dot(y, book[d, r])
        if exponentials == 2:
            for r in range(n_rates):
                yy[0] = products[r]
                g[0] = pairs[d, r, r]
                for s in range(r):
                    yy[1] = products[s]
                    g[1] = pairs[d, r, s]
                    g[2] = pairs[d, s, s]
                    drop = best_factors(g, yy, n, lower, upper, beta)
                    if drop > best:
                        best = drop
                        found = (d, r, s)
            continue
        for r in range(n_rates):
            yy[n - 1] = products[r]
            drop = best_factors(grams[d, r], yy, n, lower, upper, beta)
            if drop > best:
                best = drop
                found = (d, r, 0)
    return found


@kernel
def fill_book(
    kinds: NDArray[np.int64],
    t: Array,
    h: Array,
    c: Array,
    root_weight: Array,
    grid_rates: Array,
    grid_delays: Array,
    book: Array,
    fixed: Array,
    grams: Array,
    pairs: Array,
) -> None:
    """Fill the dictionary that all voxels share: columns and their products."""
    n = kinds.size
    exponentials = 0
    for kind in kinds:
        exponentials += kind == EXPONENTIAL
    scrap, other = np.empty(t.size), np.empty(t.size)
    for d in range(grid_delays.size):
        if kinds[0] == INPUT:
            shift(grid_delays[d], t, h, c, other, scrap)
        else:
            convolve(0.0, grid_delays[d], t, h, c, other, scrap)
        for i in range(t.size):
            fixed[d, i] = other[i] * root_weight[i]
        for r in range(grid_rates.size):
            rate = grid_rates[r] if exponentials > 0 else 0.0
            convolve(rate, grid_delays[d], t, h, c, other, scrap)
            for i in range(t.size):
                book[d, r, i] = other[i] * root_weight[i]
            square = dot(book[d, r], book[d, r])
            if n == 1:
                grams[d, r, 0] = square
            else:
                grams[d, r, 0] = dot(fixed[d], fixed[d])
                grams[d, r, 1] = dot(fixed[d], book[d, r])
                grams[d, r, 2] = square
            if exponentials == 2:
                for s in range(r + 1):
                    pairs[d, r, s] = dot(book[d, r], book[d, s])
