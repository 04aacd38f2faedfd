"""Classification of a plain table from elsewhere."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from afterglow.cohort.classify import apply_model, classify_table
from afterglow.config.cohort import CohortConfig
from afterglow.errors import AfterglowError
from cohort_simulation import simulate

CONFIG = CohortConfig(
    models=["logistic"], bootstrap=0, permutations=0, outer_folds=3, inner_folds=2
)


def write(path, rows):
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    design = simulate(21, n_patients=40, signal=1.5, n_features=5)
    rows, labels = [], []
    for i, patient in enumerate(design.patients):
        keys = {"patient": str(patient), "lesion": f"L{i:03d}", "site": str(design.centers[i])}
        rows.append(keys | {n: float(v) for n, v in zip(design.names, design.x[i], strict=True)})
        label = "progression" if design.y[i] else "radiation necrosis"
        labels.append({"patient": str(patient), "lesion": f"L{i:03d}", "label": label})
    pq.write_table(pa.Table.from_pylist(rows), folder / "features.parquet")
    write(folder / "features.csv", rows)
    write(folder / "outcomes.csv", labels)
    found = classify_table(
        folder / "features.parquet", folder / "outcomes.csv", folder / "out", config=CONFIG
    )
    return folder, rows, labels, found


def test_a_plain_table_is_classified(files):
    folder, rows, _, found = files
    table = pq.read_table(folder / "out/predictions.parquet").to_pylist()
    nested = [r for r in table if r["split"] == "nested_3fold"]
    assert len(nested) == len(rows)
    area = next(r for r in found.performance if r["metric"] == "auc")
    assert area["value"] > 0.7
    card = json.loads((folder / "out/model/card.json").read_text())
    assert card["fitted"]
    assert set(card["domain"]) == {f"f{i}" for i in range(5)}


def test_csv_and_parquet_give_the_same(files, tmp_path):
    folder, _, _, found = files
    again = classify_table(
        folder / "features.csv", folder / "outcomes.csv", tmp_path, config=CONFIG
    )
    assert again.performance == found.performance
    for name in ("predictions.parquet", "model/card.json", "model/model.skops"):
        assert (tmp_path / name).read_bytes() == (folder / "out" / name).read_bytes()


def test_the_model_is_applied_and_refuses_what_it_never_saw(files, tmp_path):
    folder, rows, _, _ = files
    new = [dict(rows[0]), dict(rows[1]) | {"f0": 50.0}, dict(rows[2]) | {"f1": None}]
    found = apply_model(folder / "out/model", write(tmp_path / "new.csv", new))
    assert 0 < found[0]["probability"] < 1
    assert set(found[0]["explanation"]) <= {f"f{i}" for i in range(5)}
    assert np.isnan(found[1]["probability"])
    assert found[1]["reasons"][0].startswith("f0:50 outside")
    assert found[2]["reasons"] == ["f1:missing"]


def test_a_table_without_a_feature_of_the_model_is_refused(files, tmp_path):
    folder, rows, _, _ = files
    new = [{k: v for k, v in rows[0].items() if k != "f3"}]
    with pytest.raises(AfterglowError, match="lacks 1 features of the model: f3"):
        apply_model(folder / "out/model", write(tmp_path / "new.csv", new))


BROKEN = [
    ({"patient": None}, {}, "column `subject` is missing"),
    ({"lesion": None}, {}, "column `lesion_id` is missing"),
    ({"f0": "high"}, {}, "column `f0` holds 'high' in row 1"),
    ({}, {"label": None}, "column `label` is missing"),
    ({}, {"lesion": None}, "column `lesion_id` is missing"),
    ({}, {"label": "perhaps"}, "no label is of a known kind, found perhaps"),
    ({}, {"patient": "nobody"}, "no lesion of the table has a label"),
]


@pytest.mark.parametrize(("feature", "outcome", "message"), BROKEN)
def test_what_is_wrong_with_a_table_is_said(files, tmp_path, feature, outcome, message):
    _, rows, labels, _ = files

    def spoil(row, change):
        return {k: change.get(k, v) for k, v in row.items() if change.get(k, "") is not None}

    features = write(tmp_path / "f.csv", [spoil(r, feature) for r in rows])
    outcomes = write(tmp_path / "o.csv", [spoil(r, outcome) for r in labels])
    with pytest.raises(AfterglowError, match=message):
        classify_table(features, outcomes, tmp_path, config=CONFIG)


def test_rows_that_repeat_a_lesion_and_empty_tables(files, tmp_path):
    folder, rows, _, _ = files
    path = write(tmp_path / "f.csv", [rows[0], rows[0]])
    with pytest.raises(AfterglowError, match="row 2 repeats"):
        classify_table(path, folder / "outcomes.csv", tmp_path)
    path.write_text("patient,lesion,f0\n")
    with pytest.raises(AfterglowError, match="no rows"):
        classify_table(path, folder / "outcomes.csv", tmp_path)
    with pytest.raises(AfterglowError, match=r"kind `\.xls`"):
        classify_table(tmp_path / "f.xls", folder / "outcomes.csv", tmp_path)


def test_too_few_cases_leave_a_card_that_says_so(files, tmp_path):
    folder, rows, _, _ = files
    path = write(tmp_path / "f.csv", rows[:6])
    found = classify_table(path, folder / "outcomes.csv", tmp_path, config=CONFIG)
    assert not found.validation["possible"]
    assert pq.read_table(tmp_path / "predictions.parquet").num_rows == 0
    with pytest.raises(AfterglowError, match="no model was fitted, because"):
        apply_model(tmp_path / "model", path)


def test_the_long_form_is_spread(files, tmp_path):
    folder, rows, _, found = files
    long = [
        {
            "subject": r["patient"],
            "lesion_id": r["lesion"],
            "center": r["site"],
            "session": "s1",
            "region": "lesion",
            "map": name,
            "statistic": "median",
            "value": r[name],
            "evaluable": True,
        }
        for r in rows
        for name in (f"f{i}" for i in range(5))
    ]
    pq.write_table(pa.Table.from_pylist(long), tmp_path / "long.parquet")
    again = classify_table(
        tmp_path / "long.parquet", folder / "outcomes.csv", tmp_path, config=CONFIG
    )
    assert again.design.names == tuple(f"lesion_f{i}_median" for i in range(5))
    assert [r["value"] for r in again.performance] == [r["value"] for r in found.performance]


def test_the_command_writes_beside_the_table_unless_told(files, monkeypatch, capsys):
    from afterglow.cli import standalone
    from afterglow.cohort import classify

    folder, _, _, _ = files
    monkeypatch.setattr(
        classify, "classify_table", lambda _, __, out, **___: (out / "found").write_text("x")
    )
    standalone.classify(folder / "features.parquet", outcomes=folder / "outcomes.csv")
    assert (folder / "features-classified" / "found").read_text() == "x"
    assert "features-classified" in capsys.readouterr().out
    with pytest.raises(AfterglowError, match="either validated against labels or given"):
        standalone.classify(folder / "features.parquet")


def test_a_run_without_a_model_leaves_none_of_an_earlier_run(files, tmp_path):
    from afterglow.cli import standalone

    folder, rows, _, _ = files
    out = shutil.copytree(folder / "out", tmp_path / "out")
    (out / "model" / "notes.txt").write_text("a person's own")
    assert (out / "model" / "model.skops").exists()
    assert (out / "journal" / "models.csv").exists()
    few = write(tmp_path / "f.csv", rows[:6])
    standalone.classify(few, outcomes=folder / "outcomes.csv", out=out)
    found = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}
    fresh = tmp_path / "fresh"
    standalone.classify(few, outcomes=folder / "outcomes.csv", out=fresh)
    alone = {str(p.relative_to(fresh)) for p in fresh.rglob("*") if p.is_file()}
    assert found == alone | {"model/notes.txt"}


def test_a_card_without_its_model_is_no_model(files, tmp_path):
    folder, _, _, _ = files
    model = shutil.copytree(folder / "out" / "model", tmp_path / "model")
    (model / "model.skops").unlink()
    with pytest.raises(AfterglowError, match="a card but no file"):
        apply_model(model, folder / "features.csv")


def test_a_wide_table_of_a_study_is_read_as_it_is(tmp_path):
    from afterglow.phantom.tables import generate

    table = generate(patients=30, features=8, signal=2.0, missing=0.1, seed=2)
    table.to_parquet(tmp_path / "features_wide.parquet")
    table[["subject", "lesion_id", "outcome"]].to_csv(tmp_path / "outcomes.csv", index=False)
    config = CONFIG.model_copy(update={"models": ["clinical_perfusion"], "learning_curve": []})
    found = classify_table(
        tmp_path / "features_wide.parquet", tmp_path / "outcomes.csv", tmp_path, config=config
    )
    assert {"lesion_rCBV_median", "lesion_PSR_median", "days_from_srs"} <= set(found.design.names)
    assert found.results["clinical_perfusion", "nested"].weights[0]["lesion_rCBV_median"] > 0


def test_a_harmonized_model_knows_its_centers(files, tmp_path):
    folder, rows, _, _ = files
    config = CONFIG.model_copy(update={"harmonization": "combat", "combat_lesions": 10})
    classify_table(folder / "features.parquet", folder / "outcomes.csv", tmp_path, config=config)
    card = json.loads((tmp_path / "model/card.json").read_text())
    assert card["harmonization"]["centers"] == ["c0", "c1", "c2", "c3"]
    here, there = dict(rows[0]), dict(rows[0]) | {"site": "elsewhere"}
    found = apply_model(tmp_path / "model", write(tmp_path / "new.csv", [here, there]))
    assert found[0]["reasons"] == []
    assert found[1]["reasons"] == ["center_not_harmonized"]
    assert found[0]["probability"] != found[1]["probability"]
    assert {entry["name"] for entry in card["performance_by_center"]} <= {"c0", "c1", "c2", "c3"}
    assert card["performance_by_subgroup"]
