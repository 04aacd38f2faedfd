"""D95 and V12 of an analytic dose on grids of 2 to 3 mm, for places of the lesion in the grid.

``python benchmarks/lesions_dose.py [PLACES]`` prints the table of docs/lesions.md: 24 Gy, half of
it at 6 mm, a logistic edge of 1.2 mm; lesions of 2, 3 and 5 mm radius. Straight lines between the
voxels and a cubic spline through the dose itself stand beside what is used.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy import ndimage

from afterglow.lesions.dose import Dose, dose_statistics, fine_points, isodose_volumes
from afterglow.lesions.grids import Grid

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from test_lesions_dose import CENTER, ball, gray_at, radius_of

EXTENT = 44.0  # mm
RADII = (2.0, 3.0, 5.0)


class Plain(Dose):
    """The dose with splines of some degree through the values themselves."""

    own = 3

    def at(self, points, degree=None):  # noqa: ARG002
        """Return the dose (Gy) at (n, 3) world points."""
        inverse = np.linalg.inv(self.grid.affine)
        index = points @ inverse[:3, :3].T + inverse[:3, 3]
        values = ndimage.map_coordinates(self.gray, index.T, order=self.own, mode="nearest")
        return np.maximum(values, 0.0)


class Straight(Plain):
    """The dose along straight lines."""

    own = 1


def main(places: int) -> None:
    """Print errors by grid and method."""
    rng = np.random.default_rng(0)
    v12 = 4 / 3 * np.pi * radius_of(12.0) ** 3 / 1000
    print("| grid | method | D95: largest error | V12: mean (largest) error |")
    print("|---|---|---|---|")
    for spacing in (2.0, 2.5, 3.0):
        found: dict[str, list[tuple[float, float]]] = {}
        for _ in range(places):
            grid = _grid(spacing, rng.uniform(-0.5, 0.5, 3) * spacing)
            points = grid.world(np.argwhere(np.ones(grid.shape)))
            gray = gray_at(points).reshape(grid.shape)
            for name, kind in (("used", Dose), ("cubic", Plain), ("straight", Straight)):
                dose = kind(gray, grid, "PHYSICAL", "PLAN")
                clouds = [fine_points(*ball(radius)) for radius in RADII]
                worst = max(
                    abs(dose_statistics(dose, cloud)["D95"] - _d95(radius))
                    for cloud, radius in zip(clouds, RADII, strict=True)
                )
                volume = isodose_volumes(dose, {1: clouds[-1]})[1]["V12"]
                found.setdefault(name, []).append((worst, 100 * (volume / v12 - 1)))
        for name, rows in found.items():
            gray_error, share = np.array(rows).T
            print(
                f"| {spacing} mm | {name} | {gray_error.max():.2f} Gy | {share.mean():+.1f} %"
                f" ({np.abs(share).max():.1f} %) |"
            )


def _d95(radius: float) -> float:
    return float(gray_at(CENTER + np.array([0.95 ** (1 / 3) * radius, 0, 0])))


def _grid(spacing: float, move: np.ndarray) -> Grid:
    count = int(np.ceil(EXTENT / spacing))
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = CENTER + move - spacing * (count - 1) / 2
    return Grid((count, count, count), affine)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 12)
