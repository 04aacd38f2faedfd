"""Header scan against a plain pydicom loop, and a rescan of an unchanged tree.

    python benchmarks/scan.py FOLDER [--files 100000]

Prints files per second of ``pydicom.dcmread(stop_before_pixels=True)`` on one core and of
``afterglow.dicom.inventory.scan`` on one and two, over the same warm tree.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pydicom

from afterglow.dicom.inventory import scan


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def plain(files: list[Path]) -> None:
    for path in files:
        try:
            pydicom.dcmread(path, stop_before_pixels=True)
        except pydicom.errors.InvalidDicomError:
            continue


def rescan(source: Path, count: int) -> float:
    """Return how long a second scan of ``count`` unchanged files takes (s)."""
    content = source.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "incoming"
        for number in range(count):
            place = root / f"{number // 500:04d}"
            if number % 500 == 0:
                place.mkdir(parents=True)
            (place / f"IM{number:06d}").write_bytes(content)
        cache = Path(folder) / "cache.parquet"
        scan([root], cache, jobs=2)
        return timed(lambda: scan([root], cache))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=0, help="also rescan this many copies")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    files = sorted(path for path in given.folder.rglob("*") if path.is_file())
    for path in files:
        path.read_bytes()
    scan(files[:1])
    base = len(files) / timed(lambda: plain(files))
    print(f"{len(files)} files")
    print(f"pydicom loop, 1 core   {base:8.0f} files/s")
    for jobs in (1, 2):
        rate = len(files) / timed(lambda jobs=jobs: scan([given.folder], jobs=jobs))
        print(f"afterglow, {jobs} process  {rate:8.0f} files/s  {rate / base:.2f} x")
    if given.files:
        print(f"rescan of {given.files} unchanged files: {rescan(files[0], given.files):.2f} s")


if __name__ == "__main__":
    main()
