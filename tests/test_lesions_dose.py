"""Dose between the voxels of its grid, against an analytic 24 Gy distribution."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from afterglow.bids.structures import dose as read_dose
from afterglow.errors import NotEvaluable
from afterglow.lesions.dose import (
    _nearest,
    dose_of,
    dose_statistics,
    fine_points,
    isodose_volumes,
)
from afterglow.lesions.grids import Grid
from afterglow.lesions.lesion_dose import Placed, Planned, lesion_doses
from rt_objects import rtdose

CENTER = np.array([0.7, -0.4, 0.9])


def gray_at(points, center=CENTER, peak=24.0, half=6.0, width=1.2):
    """24 Gy in the middle, half of it at 6 mm, and a logistic edge of 1.2 mm."""
    return peak / (1 + np.exp((np.linalg.norm(points - center, axis=-1) - half) / width))


def radius_of(level, peak=24.0, half=6.0, width=1.2):
    return half + width * float(np.log(peak / level - 1))


def dose_on(spacing, tmp_path, **how):
    count = int(np.ceil(44 / spacing))
    affine = np.diag([-spacing, -spacing, spacing, 1.0])
    affine[:3, 3] = np.array([1, 1, -1]) * spacing * (count - 1) / 2
    grid = Grid((count, count, count), affine)
    points = grid.world(np.argwhere(np.ones(grid.shape))).reshape(*grid.shape, 3)
    path = rtdose(tmp_path / "dose.dcm", gray_at(points), grid, **how)
    found = read_dose(pydicom.dcmread(path))
    return dose_of(found.values, np.asarray(found.affine), found.facts)


def ball(radius):
    """Return a mask of a lesion on the planning image, 0.5 mm voxels."""
    count = int(np.ceil(2 * radius / 0.5)) + 6
    affine = np.diag([0.5, 0.5, 0.5, 1.0])
    affine[:3, 3] = CENTER - 0.25 * (count - 1)
    grid = Grid((count, count, count), affine)
    points = grid.world(np.argwhere(np.ones(grid.shape)))
    return (np.linalg.norm(points - CENTER, axis=1) <= radius).reshape(grid.shape), grid


@pytest.mark.parametrize("spacing", [2.0, 2.5, 3.0])
def test_d95_and_v12_are_those_of_the_analytic_distribution(tmp_path, spacing):
    """The 12 places of the proof are in docs/lesions.md; here is one of them."""
    dose = dose_on(spacing, tmp_path)
    clouds = {}
    for label, radius in enumerate((2.0, 3.0, 5.0), start=1):
        clouds[label] = fine_points(*ball(radius))
        found = dose_statistics(dose, clouds[label])
        # 95 % of a ball lie within 0.95^(1/3) of its radius
        analytic = gray_at(CENTER + np.array([0.95 ** (1 / 3) * radius, 0, 0]))
        assert abs(found["D95"] - analytic) <= 0.3, (radius, found["D95"], analytic)
        assert found["covered"] == 1.0
    volumes = isodose_volumes(dose, {1: clouds[3]})[1]
    for name, level in (("V12", 12.0), ("V10", 10.0)):
        analytic = 4 / 3 * np.pi * radius_of(level) ** 3 / 1000
        assert volumes[name] == pytest.approx(analytic, rel=0.01), name


@pytest.mark.parametrize("how", ["relative", "absolute", "descending"])
def test_frames_may_be_placed_in_every_way_the_standard_knows(tmp_path, how):
    dose = dose_on(2.0, tmp_path, offsets=how)
    there = dose.at(CENTER[None] + [[3.0, 0, 0], [0, 0, 6.0], [0, 0, -6.0]])
    np.testing.assert_allclose(
        there, gray_at(CENTER + np.array([[3.0, 0, 0], [0, 0, 6], [0, 0, -6]])), atol=0.15
    )


def test_what_the_grid_does_not_cover_is_not_evaluable(tmp_path):
    dose = dose_on(2.0, tmp_path)
    far = dose_statistics(dose, np.array([[200.0, 0, 0]]))
    assert far["covered"] == 0
    assert np.isnan(far["D95"])
    assert np.isnan(dose.at(np.array([[200.0, 0, 0]]))).all()
    assert dose.at(np.array([[18.0, 18, 18]])) >= 0


def test_the_dose_of_one_beam_is_not_that_of_the_plan(tmp_path):
    with pytest.raises(NotEvaluable) as reason:
        dose_on(2.0, tmp_path, summation="BEAM")
    assert reason.value.reason == "dose_of_a_part"


def test_warm_tissue_belongs_to_the_nearest_lesion(tmp_path):
    dose = dose_on(2.0, tmp_path)
    left, right = CENTER - np.array([4.0, 0, 0]), CENTER + np.array([4.0, 0, 0])
    both = isodose_volumes(dose, {1: left[None], 2: right[None]})
    whole = isodose_volumes(dose, {1: CENTER[None]})[1]["V12"]
    assert both[1]["V12"] + both[2]["V12"] == pytest.approx(whole, rel=1e-9)
    assert both[1]["V12"] == pytest.approx(both[2]["V12"], rel=0.1)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_pieces_of_voxels_belong_to_the_nearest_cloud(count):
    rng = np.random.default_rng(count)
    clouds = [rng.normal(rng.uniform(-20, 20, 3), 3, (200, 3)) for _ in range(count)]
    offsets = np.stack(np.meshgrid(*[np.linspace(-0.9, 0.9, 3)] * 3), -1).reshape(1, -1, 3)
    pieces = rng.uniform(-30, 30, (800, 1, 3)) + offsets
    apart = [np.linalg.norm(pieces.reshape(-1, 1, 3) - cloud, axis=2).min(1) for cloud in clouds]
    assert np.array_equal(_nearest(pieces, clouds), np.argmin(apart, axis=0))


def test_dose_follows_a_lesion_through_the_registration(tmp_path):
    dose = dose_on(2.0, tmp_path)
    mask, grid = ball(4.0)
    labels = mask.astype(np.int32)
    turned = np.eye(4)
    turned[:3, :3] = [[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]
    turned[:3, 3] = [5.0, -7, 3]
    elsewhere = Grid(grid.shape, turned @ grid.affine)
    visits = [
        Placed("a", labels, grid, np.eye(4), ""),
        Placed("b", labels, elsewhere, np.linalg.inv(turned), ""),
        Placed("c", labels, grid, np.eye(4), "no_longitudinal_registration"),
    ]
    first, second, third = lesion_doses(visits, [Planned("a", dose)])
    assert second["D95"] == pytest.approx(first["D95"], abs=1e-4)
    assert first["V12"] == pytest.approx(4 / 3 * np.pi * radius_of(12.0) ** 3 / 1000, rel=0.01)
    assert "V12" not in second
    assert (third["reason"], third.get("D95")) == ("no_longitudinal_registration", None)
