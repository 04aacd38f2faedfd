"""The files that make two folders BIDS datasets: descriptions, participants, sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from afterglow.bids.sidecars import write_json

BIDS_VERSION = "1.10.0"
_DERIVED = "Perfusion maps, lesion masks and measurements made by Afterglow."
# labelling needs facts that headers do not have; the others have no suffix in BIDS yet
_RAW_IGNORE = tuple(
    f"*_{kind}.{end}" for kind in ("dsc", "dce", "asl", "ADC") for end in ("nii.gz", "json")
)
_RAW_README = """\
# {name}

Brain MRI of patients with metastases after radiosurgery, converted from DICOM by Afterglow.

Labels of subjects are keyed hashes or the site's own; labels of sessions are dates shifted by a
secret amount per subject, so that intervals within one subject are true and dates are not.

Dynamic perfusion series are in `perf/` with the suffixes `dsc` and `dce`, which BIDS does not
define yet (`.bidsignore` lists them). Their frame times are in `VolumeTiming`, where they come
from in `TimingSource`, and by how much the candidates differ in `TimingDisagreement` (s).
"""
_PARTICIPANTS = {
    "participant_id": {"Description": "Label of the participant."},
    "center": {"Description": "Center that acquired the data."},
}
_SESSIONS = {
    "session_id": {"Description": "Label of the session; its date is shifted."},
    "days_from_srs": {"Description": "Days since the first radiosurgery.", "Units": "d"},
    "is_reference": {"Description": "Whether the other sessions are registered to this one."},
}


def write_dataset_files(
    out: Callable[[str], Path],
    plan_rows: Iterable[Mapping[str, Any]],
    study_name: str,
    version: str,
) -> list[str]:
    """Write what turns ``bids/`` and ``derivatives/`` into BIDS datasets.

    Parameters
    ----------
    out : callable
        Maps a path relative to the study's output to where it must be written.
    plan_rows : iterable of mapping
        Rows of ``plan.parquet``; only sessions with status ``planned`` are listed.
    study_name : str
        Name of the dataset.
    version : str
        Version of Afterglow.

    Returns
    -------
    list of str
        The relative paths written, sorted.
    """
    rows = [row for row in plan_rows if row.get("status", "planned") == "planned"]
    rows.sort(key=lambda row: (_prefixed("sub", row["subject"]), _prefixed("ses", row["session"])))
    written: list[str] = []

    def put(relative: str, content: str | Mapping[str, Any]) -> None:
        if isinstance(content, str):
            out(relative).write_text(content, encoding="utf-8")
        else:
            write_json(out(relative), content)
        written.append(relative)

    put("bids/dataset_description.json", _raw_description(study_name, version))
    put("bids/README.md", _RAW_README.format(name=study_name))
    put("bids/.bidsignore", "".join(f"{line}\n" for line in _RAW_IGNORE))
    put("bids/participants.json", _PARTICIPANTS)
    put("bids/participants.tsv", _participants(rows))
    for subject, own in _by_subject(rows).items():
        put(f"bids/{subject}/{subject}_sessions.tsv", _sessions(own))
        put(f"bids/{subject}/{subject}_sessions.json", _SESSIONS)
    put("derivatives/dataset_description.json", _derived_description(study_name, version))
    put("derivatives/README.md", f"# {study_name}: derivatives\n\n{_DERIVED}\n")
    put("derivatives/.bidsignore", "*.html\n*.parquet\n**/figures/\n**/perf/\n**/lesions/\n")
    return sorted(written)


def _raw_description(name: str, version: str) -> dict[str, Any]:
    return {
        "Name": name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "raw",
        "GeneratedBy": [{"Name": "Afterglow", "Version": version}],
    }


def _derived_description(name: str, version: str) -> dict[str, Any]:
    return {
        "Name": f"{name}: derivatives",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "Afterglow", "Version": version}],
        "DatasetLinks": {"raw": "../bids"},
        "SourceDatasets": [{"URL": "../bids"}],
    }


def _prefixed(entity: str, label: str) -> str:
    return f"{entity}-{label.removeprefix(f'{entity}-')}"


def _by_subject(rows: list[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(_prefixed("sub", row["subject"]), []).append(row)
    return groups


def _participants(rows: list[Mapping[str, Any]]) -> str:
    lines = ["participant_id\tcenter"]
    for subject, own in _by_subject(rows).items():
        centers = sorted({str(row["center"]) for row in own})
        lines.append(f"{subject}\t{'+'.join(centers)}")
    return "\n".join(lines) + "\n"


def _sessions(rows: list[Mapping[str, Any]]) -> str:
    lines = ["session_id\tdays_from_srs\tis_reference"]
    for row in rows:
        days = row.get("days_from_srs")
        shown = "n/a" if days is None or days != days else str(int(days))  # noqa: PLR0124 (NaN)
        reference = str(bool(row.get("is_reference", False))).lower()
        lines.append(f"{_prefixed('ses', row['session'])}\t{shown}\t{reference}")
    return "\n".join(lines) + "\n"
