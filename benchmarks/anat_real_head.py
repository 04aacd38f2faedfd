"""Hold the brain extraction to a head that is not synthetic, and to harder versions of it.

    python benchmarks/anat_real_head.py [--out FOLDER] [--backend bet] [--only NAME]
    python benchmarks/anat_real_head.py --bias

The head is `ch2` (Colin 27, 1 mm) of Debian's `mricron-data` (``apt-get install mricron-data``);
truth is `ch2bet`, its published extraction. The harder versions made of it: slices of 5 mm, a head
tilted by 25 degrees, fields of view that cut off its top or its base, a resection cavity that
reaches the surface, an enhancing lesion at the cortex (whose mask is given), a strong bias field,
noise. Prints Dice with the truth (cut and turned alike), the verdict, lesion voxels that the mask
leaves out, and CPU time; draws the outlines where a folder is given.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from afterglow.anat import bias, brain, figures, quality
from afterglow.anat.grids import Volume
from afterglow.anat.template import load as load_template
from afterglow.anat.transforms import apply, resample, rigid
from afterglow.bids.images import load_nifti
from afterglow.config.anat import AnatConfig

FOLDER = Path("/usr/share/mricron/templates")
LESION_MM, CAVITY_MM = 9.0, 17.0


@dataclass(frozen=True)
class Case:
    """An image, its true brain, and the lesion mask that was given, on one grid."""

    image: Volume
    truth: np.ndarray
    lesion: np.ndarray | None = None


def load_case() -> Case:
    """Return the head as it is."""
    values, affine = load_nifti(FOLDER / "ch2.nii.gz")
    truth, _ = load_nifti(FOLDER / "ch2bet.nii.gz")
    return Case(Volume(values.astype(np.float32), affine), truth > 0)


def turned(case: Case, degrees: tuple[float, float, float], mm: float | None = None) -> Case:
    """Sample the case on a grid turned about its middle, with slices of ``mm`` where given."""
    image = case.image
    middle = apply(image.affine, (np.array(image.shape) - 1) / 2)
    turn = rigid([0, 0, 0, *np.radians(degrees)], middle)
    shape, affine = list(image.shape), np.array(image.affine)
    smooth, truth = image.values, case.truth.astype(np.float32)
    if mm is not None:
        from scipy import ndimage

        smooth = ndimage.uniform_filter1d(smooth, round(mm), axis=2)
        truth = ndimage.uniform_filter1d(truth, round(mm), axis=2)
        shape[2] = int(shape[2] // mm)
        affine[:3, 2] *= mm
        affine[:3, 3] += affine[:3, 2] * (1 - 1 / mm) / 2
    args = (image.affine, shape, affine, turn)
    values = np.maximum(resample(smooth, *args, 3), 0.0)
    return Case(Volume(values, affine), resample(truth, *args) > 0.5)


def cropped(case: Case, low: int, high: int) -> Case:
    """Keep axial slices from ``low`` up to ``high``."""
    affine = np.array(case.image.affine)
    affine[:3, 3] = apply(affine, np.array([0, 0, low]))
    values = case.image.values[:, :, low:high]
    return Case(Volume(values, affine), case.truth[:, :, low:high])


def ball(case: Case, mm: float, depth: float) -> np.ndarray:
    """Return a ball whose centre lies ``depth`` mm under the surface of the left hemisphere."""
    from scipy import ndimage

    away = ndimage.distance_transform_edt(case.truth)
    near = np.argwhere(np.abs(away - depth) < 0.5)
    world = apply(case.image.affine, near)
    center = world[np.argmin(np.linalg.norm(world - [-55.0, -30.0, 45.0], axis=1))]
    grid = apply(case.image.affine, np.argwhere(np.ones(case.image.shape, dtype=bool)))
    return (np.linalg.norm(grid - center, axis=1) <= mm).reshape(case.image.shape)


def with_lesion(case: Case) -> Case:
    """Put a bright ball into the cortex; its mask is given to the extraction."""
    from scipy import ndimage

    lesion = ball(case, LESION_MM, 6.0) & case.truth
    level = float(np.percentile(case.image.values[case.truth], 99)) * 1.6
    soft = ndimage.gaussian_filter(lesion.astype(np.float32), 0.7)
    return Case(case.image.like(case.image.values * (1 - soft) + level * soft), case.truth, lesion)


def with_cavity(case: Case) -> Case:
    """Fill a ball at the surface with liquor; it stays part of the brain's hull."""
    from scipy import ndimage

    cavity = ball(case, CAVITY_MM, 12.0) & case.truth
    level = float(np.percentile(case.image.values[case.truth], 3))
    soft = ndimage.gaussian_filter(cavity.astype(np.float32), 0.7)
    return Case(case.image.like(case.image.values * (1 - soft) + level * soft), case.truth)


