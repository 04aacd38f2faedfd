"""The head in template space: tissue maps of MNI152 and an invented skull, scalp, face, vessels."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from afterglow.errors import AfterglowError
from afterglow.phantom.geometry import Floats, Matrix

_COARSE_MM = 2.0
_COARSE_LOW = (-110.0, -146.0, -130.0)
_COARSE_SHAPE = (111, 131, 121)

_ARTERIES = (
    ((-13, -2, -120), (-14, 0, -62), (-16, 4, -38), (-12, 2, -24), (-13, 3, -16)),
    ((-13, 3, -16), (-26, 5, -14), (-38, 4, -8), (-46, -4, 2), (-48, -18, 12), (-46, -32, 22)),
    ((-13, 3, -16), (-4, 16, -14), (-4, 40, 4), (-4, 38, 24), (-4, 20, 38)),
    ((0, -24, -120), (0, -26, -58), (0, -22, -34)),
    ((0, -22, -34), (-12, -26, -22), (-22, -40, -12), (-16, -66, -2)),
)
_TRANSVERSE = ((0, -104, -8), (-24, -97, -22), (-46, -76, -30), (-56, -52, -36), (-52, -40, -56))


@dataclass(frozen=True)
class Atlas:
    """Fields of the unwarped head.

    Attributes
    ----------
    gm, wm : ndarray
        Tissue fractions on a 1 mm grid with ``fine_affine``.
    surfaces : dict of str to ndarray
        Signed distances in mm (negative inside) on a 2 mm grid with ``coarse_affine``: brain,
        head, artery, vein, eye, airway.
    """

    gm: Floats
    wm: Floats
    fine_affine: Matrix
    surfaces: dict[str, Floats]
    coarse_affine: Matrix


@lru_cache(maxsize=1)
def load() -> Atlas:
    """Return the atlas, built once per process from the templates bundled with nilearn."""
    t1, affine = _template("t1")
    g, w = _sharpened(_template("gm")[0], _template("wm")[0])
    coarse = np.diag([_COARSE_MM] * 3 + [1.0])
    coarse[:3, 3] = _COARSE_LOW
    return Atlas(g, w, affine, _surfaces(_brain(t1), affine, coarse), coarse)


def _template(tissue: str) -> tuple[Floats, Matrix]:
    """Read one bundled MNI152 map, scaled to 0..1, and its affine.

    The file is read from nilearn's folder because importing nilearn.datasets costs ten seconds of
    every worker.
    """
    import nibabel

    spec = importlib.util.find_spec("nilearn")
    folder = Path(
        spec.submodule_search_locations[0] if spec and spec.submodule_search_locations else ""
    )
    path = folder / "datasets" / "data" / f"mni_icbm152_{tissue}_tal_nlin_sym_09a_converted.nii.gz"
    if not path.is_file():
        raise AfterglowError(
            f"the bundled MNI152 {tissue} map is missing",
            where=path.name,
            expected="nilearn 0.13 with its data files",
            remedy="install the pinned dependencies",
        )
    image = nibabel.load(path)
    data = image.get_fdata(dtype=np.float32)
    return data / data.max(), np.asarray(image.affine, dtype=float)


def _brain(t1: Floats) -> np.ndarray:
    """Return the brain's hull: the template holds nothing but brain."""
    from scipy import ndimage

    solid = ndimage.binary_opening(t1 > 0.2, iterations=1)
    return np.asarray(ndimage.binary_fill_holes(ndimage.binary_closing(solid, iterations=3)))


def _sharpened(gm: Floats, wm: Floats) -> tuple[Floats, Floats]:
    """Return the tissue fractions of one brain rather than of the mean of many."""
    power = 2.5
    rest = np.clip(1.0 - gm - wm, 0.0, 1.0)
    g, w, c = gm**power, wm**power, rest**power
    total = np.maximum(g + w + c, 1e-6)
    return (g / total).astype(np.float32), (w / total).astype(np.float32)


def _surfaces(mask: np.ndarray, affine: Matrix, coarse: Matrix) -> dict[str, Floats]:
    """Return the signed distances of the invented anatomy on the coarse grid."""
    brain = _brain_distance(mask, affine, coarse)
    world = [
        low + _COARSE_MM * np.arange(n) for low, n in zip(_COARSE_LOW, _COARSE_SHAPE, strict=True)
    ]
    x, y, z = np.meshgrid(*world, indexing="ij", sparse=True)
    face = _ellipsoid(x, y, z, (0, 42, -58), (60, 46, 60))
    neck = np.maximum(_ellipsoid(x, y, 0 * z, (0, -18, 0), (56, 62, 60)), z + 40.0)
    head = _blend(_blend(brain - 15.0, face, 14.0), neck, 18.0)
    airway = np.minimum(
        _ellipsoid(x, y, z, (0, 56, -50), (9, 24, 20)),
        _ellipsoid(np.abs(x), y, z, (25, 48, -62), (11, 15, 15)),
    )
    airway = np.minimum(airway, _ellipsoid(x, y, z, (0, 22, -84), (9, 9, 46)))
    surfaces = {
        "brain": brain,
        "head": head,
        "airway": airway,
        "eye": _ellipsoid(np.abs(x), y, z, (32, 60, -40), (12, 12, 12)),
        "artery": _arteries(),
        "vein": _veins(brain),
    }
    return {name: np.ascontiguousarray(field, dtype=np.float32) for name, field in surfaces.items()}


