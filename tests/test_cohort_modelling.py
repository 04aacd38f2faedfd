"""Checks beside the figures: permutations, learning, subgroups, tests of features, journals."""

from __future__ import annotations

import csv
import math
from dataclasses import replace

import numpy as np
import pytest

from afterglow.cohort import checks, performance, validation
from afterglow.cohort.curves import curve_rows, treat_all_rows
from afterglow.cohort.design import Design
from afterglow.cohort.harmonization import fit_combat, harmonize
from afterglow.cohort.imaging_labels import ImagingRule, imaging_label
from afterglow.cohort.labels import incorporated
from afterglow.cohort.matrix import design as make_design
from afterglow.cohort.matrix import landmarks
from afterglow.cohort.modelling import validate
from afterglow.cohort.models import model_spec
from afterglow.cohort.outputs import as_latex, sheets, write_validation
from afterglow.cohort.rule_files import load_rules
from afterglow.cohort.subgroups import subgroups
from afterglow.cohort.univariate import benjamini_hochberg, feature_rows, holm
from afterglow.config.cohort import CohortConfig
from afterglow.errors import AfterglowError
from cohort_simulation import simulate
from cohort_tables import feature, lesion

QUICK = CohortConfig(
    models=["logistic"],
    bootstrap=20,
    permutations=9,
    outer_folds=3,
    inner_folds=2,
    learning_curve=[0.3],
)


def quick(name="logistic"):
    spec = model_spec(name)
    return replace(spec, grid=spec.grid[2:3])


@pytest.fixture(scope="module")
def found():
    return validate(simulate(21, n_patients=60, signal=1.5, missing=0.3), QUICK)


def row(found, metric, model="logistic", split="nested_3fold"):
    keys = ("model", "split", "metric")
    return next(r for r in found.performance if tuple(r[k] for k in keys) == (model, split, metric))


def test_a_signal_beats_every_permutation(found):
    permuted = row(found, performance.PERMUTED)
    assert permuted["p_value"] == pytest.approx(1 / 10)
    assert permuted["interval"] == "9 permutations"
    assert abs(permuted["value"] - 0.5) < 0.08
    assert permuted["high"] < row(found, "auc_within_center")["value"]


def test_nothing_is_no_better_than_permutations():
    p = []
    for seed in range(6):
        design = simulate(seed, n_patients=40, n_features=4)
        nested = validation.nested(design, quick(), outer=3, seed=1)
        config = QUICK.model_copy(update={"seed": seed})
        p.append(checks.permutation_rows(design, quick(), nested, config)[0]["p_value"])
    assert np.mean(p) > 0.2
    assert len(set(p)) > 2


def test_the_learning_curve_rises_and_ends_at_the_nested_figure(found):
    curve = [r for r in found.curves if r["curve"] == "learning"]
    assert [r["x"] for r in curve] == sorted(r["x"] for r in curve)
    assert curve[0]["x"] < 0.5 * curve[-1]["x"]
    assert curve[0]["y"] < curve[-1]["y"]
    assert curve[-1]["y"] == row(found, "auc_within_center")["value"]


def test_a_smaller_share_takes_whole_patients_of_both_kinds():
    design = simulate(4, n_patients=60)
    train = np.arange(design.y.size)
    part = checks._share(design, train, 0.4, seed=1)
    names = set(design.patients[part].tolist())
    assert 20 <= len(names) <= 28
    assert part.size == sum((design.patients == n).sum() for n in names)
    assert 0 < design.y[part].mean() < 1


def test_curves_are_those_of_the_definitions(found):
    from sklearn.metrics import roc_auc_score, roc_curve

    result = found.results["logistic", "nested"]
    design = found.design
    points = [r for r in curve_rows(design, result) if r["curve"] == "roc"]
    x, y = [r["x"] for r in points], [r["y"] for r in points]
    false, true, _ = roc_curve(design.y, result.probability, drop_intermediate=False)
    known = {(round(a, 9), round(b, 9)) for a, b in zip(false, true, strict=True)}
    assert {(round(a, 9), round(b, 9)) for a, b in zip(x, y, strict=True)} <= known
    assert np.trapezoid(y, x) == pytest.approx(roc_auc_score(design.y, result.probability))
    everyone = {r["x"]: r["y"] for r in treat_all_rows(design, "nested")}
    share = design.y.mean()
    assert everyone[0.2] == pytest.approx(share - (1 - share) * 0.2 / 0.8)


