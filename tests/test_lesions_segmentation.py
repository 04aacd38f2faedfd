"""Segmentation of enhancing lesions: volumes, vessels, cavities, doubts, outside programs."""

from __future__ import annotations

import sys
from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from afterglow.errors import AfterglowError, NotEvaluable
from afterglow.lesions.agreement import dice
from afterglow.lesions.dose import Dose
from afterglow.lesions.enhancement import blob_candidates, enhancement
from afterglow.lesions.external import run_segmenter
from afterglow.lesions.grids import Grid
from afterglow.lesions.seeding import moved_seeds, treated_seeds, without_doubles
from afterglow.lesions.segmentation import GrowSettings, Seed, segment
from afterglow.lesions.walker import random_walker

SHAPE, SIZE = (64, 72, 56), 1.4
# center (mm from the middle) and radius (mm)
LESIONS = {1: ((-14.3, 8.2, 3.1), 8.0), 2: ((15.2, -10.4, 2.3), 5.0), 3: ((12.1, 17.7, -9.4), 3.2)}


def grid():
    affine = np.diag([SIZE, SIZE, SIZE, 1.0])
    affine[:3, 3] = -SIZE * (np.array(SHAPE) - 1) / 2
    return Grid(SHAPE, affine)


@cache
def ball(center, radius, fine=3):
    """Return the fraction of each voxel within a ball."""
    axes = [(np.arange(n * fine) + 0.5) / fine * SIZE - n * SIZE / 2 for n in SHAPE]
    away = sum(
        ((axis - c) ** 2).reshape([-1 if k == j else 1 for j in range(3)])
        for k, (axis, c) in enumerate(zip(axes, center, strict=True))
    )
    inside = (away <= radius**2).astype(np.float32)
    n, m, k = SHAPE
    return inside.reshape(n, fine, m, fine, k, fine).mean(axis=(1, 3, 5))


def scene(core=0.0, noise=0.01, lesions=LESIONS, seed=0):
    """Return images after and before contrast, white matter, brain, and the true labels."""
    rng = np.random.default_rng(seed)
    points = grid().world(np.argwhere(np.ones(SHAPE))).reshape(*SHAPE, 3)
    brain = ((points / [40, 46, 34]) ** 2).sum(-1) < 1
    extra, labels = np.zeros(SHAPE), np.zeros(SHAPE, np.int32)
    for label, (center, radius) in lesions.items():
        share = ball(center, radius)
        labels[share >= 0.5] = label
        extra = np.maximum(extra, 0.8 * (share - ball(center, core * radius)))
    vessel = np.hypot(points[..., 0] - 4, points[..., 1] + 6) < 1.6
    depth = ((points / [40, 46, 34]) ** 2).sum(-1)
    sinus = (np.abs(points[..., 0]) < 3) & (depth > 0.8) & (depth < 1.3)
    extra[vessel | (sinus & (points[..., 1] < 0))] = 1.0
    smooth = ndimage.gaussian_filter(extra, 0.4)
    before = np.where(brain, 500.0, 30.0)
    after = before * (1.15 + smooth)
    white = (brain & (labels == 0)).astype(np.float32)
    images = [x + rng.normal(0, noise * 500, SHAPE) for x in (after, before)]
    return (*[x.astype(np.float32) for x in images], white, brain, labels)


def found_in(after, before, white, brain):
    return enhancement(after, before, white, brain, grid())


def seeds_of(labels, shrink=0):
    masks = {n: labels == n for n in np.unique(labels) if n > 0}
    if shrink:
        masks = {n: ndimage.binary_erosion(m, iterations=shrink) for n, m in masks.items()}
    return [Seed(m, f"ses-{n}") for n, m in masks.items() if m.any()]


@pytest.mark.parametrize("core", [0.0, 0.6])
def test_lesions_are_found_with_their_volumes_from_smaller_seeds(core):
    after, before, white, brain, labels = scene(core)
    smaller = {n: (c, 0.7 * r) for n, (c, r) in LESIONS.items()}
    seeds = seeds_of(scene(lesions=smaller)[4])
    done = segment(found_in(after, before, white, brain), brain, seeds)
    assert len(done.lesions) == 3
    for label in LESIONS:
        own = labels == label
        there = np.unique(done.labels[own])
        made = np.isin(done.labels, there[there > 0])
        assert dice(own, made) >= 0.85
        # the radius of equal volume, within a fifth of a voxel
        radii = [(3 * mask.sum() / (4 * np.pi)) ** (1 / 3) * SIZE for mask in (made, own)]
        assert radii[0] == pytest.approx(radii[1], abs=0.2 * SIZE)
    assert all(lesion.quality > 0.7 and not lesion.doubt for lesion in done.lesions)


def test_compact_objects_are_candidates_and_vessels_are_not():
    after, before, white, brain, labels = scene()
    found = found_in(after, before, white, brain)
    objects = blob_candidates(found, brain, 4.0, 30.0)
    assert int(objects.max()) == 3
    hit = [np.unique(objects[labels == n]).max() for n in LESIONS]
    assert sorted(hit) == [1, 2, 3]


def test_a_seed_without_enhancement_gives_no_lesion_and_says_so():
    gone = {1: LESIONS[1]}
    after, before, white, brain, _ = scene(lesions=gone)
    seeds = seeds_of(scene()[4])
    done = segment(found_in(after, before, white, brain), brain, seeds)
    assert [lesion.source for lesion in done.lesions] == ["ses-1"]
    assert done.missed == [("ses-2", "no_enhancement"), ("ses-3", "no_enhancement")]


