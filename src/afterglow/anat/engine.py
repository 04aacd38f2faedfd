"""ANTs behind one door: threads, temporary files, and images to and from arrays."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.anat.transforms import voxel_sizes
from afterglow.errors import AfterglowError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_FLIP = np.diag([-1.0, -1.0, 1.0])
_UNUSED = ("ants.learn", "ants.plotting", "ants.deeplearn", "ants.math")


def ants_module(threads: int = 1) -> Any:
    """Import ANTsPy with a fixed number of threads.

    One thread gives the same bytes every time; ITK reads the number once, when it is loaded, so
    that the variable is set before the import.
    """
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = str(threads)
    if "ants" not in sys.modules:
        _leave_out(_UNUSED)
    import ants

    return ants


def _leave_out(names: tuple[str, ...]) -> None:
    """Put empty modules in place of parts of ANTsPy that are never called here.

    They pull in pyplot, scikit-learn, statsmodels: most of the time that the import takes.
    """
    for name in names:
        empty = ModuleType(name, "Left out by afterglow.anat.engine.")
        empty.__all__ = []  # type: ignore[attr-defined]
        sys.modules[name] = empty


@contextmanager
def workspace() -> Iterator[Path]:
    """Give ANTs a folder of its own for its temporary files, and remove it afterwards."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="afterglow-ants-") as name:
        tempfile.tempdir = name
        try:
            yield Path(name)
        finally:
            tempfile.tempdir = before


def to_ants(values: NDArray[Any], affine: NDArray[np.float64], ants: Any) -> Any:
    """Turn an array with a RAS affine into an ANTs image (LPS).

    Raises
    ------
    AfterglowError
        The axes of the grid are not at right angles, which ITK cannot hold.
    """
    zooms = voxel_sizes(affine)
    axes = np.asarray(affine)[:3, :3] / zooms
    if not np.allclose(axes.T @ axes, np.eye(3), atol=1e-3):
        raise AfterglowError(
            "the axes of an image are not at right angles",
            expected="a grid without shear",
            remedy="check the conversion of the series (gantry tilt, irregular slices)",
        )
    return ants.from_numpy(
        np.ascontiguousarray(values, dtype=np.float32),
        origin=[float(v) for v in _FLIP @ np.asarray(affine)[:3, 3]],
        spacing=[float(v) for v in zooms],
        direction=_FLIP @ axes,
    )
