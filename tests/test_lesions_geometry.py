"""Masks, coverage, regions, reference tissue, diameters and shape against what is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from afterglow.errors import AfterglowError
from afterglow.lesions.diameters import axial_diameters, slice_diameters
from afterglow.lesions.grids import Grid, coverage
from afterglow.lesions.masks import read_labels
from afterglow.lesions.regions import (
    Candidates,
    Plane,
    ReferenceSettings,
    candidates,
    contralateral,
    lesion_regions,
)
from afterglow.lesions.shape import describe


def grid(shape, spacing=(1.0, 1.0, 1.0), move=(0.0, 0.0, 0.0)):
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -np.array(spacing) * (np.array(shape) - 1) / 2 + np.array(move)
    return Grid(shape, affine)


def sphere(g, radius, center=(0.0, 0.0, 0.0)):
    index = np.stack(np.meshgrid(*map(np.arange, g.shape), indexing="ij"), -1).reshape(-1, 3)
    inside = ((g.world(index) - np.array(center)) ** 2).sum(1) <= radius**2
    return inside.reshape(g.shape)


def test_given_labels_stay_and_binary_masks_come_apart():
    mask = np.zeros((12, 12, 12))
    mask[1:3, 1:3, 1:3], mask[6:10, 6:10, 6:10] = 1, 1
    assert read_labels(mask).rule == "components"
    assert (read_labels(mask).data[7, 7, 7], read_labels(mask).data[1, 1, 1]) == (1, 2)
    mask[1:3, 1:3, 1:3] = 5
    assert (read_labels(mask).rule, read_labels(mask).numbers) == ("labels", [1, 5])
    assert read_labels(mask * 0).rule == "empty"
    with pytest.raises(AfterglowError, match="no labels"):
        read_labels(mask * 0.5)


@settings(max_examples=15, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    st.tuples(*[st.floats(0.8, 3.0)] * 3),
    st.tuples(*[st.floats(-3, 3)] * 3),
    st.floats(-0.4, 0.4),
)
def test_coverage_keeps_the_volume(spacing, move, angle):
    fine, target = grid((28, 28, 28)), grid((24, 24, 24), (2.0, 2.0, 2.0))
    target = Grid(target.shape, target.affine @ np.diag([s / 2 for s in spacing] + [1.0]))
    mask = sphere(fine, 6.0)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    middle = target.world(np.full((1, 3), 11.5))[0]
    turn[:3, 3] = np.array(move) - turn[:3, :3] @ middle
    region = coverage(mask, fine, target, turn)
    volume = float(region.fraction.sum()) * target.voxel_volume
    assert volume == pytest.approx(mask.sum(), rel=1e-5)


def test_coverage_outside_of_the_target_is_empty():
    far = grid((8, 8, 8), move=(100.0, 0, 0))
    region = coverage(sphere(grid((8, 8, 8)), 2.0), grid((8, 8, 8)), far)
    assert len(region.index(0.5)) == 0


def test_regions_part_the_lesion_and_the_shell_stays_outside():
    g = grid((40, 40, 40))
    labels = sphere(g, 8.0).astype(np.int32) + 2 * sphere(g, 3.0, (0, 13, 0))
    brain = np.ones(g.shape, bool)
    brain[:12] = False
    pieces = lesion_regions(labels, g, brain, rim=1.5, shell=3.0)
    one = {name: piece.mask for name, piece in pieces[1].items()}
    assert one["lesion"].sum() == (labels == 1).sum()
    assert not (one["rim"] & ~one["lesion"]).any()
    inside = one["lesion"] & ~one["rim"]
    assert inside.sum() == pytest.approx(4 / 3 * np.pi * 6.5**3, rel=0.12)
    points = pieces[1]["shell"].points
    radius = np.linalg.norm(points, axis=1)
    assert radius.min() > 7.5
    assert radius.max() < 11.5
    assert points[:, 0].min() >= 12 - 19.5
    assert not any(np.linalg.norm(points - [0, 13, 0], axis=1) <= 3.0)


def test_contralateral_tissue_mirrors_the_lesion_and_keeps_its_distances():
    g = grid((60, 60, 30), (2.0, 2.0, 3.0))
    white = np.ones(g.shape, np.float32)
    csf = np.zeros(g.shape, np.float32)
    csf[:, :, :4] = 1.0
    lesion = g.world(np.argwhere(sphere(g, 8.0, (25, 0, 0))))
    other = g.world(np.argwhere(sphere(g, 5.0, (-25, 8, 0))))
    tissue = ReferenceSettings()
    usable = np.ones(g.shape, bool)
    everything = np.concatenate([lesion, other])
    found = candidates(g, np.eye(4), white, csf, usable, everything, tissue)
    index = contralateral(found, lesion, Plane(np.array([1.0, 0, 0]), 0.0), tissue)
    points = g.world(index)
    assert len(index) * g.voxel_volume >= 1000 * tissue.volume
    assert points[:, 0].max() < -tissue.midline_margin
    assert np.linalg.norm(points.mean(0) - [-25, 0, 0]) < 8
    gaps = np.linalg.norm(points[:, None] - other[None], axis=2).min(axis=1)
    assert gaps.min() >= tissue.lesion_margin
    assert not csf[tuple(index.T)].any()


def test_too_little_white_matter_is_none():
    index = np.argwhere(np.ones((4, 4, 4)))
    few = Candidates(index, index - 20.0, 8.0)
    lesion = np.array([[20.0, 0, 0]])
    assert (
        len(contralateral(few, lesion, Plane(np.array([1.0, 0, 0]), 0.0), ReferenceSettings())) == 0
    )


def ellipse(a, b, turn, center, h, samples=1):
    n = int(34 / h)
    x = (np.arange(n) - n / 2) * h
    total = np.zeros((n, n))
    steps = ((np.arange(samples) + 0.5) / samples - 0.5) * h
    for dx in steps:
        for dy in steps:
            u, v = np.meshgrid(x + dx - center[0], x + dy - center[1], indexing="ij")
            p, q = u * np.cos(turn) + v * np.sin(turn), v * np.cos(turn) - u * np.sin(turn)
            total += (2 * p / a) ** 2 + (2 * q / b) ** 2 <= 1
    return total > 0.5 if samples == 1 else total / samples**2


@pytest.mark.parametrize("h", [0.5, 1.0])
@pytest.mark.parametrize("samples", [1, 5])
def test_diameters_of_ellipses(h, samples):
    rng = np.random.default_rng(4)
    errors = []
    for k in range(24):
        share = k / 23
        a, b = 6 + 19 * share, 5 + 13 * share
        turn, center = rng.uniform(0, np.pi), rng.uniform(-0.5, 0.5, 2)
        image = ellipse(a, b, turn, center, h, samples)
        longest, across = slice_diameters(image, np.array([h, h]))
        errors.append((longest - a, across - b))
    errors = np.array(errors)
    assert np.abs(errors.mean(axis=0)).max() <= 0.2
    assert errors.std(axis=0).max() <= 0.3


def test_diameters_stay_within_the_lesion_and_its_acquisition_plane():
    g = grid((40, 40, 12), (1.0, 1.0, 3.0))
    mask = np.zeros(g.shape, bool)
    mask[5:35, 5:9, 4], mask[5:9, 5:35, 4] = True, True
    found = axial_diameters(mask, g)
    assert found.longest < 33
    assert (found.plane, found.n_slices) == (4, 1)
    sagittal = Grid((12, 40, 40), g.affine[:, [2, 0, 1, 3]])
    turned = axial_diameters(np.moveaxis(mask, 2, 0), sagittal)
    assert turned.longest == pytest.approx(found.longest, abs=1e-6)


@pytest.mark.parametrize("radius", [3.0, 6.0, 10.0])
def test_shape_of_a_sphere(radius):
    g = grid((30, 30, 30), move=(0.3, 0.2, 0.1))
    shape = describe(sphere(g, radius), g)
    assert shape.volume == pytest.approx(4 / 3 * np.pi * radius**3 / 1000, rel=0.03)
    assert 0.88 < shape.sphericity < 0.97
    assert shape.longest_diameter == pytest.approx(2 * radius, abs=0.5)
    np.testing.assert_allclose(shape.centroid, 0, atol=0.1)
