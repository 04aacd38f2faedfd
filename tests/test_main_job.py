"""The main job on a synthetic cohort: raw DICOM to tables and pages, for real.

One study is run per test session and shared; what changes it works on a copy.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from afterglow.phantom.cohort import series_folder, write_cohort
from afterglow.precompile import KERNELS
from afterglow.provenance.lineage import trace_row
from doc_blocks import blocks, commands

NO_NETWORK = Path(__file__).parent / "no_network"


@dataclass
class Demo:
    """A finished demo study and what its run printed."""

    folder: Path
    printed: str = ""

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def table(self, name: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(self.out / f"tables/{name}.parquet").to_pylist()
        return rows

    def afterglow(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(
                filter(None, (str(NO_NETWORK), os.environ.get("PYTHONPATH")))
            ),
        }
        return subprocess.run(
            [sys.executable, "-m", "afterglow.cli.app", *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
        )

    def planned(self) -> Counter[tuple[str, str | None]]:
        """Stages and sessions that a plan lists."""
        found = self.afterglow("plan", "study.yaml", "--json")
        assert found.returncode == 0, found.stderr
        return Counter((job["stage"], job["session"]) for job in json.loads(found.stdout)["jobs"])


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("main") / "demo"
    folder.mkdir()
    study = Demo(folder)
    done = study.afterglow("demo", str(folder))
    assert done.returncode == 0, done.stderr[-3000:]
    study.printed = done.stdout
    return study


@pytest.mark.skipif(not KERNELS.is_dir(), reason="kernels were not compiled: `make install`")
def test_the_stages_compile_nothing_that_the_installation_has_not(demo: Demo) -> None:
    cached = [path.name for path in (demo.out / ".cache/numba").glob("[!b]*/*.nbc")]
    assert cached
    assert not {*cached} - {path.name for path in KERNELS.rglob("*.nbc")}, (
        "python docs/tools/record_kernels.py"
    )


@pytest.fixture
def moved(demo: Demo, tmp_path: Path) -> Demo:
    """A copy elsewhere with new dates."""
    shutil.copytree(demo.folder, tmp_path / "demo", copy_function=shutil.copyfile)
    return Demo(tmp_path / "demo")


def test_the_last_lines_name_report_tables_and_a_trace_that_works(demo: Demo) -> None:
    lines = demo.printed.splitlines()
    assert f"report: {demo.out}/cohort/report.html" in lines
    assert f"tables: {demo.out}/tables" in lines
    command = lines[-1].removeprefix("trace a number: afterglow ").split()
    assert command[0] == "trace"
    found = demo.afterglow(*command)
    assert found.returncode == 0, found.stderr
    assert "rCBV" in lines[-1]
    for word in ("features", "dsc", "anat", "bids", "DICOM DSC"):
        assert word in found.stdout
    assert any(f"{center}:" in found.stdout for center in ("north", "south", "west"))
    for word in ("dce sub-", "DICOM DCE", "DICOM VFA"):
        assert word not in found.stdout, "the other modality does not belong to this number"


def test_every_session_is_done_and_nothing_failed(demo: Demo) -> None:
    found = demo.afterglow("status", "study.yaml", "--json")
    jobs = json.loads(found.stdout)["jobs"]
    assert Counter(job["status"] for job in jobs) == {"done": 6 * 6 + 2 * 3 + 3}
    assert demo.table("failures") == []


def test_errors_against_truth_stay_within_the_promised_limits(demo: Demo) -> None:
    found = {a["quantity"]: a for a in json.loads((demo.out / "cohort/accuracy.json").read_text())}
    limits = {"Lesion volume": 5, "rCBV": 15, "Ktrans": 20, "White-matter T1": 5}
    errors = {name: found[name]["median_absolute_error_percent"] for name in limits}
    assert {name: error for name, error in errors.items() if not error <= limits[name]} == {}
    pairs = {name: found[name]["n"] for name in limits}
    assert pairs == {"Lesion volume": 16, "rCBV": 14, "Ktrans": 14, "White-matter T1": 4}


def test_the_record_of_every_number_leads_to_instances(demo: Demo) -> None:
    rows = demo.table("features")
    assert len(rows) > 100
    assert {row["record_id"] for row in rows} == {
        json.loads(path.read_text())["key"]
        for path in (demo.out / "ledger/records").glob("*.json")
        if json.loads(path.read_text())["stage"] == "features"
    }
    absent = [r for r in rows if r["value"] is None and not r["reason"]]
    assert absent == []


def holds_numbers(kind: pa.DataType) -> bool:
    """Tell whether a column's cells are numbers, or lists of numbers as of curves."""
    kind = kind.value_type if pa.types.is_list(kind) else kind
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)


