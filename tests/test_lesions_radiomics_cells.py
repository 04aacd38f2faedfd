"""Radiomics in the table of features: every feature has a row, with a number or a reason."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy import ndimage

from afterglow.config.features import RadiomicsConfig
from afterglow.errors import AfterglowError
from afterglow.lesions.anatomy import Anatomy
from afterglow.lesions.grids import Grid
from afterglow.lesions.measure import MapInput, SpaceInput, Voxels
from afterglow.lesions.measure_radiomics import anatomy_radiomics, perfusion_radiomics
from afterglow.lesions.radiomics import RadiomicsSettings, extract
from afterglow.lesions.radiomics_ids import FAMILIES, family_of, ibsi_id, names_of
from afterglow.lesions.regions import lesion_regions
from afterglow.lesions.resampling import isotropic

SHAPE = (30, 30, 12)
GRID = Grid(SHAPE, np.diag([1.0, 1.0, 3.0, 1.0]))


def images(labels, flair=True):
    rng = np.random.default_rng(2)
    image = (100 + 10 * rng.random(SHAPE)).astype(np.float32)
    ones = np.ones(SHAPE, np.float32)
    return Anatomy(GRID, image, None, image if flair else None, ones > 0, ones, 0 * ones)


@pytest.fixture(scope="module")
def labels():
    made = np.zeros(SHAPE, np.int32)
    made[4:12, 4:12, 3:7] = 1
    made[20:22, 20:22, 5] = 2
    return made


def test_names_by_family_are_what_the_engine_gives():
    values = np.random.default_rng(0).normal(size=(9, 9, 9))
    found = extract(values, np.ones(values.shape, bool), np.ones(3), RadiomicsSettings())
    assert {name for family in FAMILIES for name in names_of(family)} == set(found.values)
    assert all(family_of(name) in FAMILIES and ibsi_id(name) for name in found.values)


def test_every_feature_has_a_row_with_a_number_or_a_reason(labels):
    config = RadiomicsConfig()
    pieces = lesion_regions(labels, GRID, None, 1.5, 3.0)
    cells = list(anatomy_radiomics(pieces, labels, images(labels, flair=False), config))
    every = [name for family in config.anatomy for name in names_of(family)]
    assert len(cells) == 2 * 2 * len(every)
    by = {(c.label, c.map, c.statistic): c for c in cells}
    assert all(np.isfinite(c.value.value) == (not c.value.reason) for c in cells)
    assert by[1, "FLAIR", "stat_mean"].value.reason == "no_image"
    large = by[1, "T1w", "stat_mean"]
    assert large.value.value == pytest.approx(1.0, abs=0.02)
    assert (large.unit, large.normalization, large.model) == ("ratio", "whole_brain_nawm", "ibsi")
    # 8 x 8 x 4 voxels of 1 x 1 x 3 mm
    assert by[1, "T1w", "morph_approx_volume"].value.value == pytest.approx(768)
    assert by[1, "T1w", "cm_contrast_merged"].value.evaluable
    assert by[2, "T1w", "cm_contrast_merged"].value.reason == "too_small"
    assert by[2, "T1w", "stat_mean"].value.evaluable


def test_maps_have_radiomics_only_where_a_study_asks(labels):
    image = np.random.default_rng(1).random(SHAPE)
    space = SpaceInput("dsc", GRID, np.eye(4), image, image, image > -1)
    good = np.ones(SHAPE, bool)
    good[:6] = False
    maps = [MapInput("CBV", image, "1", "bsw", good), MapInput("T1", image, "s", "vfa", None, "x")]
    index = {1: {"lesion": Voxels(np.argwhere(labels == 1))}}
    assert not list(perfusion_radiomics(space, maps, index, RadiomicsConfig()))
    asked = RadiomicsConfig(perfusion=["stat"], step=1.0)
    cells = {(c.map, c.statistic): c for c in perfusion_radiomics(space, maps, index, asked)}
    assert len(cells) == 2 * len(names_of("stat"))
    assert cells["T1", "stat_mean"].value.reason == "x"
    own = image[(labels == 1) & good]
    assert cells["CBV", "stat_mean"].value.n_voxels == own.size
    assert cells["CBV", "stat_mean"].value.value == pytest.approx(own.mean(), rel=0.03)
    assert cells["CBV", "stat_variance"].unit == "(1)^2"


def test_resampling_keeps_volume_and_place_of_a_ball():
    grid = np.stack(np.meshgrid(*[np.arange(40)] * 3, indexing="ij"), -1) * np.array([1, 1, 2.5])
    mask = ((grid - [20, 20, 50]) ** 2).sum(-1) <= 81
    values, inside, spacing = isotropic(grid[..., 2], mask, np.array([1, 1, 2.5]), 1.0)
    assert inside.sum() == pytest.approx(mask.sum() * 2.5, rel=0.06)
    assert spacing.tolist() == [1.0, 1.0, 1.0]
    assert values[inside].mean() == pytest.approx(50.0, abs=0.1)


def test_mirp_is_an_independent_witness_of_our_core():
    pytest.importorskip("mirp", reason="the package MIRP is not installed")
    from afterglow.lesions.radiomics_mirp import extract as by_mirp

    rng = np.random.default_rng(4)
    image = ndimage.gaussian_filter(rng.normal(size=(20, 19, 18)), 1.0) * 40 + 100
    mask = np.zeros(image.shape, bool)
    mask[5:-5, 5:-5, 5:-5] = ndimage.gaussian_filter(rng.random((10, 9, 8)), 2.0) > 0.5
    settings = RadiomicsSettings(bins=16)
    own, other = (f(image, mask, np.full(3, 1.5), settings) for f in (extract, by_mirp))
    assert set(other.values) == set(own.values)
    apart = {
        name: (value, other.values[name])
        for name, value in own.values.items()
        if not np.isclose(value, other.values[name], rtol=2e-3, atol=1e-6)
    }
    assert apart == {}
    few = by_mirp(image, mask & (np.indices(mask.shape)[2] == 7), np.ones(3), settings)
    assert few.left_out["texture"] in {"too_small", "too_few_slices"}


def test_without_mirp_a_study_that_asks_for_it_is_told(monkeypatch):
    from afterglow.lesions.radiomics_mirp import extract as by_mirp

    monkeypatch.setitem(sys.modules, "mirp", None)
    with pytest.raises(AfterglowError, match="not installed"):
        by_mirp(np.ones((9, 9, 9)), np.ones((9, 9, 9), bool), np.ones(3), RadiomicsSettings())
