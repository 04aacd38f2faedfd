"""Diameters of analytic ellipses from 6 x 5 to 25 x 18 mm: bias and spread.

``python benchmarks/lesions_diameters.py [COUNT]`` prints the table of docs/tables.md. Ellipses lie
at random angles and places relative to the grid; masks hold the voxels whose center is inside,
fractions the covered share of each voxel.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from afterglow.lesions.diameters import slice_diameters

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from test_lesions_geometry import ellipse


def main(count: int) -> None:
    """Print bias and standard deviation of both diameters."""
    print("| voxels | image | longest: bias, SD (mm) | perpendicular: bias, SD (mm) |")
    print("|---|---|---|---|")
    for size in (0.5, 1.0):
        for samples, name in ((1, "mask"), (5, "fractions")):
            rng, errors = np.random.default_rng(11), []
            for share in np.linspace(0, 1, count):
                a, b = 6 + 19 * share, 5 + 13 * share
                turn, center = rng.uniform(0, np.pi), rng.uniform(-0.5, 0.5, 2)
                image = ellipse(a, b, turn, center, size, samples)
                longest, across = slice_diameters(image, np.array([size, size]))
                errors.append((longest - a, across - b))
            bias, spread = np.mean(errors, axis=0), np.std(errors, axis=0, ddof=1)
            cells = [f"{x:+.2f}, {s:.2f}" for x, s in zip(bias, spread, strict=True)]
            print(f"| {size} mm | {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
