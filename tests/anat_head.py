"""A synthetic head for the anat tests: nilearn's MNI152 brain in a made-up skull and scalp."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONTRASTS = {
    # scalp, csf, gm, wm, skull: signal of each tissue in each kind of image
    "T1w": (0.95, 0.25, 0.62, 0.85, 0.08),
    "FLAIR": (0.60, 0.10, 0.85, 0.65, 0.06),
    "EPI": (0.10, 1.00, 0.62, 0.50, 0.03),
}


@dataclass(frozen=True)
class Head:
    """Tissue fractions on the 2 mm template grid, world RAS."""

    gm: NDArray[np.float64]
    wm: NDArray[np.float64]
    csf: NDArray[np.float64]
    skull: NDArray[np.float64]
    scalp: NDArray[np.float64]
    brain: NDArray[np.float64]
    affine: NDArray[np.float64]

    def image(
        self, contrast: str, lesion: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Signal of one contrast on the head's own grid."""
        scalp, csf, gm, wm, skull = CONTRASTS[contrast]
        signal = scalp * self.scalp + csf * self.csf + gm * self.gm + wm * self.wm
        signal = signal + skull * self.skull
        return signal if lesion is None else signal * (1 - lesion) + 1.5 * lesion


@lru_cache(maxsize=1)
def head(step: int = 2) -> Head:
    """Build the head once."""
    from nilearn import datasets

    def load(kind: str) -> NDArray[np.float64]:
        image = getattr(datasets, f"load_mni152_{kind}")(resolution=step)
        return np.pad(np.asarray(image.dataobj, dtype=np.float64), 8)

    t1 = datasets.load_mni152_template(resolution=step)
    affine = np.array(t1.affine)
    affine[:3, 3] -= affine[:3, :3] @ np.full(3, 8.0)
    gm, wm = load("gm_template"), load("wm_template")
    whole = ndimage.binary_fill_holes(ndimage.binary_closing(load("template") > 0.1, iterations=2))
    brain = ndimage.gaussian_filter(whole.astype(float), 0.6)
    total = np.maximum(gm + wm, 1e-6)
    keep = np.minimum(total, 1.0) / total * brain
    gm, wm = gm * keep, wm * keep
    outside = ndimage.distance_transform_edt(~whole) * step
    rim = ((outside > 0) & (outside <= 3)).astype(float)
    csf = np.clip(brain - gm - wm, 0, 1) + ndimage.gaussian_filter(rim, 0.5) * (1 - brain)
    skull = ndimage.gaussian_filter(((outside > 3) & (outside <= 8)).astype(float), 0.5)
    scalp = ndimage.gaussian_filter(((outside > 8) & (outside <= 14)).astype(float), 0.5)
    return Head(gm, wm, csf, skull, scalp, whole.astype(float), affine)


def pose(
    translation: tuple[float, float, float], degrees: tuple[float, float, float]
) -> NDArray[np.float64]:
    """World 4x4 of rotations about x, y, z (in this order) and then a translation."""
    x, y, z = np.radians(degrees)
    rx = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    ry = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    rz = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = rz @ ry @ rx
    matrix[:3, 3] = translation
    return matrix


def grid(
    shape: tuple[int, int, int],
    zooms: tuple[float, float, float],
    center: tuple[float, float, float],
) -> NDArray[np.float64]:
    """Affine of an axial grid centered at a world point."""
    affine = np.diag([*zooms, 1.0])
    affine[:3, 3] = np.array(center) - np.array(zooms) * (np.array(shape) - 1) / 2
    return affine


def scan(
    volume: NDArray[np.float64],
    affine: NDArray[np.float64],
    shape: tuple[int, int, int],
    target: NDArray[np.float64],
    moved: NDArray[np.float64] | None = None,
    order: int = 1,
) -> NDArray[np.float64]:
    """Sample a head volume on a scan grid; ``moved`` maps head world points to scanner points."""
    back = np.eye(4) if moved is None else np.linalg.inv(moved)
    matrix = np.linalg.inv(affine) @ back @ target
    return ndimage.affine_transform(
        volume, matrix[:3, :3], matrix[:3, 3], output_shape=shape, order=order, mode="constant"
    )
