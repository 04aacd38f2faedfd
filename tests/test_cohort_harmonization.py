"""ComBat against the published reference on its own data, and what it may never touch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

from afterglow.cohort import validation
from afterglow.cohort.checks import within_center
from afterglow.cohort.fitting import fit
from afterglow.cohort.harmonization import fit_combat, from_dict, harmonizable
from afterglow.cohort.models import model_spec
from afterglow.errors import AfterglowError
from cohort_simulation import simulate

# neuroCombat 0.2.12 on the data below: the first 20 of 200 features, all 10 samples. The R
# implementation of the same authors prints the same digits.
REFERENCE = Path(__file__).with_name("combat_reference.csv")


def r_normals(seed: int, n: int) -> np.ndarray:
    """Return the normal numbers that R draws after ``set.seed(seed)`` (inversion)."""
    state = []
    for _ in range(50):
        seed = (69069 * seed + 1) & 0xFFFFFFFF
    for _ in range(625):
        seed = (69069 * seed + 1) & 0xFFFFFFFF
        state.append(seed)
    twister = np.random.MT19937()
    twister.state = {
        "bit_generator": "MT19937",
        "state": {"key": np.array(state[1:], dtype=np.uint32), "pos": 624},
    }
    uniform = twister.random_raw(2 * n) * 2.3283064365386963e-10
    big = 134217728
    inverse = NormalDist().inv_cdf
    pairs = zip(uniform[::2], uniform[1::2], strict=True)
    return np.array([inverse((int(big * a) + b) / big) for a, b in pairs])


def reference_data() -> tuple[np.ndarray, np.ndarray]:
    """Return the test data of the reference: 10 samples of 200 features in two batches."""
    x = r_normals(10, 2000).reshape(200, 10, order="F")
    x[:, [0, 2, 4, 6, 8]] += 3
    x[:, 5:] = (x[:, 5:] + 5) * 1.5
    return x.T, np.repeat(["a", "b"], 5)


def names(n):
    return [f"f{i}" for i in range(n)]


def test_the_data_are_those_of_the_reference():
    assert reference_data()[0][0, :2] == pytest.approx([3.01874617, 2.81574746], abs=1e-8)


def test_combat_equals_the_published_reference_on_its_data():
    x, batch = reference_data()
    found = fit_combat(x, batch, names(200), minimum=5).transform(x, batch)
    wanted = np.loadtxt(REFERENCE, delimiter=",").T
    assert np.abs(found[:, :20] - wanted).max() < 1e-11


def test_combat_equals_the_installed_reference_where_there_is_one():
    package = pytest.importorskip("neuroCombat", reason="neuroCombat is not installed")
    import pandas as pd

    x, batch = reference_data()
    covars = pd.DataFrame({"batch": batch})
    wanted = package.neuroCombat(dat=x.T.copy(), covars=covars, batch_col="batch")["data"].T
    found = fit_combat(x, batch, names(200), minimum=5).transform(x, batch)
    assert np.abs(found - wanted).max() < 1e-10


def shifted(seed=0, n=60):
    rng = np.random.default_rng(seed)
    centers = np.repeat(["a", "b", "c"], n)
    x = rng.normal(0, 1, (3 * n, 8))
    x[centers == "b"] = 2 * x[centers == "b"] + 3
    return x, centers


def test_centers_are_brought_together_and_a_new_one_is_left_alone():
    x, centers = shifted()
    fitted = fit_combat(x, centers, names(8))
    y = fitted.transform(x, centers)
    gap = np.abs(y[centers == "a"].mean(axis=0) - y[centers == "b"].mean(axis=0))
    assert gap.mean() < 0.15
    ratio = y[centers == "b"].std(axis=0) / y[centers == "a"].std(axis=0)
    assert ratio == pytest.approx(1, abs=0.15)
    other = np.full(5, "elsewhere")
    assert np.array_equal(fitted.transform(x[:5], other), x[:5])


def test_shapes_times_and_treatments_are_never_harmonized():
    labels = ["volume", "days_from_srs", "prescribed_dose", "shape_sphericity", "fractions"]
    assert not harmonizable(labels).any()
    x, centers = shifted()
    mixed = [*labels, "lesion_rCBV_median", "lesion_Ktrans_p90", "shell_vp_median"]
    y = fit_combat(x, centers, mixed).transform(x, centers)
    assert np.array_equal(y[:, :5], x[:, :5])
    assert np.abs(y[:, 5:] - x[:, 5:]).max() > 1


def test_a_center_with_few_lesions_is_left_alone():
    x, centers = shifted()
    few = np.r_[np.flatnonzero(centers != "c"), np.flatnonzero(centers == "c")[:19]]
    fitted = fit_combat(x[few], centers[few], names(8), minimum=20)
    assert fitted.centers == ("a", "b")
    here = centers[few] == "c"
    assert np.array_equal(fitted.transform(x[few], centers[few])[here], x[few][here])
    assert fit_combat(x[:60], centers[:60], names(8)).centers == ()


def test_missing_values_stay_missing_and_change_nothing_else():
    x, centers = shifted()
    x[3, 2] = x[100, 5] = np.nan
    y = fit_combat(x, centers, names(8)).transform(x, centers)
    assert np.array_equal(np.isnan(y), np.isnan(x))
    lacking = x.copy()
    lacking[centers == "b", 4] = np.nan
    fitted = fit_combat(lacking, centers, names(8))
    assert not fitted.used[4]
    assert fitted.used.sum() == 7


def test_a_fitted_adjustment_survives_its_card():
    x, centers = shifted()
    fitted = fit_combat(x, centers, ["volume", *names(7)])
    again = from_dict(fitted.as_dict(), ["volume", *names(7)])
    assert np.array_equal(again.transform(x, centers), fitted.transform(x, centers))


def test_test_lesions_do_not_change_what_is_fitted_in_training():
    design = simulate(3, n_patients=80, shift=2.0)
    spec = replace(model_spec("logistic", combat=10), grid=({"C": 0.1},))
    folds = validation.grouped_folds(design.y, design.patients, 4)
    one = validation.nested(design, spec, folds=folds)
    train, test = folds[0]
    alone = fit(spec, spec.grid[0], design.take(train))
    expected = alone.probability(design.x[test], design.centers[test])
    assert np.array_equal(one.probability[test], expected)
    spoiled = design.x.copy()
    spoiled[test] += 50
    other = validation.nested(replace(design, x=spoiled), spec, folds=folds[:1])
    again = alone.probability(spoiled[test], design.centers[test])
    assert np.array_equal(other.probability[test], again)


def test_harmonization_regains_what_shifts_between_centers_hide():
    gains = []
    for seed in range(6):
        design = simulate(seed, n_patients=120, signal=1.2, shift=3.0)
        plain, helped = (
            replace(model_spec("logistic", combat=combat), grid=({"C": 0.1},))
            for combat in (None, 20)
        )
        areas = [within_center(design, validation.nested(design, s)).value for s in (plain, helped)]
        gains.append(areas[1] - areas[0])
    assert np.mean(gains) > 0.0


def test_harmonization_finds_nothing_in_nothing():
    spec = replace(model_spec("logistic", combat=10), grid=({"C": 0.1},))
    areas = [
        within_center(d, validation.nested(d, spec, outer=4))
        for d in (simulate(s, n_patients=80, shift=2.0, prevalence_spread=1.5) for s in range(12))
    ]
    assert abs(np.mean([a.value for a in areas]) - 0.5) < 0.05


def test_what_is_malformed_is_said():
    x, centers = shifted()
    with pytest.raises(AfterglowError, match="differ in length"):
        fit_combat(x, centers[:5], names(8))
    with pytest.raises(AfterglowError, match="1 lesions"):
        fit_combat(x, centers, names(8), minimum=1)