def test_subgroups_are_of_the_features_there_are():
    design = simulate(5, missing=0.5)
    names = ("volume", "days_from_srs", *design.names[2:])
    x = design.x.copy()
    x[:, 0], x[:, 1] = np.arange(design.y.size), 30.0
    x[: design.y.size // 4, 1] = 400.0
    found = subgroups(replace(design, names=names, x=x))
    assert found["volume_small"].sum() == (design.y.size + 1) // 2
    assert found["scan_late"].sum() == design.y.size // 4
    assert not (found["features_missing"] & found["features_complete"]).any()
    assert found["patient_one_lesion"].sum() < found["patient_several_lesions"].sum()
    assert "volume_small" not in subgroups(design)


def test_centers_and_subgroups_have_their_own_rows(found):
    metrics = {r["metric"] for r in found.performance if r["model"] == "logistic"}
    assert {"auc_center:c0", "auc_subgroup:features_missing"} <= metrics
    small = row(found, "auc_center:c0")
    assert small["n_lesions"] == (found.design.centers == "c0").sum()


def test_corrections_agree_with_statsmodels():
    from statsmodels.stats.multitest import multipletests

    p = np.random.default_rng(1).uniform(0, 0.2, 40) ** 2
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1])
    assert np.isnan(holm(np.array([np.nan, 0.01]))).tolist() == [True, False]
    assert holm(np.array([np.nan, 0.01]))[1] == 0.01


def test_features_are_tested_one_by_one_with_the_price_of_many(found):
    rows = {r["feature"]: r for r in found.features}
    assert rows["f0"]["auc"] > 0.6 > rows["f9"]["auc"]
    assert rows["f2"]["auc"] < 0.4
    assert rows["f0"]["p_value"] < rows["f0"]["p_holm"] <= 12 * rows["f0"]["p_value"]
    assert rows["f0"]["weight_low"] > 0 > rows["f2"]["weight_high"]
    assert rows["f0"]["sign_agreement"] == 1.0
    assert 0 < rows["f11"]["missing"] < 1 > rows["f0"]["missing"] == 0


def test_feature_tests_keep_their_level_on_nothing():
    p = [r["p_value"] for s in range(12) for r in feature_rows(simulate(s, n_patients=80))]
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.09


def test_missing_perfusion_that_follows_the_center_is_said():
    flagged = [
        checks.center_missingness(simulate(s, n_patients=80, missing=0.8))["follows_center"]
        for s in range(5)
    ]
    assert all("f6" in groups for groups in flagged)
    rng = np.random.default_rng(0)
    quiet = []
    for seed in range(10):
        design = simulate(seed, n_patients=80)
        x = design.x.copy()
        x[rng.random(design.y.size) < 0.3, 3] = np.nan
        quiet += checks.center_missingness(replace(design, x=x))["follows_center"]
    assert len(quiet) <= 2


def test_a_cohort_harmonized_before_it_is_split_is_refused():
    design = simulate(1, shift=2.0)
    done = harmonize(design, fit_combat(design.x, design.centers, design.names, minimum=10))
    assert not np.array_equal(done.x, design.x)
    with pytest.raises(AfterglowError, match="before they were split"):
        validation.nested(done, quick())
    with pytest.raises(AfterglowError, match="before they were split"):
        validation.leave_one_center_out(done, quick())


def test_selection_on_all_lesions_would_have_claimed_a_signal():
    """The leak that the API does not offer: features chosen with the test lesions' labels."""
    honest, leaky = [], []
    for seed in range(12):
        design = simulate(seed, n_patients=50, n_features=200)
        gap = design.x[design.y == 1].mean(axis=0) - design.x[design.y == 0].mean(axis=0)
        best = [design.names[j] for j in np.argsort(-np.abs(gap))[:10]]
        for names, areas in ((list(design.names), honest), (best, leaky)):
            part = design.columns(names)
            result = validation.nested(part, quick(), outer=4, seed=seed)
            areas.append(checks.within_center(part, result).value)
    assert abs(np.mean(honest) - 0.5) < 0.06
    assert np.mean(leaky) > np.mean(honest) + 0.1


