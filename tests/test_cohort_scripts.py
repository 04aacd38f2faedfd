"""The scripts of the stages cohort, report and study_report on hand-made inputs."""

from __future__ import annotations

import json
import runpy

import pyarrow.parquet as pq
import pytest

from afterglow.config import Study
from afterglow.config.resources import resource
from afterglow.provenance.job import Job, State
from afterglow.tables.models import FailureRow, FeatureRow, LesionRow, SessionRow
from afterglow.tables.write import write_table
from cohort_tables import session_states, study_tables

MODELS = {
    "sessions": SessionRow,
    "lesions": LesionRow,
    "features": FeatureRow,
    "failures": FailureRow,
}
TRUTH = "patient,study_date,lesion,centroid_x,centroid_y,centroid_z,volume_ml,rcbv,ktrans,t1_wm\n"


def script(name):
    return runpy.run_path(str(resource(f"scripts/{name}.py")))["main"]


def write_tables(root):
    tables = study_tables()
    for name, model in MODELS.items():
        known = set(model.model_fields)
        extra = {"model": "bsw", "space": "dsc"} if name == "features" else {}
        extra |= {"transient": False} if name == "failures" else {}
        rows = [{k: v for k, v in (extra | row).items() if k in known} for row in tables[name]]
        write_table(rows, model, root / f"tables/{name}.parquet")
    return tables["flow"]


def make_job(stage, root, study, upstream, **more):
    return Job(
        stage=stage,
        key=stage[0] * 64,
        root=root,
        scratch=root,
        study=study,
        upstream=upstream,
        say=lambda _: None,
        **more,
    )


def done(job):
    return State(job.stage, job.key, None, None, "done", summary=job.summary)


@pytest.fixture
def study(tmp_path):
    truth = tmp_path / "truth.csv"
    truth.write_text(TRUTH + "P1,20200304,1,0,0,5,1.02,2.1,0.11,0.95\n")
    return Study.model_validate(
        {
            "study": "demo",
            "out": tmp_path / "out",
            "centers": [{"name": "north", "dicom": [tmp_path]}],
            "report": {"truth": truth},
        }
    )


def test_from_tables_to_the_cohort_page(study, tmp_path):
    root = study.out
    flow = write_tables(root)
    tables = State("tables", "t" * 64, None, None, "done", summary={"flow": flow})
    cohort = make_job("cohort", root, study, {"tables": [tables]})
    script("cohort")(cohort)
    rules = pq.read_table(root / "tables/rules.parquet").to_pylist()
    assert len({(r["subject"], r["session"], r["lesion_id"], r["rule_id"]) for r in rules}) == 168
    assert all(r["record_id"] for r in rules)
    assert pq.read_table(root / "tables/predictions.parquet").num_rows == 0
    steps = pq.read_table(root / "tables/flow.parquet").to_pylist()
    assert steps[-1]["name"] == "validation of models"
    assert steps[-1]["reason"].startswith("no_labels: no lesion has an outcome")
    card = json.loads((root / "cohort/model/card.json").read_text())
    assert card["fitted"] is False
    assert any("validation impossible, because" in w for w in cohort.warnings)
    page = make_job("study_report", root, study, {"tables": [tables], "cohort": [done(cohort)]})
    script("study_report")(page)
    html = (root / "cohort/report.html").read_text()
    assert "Validation impossible, because no lesion has an outcome" in html
    assert html.count("validation of models") == 1
    accuracy = json.loads((root / "cohort/accuracy.json").read_text())
    targets = {a["quantity"]: a["target_percent"] for a in accuracy if a["target_percent"]}
    assert targets == {"Lesion volume": 5.0, "rCBV": 15.0, "Ktrans": 20.0, "White-matter T1": 5.0}
    assert str(tmp_path) not in html + json.dumps(page.summary)


def test_the_cohort_page_says_why_there_is_no_cohort_stage(study):
    write_tables(study.out)
    failed = State("cohort", "c" * 64, None, None, "failed", detail="it broke")
    tables = State("tables", "t" * 64, None, None, "done")
    page = make_job("study_report", study.out, study, {"tables": [tables], "cohort": [failed]})
    script("study_report")(page)
    assert "stage cohort is failed (it broke)" in (study.out / "cohort/report.html").read_text()


def test_the_session_page(study):
    states = session_states(study.out)
    upstream = {name: [state] for name, state in states.items()}
    job = make_job("report", study.out, study, upstream, subject="a", session="s1", center="north")
    script("report")(job)
    assert job.summary == {"page": "derivatives/sub-a_ses-s1.html"}
    assert "sub-a · ses-s1" in (study.out / job.summary["page"]).read_text()


def test_a_rule_file_of_the_site_is_applied(study, tmp_path):
    import yaml

    from afterglow.cohort.rule_files import load_rules

    own = yaml.safe_load(load_rules(only=["huang2011_rcbv"])[0].model_dump_json())
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump([own | {"id": "site_rcbv", "cutoff": 99.0}]))
    study = study.model_copy(update={"cohort": study.cohort.model_copy(update={"rules": [path]})})
    write_tables(study.out)
    tables = State("tables", "t" * 64, None, None, "done")
    script("cohort")(make_job("cohort", study.out, study, {"tables": [tables]}))
    rules = pq.read_table(study.out / "tables/rules.parquet").to_pylist()
    assert "site_rcbv" in {r["rule_id"] for r in rules}
    assert not (study.out / "tables/flow.parquet").exists()