def _brain_distance(mask: np.ndarray, affine: Matrix, coarse: Matrix) -> Floats:
    """Return the smoothed signed distance from the brain's outer surface."""
    from scipy import ndimage

    matrix = np.linalg.inv(affine) @ coarse
    hull = ndimage.affine_transform(
        mask.astype(np.float32), matrix[:3, :3], matrix[:3, 3], output_shape=_COARSE_SHAPE, order=1
    )
    inside = hull > 0.5
    outer = ndimage.distance_transform_edt(~inside, sampling=_COARSE_MM)
    inner = ndimage.distance_transform_edt(inside, sampling=_COARSE_MM)
    return np.asarray(ndimage.gaussian_filter(outer - inner, 1.0), dtype=np.float32)


def _ellipsoid(
    x: np.ndarray,
    y: np.ndarray,
    z: np.ndarray,
    center: tuple[float, float, float],
    radii: tuple[float, float, float],
) -> np.ndarray:
    """Return an approximate signed distance from an ellipsoid."""
    parts = [(v - c) / r for v, c, r in zip((x, y, z), center, radii, strict=True)]
    norm = np.sqrt(parts[0] ** 2 + parts[1] ** 2 + parts[2] ** 2)
    return np.asarray((norm - 1.0) * min(radii))


def _blend(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """Return the smooth union of two signed distances (polynomial smooth minimum)."""
    h = np.clip(0.5 + 0.5 * (b - a) / width, 0.0, 1.0)
    return np.asarray(b + (a - b) * h - width * h * (1.0 - h))


def _arteries() -> Floats:
    """Return the distance from carotids, middle, anterior and posterior cerebral, basilar."""
    field = np.full(_COARSE_SHAPE, 50.0, dtype=np.float32)
    for path, radius in zip(_ARTERIES, (4.2, 3.9, 2.4, 3.4, 2.2), strict=True):
        for side in (1.0, -1.0):
            _draw_tube(field, np.asarray(path, dtype=float) * [side, 1.0, 1.0], radius)
    return field


def _veins(brain: Floats) -> Floats:
    """Return the distance from the superior sagittal and the transverse sinuses."""
    field = np.full(_COARSE_SHAPE, 50.0, dtype=np.float32)
    _draw_tube(field, _sagittal_path(brain), 4.6)
    for side in (1.0, -1.0):
        _draw_tube(field, np.asarray(_TRANSVERSE, dtype=float) * [side, 1.0, 1.0], 4.0)
    return field


def _sagittal_path(brain: Floats) -> Matrix:
    """Return the midline course just outside the brain, from the forehead to the occiput."""
    column = round(-_COARSE_LOW[0] / _COARSE_MM)
    midline = brain[column]
    origin = np.array([-18.0, 8.0])
    path = []
    for angle in np.deg2rad(np.arange(35.0, 196.0, 8.0)):
        ray = origin + np.arange(150.0, 20.0, -0.5)[:, None] * [np.cos(angle), np.sin(angle)]
        index = np.round((ray - _COARSE_LOW[1:]) / _COARSE_MM).astype(int)
        index = np.clip(index, 0, np.asarray(midline.shape) - 1)
        hit = ray[np.argmax(midline[index[:, 0], index[:, 1]] < 1.0)]
        path.append([0.0, hit[0], hit[1]])
    return np.asarray(path)


def _draw_tube(field: Floats, path: Matrix, radius: float) -> None:
    """Lower ``field`` to the signed distance from a polyline of given radius, in place."""
    reach = radius + 8.0
    for start, end in pairwise(path):
        low = np.floor((np.minimum(start, end) - reach - _COARSE_LOW) / _COARSE_MM).astype(int)
        high = np.ceil((np.maximum(start, end) + reach - _COARSE_LOW) / _COARSE_MM).astype(int) + 1
        box = tuple(slice(max(int(a), 0), max(int(b), 0)) for a, b in zip(low, high, strict=True))
        axes = [
            _COARSE_LOW[k] + _COARSE_MM * np.arange(*part.indices(_COARSE_SHAPE[k]))
            for k, part in enumerate(box)
        ]
        here = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        along = end - start
        t = np.clip((here - start) @ along / (along @ along), 0.0, 1.0)
        distance = np.linalg.norm(here - start - t[..., None] * along, axis=-1) - radius
        field[box] = np.minimum(field[box], distance.astype(np.float32))