def test_coarse_values_that_two_patients_share_are_no_duplicates():
    design = simulate(1)
    names = ("age", "dose", "fractions")
    x = np.tile([60.0, 20.0, 1.0], (design.y.size, 1))
    replace(design, x=x, names=names)
    tidy = simulate(1).columns(design.names[:3])
    assert tidy.x.shape[1] == 3


def scans(*pairs):
    return [{"session": f"s{i}", "days_from_srs": d, "volume": v} for i, (d, v) in enumerate(pairs)]


@pytest.mark.parametrize(
    ("course", "label", "session", "day"),
    [
        (scans((-5, 1.0), (60, 0.5), (120, 0.8), (160, 1.2)), "progression", "s2", 160),
        (scans((-5, 1.0), (60, 1.5), (80, 2.5), (100, 2.5)), "progression", "s1", 100),
        (scans((-5, 1.0), (60, 1.5), (200, 1.6)), "treatment_effect", "s1", 200),
        (scans((-5, 1.0), (60, 1.5), (120, 1.5), (181, 0.4)), "treatment_effect", "s1", 181),
    ],
)
def test_labels_by_later_volumes(course, label, session, day):
    found = imaging_label(course, ImagingRule())
    assert (found.label, found.session, found.day) == (label, session, day)


@pytest.mark.parametrize(
    ("course", "reason"),
    [
        (scans((-5, 1.0), (60, 1.3), (120, 1.39)), "never_grew"),
        (scans((-5, 0.02), (60, 0.05), (200, 0.09)), "never_grew"),
        (scans((-5, 1.0), (60, 1.5), (100, 1.6)), "follow_up_too_short"),
        (scans((60, 1.5)), "no_volumes_with_days"),
        (scans((None, 1.0), (60, None), (90, 2.0)), "no_volumes_with_days"),
    ],
)
def test_why_volumes_give_no_label(course, reason):
    assert imaging_label(course, ImagingRule()) == reason


def imaging_course():
    days, volumes = (-5.0, 60.0, 120.0, 160.0), (1.0, 0.5, 0.8, 1.2)
    rows = [
        lesion(f"s{i}", days_from_srs=d) | {"volume": v}
        for i, (d, v) in enumerate(zip(days, volumes, strict=True))
    ]
    cells = [feature(1.0 + i, session=f"s{i}", statistic="median") for i in range(4)]
    return rows, cells


def test_an_imaging_label_never_sees_its_own_answer():
    rows, cells = imaging_course()
    assert landmarks(rows, mixed="drop").rows == ()
    marks = landmarks(rows, mixed="drop", imaging=ImagingRule())
    assert [(r["session"], r["outcome_basis"]) for r in marks.rows] == [("s2", "imaging_rule")]
    made = make_design(marks, cells, rows)
    assert made.landmark_days.tolist() == [160.0]
    assert made.feature_days.tolist() == [120.0]
    assert incorporated(marks.rows, made.names) == ["volume"]


def test_an_adjudicated_label_wins_over_the_rule():
    rows, _ = imaging_course()
    given = [r | {"outcome": "RN", "outcome_days_from_srs": 170.0} for r in rows]
    marks = landmarks(given, mixed="drop", imaging=ImagingRule())
    assert (marks.labels, marks.rows[0]["session"]) == ((0,), "s3")


def test_features_at_a_landmark_day_come_from_scans_up_to_it():
    rows, cells = imaging_course()
    given = [r | {"outcome": "RN", "outcome_days_from_srs": 170.0} for r in rows]
    marks = landmarks(given, mixed="drop", landmark_day=100.0)
    assert marks.rows[0]["session"] == "s1"
    made = make_design(marks, cells, given)
    values = dict(zip(made.names, made.x[0], strict=True))
    assert values["lesion_rCBV_median"] == 2.0
    assert values["lesion_rCBV_median_change"] == pytest.approx(1.0)
    early = landmarks(given, mixed="drop", landmark_day=180.0)
    assert list(early.left_out) == ["label_before_landmark"]
    assert list(landmarks(given, mixed="drop", landmark_day=10.0).left_out) == [
        "no_scan_between_srs_and_landmark"
    ]


