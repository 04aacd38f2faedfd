"""Write down which kernels a finished demo called, and with what types.

Usage: python docs/tools/record_kernels.py CACHE [CACHE ...] > src/afterglow/kernels.tsv

A cache is a folder of machine code: `out/.cache/numba` of a study, or what ``NUMBA_CACHE_DIR``
named while the phantom was written.
"""

from __future__ import annotations

import pickle
import sys
from importlib import import_module
from pathlib import Path

import numba


def main(caches: list[Path]) -> None:
    """Print module, function and signature of every kernel kept in some caches."""
    lines = {line for cache in caches for path in cache.rglob("*.nbi") for line in kept(path)}
    for line in sorted(lines):
        sys.stdout.write("\t".join(line) + "\n")


def kept(index: Path) -> list[tuple[str, str, str]]:
    """Return what one index of the cache lists; nothing for literal types, which are of callees."""
    with index.open("rb") as stream:
        pickle.load(stream)  # noqa: S301  written on this machine
        _, overloads = pickle.loads(stream.read())  # noqa: S301
    module = module_of(index)
    name = index.name.split("-")[0].split(".", 1)[1]
    if not isinstance(getattr(import_module(module), name, None), numba.core.dispatcher.Dispatcher):
        return []
    types = [key[0] for key in overloads]
    return [
        (module, name, f"({', '.join(map(spelled, given))},)")
        for given in types
        if not any(isinstance(one, numba.types.Literal) for one in given)
    ]


def module_of(index: Path) -> str:
    """Return the module that a function of the cache belongs to: its folder names the package."""
    package = index.parent.name.rpartition("_")[0]
    stem = index.name.split(".")[0]
    root = "" if package == "brainextractor" else "afterglow."
    return f"{root}{package}.{stem}"


def spelled(one: numba.types.Type) -> str:
    """Return a type as numba reads it in a signature."""
    if not isinstance(one, numba.types.Array):
        return {"bool": "boolean"}.get(str(one), str(one))
    if one.layout != "C" or not one.mutable:
        raise ValueError(f"no way to spell {one!r}")
    return f"{spelled(one.dtype)}[{':, ' * (one.ndim - 1)}::1]"


if __name__ == "__main__":
    main([Path(word) for word in sys.argv[1:]])
