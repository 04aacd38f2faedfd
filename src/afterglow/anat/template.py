"""The MNI152 template that nilearn carries: brain-only T1w, its mask, and tissue priors."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from afterglow.anat.grids import Volume, bounding_box
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


@lru_cache(maxsize=1)
def load() -> Template:
    """Load the template on a grid of 2 mm (1 mm natively).

    The files are read from nilearn's folder: importing `nilearn.datasets` takes ten seconds.
    """
    t1, affine = _map("t1")
    maps = (t1, _hull(t1), _map("gm")[0], _map("wm")[0])
    t1_mm, mask, gm, wm = (_halved(v, affine) for v in maps)
    total = np.maximum(gm.values + wm.values, 1.0)
    gm, wm = gm.like(gm.values / total), wm.like(wm.values / total)
    csf = gm.like(np.clip(mask.values - gm.values - wm.values, 0.0, 1.0))
    return Template(t1_mm, mask, gm, wm, csf)


def _hull(t1: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the solid brain: the template without background, its sulci and ventricles filled."""
    from scipy import ndimage

    inside = t1 > _MASK_LEVEL
    box = bounding_box(inside)
    solid = ndimage.binary_opening(np.pad(inside[box], 4), iterations=1)
    solid = ndimage.binary_fill_holes(ndimage.binary_closing(solid, iterations=3))
    result = np.zeros(t1.shape, dtype=np.float32)
    result[box] = solid[4:-4, 4:-4, 4:-4]
    return result


def _halved(values: NDArray[np.float32], affine: NDArray[np.float64]) -> Volume:
    """Average blocks of 2 x 2 x 2 voxels; an odd last plane is left out."""
    x, y, z = (n // 2 for n in values.shape)
    blocks = values[: 2 * x, : 2 * y, : 2 * z].reshape(x, 2, y, 2, z, 2)
    wide = np.array(affine, dtype=np.float64)
    wide[:3, :3] *= 2.0
    wide[:3, 3] = (affine @ [0.5, 0.5, 0.5, 1.0])[:3]
    return Volume(blocks.mean(axis=(1, 3, 5), dtype=np.float32), wide)


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
