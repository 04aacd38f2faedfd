"""Identifiers planted wherever people and scanners put them are found in nothing that goes out."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import pydicom
import pytest
import yaml
from pydicom.dataset import Dataset

from afterglow.bids.dataset import write_dataset_files
from afterglow.bids.session import write_session
from afterglow.config import load_study
from afterglow.dicom.gate import check_outputs
from afterglow.dicom.index import build_index
from afterglow.errors import AfterglowError, ExitCode
from afterglow.provenance.job import Job
from ingest_dicom import DSC, T1W, T1W_CE, Person, write_study
from ingest_objects import write_rtstruct

PERSON = Person("PIDSTANDARD77", "Standardova^Zuzana", "19510203", "ACCSTANDARD1")
# secret: where it stands
PLANTED = {
    "PIDSTANDARD77": "PatientID",
    "Standardova": "PatientName",
    "Zuzana": "PatientName",
    "19510203": "PatientBirthDate",
    "ACCSTANDARD1": "AccessionNumber",
    "20190304": "StudyDate",
    "Otherova": "OtherPatientNames",
    "PIDOTHER88": "OtherPatientIDs",
    "Commentova": "ImageComments",
    "Descriptova": "SeriesDescription",
    "Protocolova": "ProtocolName",
    "Refererova": "ReferringPhysicianName",
    "Sequencova": "SequenceName",
    "Modelova": "ManufacturerModelName",
    "Coilova": "ReceiveCoilName",
    "Agentova": "ContrastBolusAgent",
    "OPTIONOVA": "ScanOptions",
    "Nestedova": "a nested sequence",
    "ACCNESTED2": "a nested sequence",
    "Deepova": "a sequence within a sequence",
    "Privatova": "a private element",
    "PIDPRIVATE99": "a private sequence",
    "Folderova": "a folder name",
    "19510204": "a folder name",
    "Fileova": "a file name",
    "Raterova": "the mask list",
    "Roiova": "the name of a structure",
    "1.2.826.0.1.3680043": "UIDs",
}


def plant(path: Path) -> None:
    ds = pydicom.dcmread(path)
    ds.OtherPatientNames, ds.OtherPatientIDs = "Otherova^A", "PIDOTHER88"
    ds.ImageComments = "for Commentova"
    ds.SeriesDescription = f"{ds.SeriesDescription} Descriptova"
    ds.ProtocolName, ds.ReferringPhysicianName = "brain Protocolova", "Refererova^B"
    ds.SequenceName, ds.ManufacturerModelName = "Sequencova", "SIGNA of Modelova"
    ds.ReceiveCoilName, ds.ScanOptions = "Coilova", ["FS", "OPTIONOVA"]
    if "ContrastBolusAgent" in ds:
        ds.ContrastBolusAgent = "Gadovist Agentova"
    inner, request = Dataset(), Dataset()
    inner.PatientName = "Deepova^C"
    request.AccessionNumber, request.RequestedProcedureDescription = "ACCNESTED2", "of Nestedova"
    request.ReferencedPatientSequence = [inner]
    ds.RequestAttributesSequence = [request]
    block = ds.private_block(0x0011, "AFTERGLOW TEST", create=True)
    block.add_new(0x01, "LO", "Privatova")
    private = Dataset()
    private.PatientID = "PIDPRIVATE99"
    block.add_new(0x02, "SQ", [private])
    ds.save_as(path, enforce_file_format=True)
    path.rename(path.with_name(f"Fileova-{path.name}"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    incoming = folder / "incoming" / "Folderova_19510204"
    dynamic = replace(DSC, n_slices=1, times=[1.5 * n for n in range(20)])
    write_study(
        incoming, [replace(T1W, n_slices=20), dynamic, replace(T1W_CE, n_slices=20)], PERSON
    )
    for path in sorted(incoming.rglob("IM*")):
        plant(path)
    images = sorted((incoming / "007").iterdir())
    write_rtstruct(incoming / "Fileova-rs.dcm", images, {"GTV Roiova": []})
    cut = sorted((incoming / "006").iterdir())[3]
    cut.write_bytes(cut.read_bytes()[:-40])
    (incoming / "Fileova-notes.txt").write_text("Commentova")
    (folder / "masks.csv").write_text(
        f"patient,study_date,file,rater\n{PERSON.id},20190304,Fileova.nii.gz,Dr Raterova\n"
    )
    (folder / "study.yaml").write_text(
        yaml.safe_dump(
            {
                "study": "t",
                "out": str(folder / "out"),
                "centers": [
                    {
                        "name": "north",
                        "dicom": [str(folder / "incoming")],
                        "masks": str(folder / "masks.csv"),
                    }
                ],
            }
        )
    )
    study = load_study(folder / "study.yaml")
    said: list[str] = []
    result = build_index(study, progress=said.append)
    said.append(result.summary())
    row = result.plan[0]
    job = Job("bids", "k", study.out, study.out, study, row["subject"], row["session"],
              row["center"], say=said.append)  # fmt: skip
    write_session(job)
    said += [f"{p.what} {p.cause} {p.remedy}" for p in job.problems] + job.warnings

    def out(relative: str) -> Path:
        path = study.out / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    write_dataset_files(out, result.plan, "t", "0")
    (study.out / "summary.json").write_text(yaml.safe_dump(job.summary))
    return folder, study, job, "\n".join(said)


def test_none_of_it_stands_in_what_goes_out(made):
    _, study, job, said = made
    assert {"T1w", "T1w_ce"} <= set(job.summary["series"])
    assert len(job.problems) == 1, "the cut-off series"
    everything = {"messages": said.encode()}
    for path in study.out.rglob("*"):
        name = path.relative_to(study.out).as_posix()
        everything[f"name {name}"] = name.encode()
        if path.is_file():
            everything[name] = path.read_bytes()
            if name.endswith(".nii.gz"):
                everything[name] += bytes(nib.load(path).header.binaryblock)
    found = [
        (where, place)
        for secret, where in PLANTED.items()
        for place, content in everything.items()
        if secret.lower().encode() in content.lower()
    ]
    assert found == []
    check_outputs(study)


def test_a_message_leads_to_its_file(made):
    folder, _, job, _ = made
    name = next(word for word in job.problems[0].cause.split() if word.startswith("north:"))
    called = subprocess.run(
        [sys.executable, "-m", "afterglow.cli.app", "whereis", folder / "study.yaml",
         name.rstrip(";,")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert called.returncode == 0, called.stderr
    assert Path(called.stdout.strip()).is_relative_to(folder / "incoming")
    assert "Fileova" in called.stdout


def test_the_gate_sees_each_of_them_where_the_inventory_knows_it(made):
    folder, study, _, _ = made
    leak = study.out / "leak.txt"
    place = str(folder / "incoming" / "Folderova_19510204" / "006")
    for secret in ("PIDSTANDARD77", "Standardova", "1951-02-03", "ACCSTANDARD1", "Refererova",
                   "PIDOTHER88", place):  # fmt: skip
        leak.write_text(f"seen: {secret}.")
        with pytest.raises(AfterglowError) as caught:
            check_outputs(study)
        assert caught.value.exit_code == ExitCode.FINDINGS
        assert secret not in str(caught.value)
    leak.unlink()
    check_outputs(study)
