"""From hand-made states to tables: identity, features and tables on a small synthetic study."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from afterglow.tables.digest import content_digest
from afterglow.tables.models import FeatureRow, LesionRow
from afterglow.tables.rows import arrow_schema
from tables_study import DOUBT, LESIONS, make_study, run_all


def decided(root):
    """Give a study a decisions file."""
    with (root / "study.yaml").open("a") as stream:
        stream.write("decisions: decisions.csv\n")
    (root / "decisions.csv").write_text(
        "subject,session,target,decision,file,rater,date,reason\n"
        "s1,20190701,lesion/2,not_same_as 20190401/1,,reader-1,20201213,elsewhere\n"
        "s1,20190701,lesion/2,new,,reader-1,20201213,\n"
        "s1,20190701,lesion/9,new,,reader-1,20201213,no such label\n"
    )
    return root


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = decided(make_study(tmp_path_factory.mktemp("study")))
    states = run_all(root)
    return root / "out", states


@pytest.fixture(scope="module")
def tables(study):
    out, _ = study
    return {p.stem: pq.read_table(p) for p in sorted((out / "tables").glob("*.parquet"))}


def rows(tables, table, **where):
    found = tables[table].to_pylist()
    return [row for row in found if all(row[k] == v for k, v in where.items())]


def test_every_table_is_there_with_its_schema(tables):
    names = {"sessions", "lesions", "edges", "features", "features_wide", "curves"}
    names |= {"failures", "therapies"}
    assert set(tables) == names
    assert tables["features"].schema.equals(arrow_schema(FeatureRow))
    assert tables["lesions"].schema.equals(arrow_schema(LesionRow))
    assert tables["features"].schema.field("n_voxels").metadata[b"definition"]


def test_lesions_keep_their_ids_although_their_labels_changed(tables):
    found = {
        (r["session"], r["label"]): r["lesion_id"] for r in rows(tables, "lesions", subject="s1")
    }
    assert found == {
        ("20190101", 1): "L001",
        ("20190101", 2): "L002",
        ("20190401", 1): "L002",
        ("20190401", 2): "L001",
        ("20190701", 1): "L002",
        ("20190701", 2): "L003",
        ("20190701", 0): "L001",
    }
    states = {
        (r["session"], r["lesion_id"]): r["state"] for r in rows(tables, "lesions", subject="s1")
    }
    assert states["20190701", "L001"] == "resolved"
    assert states["20190701", "L003"] == "new"


def test_a_decision_is_told_with_rater_and_reason(study, tables):
    told = {r["lesion_id"]: r["decision"] for r in rows(tables, "lesions") if r["decision"]}
    assert told == {"L003": "not_same_as 20190401/1 (reader-1: elsewhere); new (reader-1)"}


def test_volumes_changes_and_responses(tables):
    by = {(r["session"], r["lesion_id"]): r for r in rows(tables, "lesions", subject="s1")}
    for (session, label), lesion in {("20190101", 1): "L001", ("20190401", 1): "L002"}.items():
        radius = LESIONS["s1", session][label][1]
        expected = 4 / 3 * 3.14159265 * radius**3 / 1000
        assert by[session, lesion]["volume"] == pytest.approx(expected, rel=0.06)
    assert by["20190401", "L001"]["response_volume"] == "PR"
    assert by["20190401", "L002"]["response_diameter"] == "PD"
    assert by["20190401", "L002"]["volume_change_baseline"] == pytest.approx(95, abs=15)
    assert by["20190701", "L001"]["response_diameter"] == "CR"
    assert by["20190701", "L001"]["volume"] == 0
    sessions = {r["session"]: r for r in rows(tables, "sessions", subject="s1")}
    assert sessions["20190101"]["patient_rano_bm"] == "baseline"
    assert sessions["20190701"]["patient_rano_bm"] == "PD"
    assert "new_lesion" in sessions["20190701"]["patient_rano_bm_facts"]
    assert "steroids" in sessions["20190701"]["patient_rano_bm_facts"]
    assert sessions["20190401"]["days_from_first"] == 90
    assert sessions["20190401"]["series_doubts"] == DOUBT


def test_relative_cbv_against_truth(tables):
    found = rows(tables, "features", map="rCBV", statistic="median", region="lesion")
    assert len(found) == 7
    for row in found:
        truth = LESIONS[row["subject"], row["session"]][row["label"]][2] / 2.0
        assert row["value"] == pytest.approx(truth, rel=0.05)
        assert row["normalization"] == "contralateral_nawm"
        assert row["record_id"] == f"features-{row['subject']}-{row['session']}"


def test_what_is_absent_has_a_reason_and_nothing_else_has(tables):
    table = tables["features"].to_pylist()
    for row in table:
        assert (row["value"] is None) == (row["reason"] != "") == (not row["evaluable"])
    assert any(row["reason"] == "too_small" for row in table)


def test_the_wide_matrix_is_the_features_table(tables):
    cells = {
        (r["subject"], r["session"], r["label"], f"{r['map']}.{r['region']}.{r['statistic']}"): r
        for r in tables["features"].to_pylist()
    }
    wide = tables["features_wide"]
    columns = [n for n in wide.column_names if n.count(".") == 2]
    seen = 0
    reasons = set()
    for row in wide.to_pylist():
        for name in columns:
            cell = cells[row["subject"], row["session"], row["label"], name]
            assert row[name] == cell["value"]
            assert wide.schema.field(name).metadata[b"unit"].decode() == cell["unit"]
            assert (row[name] is None) == (cell["reason"] != "")
            reasons.add(cell["reason"])
            seen += 1
    assert seen == len(cells)
    assert "dce_failed" in reasons


def test_wide_changes_follow_the_lesion_and_not_the_label(tables):
    wide = {(r["session"], r["lesion_id"]): r for r in tables["features_wide"].to_pylist()}
    name = "shape.lesion.volume"
    before, after = wide["20190101", "L002"][name], wide["20190401", "L002"][name]
    change = wide["20190401", "L002"][f"{name}.change_baseline"]
    assert change == pytest.approx(100 * (after / before - 1))
    assert wide["20190101", "L002"][f"{name}.change_baseline"] is None
    assert wide["20190401", "L001"][f"{name}.change_nadir"] < 0


def test_failures_hold_failed_stages_and_failed_parts(study, tables):
    found = rows(tables, "failures", subject="s2")
    assert {(r["stage"], r["what"]) for r in found} == {("bids", "FLAIR"), ("dce", "stage")}
    assert found[1]["log"] == "logs/dce/sub-s2_ses-20200101.log"
    steps = study[1]["tables"][0].summary["flow"]
    flow = [row for row in steps if row["name"] == "DCE perfusion"]
    assert [(r["reason"], r["n_sessions"]) for r in flow] == [("", 0), ("failed: broken", 4)]


def test_the_dictionary_names_every_column(study, tables):
    out, _ = study
    content = json.loads((out / "tables" / "dictionary.json").read_text())
    for name, table in tables.items():
        described = [column["name"] for column in content["tables"][name]["columns"]]
        assert described == table.column_names
        assert all(column["definition"] for column in content["tables"][name]["columns"])
    text = (out / "tables" / "dictionary.md").read_text()
    assert "`longest_diameter` | double | mm" in text


def test_a_new_scan_changes_measurement_rows_of_that_session_only(study, tables, tmp_path):
    fewer = make_study(tmp_path, sessions=tuple(LESIONS)[:2])
    run_all(fewer)
    before = pq.read_table(fewer / "out/tables/features.parquet").to_pylist()
    now = tables["features"].to_pylist()
    kept = [r for r in now if (r["subject"], r["session"]) in tuple(LESIONS)[:2]]
    assert before == kept
    again = run_all(fewer)
    assert again["tables"][0].summary["n_features"] == len(before)


def test_same_rows_give_the_same_bytes(study, tmp_path):
    out, _ = study
    other = decided(make_study(tmp_path))
    run_all(other)
    for path in sorted((out / "tables").iterdir()):
        twin = other / "out" / "tables" / path.name
        assert path.read_bytes() == twin.read_bytes(), path.name
    table = pq.read_table(out / "tables/features.parquet")
    shuffled = table.take(list(range(table.num_rows))[::-1])
    assert content_digest(table) == content_digest(shuffled)


def test_the_data_package_describes_every_table_and_column(study, tables):
    out, _ = study
    package = json.loads((out / "tables/datapackage.json").read_text())
    assert package["profile"] == "data-package"
    found = {r["path"].removesuffix(".parquet"): r for r in package["resources"]}
    assert set(found) == set(tables)
    kinds = {"number", "integer", "string", "boolean", "array"}
    for name, table in tables.items():
        fields = found[name]["schema"]["fields"]
        assert [field["name"] for field in fields] == table.column_names
        assert {field["type"] for field in fields} <= kinds
        keys = found[name]["schema"]["primaryKey"]
        assert table.select(keys).group_by(keys).aggregate([]).num_rows == table.num_rows
        if "content_digest" in found[name]:
            assert found[name]["content_digest"] == content_digest(table)
    assert found["lesions"]["content_digest"]


def test_the_tsv_twin_says_what_the_lesions_table_says(study, tables):
    out, _ = study
    lines = (out / "tables/lesions.tsv").read_text().splitlines()
    names = lines[0].split("\t")
    assert names == tables["lesions"].column_names
    sidecar = json.loads((out / "tables/lesions.json").read_text())
    assert list(sidecar) == names
    assert sidecar["volume"]["Units"] == "mL"
    for line, row in zip(lines[1:], tables["lesions"].to_pylist(), strict=True):
        for name, text in zip(names, line.split("\t"), strict=True):
            value = row[name]
            if text == "n/a":
                assert value in {None, ""}
            elif isinstance(value, float):
                assert float(text) == value
            else:
                assert text.lower() == str(value).lower()