def sources_of(table: pa.Table, name: str) -> set[str]:
    """Return what a table itself names as the sources of a column."""
    words = (table.schema.field(name).metadata or {}).get(b"source", b"").decode()
    return {word.strip() for word in words.split(",")}


def test_every_number_of_every_table_leads_to_its_leaves(demo: Demo) -> None:
    walked: Counter[str] = Counter()
    for path in sorted((demo.out / "tables").glob("*.parquet")):
        table = pq.read_table(path)
        numeric = [field.name for field in table.schema if holds_numbers(field.type)]
        told = {name for name in numeric if sources_of(table, name) <= {"clinical", "outcomes"}}
        known: dict[tuple[Any, ...], set[str]] = {}
        for row in table.to_pylist():
            for column in numeric:
                if row[column] is None:
                    continue
                walked[path.stem] += 1
                image = row.get("map") or column.partition(".")[0]
                lesion = (row["subject"], row.get("lesion_id")) if column in told else None
                same = (row.get("record_id"), row.get("rule_id"), image, "." in column or column)
                same = (*same, lesion)
                if same not in known:
                    found = trace_row(demo.out, path.stem, row, column)
                    assert not any(node.get("missing") for node in found.nodes)
                    known[same] = {leaf["kind"] for leaf in found.leaves}
                    known[same] |= {"site_row" for leaf in found.leaves if leaf.get("rows")}
                wanted = {"site_file", "site_row"} if column in told else {"instance"}
                wanted |= {"rule"} if row.get("rule_id") else set()
                assert wanted <= known[same], (path.stem, column, row)
    assert walked["features"] > 50_000
    assert {
        "lesions",
        "features_wide",
        "rules",
        "sessions",
        "curves",
        "edges",
        "therapies",
    } <= walked.keys()


def test_every_perfusion_value_says_what_it_rests_on(demo: Demo) -> None:
    rows = [row for row in demo.table("features") if row["space"] == "dsc"]
    assert {"rCBV", "CBV", "CBVraw", "CBF", "PSR", "rPH", "nPSRln", "FTB", "sRCBV"} <= {
        row["map"] for row in rows
    }
    for row in rows:
        raw = row["map"] in {"CBVraw", "PSR", "PH", "PHdR2s", "TTP", "rPH", "nPSRln"}
        assert row["leakage_model"] == ("none" if raw else "bsw")
        assert row["window"] not in {"", "none"}
        assert "preload " in row["domain"]
        assert "TE " in row["domain"]
        compared = row["map"] in {"rCBV", "rPH", "nPSRln", "FTB"} or "ratio" in row["statistic"]
        if compared and row["value"] is not None:
            assert row["normalization"] in {"contralateral_nawm", "whole_brain_nawm"}
        if row["map"] == "sRCBV" and "ratio" not in row["statistic"]:
            assert row["normalization"] == "standard_scale"
    protocols = {row["domain"].split(";")[0] for row in rows}
    assert protocols <= {"consensus_preload", "consensus_low_flip", "outside", "unknown"}


