"""Free the disk of what no current result needs, so that `verify` and `plan` see no difference."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from afterglow.provenance.records import read_states
from afterglow.provenance.store import STORE

_SNAKEMAKE_LEFTOVERS = ("incomplete", "locks", "scripts", "log", "slurm_logs", "auxiliary")


def prune_study(root: Path, *, dry_run: bool = False) -> dict[str, dict[str, int]]:
    """Remove superseded results, caches and what dead jobs left; the ledger keeps every record.

    Results of earlier settings or code lie in ``.store`` beside the current ones and would be
    linked again should those settings come back; without them they are computed again.

    Parameters
    ----------
    root : Path
        The study's ``out``; the caller holds the driver's lock.
    dry_run : bool, optional
        Count only.

    Returns
    -------
    dict
        ``files`` and ``bytes`` by what they were: ``superseded``, ``caches``, ``scratch``,
        ``snakemake``. Bytes are those that become free: a file linked elsewhere counts none.
    """
    current = {state.key for state in read_states(root)}
    places = {
        "superseded": [home for home in _entries(root) if home.name not in current],
        "caches": [root / ".cache" / name for name in ("replay", "xdg")],
        "scratch": [root / ".work"],
        "snakemake": [root / ".snakemake" / name for name in _SNAKEMAKE_LEFTOVERS],
    }
    return {kind: _remove(found, dry_run=dry_run) for kind, found in places.items()}


def _entries(root: Path) -> Iterator[Path]:
    """Yield every folder of the store, unfinished copies included."""
    for shelf in sorted((root / STORE).glob("*")):
        yield from sorted(home for home in shelf.iterdir() if home.is_dir())


def _remove(places: list[Path], *, dry_run: bool) -> dict[str, int]:
    count = freed = 0
    for place in places:
        for parent, _, names in os.walk(place):
            for name in names:
                status = os.lstat(os.path.join(parent, name))  # noqa: PTH118  many files
                count += 1
                freed += status.st_size if status.st_nlink == 1 else 0
        if not dry_run:
            shutil.rmtree(place, ignore_errors=True)
    return {"files": count, "bytes": freed}
