"""Index: what was decided stays decided, what did not change is not written, nothing leaks."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from afterglow.config import Study
from afterglow.config.center import CenterConfig
from afterglow.dicom import index
from afterglow.dicom.deidentify import whereis
from afterglow.dicom.digests import append_digests, load_digests
from afterglow.dicom.index import build_index
from afterglow.dicom.instance import describe, reject
from afterglow.errors import AfterglowError, ExitCode
from ingest_dicom import DCE, DSC, FLAIR, FULL, T1W, T1W_CE, Person, vfa, write_series, write_study

SMALL = [replace(T1W, n_slices=20), replace(DSC, times=[1.5 * n for n in range(20)], n_slices=2)]


def study_of(folder: Path, **center) -> Study:
    extra = {name: center.pop(name) for name in ("clinical",) if name in center}
    settings = {"name": "north", "dicom": [folder / "incoming"], **center}
    return Study(study="t", out=folder / "out", centers=[CenterConfig(**settings)], **extra)


def contents(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted((out / "index").rglob("*"))
        if path.is_file()
    }


def manifests(study: Study) -> dict[str, dict]:
    folder = study.out / "index" / "manifests"
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def test_classes_times_and_order_of_contrast(tmp_path):
    write_study(tmp_path / "incoming", [*FULL, replace(T1W, name="LOCALIZER", number=1)])
    result = build_index(study_of(tmp_path))
    rows = {row["class"]: row for row in result.series}
    assert sorted(result.plan[0]["classes"]) == [
        "DCE", "DSC", "FLAIR", "T1w", "T1w_ce", "VFA", "VFA",
    ]  # fmt: skip
    assert rows["localizer"]["skipped"] == "class_localizer"
    assert rows["T1w_ce"]["contrast_rule"] == "after_injection"
    assert rows["T1w"]["contrast_rule"] == "before_injection"
    assert rows["DSC"]["frame_times"][:3] == [0.0, 1.5, 3.0]
    assert rows["DSC"]["timing_source"] == "trigger_time"
    assert rows["T1w"]["frame_times"] is None
    (manifest,) = manifests(study_of(tmp_path)).values()
    assert manifest["facts"]["preload_evidence"] == "dce_before_dsc"
    assert manifest["facts"]["injection_between_vfa_and_dce"] is False
    dsc = next(s for s in manifest["series"] if s["class"] == "DSC")
    assert dsc["acquisition"]["repetition_time"] == 1.5
    assert dsc["acquisition"]["contrast_agent"] == "gadobutrol"
    assert dsc["acquisition"]["dose"] == 0.1
    assert [len(volume) for volume in dsc["volumes"]] == [4] * 24


def test_unchanged_tree_changes_no_byte_and_says_so(tmp_path):
    write_study(tmp_path / "incoming", SMALL)
    study = study_of(tmp_path)
    build_index(study)
    before = contents(study.out)
    again = build_index(study)
    assert again.unchanged
    assert contents(study.out) == before


def test_an_index_that_ended_early_is_made_anew(tmp_path, monkeypatch):
    """Also where its cause is gone again: what it left half written follows from other files."""
    write_study(tmp_path / "incoming" / "a", SMALL)
    study = study_of(tmp_path)
    build_index(study)
    before = contents(study.out)
    write_study(tmp_path / "incoming" / "b", SMALL, date="20200101", study=2)
    with monkeypatch.context() as patch:
        patch.setattr(index, "write_table", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(OSError, match="full"):
            build_index(study)
    assert contents(study.out) != before
    shutil.rmtree(tmp_path / "incoming" / "b")
    assert not build_index(study).unchanged
    assert contents(study.out) == before


def test_a_manifest_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    write_study(tmp_path / "incoming", SMALL)
    study = study_of(tmp_path)

    def write(path, content, **_):
        with path.open("wb") as stream:
            stream.write((content if isinstance(content, bytes) else content.encode())[:9])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write)
        with pytest.raises(OSError, match="No space left"):
            build_index(study)
    assert manifests(study) == {}
    build_index(study)
    assert len(manifests(study)) == 1


@pytest.mark.parametrize("cut", [1, 2, 30])
def test_a_digest_that_was_cut_off_swallows_no_other(tmp_path, cut):
    entries = [{"file": name, "sha256": name * 64, "size": 1, "mtime_ns": 1} for name in "ab"]
    append_digests(tmp_path, "s", entries[:1])
    path = tmp_path / "digests" / "s.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    append_digests(tmp_path, "s", entries)
    assert set(load_digests(tmp_path)) == {"a", "b"}
    assert b"\n\n" not in path.read_bytes()


def test_touched_and_copied_files_change_no_byte(tmp_path):
    write_study(tmp_path / "incoming", SMALL)
    study = study_of(tmp_path)
    build_index(study)
    before = contents(study.out)
    for path in (tmp_path / "incoming").rglob("IM*"):
        os.utime(path, (1e9, 1e9))
    assert not build_index(study).unchanged
    assert contents(study.out) == before
    shutil.copytree(tmp_path / "incoming", tmp_path / "elsewhere")
    moved = study_of(tmp_path, dicom=[tmp_path / "elsewhere"])
    build_index(moved)
    assert contents(study.out) == before


def test_late_series_duplicate_push_and_new_session_change_only_their_manifest(tmp_path):
    write_study(tmp_path / "incoming" / "a", SMALL)
    write_study(tmp_path / "incoming" / "b", SMALL, date="20190601", study=2)
    study = study_of(tmp_path)
    first = build_index(study)
    names = {row["arrival"]: row["session"] for row in first.plan}
    before = contents(study.out)

    shutil.copytree(tmp_path / "incoming" / "a", tmp_path / "incoming" / "again")
    result = build_index(study)
    assert contents(study.out) == before, "a duplicate push changes nothing"
    assert result.counts["duplicates"] == 20 + 40

    write_series(tmp_path / "incoming" / "late", FLAIR)
    build_index(study)
    after = contents(study.out)
    changed = {n for n in after if after[n] != before.get(n) and n.endswith(".json")}
    assert changed == {f"index/manifests/sub-{first.plan[0]['subject']}_ses-{names[1]}.json"}

    write_study(tmp_path / "incoming" / "c", SMALL, date="20180101", study=3)
    final = build_index(study)
    last = contents(study.out)
    new = {n for n in last if last[n] != after.get(n) and n.endswith(".json")}
    assert len(new) == 1
    assert not new & set(after)
    assert {row["arrival"]: row["session"] for row in final.plan}[1] == names[1]
    assert max(row["arrival"] for row in final.plan) == 3
    references = {row["reference_session"] for row in final.plan}
    assert references == {first.plan[0]["reference_session"]}, "the reference stays pinned"


def test_same_uid_other_content_is_set_aside_and_what_was_in_use_stays(tmp_path):
    write_study(tmp_path / "incoming", SMALL)
    study = study_of(tmp_path)
    build_index(study)
    before = contents(study.out)
    changed = replace(SMALL[0], te=4.5)
    write_series(tmp_path / "incoming" / "wrong", changed)
    result = build_index(study)
    assert result.quarantined == {"same_uid_other_content": 20}
    assert contents(study.out) == before


def test_two_patients_under_one_identifier_are_quarantined(tmp_path):
    write_study(tmp_path / "incoming" / "a", SMALL)
    other = Person(name="Roe^Richard", birth="19700101")
    write_study(tmp_path / "incoming" / "b", SMALL, other, date="20200101", study=2)
    good = Person(id="SECRET-PID-0002", name="Poe^Edgar", birth="19090119")
    write_study(tmp_path / "incoming" / "c", SMALL, good, date="20200202", study=3)
    result = build_index(study_of(tmp_path))
    status = {row["status"] for row in result.plan if row["reason"] == "two_birth_dates"}
    assert status == {"quarantined"}
    assert sum(row["status"] == "planned" for row in result.plan) == 1


def test_reference_is_the_first_contrast_scan_near_or_after_radiosurgery(tmp_path):
    both = [T1W, DSC, T1W_CE]
    for number, date in enumerate(("20180101", "20190304", "20190801"), start=1):
        small = [replace(s, n_slices=20 if s.kind == "3D" else 2) for s in both]
        write_study(tmp_path / "incoming" / date, small, date=date, study=number)
    clinical = tmp_path / "clinical.csv"
    clinical.write_text("patient,srs_date\nSECRET-PID-0001,2019-03-20\n")
    result = build_index(study_of(tmp_path, clinical=clinical))
    days = {row["arrival"]: row["days_from_srs"] for row in result.plan}
    assert days == {1: -443, 2: -16, 3: 134}
    assert [row["arrival"] for row in result.plan if row["is_reference"]] == [2]


def test_archives_are_read_and_escaping_names_stay_inside(tmp_path):
    folder = write_study(tmp_path / "made", SMALL)
    (tmp_path / "incoming").mkdir()
    files = sorted(path for path in folder.rglob("IM*"))
    with zipfile.ZipFile(tmp_path / "incoming" / "a.zip", "w") as archive:
        for path in files[:20]:
            archive.write(path, f"../../{path.name}-t1")
    with tarfile.open(tmp_path / "incoming" / "b.tar.gz", "w:gz") as archive:
        for path in files[20:]:
            archive.add(path, f"x/{path.parent.name}/{path.name}")
    result = build_index(study_of(tmp_path))
    assert result.plan[0]["classes"] == ["DSC", "T1w"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "incoming", "made", "out", "out-private",
    ]  # fmt: skip


def test_hashes_lead_back_to_files_and_nothing_identifies(tmp_path):
    person = Person()
    write_study(tmp_path / "incoming" / "Doe_Jane_19510203", FULL, person)
    study = study_of(tmp_path)
    result = build_index(study)
    example = result.series[0]["example_file"]
    assert example.startswith("north:")
    assert whereis(study, example).is_file()
    with pytest.raises(AfterglowError, match="no indexed file"):
        whereis(study, "north:000000000000")
    everything = b"".join(contents(study.out).values())
    everything += result.summary().encode()
    for table in ("series", "plan"):
        everything += str(pq.read_table(study.out / f"index/{table}.parquet").to_pylist()).encode()
    for secret in (person.id, "Doe", "19510203", person.accession, "20190304", "Nowhere", "House",
                   "1.2.826.0.1.3680043", "Doe_Jane"):  # fmt: skip
        assert secret.encode() not in everything
    assert (study.private_dir.stat().st_mode & 0o777) == 0o700
    assert (study.private_dir / "key").stat().st_mode & 0o077 == 0


def test_site_labels_and_visits_are_used(tmp_path):
    write_study(tmp_path / "incoming", SMALL)
    (tmp_path / "subjects.csv").write_text("patient,label\nSECRET-PID-0001,sub-N01\n")
    (tmp_path / "visits.csv").write_text(
        "patient,study_date,label\nSECRET-PID-0001,2019-03-04,baseline\n"
    )
    study = study_of(tmp_path, subjects=tmp_path / "subjects.csv", visits=tmp_path / "visits.csv")
    for _ in range(2):
        result = build_index(study)
        (row,) = result.plan
        assert (row["subject"], row["session"]) == ("N01", "baseline")
        assert result.warnings == []
        write_study(tmp_path / "incoming" / "more", [FLAIR], study=1)


def test_site_labels_that_come_after_the_first_index_are_warned_of(tmp_path):
    write_study(tmp_path / "incoming", SMALL)
    (tmp_path / "subjects.csv").write_text("patient,label\nSECRET-PID-0001,sub-N01\n")
    (tmp_path / "visits.csv").write_text(
        "patient,study_date,label\nSECRET-PID-0001,2019-03-04,baseline\n"
    )
    (before,) = build_index(study_of(tmp_path)).plan
    late = study_of(tmp_path, subjects=tmp_path / "subjects.csv", visits=tmp_path / "visits.csv")
    for result in (build_index(late), build_index(late)):
        (row,) = result.plan
        assert (row["subject"], row["session"]) == (before["subject"], before["session"])
        subjects, visits = result.warnings
        assert subjects.startswith("subjects.csv: 1 subject of center north got another label")
        assert visits.startswith("visits.csv: 1 visit of center north got another label")
        assert "remedy: name a new `out`" in subjects
        for secret in ("SECRET", "N01", "baseline", "2019", before["subject"]):
            assert secret not in f"{subjects} {visits}"


def test_no_dicom_at_all_ends_with_its_own_exit_code(tmp_path):
    (tmp_path / "incoming").mkdir()
    (tmp_path / "incoming" / "notes.txt").write_text("nothing here")
    with pytest.raises(AfterglowError) as caught:
        build_index(study_of(tmp_path))
    assert caught.value.exit_code == ExitCode.NOTHING


def test_a_flip_angle_alone_is_no_protocol(tmp_path):
    write_study(tmp_path / "incoming", [vfa(2, 41), DCE])
    result = build_index(study_of(tmp_path))
    assert {row["class"] for row in result.series} == {"DCE", "unknown"}


def test_name_alone_never_makes_contrast(tmp_path):
    write_study(tmp_path / "incoming", [replace(T1W, name="AX T1 POST GD")])
    (row,) = build_index(study_of(tmp_path)).series
    assert (row["class"], row["runner_up"]) == ("T1w", "T1w_ce")
    assert row["confidence"] <= 0.5


def test_two_studies_of_one_date_stay_apart_and_keep_their_labels(tmp_path):
    tiny = replace(T1W, n_slices=2)
    write_study(tmp_path / "incoming" / "a", [tiny], study=1)
    study = study_of(tmp_path)
    (alone,) = build_index(study).plan
    write_study(tmp_path / "incoming" / "b", [replace(tiny, te=4.0)], study=2)
    both = {row["arrival"]: row["session"] for row in build_index(study).plan}
    assert both == {1: alone["session"], 2: f"{alone['session']}b"}


def test_the_printed_table_says_what_lacks_and_what_to_do(tmp_path):
    nominal = replace(SMALL[1], timing="none")
    write_study(tmp_path / "incoming", [SMALL[0], nominal, replace(T1W, name="scout", number=1)])
    (tmp_path / "incoming" / "notes.txt").write_text("nothing here, only some words for a person")
    text = build_index(study_of(tmp_path)).summary()
    row = next(line for line in text.splitlines() if line.startswith("north"))
    assert "DSC, T1w" in row
    assert "T1w_ce, FLAIR, DCE, VFA" in row
    assert "DSC:no_temporal_tag" in " ".join(text.split())
    assert "class_localizer" in row
    assert "rejected: 1 file, not_dicom" in text
    assert "no_temporal_tag: the header gives no frame times" in text


def test_slices_that_never_came_are_told_and_no_image_is_made_of_the_rest(tmp_path):
    folder = tmp_path / "incoming"
    write_study(folder, [*SMALL, replace(FLAIR, n_slices=20)])
    (folder / "003" / "IM00011").unlink()
    result = build_index(study_of(tmp_path))
    (row,) = (row for row in result.series if row["class"] == "FLAIR")
    assert (row["status"], row["skipped"]) == ("skipped", "slices_missing")
    assert "FLAIR" not in result.plan[0]["classes"]
    assert [s["class"] for s in next(iter(manifests(study_of(tmp_path)).values()))["series"]] == [
        "DSC",
        "T1w",
    ]
    text = " ".join(result.summary(width=400).split())
    assert "FLAIR:slices_missing" in text
    assert "slices_missing: slices between others are not here" in text


def test_slices_lost_at_an_edge_are_a_doubt_of_the_index_and_the_manifest(tmp_path):
    folder = tmp_path / "incoming"
    write_study(folder, [*SMALL, replace(FLAIR, n_slices=20)])
    assert all("doubts" not in s for m in read_all(tmp_path) for s in m["series"])
    (folder / "003" / "IM00001").unlink()
    result = build_index(study_of(tmp_path))
    text = " ".join(result.summary(width=400).split())
    said = "slices_may_be_missing (19 of 20 by instance_number)"
    assert f"FLAIR:{said}" in text
    assert "slices_may_be_missing: a count says more than is here" in text
    entries = [s for m in manifests(study_of(tmp_path)).values() for s in m["series"]]
    assert {s["class"]: s["doubts"] for s in entries if "doubts" in s} == {"FLAIR": [said]}


def read_all(tmp_path):
    study = study_of(tmp_path)
    build_index(study)
    return manifests(study).values()


def test_a_cut_off_file_and_volumes_that_never_came_are_doubts_of_the_index(tmp_path):
    folder = tmp_path / "incoming"
    declared = replace(SMALL[1], options={"NumberOfTemporalPositions": 30})
    write_study(folder, [replace(T1W, n_slices=20), declared])
    whole = folder / "002" / "IM00007"
    whole.write_bytes(whole.read_bytes()[:-100])
    text = " ".join(build_index(study_of(tmp_path)).summary(width=400).split())
    assert "DSC:fewer_volumes_than_declared, T1w:file_cut_off" in text
    assert "file_cut_off: cut off in the pixels" in text


def test_what_cannot_be_looked_into_is_told_and_tried_again(tmp_path, monkeypatch):
    folder = tmp_path / "incoming"
    write_study(folder, SMALL)
    (folder / "annexed.dcm").symlink_to(folder / "never-fetched")
    (folder / "nothing.dcm").touch()
    closed = folder / "002"
    scandir = os.scandir

    def refused(path):
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    result = build_index(study_of(tmp_path))
    assert result.rejected == {
        "empty_file": 1,
        "unreadable_broken_link": 1,
        "unreadable_permission_denied": 1,
    }
    assert result.plan[0]["classes"] == ["DSC"]
    assert "unreadable_permission_denied: permission" in " ".join(result.summary().split())
    monkeypatch.undo()
    again = build_index(study_of(tmp_path))
    assert again.plan[0]["classes"] == ["DSC", "T1w"]
    assert "unreadable_permission_denied" not in again.rejected


def test_a_file_that_became_readable_is_read_though_nothing_else_moved(tmp_path, monkeypatch):
    folder = tmp_path / "incoming"
    write_study(folder, SMALL)
    monkeypatch.setattr(
        "afterglow.dicom.inventory.describe",
        lambda stream, size: (
            reject("unreadable_permission_denied")
            if "/002/" in str(stream.name)
            else describe(stream, size)
        ),
    )
    assert build_index(study_of(tmp_path)).plan[0]["classes"] == ["DSC"]
    monkeypatch.undo()
    assert build_index(study_of(tmp_path)).plan[0]["classes"] == ["DSC", "T1w"]


def csv_file(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_rows_of_site_files_that_fit_nothing_are_named_by_number_only(tmp_path):
    write_study(tmp_path / "incoming", SMALL)
    clinical = csv_file(
        tmp_path / "clinical.csv",
        "patient,srs_date",
        "SECRET-PID-0001,04.03.2019",
        "SECRET-PID-1,20190304",
    )
    masks = csv_file(
        tmp_path / "masks.csv",
        "patient,study_date,file",
        "SECRET-PID-0001,20190304,gone.nii",
        "SECRET-PID-0001,20190305,clinical.csv",
    )
    result = build_index(study_of(tmp_path, clinical=clinical, masks=masks))
    told = "\n".join(result.warnings)
    assert "the file that row 1 of the list names is not there" in told
    assert "masks of north: row 2 of the list fit no session" in told
    assert "srs_date of row 1 is no date, expected YYYYMMDD" in told
    assert "clinical: no DICOM of the patient of row 2" in told
    assert "SECRET" not in told


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"patient;srs_date\nA;20190304\n", "semicolons or tabs"),
        (b"Patient,srs_date\nA,20190304\n", "lower case"),
        (b"patient,srs_date\nM\xfcller,20190304\n", "UTF-8"),
        (b"patient,srs_date\n\x00,20190304\n", "clinical"),
    ],
)
def test_a_site_file_that_cannot_be_read_says_what_to_do(tmp_path, content, said):
    write_study(tmp_path / "incoming", SMALL[:1])
    path = tmp_path / "clinical.csv"
    path.write_bytes(content)
    try:
        told = "; ".join(build_index(study_of(tmp_path, clinical=path)).warnings)
    except AfterglowError as error:
        told = str(error)
    assert said in told
