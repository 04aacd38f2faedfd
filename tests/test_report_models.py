"""What the page says of models: order, sentences, tables, numbers without false precision."""

from __future__ import annotations

import pytest

from afterglow.cohort.analysis import analyse
from afterglow.config.cohort import CohortConfig
from afterglow.report.models import check_lines, model_tables
from test_cohort_validation import many_tables

CONFIG = CohortConfig(
    models=["clinical_perfusion"],
    bootstrap=0,
    permutations=2,
    outer_folds=3,
    inner_folds=2,
    learning_curve=[],
)


@pytest.fixture(scope="module")
def found():
    tables = many_tables()
    for i, row in enumerate(tables["lesions"]):
        row["outcome_basis"] = "RANO-BM volume"
        row["outcome"] = "mixed" if i % 9 == 0 else row["outcome"]
    return analyse(tables, CONFIG)


def test_the_model_of_the_study_comes_first(found):
    short = model_tables(found.performance, found.features, found.checks)[0]
    assert short["rows"][0][0] == "clinical perfusion"
    assert set(map(len, short["rows"])) == {len(short["head"])}
    titles = [t["title"] for t in model_tables(found.performance, found.features, found.checks)]
    assert titles[:2] == ["In short", "By center and subgroup"]
    assert {"Features one by one", "Mixed lesions"} <= set(titles)


def test_each_policy_for_mixed_lesions_has_its_area(found):
    by_policy = found.checks["mixed_sensitivity"]
    assert set(by_policy) == {"progression", "treatment_effect", "drop"}
    n = {policy: entry["n_lesions"] for policy, entry in by_policy.items()}
    assert n["drop"] == n["progression"] - 8 == n["treatment_effect"] - 8
    area = next(r for r in found.performance if r["metric"] == "auc_within_center")
    assert by_policy["progression"]["auc"] == area["value"]
    assert by_policy["treatment_effect"]["auc"] != area["value"]


def test_circular_features_are_named_in_a_sentence(found):
    assert found.checks["incorporated_features"] == ["volume"]
    lines = check_lines(found.checks)
    assert any("1 features measure too (volume)" in line for line in lines)
    assert any(line.endswith("mixed histology are counted as progression.") for line in lines)
    assert any("With labels permuted by patient" in line for line in lines)


def test_sentences_of_centers_and_harmonization():
    checks = {
        "center_confounding": {"p": 0.0001, "flag": True, "prevalence": {"a": 0.2, "b": 0.61}},
        "center_missingness": {"share": {}, "follows_center": ["rCBV", "Ktrans"]},
        "harmonization": "combat",
        "events_per_feature": 0.5,
    }
    text = " ".join(check_lines(checks))
    assert "differs between centers (p < 0.001; a 20 %, b 61 %). Read the areas within" in text
    assert "What is missing follows the center (rCBV, Ktrans)" in text
    assert "harmonized by ComBat in the training folds, without the label" in text
    assert "Fewer than 10: expect optimism." in text


def test_nothing_found_gives_no_tables():
    assert model_tables([], [], {}) == []
    assert check_lines({}) == []
