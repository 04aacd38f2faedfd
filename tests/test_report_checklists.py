"""Checklists: complete, honest about what a run cannot know, and weighted as published."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from afterglow.report.checklists import as_markdown, fill_checklists, run_facts, write_checklists
from cohort_tables import study_tables

COHORT = {
    "validation": {"possible": True},
    "checks": {
        "events_per_feature": 3.2,
        "center_confounding": {"p": 0.4, "flag": False, "prevalence": {}},
    },
}
AREA = {
    "model": "logistic",
    "split": "nested_5fold",
    "metric": "auc",
    "value": 0.71,
    "low": 0.6,
    "high": 0.8,
}
COUNTS = {"metrics": 30, "clear": 58, "tripod_ai": 52}


def shared():
    base = os.environ.get("AFTERGLOW_SHARED") or Path(__file__).resolve().parents[2] / "shared"
    return Path(base) / "data" / "reporting"


def test_every_item_is_there_and_answered_or_left_to_a_person():
    filled = fill_checklists(study_tables() | {"performance": [AREA]}, COHORT)
    for name, n in COUNTS.items():
        items = filled[name]["items"]
        assert len(items) == n
        assert len({i["item"] for i in items}) == n
        for item in items:
            assert item["status"] in {"filled", "human", "not_applicable"}
            assert (item["status"] == "human") == (item["answer"] == "a person must answer")
            assert bool(item["evidence"]) == (item["status"] == "filled")
    assert "nested_5fold 0.71 (0.60 to 0.80)" in str(filled["clear"])


def test_without_validation_nothing_is_claimed_of_models():
    with_models = fill_checklists(study_tables() | {"performance": [AREA]}, COHORT)
    without = fill_checklists(study_tables(), {"validation": {"possible": False}})
    assert without["metrics"]["weight_filled"] < with_models["metrics"]["weight_filled"] < 0.8
    status = {i["item"]: i["status"] for i in without["metrics"]["items"]}
    assert (status["18"], status["27"], status["6"]) == ("human", "human", "filled")


def test_an_empty_study_states_only_what_holds_for_every_run():
    facts = run_facts({}, {})
    assert "centers" not in facts
    assert "split" not in facts
    assert "code" in facts


def test_every_fact_named_is_a_fact_that_can_be_stated():
    from afterglow.report.checklists import _sources

    labelled = study_tables()
    labelled["lesions"] = [{**r, "outcome": "progression"} for r in labelled["lesions"]]
    facts = set(run_facts(labelled | {"performance": [AREA]}, COHORT))
    named = {i[2] for c in _sources().values() for i in c["items"] if i[2]}
    assert named - facts == {"not_applicable", "external"}
    assert facts <= named


def test_files(tmp_path):
    filled = fill_checklists(study_tables(), COHORT)
    names = write_checklists(filled, tmp_path)
    assert len(names) == 6
    assert json.loads((tmp_path / "clear.json").read_text())["n"] == 58
    text = as_markdown(filled["metrics"])
    assert text.count("\n| ") == 31
    assert "CC BY 4.0" in text


@pytest.mark.skipif(not shared().exists(), reason="the reference checklists are not here")
def test_numbers_and_weights_are_the_published_ones_and_the_words_are_not():
    filled = fill_checklists({}, {})
    metrics = json.loads((shared() / "METRICS.json").read_text())["items"]
    assert [i["weight"] for i in filled["metrics"]["items"]] == [i["weight"] for i in metrics]
    for name, file in (("clear", "CLEAR.json"), ("tripod_ai", "TRIPOD_AI.json")):
        published = json.loads((shared() / file).read_text())
        assert [i["item"] for i in filled[name]["items"]] == [i["item"] for i in published]
        texts = {i["checklist item"].lower() for i in published}
        assert not [i for i in filled[name]["items"] if i["topic"].lower() in texts]
