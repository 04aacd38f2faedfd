"""One thread for linear algebra and trees, so that the number of cores changes no digit."""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any


def one_thread() -> AbstractContextManager[Any]:
    """Return a context in which BLAS and OpenMP use one thread.

    A limit reaches only libraries that are loaded, so they are loaded first.
    """
    from threadpoolctl import threadpool_limits

    for name in ("scipy.linalg", "scipy.optimize", "sklearn.ensemble", "sklearn.linear_model"):
        import_module(name)
    limits: AbstractContextManager[Any] = threadpool_limits(limits=1)
    return limits
