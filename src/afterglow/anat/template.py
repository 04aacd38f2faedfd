"""The MNI152 template that nilearn carries: brain-only T1w, its mask, and tissue priors."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from afterglow.anat.grids import Volume, coarse
from afterglow.errors import AfterglowError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MASK_LEVEL = 0.2


@dataclass(frozen=True)
class Template:
    """MNI152 (2009a, symmetric) on one grid.

    Attributes
    ----------
    t1 : Volume
        Brain-only T1w, scaled to 0..1.
    mask : Volume
        Fraction of the voxel inside the brain's hull.
    gm, wm, csf : Volume
        Prior probabilities; they sum to one inside the mask.
    """

    t1: Volume
    mask: Volume
    gm: Volume
    wm: Volume
    csf: Volume


@lru_cache(maxsize=2)
def load(mm: float = 2.0) -> Template:
    """Load the template on a grid of ``mm`` (1 mm natively).

    The files are read from nilearn's folder: importing `nilearn.datasets` takes ten seconds.
    """
    t1, affine = _map("t1")
    solid = _hull(t1)
    volumes = [coarse(Volume(v, affine), mm) for v in (t1, solid, _map("gm")[0], _map("wm")[0])]
    t1_mm, mask, gm, wm = volumes
    total = np.maximum(gm.values + wm.values, 1.0)
    gm, wm = gm.like(gm.values / total), wm.like(wm.values / total)
    csf = gm.like(np.clip(mask.values - gm.values - wm.values, 0.0, 1.0))
    return Template(t1_mm, mask, gm, wm, csf)


def _hull(t1: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the solid brain: the template without background, its sulci and ventricles filled."""
    from scipy import ndimage

    solid = ndimage.binary_opening(t1 > _MASK_LEVEL, iterations=1)
    solid = ndimage.binary_closing(np.pad(solid, 4), iterations=3)[4:-4, 4:-4, 4:-4]
    return np.asarray(ndimage.binary_fill_holes(solid), dtype=np.float32)


def _map(kind: str) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Read one bundled map, scaled to 0..1, and its affine."""
    import nibabel as nib

    spec = importlib.util.find_spec("nilearn")
    folders = list(spec.submodule_search_locations or []) if spec else []
    folder = Path(folders[0]) if folders else Path()
    path = folder / "datasets" / "data" / f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz"
    if not path.is_file():
        raise AfterglowError(
            f"the MNI152 {kind} map that nilearn carries is missing",
            where=path.name,
            expected="nilearn 0.13 with its data files",
            remedy="install the pinned dependencies",
        )
    image = nib.load(path)
    values = image.get_fdata(dtype=np.float32)
    return values / values.max(), np.asarray(image.affine, dtype=np.float64)