def test_a_lesion_that_outgrew_its_seed_is_flagged():
    after, before, white, brain, labels = scene()
    small = ndimage.binary_erosion(labels == 1, iterations=4)
    found = found_in(after, before, white, brain)
    done = segment(found, brain, [Seed(small, "ses-1")], GrowSettings(reach=2.0))
    assert [lesion.doubt for lesion in done.lesions] == ["reaches_limit"]
    wide = segment(found, brain, [Seed(small, "ses-1")], GrowSettings(reach=9.0))
    assert [lesion.doubt for lesion in wide.lesions] == [""]


def test_noise_lowers_the_quality():
    qualities = []
    for noise in (0.01, 0.08):
        after, before, white, brain, labels = scene(noise=noise)
        done = segment(found_in(after, before, white, brain), brain, seeds_of(labels))
        qualities.append(np.mean([lesion.quality for lesion in done.lesions]))
    assert qualities[1] < qualities[0] - 0.02


def test_seeds_that_touch_become_one_lesion():
    lesions = {1: ((-6.0, 0, 0), 6.0), 2: ((5.0, 0, 0), 6.0)}
    after, before, white, brain, labels = scene(lesions=lesions)
    seeds = seeds_of(scene(lesions={n: (c, 3.0) for n, (c, _) in lesions.items()})[4])
    done = segment(found_in(after, before, white, brain), brain, seeds)
    (lesion,) = done.lesions
    assert lesion.source == "ses-1,ses-2"
    assert dice(done.labels > 0, labels > 0) > 0.9


def test_seeds_move_with_the_registration_and_doubles_are_dropped():
    labels = scene()[4]
    turned = np.eye(4)
    turned[:3, 3] = [1.4, 0.0, 0.0]
    moved = moved_seeds(labels, grid(), grid(), np.linalg.inv(turned), "ses-a")
    for seed, own in zip(moved, seeds_of(labels), strict=True):
        shifted = np.roll(own.mask, 1, 0)
        assert dice(seed.mask, shifted) > 0.99
    assert len(without_doubles([moved, seeds_of(labels)])) == 3
    assert len(without_doubles([moved[:1], seeds_of(labels)])) == 3


def test_the_treated_volume_is_a_seed():
    gray = 24.0 * np.maximum(*(ball(*LESIONS[n]) for n in (1, 2))).astype(np.float64)
    dose = Dose(gray, grid(), "PHYSICAL", "PLAN")
    seeds = treated_seeds(dose, grid(), np.eye(4), "treated_volume")
    assert len(seeds) == 2
    labels = scene()[4]
    assert dice(np.any([s.mask for s in seeds], axis=0), (labels == 1) | (labels == 2)) > 0.9


def test_without_white_matter_there_is_no_enhancement():
    after, before, white, brain, _ = scene()
    with pytest.raises(NotEvaluable) as reason:
        enhancement(after, before, white * 0, brain, grid())
    assert reason.value.reason == "no_reference_tissue"


def test_the_walker_finds_the_edge_between_two_plateaus():
    rng = np.random.default_rng(0)
    image = np.zeros((20, 20, 20))
    image[:, :, 10:] = 1.0
    seeds = np.zeros(image.shape, np.int8)
    seeds[:, :, :3], seeds[:, :, 17:] = -1, 1
    probability = random_walker(image + rng.normal(0, 0.15, image.shape), seeds)
    assert (probability >= 0).all()
    assert (probability <= 1).all()
    assert ((probability > 0.5) == (image > 0.5)).mean() > 0.99


PROGRAM = """
import sys, nibabel, numpy as np
image = nibabel.load(sys.argv[1])
mask = (np.asarray(image.dataobj) > 0.5).astype(np.uint8)
nibabel.save(nibabel.Nifti1Image(mask[:, :, ::int(sys.argv[3])], image.affine), sys.argv[2])
"""


def test_an_outside_program_is_called_by_its_template(tmp_path):
    program = tmp_path / "segmenter.py"
    program.write_text(PROGRAM)
    labels = (scene()[4] > 0).astype(np.float32)
    command = [sys.executable, str(program), "{t1w}", "{out}", "1"]
    found = run_segmenter(command, {"t1w": labels}, grid(), 60)
    assert found.rule == "components"
    assert np.array_equal(found.data > 0, labels > 0)
    with pytest.raises(AfterglowError, match="another grid"):
        run_segmenter([*command[:-1], "2"], {"t1w": labels}, grid(), 60)
    with pytest.raises(AfterglowError, match="which this session does not have"):
        run_segmenter([*command, "{flair}"], {"t1w": labels}, grid(), 60)
    with pytest.raises(AfterglowError, match=r"failed: .*Error"):
        run_segmenter([sys.executable, str(program), "nowhere"], {"t1w": labels}, grid(), 60)
    with pytest.raises(AfterglowError, match="wrote no mask"):
        run_segmenter([sys.executable, "-c", "0"], {"t1w": labels}, grid(), 60)
    with pytest.raises(AfterglowError, match="not installed"):
        run_segmenter(["no-such-program"], {"t1w": labels}, grid(), 60)
