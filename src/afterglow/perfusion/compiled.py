"""The one way in which the perfusion kernels are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])

# Sums may be reordered (so that they vectorize), but NaN and infinity keep their meaning.
_FASTMATH = {"reassoc", "contract", "nsz", "arcp"}


def kernel(*, parallel: bool = False) -> Callable[[F], F]:
    """Return a decorator that compiles a function to machine code, kept between processes.

    The code is kept beside the module, or in ``NUMBA_CACHE_DIR`` where that is set, so that a
    second start compiles nothing. Where neither can be written the function is compiled anew.
    """

    def decorate(function: F) -> F:
        options: dict[str, Any] = {
            "parallel": parallel,
            "fastmath": _FASTMATH,
            "nogil": True,
            "error_model": "numpy",
        }
        try:
            compiled = numba.njit(cache=True, **options)(function)
        except RuntimeError:
            compiled = numba.njit(cache=False, **options)(function)
        return cast("F", compiled)

    return decorate


class Threads:
    """Use a number of threads within a ``with`` block; results do not depend on it."""

    def __init__(self, count: int | None) -> None:
        self._count = count
        self._before = 1

    def __enter__(self) -> None:
        self._before = numba.get_num_threads()
        if self._count is not None:
            numba.set_num_threads(max(1, min(self._count, numba.config.NUMBA_NUM_THREADS)))

    def __exit__(self, *_: object) -> None:
        numba.set_num_threads(self._before)
