"""The one way in which the perfusion kernels are compiled and spread over threads."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])

# Sums may be reordered (so that they vectorize), but NaN and infinity keep their meaning.
_FASTMATH = {"reassoc", "contract", "nsz", "arcp"}


def kernel(function: F) -> F:
    """Compile a function to machine code, kept between processes.

    The code is kept beside the module, or in ``NUMBA_CACHE_DIR`` where that is set, so that a
    second start compiles nothing. Where neither can be written the function is compiled anew.
    """
    return _compile(function, _FASTMATH)


def recursion(function: F) -> F:
    """Compile like :func:`kernel`, but keep sums in the order in which they are written.

    In a recursion the value of the step before must enter last: reordered, every step would wait
    for several operations instead of one.
    """
    return _compile(function, _FASTMATH - {"reassoc"})


def _compile(function: F, fastmath: set[str]) -> F:
    """Compile, with a cache on disk where one can be written."""
    options: dict[str, Any] = {"fastmath": fastmath, "nogil": True, "error_model": "numpy"}
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return cast("F", numba.njit(cache=False, **options)(function))
    return cast("F", _bound_to_sources(compiled))


def _bound_to_sources(compiled: Any) -> Any:
    """Make the kept code valid only for the very sources of all kernels.

    The compiler looks at the file of the function alone: a kernel would go on with the old code of
    a callee in another module after an update.
    """
    kept = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if kept is not None and hasattr(kept, "_source_stamp"):
        kept._source_stamp = (kept._source_stamp, _digest_of_kernels())
    return compiled


@cache
def _digest_of_kernels() -> str:
    """Return the digest of the modules that hold kernels."""
    found = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        content = path.read_bytes()
        if b"perfusion.compiled import" in content or path.name == Path(__file__).name:
            found.update(path.name.encode() + b"\0" + content)
    return found.hexdigest()


def each(work: Callable[[Any], None], items: Sequence[Any], threads: int | None) -> None:
    """Call ``work(item)`` for every item, on as many threads; results are written in place.

    Kernels and array operations release the interpreter's lock, so plain threads suffice: numba's
    own parallel loops take minutes to compile and bring a threading layer along.

    Parameters
    ----------
    work : callable
        Handles one item.
    items : sequence
        Blocks of voxels, say.
    threads : int or None
        Threads to use; None for all cores of the machine. The result does not depend on it.
    """
    wanted = min(_number(threads), len(items))
    if wanted <= 1:
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(wanted) as pool:
        for done in [pool.submit(work, item) for item in items]:
            done.result()


def _number(threads: int | None) -> int:
    """Return how many threads are meant."""
    return max(1, (os.cpu_count() or 1) if threads is None else threads)
