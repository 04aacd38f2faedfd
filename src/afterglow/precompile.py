"""Compile the kernels once, at installation, so that neither a study nor a command waits for it.

Usage: python -m afterglow.precompile

A study keeps compiled kernels in a cache of its own, since an install may be read-only. It begins
with a copy of what was compiled here; what is missing, or was compiled from an older source or for
another processor, is compiled when it is needed.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

CACHE = "NUMBA_CACHE_DIR"
KERNELS = Path(sys.prefix) / "share/afterglow/kernels"


def listed() -> Iterator[tuple[str, str, str]]:
    """Yield module, function and signature of every kernel that the demo calls."""
    for line in Path(__file__).with_name("kernels.tsv").read_text("utf-8").splitlines():
        module, name, signature = line.split("\t")
        yield module, name, signature


def precompile(folder: Path) -> int:
    """Compile all listed kernels into a folder and return how many those are.

    In one process and always in this order: where sums may be reordered, bits can depend on what
    was compiled before.
    """
    shutil.rmtree(folder, ignore_errors=True)
    os.environ[CACHE] = str(folder)
    from numba.core.sigutils import normalize_signature

    count = 0
    for module, name, signature in listed():
        # As types, which are what a call looks for, and not as text.
        types, _ = normalize_signature(signature)
        getattr(import_module(module), name).compile(types)
        count += 1
    return count


def use_precompiled(folder: Path = KERNELS) -> None:
    """Have this process and its children use and extend what was compiled at installation."""
    if folder.is_dir() and os.access(folder, os.W_OK):
        os.environ.setdefault(CACHE, str(folder))


def copy_precompiled(target: Path, folder: Path = KERNELS) -> None:
    """Give a study's cache what was compiled at installation, unless it has begun its own."""
    if folder.is_dir() and not target.exists():
        part = target.with_name(f".{target.name}.{os.getpid()}")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copytree(folder, part)
            part.rename(target)
        except OSError:
            # Another run began one meanwhile, or the disk is full: kernels are compiled as before.
            shutil.rmtree(part, ignore_errors=True)


if __name__ == "__main__":
    sys.stdout.write(f"{precompile(KERNELS)} kernels compiled\n")
