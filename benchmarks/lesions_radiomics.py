"""Time of radiomics: 10 lesions in an image of 256 x 256 x 256 voxels, the image and 8 maps.

``python benchmarks/lesions_radiomics.py`` prints what docs/tables.md states. All families, 32 bins,
one thread; lesions of 3 to 15 mm radius.
"""

from __future__ import annotations

import time

import numpy as np

from afterglow.lesions.radiomics import RadiomicsSettings, extract

SIZE, IMAGES = 256, 9
RADII = np.linspace(3.0, 15.0, 10)


def main() -> None:
    """Print the time, with the first call (imports, compilation) and without it."""
    rng = np.random.default_rng(0)
    axis = np.arange(SIZE, dtype=np.float32)
    labels = np.zeros((SIZE,) * 3, np.int32)
    for number, radius in enumerate(RADII, start=1):
        center = rng.uniform(40, SIZE - 40, 3)
        away = sum(
            ((axis - c) ** 2).reshape([-1 if k == j else 1 for j in range(3)])
            for k, c in enumerate(center)
        )
        labels[away <= radius**2] = number
    images = [rng.normal(100, 15, labels.shape).astype(np.float32) for _ in range(IMAGES)]
    sizes = np.bincount(labels.ravel())[1:]
    spent, features = [], 0
    for _ in range(2):
        start = time.perf_counter()
        for image in images:
            for number in range(1, len(RADII) + 1):
                found = extract(image, labels == number, np.ones(3), RadiomicsSettings())
                features = max(features, len(found.values))
        spent.append(time.perf_counter() - start)
    print(
        f"{len(RADII)} lesions of {sizes.min()} to {sizes.max()} voxels x {IMAGES} images of"
        f" {SIZE}^3, {features} features: {spent[0]:.1f} s, again {spent[1]:.1f} s"
    )


if __name__ == "__main__":
    main()