def test_lesions_keep_their_identity_over_time(demo: Demo) -> None:
    by_lesion: dict[tuple[str, str], set[str]] = {}
    for row in demo.table("lesions"):
        by_lesion.setdefault((row["subject"], row["lesion_id"]), set()).add(row["session"])
    assert len(by_lesion) >= 4
    assert all(len(sessions) == 2 for sessions in by_lesion.values())


def test_running_again_does_nothing_and_a_copy_plans_nothing(demo: Demo, moved: Demo) -> None:
    again = demo.afterglow("run", "study.yaml")
    assert again.returncode == 0, again.stderr
    assert "Nothing to be done" in again.stdout
    assert moved.planned() == Counter()
    assert "Nothing to be done" in moved.afterglow("run", "study.yaml").stdout


def test_the_commands_and_queries_of_the_documents_run(
    moved: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every line of README, tutorial and how-tos, on a finished study; labels are put in."""
    from typer.testing import CliRunner

    from afterglow.cli.app import app
    from afterglow.report.server import StudyServer

    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    # The reader looks around and ends `afterglow view` with Ctrl-C; tests of the server click on.
    monkeypatch.setattr(StudyServer, "serve_forever", _interrupted)
    folder = moved.folder.parent
    (folder / "my-study").symlink_to(moved.folder)
    monkeypatch.chdir(folder)
    row = next(r for r in moved.table("features") if r["map"] == "rCBV" and r["evaluable"])
    leaf = next(x for x in trace_row(moved.out, "features", row).leaves if x.get("file"))
    names = {"S": row["subject"], "subject=S": f"subject={row['subject']}"}
    names |= {"session=T": f"session={row['session']}"}
    names |= {"lesion_id=L001": f"lesion_id={row['lesion_id']}"}
    names["HASH"] = leaf["file"]
    own = [r for r in moved.table("sessions") if r["subject"] == row["subject"]]
    places = {r["is_reference"]: r["session"] for r in own}
    names |= {"T": places[False], "same_as T0/1": f"same_as {places[True]}/1"}
    lines = [
        (block, words)
        for block, words in commands()
        if words[0] == "afterglow" and block.executed and words[1] not in {"t1", "dce", "dsc"}
    ]
    seen = set()
    # What changes the study comes last, so that no other line runs jobs.
    for block, words in sorted(lines, key=lambda line: line[1][1] in {"decide", "reference"}):
        name = words[1]
        filled = [names.get(word, word) for word in words[1:]]
        if name == "init":
            if name in seen:
                continue
            filled[1] = "another-study"
        if name == "decide":
            with (moved.folder / "study.yaml").open("a", encoding="utf-8") as stream:
                stream.write("decisions: decisions.csv\n")
        done = CliRunner().invoke(app, filled)
        assert done.exit_code == 0, (block.page, words, done.output, done.exception)
        seen.add(name)
    assert {"decide", "reference"} <= seen
    assert seen >= {"init", "index", "run", "status", "plan", "trace", "verify", "impact", "view"}
    assert {address.split(":")[1] for address in opened} == {"//127.0.0.1"}
    for block in blocks("python"):
        if "demo/out" in block.text:
            exec(block.text, {})


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_verify_is_clean_until_a_byte_changes(demo: Demo, moved: Demo) -> None:
    assert demo.afterglow("verify", "study.yaml", "--deep").returncode == 0
    path = next(moved.out.glob("derivatives/sub-*/ses-*/perf/*param-CBV_map.nii.gz"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    found = moved.afterglow("verify", "study.yaml", "--json")
    assert found.returncode == 5
    findings = json.loads(found.stdout)["findings"]
    assert [(f["class"], f["path"]) for f in findings] == [
        ("TAMPERED", path.relative_to(moved.out).as_posix())
    ]


def test_a_changed_setting_plans_exactly_what_follows(moved: Demo) -> None:
    path = moved.folder / "study.yaml"
    path.write_text(path.read_text().replace("hematocrit: 0.42", "hematocrit: 0.45"))
    stages = Counter(stage for stage, _ in moved.planned().elements())
    assert stages == {
        "dsc": 4, "dce": 4, "features": 4, "identity": 1, "report": 4, "stories": 2, "tables": 1,
        "cohort": 1, "study_report": 1,
    }  # fmt: skip


def test_a_new_session_with_a_corrupt_file_runs_alone_and_ends_as_a_row(moved: Demo) -> None:
    before = {row["session"] for row in moved.table("sessions")}
    write_cohort(moved.folder, size="small", sessions={"NORTH-0001": 3})
    layout = json.loads((moved.folder / "truth/layout.json").read_text())
    dates = sorted(e["study_date"] for e in layout if e["patient"] == "NORTH-0001")
    series = series_folder(moved.folder, "NORTH-0001", dates[-1], "dsc")
    victim = sorted(series.iterdir())[100]
    victim.write_bytes(victim.read_bytes()[:-500])
    assert moved.afterglow("index", "study.yaml").returncode == 0
    plan = moved.planned()
    (new,) = {session for _, session in plan if session is not None}
    assert new not in before
    assert plan == {
        **{(s, new): 1 for s in ("bids", "anat", "dsc", "dce", "features", "report")},
        **{(s, None): 1 for s in ("identity", "stories", "tables", "cohort", "study_report")},
    }
    done = moved.afterglow("run", "study.yaml")
    assert done.returncode == 3, done.stderr[-3000:]
    assert "11 jobs ran" in done.stdout
    failures = moved.table("failures")
    assert len(failures) >= 1
    assert all(row["session"] == new for row in failures)
    text = json.dumps(failures[0])
    assert "north:" in text
    assert failures[0]["remedy"]
    assert str(victim.name) not in text
    rows = moved.table("features")
    assert {row["session"] for row in rows} == before | {new}
    new_maps = {row["map"] for row in rows if row["session"] == new and row["value"] is not None}
    assert "Ktrans" in new_maps
    assert "rCBV" not in new_maps


def test_absent_numbers_have_a_reason_and_the_wide_matrix_holds_the_same_cells(demo: Demo) -> None:
    keys = ("center", "subject", "session", "lesion_id", "label")
    long = pq.read_table(demo.out / "tables/features.parquet").to_pandas()
    assert ((long["value"].isna()) == (long["reason"] != "")).all()
    assert (long["value"].notna() == long["evaluable"]).all()
    assert {"too_small", "empty_region"} <= set(long["reason"])
    assert set(long["region"]) >= {"lesion", "enhancing", "necrosis", "flair", "treated"}
    assert (long.loc[long["model"] == "ibsi", "map"].unique() == ["FLAIR", "T1w"]).all()
    long["name"] = long["map"].str.cat([long["region"], long["statistic"]], sep=".")
    assert not long.duplicated([*keys, "name"]).any()
    wide = pq.read_table(demo.out / "tables/features_wide.parquet").to_pandas()
    columns = [name for name in wide.columns if name.count(".") == 2]
    assert len(wide) * len(columns) == len(long)
    cells = wide[[*keys, *columns]].melt(list(keys), var_name="name", value_name="wide")
    both = long.merge(cells, on=[*keys, "name"], validate="one_to_one")
    assert len(both) == len(long)
    assert ((both["value"] == both["wide"]) | (both["value"].isna() & both["wide"].isna())).all()


def test_no_raw_identifier_is_in_what_the_study_wrote(demo: Demo) -> None:
    layout = json.loads((demo.folder / "truth/layout.json").read_text())
    shifted = {row["session"] for row in demo.table("sessions")}
    dates = {e["study_date"] for e in layout} - shifted
    secrets = {text.encode() for text in dates | {e["patient"] for e in layout}}
    found = [
        (path.relative_to(demo.out).as_posix(), secret)
        for path in demo.out.rglob("*")
        if path.is_file() and ".snakemake" not in path.parts
        for secret in secrets
        if secret in path.read_bytes() or secret.decode() in path.name
    ]
    assert found == []
