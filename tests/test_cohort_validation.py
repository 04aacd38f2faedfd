"""Validation: refusals, no optimism on nothing, and the whole step on tables."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from afterglow.cohort import statistics, validation
from afterglow.cohort.analysis import analyse
from afterglow.cohort.design import Design, center_confounding
from afterglow.cohort.labels import binary_label, label_doubts
from afterglow.cohort.matrix import design as make_design
from afterglow.cohort.matrix import landmarks
from afterglow.cohort.models import model_spec
from afterglow.cohort.tabular import to_design
from afterglow.config.cohort import CohortConfig
from afterglow.errors import AfterglowError, NotEvaluable
from cohort_simulation import simulate
from cohort_tables import feature, lesion, session, study_tables


def quick(name="logistic"):
    spec = model_spec(name)
    return replace(spec, grid=spec.grid[1:2])


def within_center(design, result):
    strata = [f"{a}/{b}" for a, b in zip(result.fold, design.centers, strict=True)]
    return statistics.clustered_auc(design.y, result.probability, design.patients, strata).value


def test_folds_without_patients_are_refused():
    with pytest.raises(AfterglowError, match="without patients"):
        validation.grouped_folds([0, 1, 0, 1], None, 2)


def test_a_patient_in_two_folds_is_refused():
    design = simulate(1)
    half = np.arange(design.y.size) % 2 == 0
    folds = [(np.flatnonzero(half), np.flatnonzero(~half))]
    with pytest.raises(AfterglowError, match="training and test"):
        validation.nested(design, quick(), folds=folds)


def test_a_lesion_tested_twice_is_refused():
    folds = [(np.array([0]), np.array([1])), (np.array([0]), np.array([1]))]
    with pytest.raises(AfterglowError, match="another fold"):
        validation.check_folds(folds, ["a", "b"])


def test_a_patient_of_two_centers_cannot_be_left_out_with_one():
    design = simulate(1)
    centers = design.centers.copy()
    centers[0] = "c3"
    with pytest.raises(AfterglowError, match="training and test"):
        validation.leave_one_center_out(replace(design, centers=centers), quick())


def test_a_scan_from_the_future_is_refused():
    design = simulate(1)
    days = np.full(design.y.size, 100.0)
    late = days.copy()
    late[3] = 101.0
    with pytest.raises(AfterglowError, match="after their landmark"):
        replace(design, feature_days=late, landmark_days=days)


def test_a_patient_counted_in_two_centers_is_found():
    design = simulate(1)
    x = design.x.copy()
    other = int(np.flatnonzero(design.patients != design.patients[0])[-1])
    x[other] = x[0]
    with pytest.raises(AfterglowError, match="same features"):
        replace(design, x=x)


def test_every_lesion_is_predicted_by_a_model_without_its_patient():
    design = simulate(2)
    result = validation.nested(design, quick(), outer=4)
    assert np.isfinite(result.probability).all()
    for fold in range(4):
        inside = set(design.patients[result.fold == fold])
        assert not inside & set(design.patients[result.fold != fold])


def test_equal_seeds_give_equal_predictions():
    design = simulate(3, missing=0.4)
    one, two = (validation.nested(design, quick(), outer=3, seed=5) for _ in range(2))
    assert np.array_equal(one.probability, two.probability)


def test_nothing_is_found_in_nothing_and_a_leak_would_find_it():
    honest, leaky = [], []
    for seed in range(12):
        design = simulate(seed, patient_sd=4.0, n_features=30, signature=2.0)
        honest.append(within_center(design, validation.nested(design, quick(), outer=4, seed=seed)))
        # the leak: lesions of one patient on both sides, as an ungrouped split has them
        alone = replace(design, patients=np.array([str(i) for i in range(design.y.size)]))
        result = validation.nested(alone, quick(), outer=4, seed=seed)
        leaky.append(within_center(design, result))
    assert abs(np.mean(honest) - 0.5) < 0.06
    assert np.mean(leaky) > np.mean(honest) + 0.08


def test_a_signal_is_found_at_the_next_center_too():
    design = simulate(4, n_patients=100, signal=1.2, shift=0.2)
    for result in (
        validation.nested(design, quick(), seed=1),
        validation.leave_one_center_out(design, quick(), seed=1),
    ):
        assert within_center(design, result) > 0.7


def test_labels_exchanged_by_patient_keep_centers_and_lose_the_signal():
    design = simulate(5, n_patients=100, signal=1.5)
    null = validation.permuted(design, seed=1)
    assert (null.y != design.y).mean() > 0.2
    areas = [
        within_center(d, validation.nested(d, quick(), outer=4))
        for d in (validation.permuted(design, seed=s) for s in range(6))
    ]
    assert abs(np.mean(areas) - 0.5) < 0.08


def test_prevalence_that_differs_by_center_is_said():
    flags = [
        center_confounding(simulate(s, n_patients=120, prevalence_spread=2.0))["flag"]
        for s in range(20)
    ]
    quiet = [center_confounding(simulate(s, n_patients=120))["flag"] for s in range(20)]
    assert sum(flags) >= 18
    assert sum(quiet) <= 4


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"min_patients": 61}, "too_few_patients"),
        ({"min_events": 500}, "too_few_events"),
        ({}, None),
    ],
)
def test_what_is_short_is_named(change, reason):
    limits = {"min_patients": 20, "min_events": 10, "folds": 5} | change
    if reason is None:
        validation.feasible(simulate(1), **limits)
        return
    with pytest.raises(NotEvaluable) as caught:
        validation.feasible(simulate(1), **limits)
    assert caught.value.reason == reason
    assert "needed" in caught.value.detail


def test_one_class_and_no_labels():
    design = simulate(1)
    limits = {"min_patients": 2, "min_events": 2, "folds": 2}
    with pytest.raises(NotEvaluable, match="same outcome"):
        validation.feasible(replace(design, y=np.ones_like(design.y)), **limits)
    empty = Design(
        np.zeros((0, 0)), np.zeros(0, dtype=int), np.array([], str), np.array([], str), (), ()
    )
    with pytest.raises(NotEvaluable, match="no lesion"):
        validation.feasible(empty, **limits)


@pytest.mark.parametrize(
    ("label", "mixed", "binary"),
    [
        ("progression", "drop", 1),
        ("TP", "drop", 1),
        ("Treatment effect", "drop", 0),
        ("RN", "drop", 0),
        ("mixed", "progression", 1),
        ("mixed", "treatment_effect", 0),
        ("mixed", "drop", None),
        ("indeterminate", "drop", None),
        (None, "drop", None),
    ],
)
def test_labels(label, mixed, binary):
    assert binary_label(label, mixed) == binary


def course(outcome="progression", label_day=150.0):
    rows = [
        lesion(f"s{i}", days_from_srs=day, outcome=outcome, outcome_days_from_srs=label_day)
        for i, day in enumerate((-5.0, 60.0, 120.0, 180.0))
    ]
    cells = [feature(1.0 + i, session=f"s{i}", statistic="median") for i in range(4)]
    return rows, cells


def test_the_landmark_is_the_last_scan_up_to_the_label():
    rows, cells = course()
    marks = landmarks(rows, mixed="drop")
    assert [r["session"] for r in marks.rows] == ["s2"]
    design = make_design(marks, cells, rows)
    values = dict(zip(design.names, design.x[0], strict=True))
    assert values["lesion_rCBV_median"] == 3.0
    assert values["lesion_rCBV_median_change"] == pytest.approx(2.0)
    assert values["days_from_srs"] == 120.0


@pytest.mark.parametrize(
    ("basis", "session"), [("resection", "s3"), ("imaging-follow-up", "s2"), (None, "s2")]
)
def test_the_scan_that_a_label_was_read_from_is_no_landmark(basis, session):
    rows, _ = course(label_day=180.0)
    marks = landmarks([{**row, "outcome_basis": basis} for row in rows], mixed="drop")
    assert [r["session"] for r in marks.rows] == [session]


def test_visits_without_days_from_srs_are_ordered_by_date_and_not_by_name():
    names = {"v9": 0.0, "v10": 90.0, "v11": 180.0}
    rows = [lesion(name, outcome="RN", days_from_first=day) for name, day in names.items()]
    marks = landmarks(rows[::-1], mixed="drop")
    assert [r["session"] for r in marks.rows] == ["v11"]
    cells = [
        feature(1.0 + i, session=name, statistic="median") for i, name in enumerate(("v9", "v11"))
    ]
    design = make_design(marks, cells, rows)
    values = dict(zip(design.names, design.x[0], strict=True))
    assert values["lesion_rCBV_median_change"] == pytest.approx(1.0)
    table = [
        {
            "subject": "a",
            "lesion_id": "L001",
            "session": name,
            "center": "n",
            "features": {"x": day},
        }
        for name, day in names.items()
    ]
    assert to_design(table, {("a", "L001"): 1}).x.tolist() == [[180.0]]


def test_doubts_about_labels_are_counted():
    def row(basis, blinded, gap, outcome="RN"):
        return lesion(
            outcome=outcome,
            outcome_basis=basis,
            outcome_blinded=blinded,
            days_from_srs=100.0,
            outcome_days_from_srs=None if gap is None else 100.0 + gap,
        )

    rows = [
        row("resection", None, 5.0),
        row("imaging-follow-up", True, 30.0),
        row("imaging-follow-up", None, 90.0),
        row(None, False, None, "mixed"),
    ]
    doubts = label_doubts(rows, "drop")
    assert len(doubts) == 3
    assert "2 of 4 lesions" in doubts[0]
    assert doubts[1].startswith("1 of 4")
    assert doubts[2] == "1 lesions of mixed histology are left out."
    assert label_doubts(rows[:1], "drop") == []


def test_a_lesion_without_a_scan_between_srs_and_label_is_left_out_and_counted():
    rows, _ = course(label_day=30.0)
    marks = landmarks(rows, mixed="drop")
    assert marks.rows == ()
    assert list(marks.left_out) == ["no_scan_between_srs_and_label"]


def test_two_subjects_get_rules_and_the_reason_why_no_model():
    tables = study_tables()
    for row in tables["lesions"]:
        row["outcome"] = "progression" if row["lesion_id"] == "L001" else "RN"
    found = analyse(tables, CohortConfig())
    assert found.validation["reason"] == "too_few_patients"
    last = [row for row in found.flow if row["name"] == "validation of models"]
    assert "2 labelled patients, 20 needed" in last[0]["reason"]
    assert [row["n_lesions"] for row in last] == [4, 0]
    assert found.predictions == []
    assert {r["call"] for r in found.rules} >= {"progression", "not_evaluable", "not_applicable"}
    sens = [r for r in found.performance if r["metric"] == "sensitivity"]
    assert any(r["model"] == "rule:huang2011_rcbv" for r in sens)


def many_tables(n_patients=36):
    rng = np.random.default_rng(11)
    sessions, lesions, cells = [], [], []
    for i in range(n_patients):
        subject, center = f"p{i:02d}", f"c{i % 3}"
        sessions.append(session(subject=subject, center=center, day=120.0))
        for k in (1, 2):
            up = bool(rng.random() < 0.5)
            outcome = "progression" if up else "treatment_effect"
            name = f"L00{k}"
            where = {"subject": subject, "center": center}
            lesions.append(
                lesion("s1", name, label=k, outcome=outcome, days_from_srs=120.0, **where)
                | {"volume": float(rng.uniform(0.5, 5))}
            )
            for map_, size in (("rCBV", 1.0), ("Ktrans", 0.05), ("PSR", 40.0)):
                value = size * (1.5 + up + rng.normal(0, 1.5))
                cell = feature(
                    value, lesion=name, map=map_, statistic="median", label=k, subject=subject
                )
                cells.append(cell | {"center": center})
    return {"sessions": sessions, "lesions": lesions, "features": cells}


def test_the_whole_step_on_a_cohort_that_is_large_enough():
    config = CohortConfig(bootstrap=50, permutations=1, models=["logistic"], outer_folds=3)
    found = analyse(many_tables(), config)
    assert found.validation["possible"]
    figures = {(r["model"], r["split"], r["metric"]): r for r in found.performance}
    area = figures["logistic", "nested_3fold", "auc"]
    assert 0.7 < area["value"] < 1
    assert area["low"] < area["value"] < area["high"]
    assert ("logistic", "leave_one_center_out", "auc") in figures
    assert ("volume_only", "nested_3fold", "auc") in figures
    gain = figures["logistic", "nested_3fold", "auc_less_volume_only"]
    gap = area["value"] - figures["volume_only", "nested_3fold", "auc"]["value"]
    assert gain["value"] == pytest.approx(gap)
    assert gain["low"] < gain["value"] < gain["high"]
    assert figures["volume_only", "nested_3fold", "auc"]["value"] < 0.75
    keys = [(r["model"], r["split"], r["metric"]) for r in found.performance]
    assert len(set(keys)) == len(keys)
    assert found.checks["permuted_auc_mean"] < 0.75


def test_rows_fit_their_tables(tmp_path):
    from afterglow.tables.models import PerformanceRow, PredictionRow, RuleRow
    from afterglow.tables.write import write_table

    config = CohortConfig(
        bootstrap=0, permutations=0, models=["volume_only"], outer_folds=3, inner_folds=2
    )
    found = analyse(many_tables(), config)
    for rows, model in (
        (found.rules, RuleRow),
        (found.predictions, PredictionRow),
        (found.performance, PerformanceRow),
    ):
        assert write_table(rows, model, tmp_path / "t.parquet").num_rows == len(rows)
        model.model_validate(
            {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in rows[0].items()}
        )