def biased(case: Case, strength: float) -> Case:
    """Multiply by a smooth field that varies by ``strength`` (log, from edge to edge)."""
    x, y, z = (
        np.linspace(-0.5, 0.5, n).reshape([-1 if k == axis else 1 for k in range(3)])
        for axis, n in enumerate(case.image.shape)
    )
    field = np.exp(strength * (x + 0.7 * y * z * 2 - 0.8 * z + 0.5 * np.cos(4 * y)))
    return replace(case, image=case.image.like((case.image.values * field).astype(np.float32)))


def noisy(case: Case) -> Case:
    """Add Rician noise at a signal-to-noise ratio of about 12 in white matter."""
    rng = np.random.default_rng(1)
    level = float(np.percentile(case.image.values[case.truth], 80)) / 12
    real = case.image.values + rng.normal(0, level, case.image.shape)
    imaginary = rng.normal(0, level, case.image.shape)
    return replace(case, image=case.image.like(np.hypot(real, imaginary).astype(np.float32)))


def cases() -> dict[str, Case]:
    """Return the head and its harder versions by name."""
    head = load_case()
    return {
        "as it is": head,
        "slices of 5 mm": turned(head, (0, 0, 0), 5.0),
        "tilted 25 degrees": turned(head, (25, 0, 0)),
        "turned 20, rolled 15": turned(head, (0, 15, 20)),
        "top 25 mm cut off": cropped(head, 0, 131),
        "base 45 mm cut off": cropped(head, 45, 181),
        "slab of 100 mm": cropped(head, 40, 140),
        "enhancing at the cortex": with_lesion(head),
        "resection cavity": with_cavity(head),
        "strong bias field": biased(head, 1.0),
        "noise": noisy(head),
    }


def judge(case: Case, settings: AnatConfig) -> tuple[list[str], Volume, Volume]:
    """Return the cells of the case's row, the corrected image and the mask."""
    start = time.process_time()
    t1w, _ = bias.correct(case.image, settings)
    lesions = None if case.lesion is None else case.image.like(case.lesion.astype(np.int32))
    found = brain.extract(t1w, settings, lesions=lesions)
    seconds = time.process_time() - start
    template = load_template().mask
    hull = resample(template.values, template.affine, t1w.shape, t1w.affine, found.to_template)
    verdict = quality.brain(found.mask, t1w.like(hull), t1w, settings)
    mask = found.mask.values > 0.5
    volume = abs(float(np.linalg.det(t1w.affine[:3, :3]))) / 1000
    lost = "-" if case.lesion is None else str(int((case.lesion & ~mask).sum()))
    cells = [
        f"{quality.dice(mask, case.truth):.4f}",
        f"{mask.sum() * volume:.0f}/{case.truth.sum() * volume:.0f}",
        lost,
        f"{verdict.verdict} {'; '.join(verdict.reasons)}".strip(),
        f"{seconds:.1f}",
    ]
    return cells, t1w, found.mask


def bias_orders(settings: AnatConfig) -> None:
    """Print what N4 leaves of a known field, before extraction (head) and after it (brain)."""
    head = load_case()
    place = np.indices(head.image.shape) / np.array(head.image.shape)[:, None, None, None]
    field = np.exp(0.3 * np.sin(3 * place[0]) + 0.3 * (place[1] - 0.5) - 0.3 * place[2] ** 2)
    image = head.image.like((head.image.values * field).astype(np.float32))
    print("| N4 on | variation of the field left | before | CPU s |\n|---|---|---|---|")
    for words, mask in (("head", None), ("brain", head.image.like(head.truth))):
        start = time.process_time()
        _, found = bias.correct(image, settings, mask=mask)
        seconds = time.process_time() - start
        left, before = (field / found)[head.truth], field[head.truth]
        spread = (float(np.std(v) / np.mean(v)) for v in (left, before))
        print(f"| {words} | " + " | ".join(f"{v:.3f}" for v in spread) + f" | {seconds:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="folder for the outlines")
    parser.add_argument("--backend", default="bet")
    parser.add_argument("--only", help="part of the name of a case")
    parser.add_argument("--bias", action="store_true", help="compare the two orders of N4")
    options = parser.parse_args()
    if not (FOLDER / "ch2.nii.gz").exists():
        sys.exit("skipped: ch2 is absent (apt-get install mricron-data)")
    settings = AnatConfig(brain_backend=options.backend)
    if options.bias:
        return bias_orders(settings)
    print("| case | Dice | mL found/true | lesion voxels lost | verdict | CPU s |")
    print("|---|---|---|---|---|---|", flush=True)
    for name, case in cases().items():
        if options.only and options.only not in name:
            continue
        cells, t1w, mask = judge(case, settings)
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
        if options.out:
            options.out.mkdir(parents=True, exist_ok=True)
            path = options.out / f"{name.replace(' ', '_').replace(',', '')}.png"
            figures.brain(t1w, mask, path)
    return None


if __name__ == "__main__":
    main()
