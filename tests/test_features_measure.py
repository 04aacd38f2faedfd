"""Statistics, reasons and ratios of regions in maps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from afterglow.errors import AfterglowError
from afterglow.lesions import regions
from afterglow.lesions.basis import with_basis
from afterglow.lesions.dynamics import arterial
from afterglow.lesions.features import (
    MOMENTS,
    STATISTICS,
    Samples,
    Value,
    gather,
    hotspot,
    measure,
    ratios,
)
from afterglow.lesions.grids import Grid
from afterglow.lesions.measure import (
    LesionInput,
    MapInput,
    MeasureSettings,
    SpaceInput,
    measure_maps,
    region_index,
)
from afterglow.lesions.relative import relative_values


def cloud(values, n_region=None, spacing=1.0):
    values = np.asarray(values, float)
    points = np.zeros((len(values), 3))
    points[:, 0] = np.arange(len(values)) * spacing
    return Samples(values, points, n_region or len(values))


@settings(max_examples=60, deadline=None)
@given(arrays(float, st.integers(3, 60), elements=st.floats(-1e3, 1e3, width=32)))
def test_every_statistic_is_within_the_values_and_in_order(values):
    found = measure(cloud(values), 3, 0.5, 2.0)
    assert set(found) == set(STATISTICS)
    moments = [found.pop(name) for name in MOMENTS]
    assert all(v.evaluable and v.n_voxels <= len(values) for v in found.values())
    enough = len(values) >= 10 and values.var() > 0
    assert all(v.evaluable == enough for v in moments)
    order = [found[n].value for n in ("min", "p10", "p25", "median", "p75", "p90", "p95", "max")]
    assert order == sorted(order)
    assert values.min() - 1e-6 <= found["hotspot"].value <= values.max() + 1e-6
    assert found["mean"].value == pytest.approx(values.mean(), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (cloud([1.0, 2.0, 3.0]), "too_small"),
        (cloud([1.0] * 4, n_region=40), "not_evaluable_in_map"),
        (Samples(np.zeros(0), np.zeros((0, 3)), 0), "empty_region"),
    ],
)
def test_absent_numbers_have_a_reason(samples, reason):
    found = measure(samples, 4, 0.5, 2.0)
    assert {v.reason for v in found.values()} == {reason}
    assert all(np.isnan(v.value) for v in found.values())


def test_skewness_and_kurtosis_are_those_of_the_population():
    values = np.array([1.0, 1, 1, 1, 1, 1, 1, 1, 2, 12])
    found = measure(cloud(values), 3, 0.5, 2.0)
    spread = values - values.mean()
    variance = (spread**2).mean()
    assert found["skewness"].value == pytest.approx((spread**3).mean() / variance**1.5)
    assert found["kurtosis"].value == pytest.approx((spread**4).mean() / variance**2 - 3)
    assert measure(cloud(values[:9]), 3, 0.5, 2.0)["skewness"].reason == "too_small"
    assert measure(cloud(np.ones(12)), 3, 0.5, 2.0)["kurtosis"].reason == "constant"
    assert "ratio_skewness" not in ratios(found, Value(2.0, "", 50))


def test_hot_spot_is_the_mean_of_a_ball_and_not_one_bright_voxel():
    values = np.ones(60)
    values[20], values[40:45] = 9.0, 4.0
    assert hotspot(cloud(values), 2.0, 3).value == pytest.approx(4.0)
    assert hotspot(cloud(values), 2.0, 3).n_voxels == 5


def test_gather_counts_only_what_is_evaluable():
    image = np.arange(27.0).reshape(3, 3, 3)
    image[0, 0, 0] = np.nan
    good = np.ones(image.shape, bool)
    good[2] = False
    index = np.argwhere(np.ones(image.shape))
    found = gather(image, index, index.astype(float), good)
    assert (len(found.values), found.n_region) == (17, 27)
    assert found.values.max() < 18


def test_ratios_carry_the_reason_of_the_reference():
    values = {"median": Value(4.0, "", 9)}
    assert ratios(values, Value(2.0, "", 50))["ratio_median"] == Value(2.0, "", 9)
    lost = ratios(values, Value(float("nan"), "too_small"))["ratio_median"]
    assert lost.reason == "reference_too_small"
    assert ratios(values, Value(0.0))["ratio_median"].reason == "reference_not_positive"


@pytest.fixture(scope="module")
def cells():
    """Two lesions with known CBV in a map whose grid is coarse and shifted."""
    shape, spacing = (48, 56, 24), np.array([2.5, 2.5, 5.0])
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -spacing * (np.array(shape) - 1) / 2
    grid = Grid(shape, affine)
    shift = np.eye(4)
    shift[0, 3] = 3.0
    points = grid.world(np.argwhere(np.ones(shape)), shift).reshape(*shape, 3)
    fine = Grid((120, 140, 100), np.diag([1.0, 1.0, 1.0, 1.0]))
    fine.affine[:3, 3] = [-59.5, -69.5, -49.5]
    world = fine.world(np.argwhere(np.ones(fine.shape))).reshape(*fine.shape, 3)
    labels = np.zeros(fine.shape, np.int32)
    labels[((world - [25, 10, 0]) ** 2).sum(-1) <= 81] = 1
    labels[((world - [-25, -20, 0]) ** 2).sum(-1) <= 9] = 2
    pieces = regions.lesion_regions(labels, fine, None, 1.5, 3.0)
    brain = ((points / [50, 60, 48]) ** 2).sum(-1) < 1
    cbv = np.where(((points - [25, 10, 0]) ** 2).sum(-1) <= 12**2, 6.0, 2.0)
    ones = brain.astype(np.float32)
    space = SpaceInput("dsc", grid, shift, ones, 0 * ones, brain)
    lesions = LesionInput(pieces, regions.Plane(np.array([1.0, 0, 0]), 0.0))
    settings = MeasureSettings()
    index = region_index(space, lesions, settings, regions.ReferenceSettings())
    found = list(measure_maps(space, [MapInput("CBV", cbv, "a.u.", "bsw")], index, settings))
    return {(c.label, c.region, c.map, c.statistic): c for c in found}


def test_relative_cbv_is_lesion_over_contralateral_white_matter(cells):
    cell = cells[1, "lesion", "rCBV", "median"]
    assert cell.value.value == pytest.approx(3.0)
    assert (cell.unit, cell.normalization) == ("ratio", "contralateral_nawm")
    assert cells[1, "contralateral_nawm", "CBV", "median"].value.value == pytest.approx(2.0)
    assert cells[1, "lesion", "CBV", "ratio_p95"].value.value == pytest.approx(3.0)


def test_tumor_burden_classes_are_fractions_of_the_lesion(cells):
    shares = [cells[1, "lesion", "FTB", name] for name in ("low", "middle", "high")]
    assert [c.value.value for c in shares] == pytest.approx([0.0, 0.0, 1.0])
    assert shares[0].unit == "fraction"
    shares = [cells[1, "contralateral_nawm", "FTB", name] for name in ("low", "middle", "high")]
    assert [c.value.value for c in shares] == pytest.approx([1.0, 0.0, 0.0])
    assert cells[2, "lesion", "FTB", "high"].value.reason == "too_small"


def test_recovery_is_compared_as_a_logarithm():
    ratio = Value(0.5, "", 9)
    found = {name: v.value for _, name, v in relative_values("PSR", {"ratio_median": ratio})}
    assert found == {"median": pytest.approx(np.log(0.5))}
    negative = dict.fromkeys(("ratio_min", "ratio_sd"), Value(-0.2, "", 9))
    (only,) = relative_values("PSR", negative)
    assert only[1] == "min"
    assert only[2].reason == "not_positive"
    (height,) = relative_values("PHdR2s", {"ratio_max": ratio})
    assert height == ("rPH", "max", ratio)


def test_every_value_says_what_it_rests_on(cells):
    stage = {
        "domain": {"text": "outside; 3 T"},
        "maps": {"CBV": {"leakage_model": "bsw", "window": "whole curve"}},
    }
    told = with_basis(cells.values(), stage)
    assert {(c.leakage_model, c.window, c.domain) for c in told} == {
        ("bsw", "whole curve", "outside; 3 T")
    }
    assert {c.normalization for c in told} == {"none", "contralateral_nawm"}
    (plain,) = with_basis(list(cells.values())[:1], {"domain": {"tr": 0.005, "flip_angle": 15.0}})
    assert plain.domain == "flip_angle 15.0; tr 0.005"
    unknown = with_basis(list(cells.values())[:1], {})
    assert (unknown[0].leakage_model, unknown[0].domain) == ("none", "unknown")


def test_a_small_lesion_is_too_small_and_keeps_its_rows(cells):
    cell = cells[2, "lesion", "rCBV", "mean"]
    assert cell.value.reason == "too_small"
    assert np.isnan(cell.value.value)


@pytest.mark.parametrize("end", [11, 13, 17])
def test_an_arterial_input_that_is_cut_off_is_refused(tmp_path, end):
    table = tmp_path / "aif.tsv"
    table.write_text("time\taif\n0\tn/a\n1.5\t2\n")
    stage = {"aif": {"path": "aif.tsv"}, "time": [0.0, 1.5]}
    (curve,) = arterial(lambda path: tmp_path / path, "dsc", stage)
    assert curve.time.tolist() == [0.0, 1.5]
    assert curve.values[1] == 2.0

    table.write_bytes(table.read_bytes()[:end])
    with pytest.raises(AfterglowError, match=r"arterial input has .* expected a row of 2 columns"):
        arterial(lambda path: tmp_path / path, "dsc", stage)
