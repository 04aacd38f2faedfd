"""Contours to voxels against the analytic voxel-center answer."""

from __future__ import annotations

import numpy as np
import pytest

from afterglow.lesions.grids import Grid
from afterglow.lesions.rtstruct import file_convention, fractions, rasterize

LPS = np.array([-1.0, -1.0, 1.0])


def axial(shape=(48, 40, 30), spacing=(1.0, 1.0, 1.0)):
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -np.array(spacing) * (np.array(shape) - 1) / 2
    return Grid(shape, affine)


def turned():
    """An oblique grid with unequal sides."""
    a, b = np.deg2rad([20.0, -15.0])
    first = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    second = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = first @ second @ np.diag([0.9, 0.9, 2.0])
    affine[:3, 3] = -affine[:3, :3] @ (np.array([50, 44, 16]) - 1) / 2
    return Grid((50, 44, 16), affine)


def sagittal():
    plain = axial((44, 44, 44), (1.0, 1.0, 1.0))
    order = np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]]).T
    return Grid((44, 44, 44), plain.affine @ order @ np.eye(4))


GRIDS = {
    "axial": axial(),
    "thick": axial((50, 46, 12), (0.5, 0.5, 3.0)),
    "oblique": turned(),
    "sagittal": sagittal(),
}


def circles(grid, radius, center, n=720):
    """Return one contour per slice of a ball (LPS), and the analytic mask."""
    index = np.argwhere(np.ones(grid.shape))
    inverse = np.linalg.inv(grid.affine)
    mask = ((grid.world(index) - center) ** 2).sum(1).reshape(grid.shape) <= radius**2
    middle = inverse[:3, :3] @ center + inverse[:3, 3]
    spacing = grid.spacing
    angle = (np.arange(n) + 0.37) * 2 * np.pi / n
    contours = []
    for plane in range(grid.shape[2]):
        height = (plane - middle[2]) * spacing[2]
        if abs(height) >= radius:
            continue
        # circumscribed a little, so that the polygon and the circle hold the same centers
        reach = np.sqrt(radius**2 - height**2) / np.cos(np.pi / n / 2)
        points = np.stack(
            [
                middle[0] + reach * np.cos(angle) / spacing[0],
                middle[1] + reach * np.sin(angle) / spacing[1],
                np.full(n, plane),
            ],
            axis=1,
        )
        contours.append(grid.world(points) * LPS)
    return contours, mask


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("radius", [2.0, 3.0, 5.0, 8.0, 10.0])
def test_balls_differ_in_no_voxel(name, radius):
    grid = GRIDS[name]
    contours, mask = circles(grid, radius, np.array([0.21, -0.13, 0.17]))
    found = rasterize(contours, grid)
    assert int((found.mask ^ mask).sum()) == 0
    assert found.convention == "center"
    assert found.clipped == 0


def test_rings_have_holes_and_neighbours_stay():
    grid = axial()
    outer, whole = circles(grid, 9.0, np.array([-6.2, 0.1, 0.3]))
    inner, hole = circles(grid, 4.0, np.array([-6.2, 0.1, 0.3]))
    other, second = circles(grid, 5.0, np.array([9.1, 0.3, 0.2]))
    found = rasterize([*outer, *inner, *other], grid)
    assert int((found.mask ^ ((whole & ~hole) | second)).sum()) == 0


def test_contours_through_voxel_centers_include_their_border():
    grid = axial()
    square = np.array([[10, 8], [10, 15], [20, 15], [20, 8]], float)
    points = np.column_stack([square, np.full(4, 7.0)])
    found = rasterize([grid.world(points) * LPS], grid)
    assert (found.convention, found.share) == ("inclusive", 1.0)
    assert found.mask.sum() == 11 * 8
    assert rasterize([grid.world(points) * LPS], grid, "center").mask.sum() < 88


def test_what_encloses_nothing_is_recorded_and_no_crash():
    grid = axial()
    ring = np.column_stack([np.cos(np.arange(8)), np.sin(np.arange(8)), np.zeros(8)])
    point = np.array([[0.0, 0, 0.5]])
    steep = np.array([[0, 0, 0.0], [5, 0, 4.0], [0, 5, 2.0]])
    far = ring * 4 + np.array([0, 0, 100.0])
    found = rasterize([point, steep, far], grid)
    reasons = [reason for _, reason in found.left_out]
    assert reasons == ["fewer_than_three_points", "not_in_a_slice", "outside_of_image"]
    assert not found.mask.any()
    assert found.clipped > 0
    assert not rasterize([], grid).mask.any()


def test_a_keyhole_is_a_ring_in_one_contour():
    grid = axial()
    outer, whole = circles(grid, 9.0, np.array([0.2, 0.1, 0.3]))
    inner, hole = circles(grid, 4.0, np.array([0.2, 0.1, 0.3]))
    by_plane = {round(float(c[0, 2]), 3): c for c in inner}
    joined = []
    for contour in outer:
        within = by_plane.get(round(float(contour[0, 2]), 3))
        if within is None:
            joined.append(contour)
            continue
        # out along one line and back along the same one: the bridge encloses nothing
        bridge = np.concatenate([contour, contour[:1], within[::-1], within[-1:]])
        joined.append(bridge)
    found = rasterize(joined, grid)
    assert int((found.mask ^ (whole & ~hole)).sum()) == 0


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("radius", [3.0, 5.0, 10.0])
def test_contours_through_border_voxels_give_the_mask_they_were_drawn_on(name, radius):
    grid = GRIDS[name]
    _, mask = circles(grid, radius, np.array([0.21, -0.13, 0.17]))
    contours = []
    for plane in range(grid.shape[2]):
        rows = np.flatnonzero(mask[:, :, plane].any(axis=1))
        spans = {int(i): np.flatnonzero(mask[i, :, plane])[[0, -1]] for i in rows}
        if len(rows) < 3 or any(b - a < 2 for a, b in spans.values()):
            mask[:, :, plane] = False
            continue
        there = [(i, spans[i][0], plane) for i in spans]
        back = [(i, spans[i][1], plane) for i in reversed(spans)]
        contours.append(grid.world(np.array(there + back)) * LPS)
    convention, share = file_convention([contours], grid)
    assert (convention, share) == ("inclusive", 1.0)
    found = rasterize(contours, grid, convention)
    # every voxel of a convex slice lies within the polygon through its border voxels
    assert int((found.mask ^ mask).sum()) == 0


def test_fractions_hold_the_volume_between_the_voxels():
    grid = axial()
    for radius in (2.0, 3.0, 6.0):
        contours, mask = circles(grid, radius, np.array([0.31, 0.22, 0.0]))
        share = fractions(contours, grid)
        area = np.pi * (radius**2 - (grid.world(np.argwhere(mask))[:, 2]) ** 2)
        planes = np.unique(np.argwhere(mask)[:, 2])
        heights = grid.world(np.column_stack([planes * 0, planes * 0, planes]))[:, 2]
        area = np.pi * (radius**2 - heights**2)
        np.testing.assert_allclose(share.sum(axis=(0, 1))[planes], area, rtol=0.03)
        assert np.array_equal(share >= 1, (share >= 1) & mask)