@pytest.mark.parametrize(
    ("basis", "names"),
    [
        ("DSC perfusion", ["lesion_rCBV_median"]),
        ("perfusion MRI", ["lesion_rCBV_median", "shell_Ktrans_p90"]),
        ("dce", ["shell_Ktrans_p90"]),
        ("RANO-BM", ["volume", "volume_change_nadir"]),
        ("resection", []),
    ],
)
def test_features_that_share_the_evidence_of_the_label_are_named(basis, names):
    there = ["lesion_rCBV_median", "shell_Ktrans_p90", "volume", "volume_change_nadir", "fractions"]
    assert incorporated([{"outcome_basis": basis}], there) == names


def test_models_are_compared_with_rules_on_the_same_lesions():
    design = simulate(9, n_patients=60, signal=1.5)
    rules = load_rules(only=["huang2011_rcbv", "barajas2009_psr", "hatzoglou2016_vp"])
    named = replace(
        design, rows=tuple(f"{p}/L{i:03d}/s1" for i, p in enumerate(design.patients.tolist()))
    )
    result = validation.nested(named, quick(), outer=3)
    calls = []
    for i, name in enumerate(named.rows):
        subject, lesion_id, session = name.split("/")
        where = {"subject": subject, "lesion_id": lesion_id, "session": session}
        value = named.x[i, 0]
        decided = "progression" if value > 2 else "treatment_effect"
        calls.append(where | {"rule_id": "huang2011_rcbv", "call": decided, "value": value})
        calls.append(where | {"rule_id": "barajas2009_psr", "call": decided, "value": -value})
        calls.append(
            where | {"rule_id": "hatzoglou2016_vp", "call": "not_evaluable", "value": math.nan}
        )
    results = {("logistic", "nested"): result}
    rows = performance.beside_rules(rules, calls, named, results)
    assert [r["metric"] for r in rows] == [
        "auc_less_rule:barajas2009_psr",
        "auc_less_rule:huang2011_rcbv",
    ]
    assert rows[0]["value"] == pytest.approx(rows[1]["value"])
    assert rows[0]["value"] > 0.05
    assert rows[0]["p_holm"] == pytest.approx(min(1.0, 2 * rows[0]["p_value"]))


def test_the_journal_tables_hold_every_figure(found, tmp_path):
    names = write_validation(found, tmp_path, tmp_path / "journal")
    filled = [name for name, sheet in sheets(found).items() if sheet[2]]
    assert {f"{s}.{k}" for s in filled for k in ("csv", "tex")} == set(names)
    assert "rules" not in filled
    with (tmp_path / "journal/models.csv").open(encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    area = row(found, "auc")
    cell = f"{area['value']:.3f} ({area['low']:.3f} to {area['high']:.3f})"
    assert ["logistic", "nested_3fold", "auc", cell, "", "60", str(area["n_lesions"])] in rows
    text = (tmp_path / "journal/features.tex").read_text(encoding="utf-8")
    assert text.count(r"\\") == len(found.features) + 2
    assert r"\caption{Candidate features one by one: area within center; P adjusted" in text


def test_latex_holds_no_bare_special_character():
    text = as_latex("a_b & 5 %", ["x#"], [["{<1}"]])
    assert r"a\_b \& 5 \%" in text
    assert r"\{\textless{}1\}" in text


def test_equal_seeds_give_equal_bytes_on_any_number_of_cores(tmp_path):
    from threadpoolctl import threadpool_limits

    config = QUICK.model_copy(update={"models": ["boosting"], "permutations": 1})
    for name, cores in (("one", 1), ("two", 2), ("again", 2)):
        with threadpool_limits(limits=cores):
            done = validate(simulate(3, n_patients=40, signal=1.0), config)
        write_validation(done, tmp_path / name, tmp_path / name / "journal")
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 10
    for file in files:
        first = (tmp_path / "one" / file).read_bytes()
        assert first == (tmp_path / "two" / file).read_bytes()
        assert first == (tmp_path / "again" / file).read_bytes()


def test_one_center_leaves_out_what_needs_two():
    design = simulate(2, n_patients=40, n_centers=1)
    assert isinstance(design, Design)
    done = validate(design, QUICK.model_copy(update={"permutations": 0}))
    assert "logistic/leave_one_center_out" in done.checks["skipped"]
    assert done.checks["permutation_p"] is None
    assert done.checks["center_confounding"] == {
        "p": 1.0,
        "flag": False,
        "prevalence": {"c0": pytest.approx(design.y.mean())},
    }
