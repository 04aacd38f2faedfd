"""The raw BIDS files of one session, from its manifest."""

from __future__ import annotations

import traceback
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.bids.acquired import frame_time, series_path, sidecar
from afterglow.bids.enhancement import check_contrast
from afterglow.bids.images import save_nifti
from afterglow.bids.names import bids_path
from afterglow.bids.objects import write_objects
from afterglow.bids.sidecars import read_json, write_json
from afterglow.dicom.convert import Series, convert
from afterglow.dicom.deidentify import read_sources
from afterglow.dicom.digests import append_digests
from afterglow.dicom.manifest import FURTHER
from afterglow.errors import AfterglowError, is_transient

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.provenance.job import Job

_KEYS = {"DSC": "dsc", "DCE": "dce"}
# mapping protocols, of which all series are needed
_EVERY = {"VFA": "vfa", "IR": "ir", "MP2RAGE": "mp2rage"}


def write_session(job: Job) -> None:
    """Convert every usable series and object of a session.

    A series that cannot be converted becomes a problem of the job; the others go on.

    Raises
    ------
    AfterglowError
        No series at all could be converted.
    """
    subject, session = _unit(job)
    name = f"sub-{subject}_ses-{session}"
    manifest = read_json(job.path(f"index/manifests/{name}.json"))
    sources = read_sources(job.study, subject, session)
    converted: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for entry, number, runs in _ordered(manifest):
        written = _series(job, manifest, entry, number, runs, sources["instances"])
        if written is not None:
            converted.append((entry, written))
    if not converted:
        raise AfterglowError(
            f"none of {len(manifest['series'])} series could be converted",
            where=name,
            expected="one at least",
            remedy=job.problems[0].remedy if job.problems else "look at the log of this stage",
            transient=any(problem.transient for problem in job.problems),
        )
    job.summary["series"] = _chosen(converted)
    job.summary["facts"] = manifest["facts"]
    job.summary["reference"] = next(
        (kind for kind in ("T1w_ce", "T1w") if kind in job.summary["series"]), None
    )
    job.summary["contrast"] = check_contrast(job, converted)
    images = {entry["series_key"]: written["path"] for entry, written in converted}
    job.summary["objects"] = write_objects(job, manifest, sources["instances"], images)
    job.summary["doubts"] = [
        f"{entry.get('label') or entry['kind']}: {doubt}"
        for entry in (*(entry for entry, _ in converted), *manifest.get("objects", ()))
        for doubt in entry.get("doubts", ())
    ]
    _scans(job, [written["path"] for _, written in converted])


def _unit(job: Job) -> tuple[str, str]:
    if job.subject is None or job.session is None:
        message = "the bids stage converts one session"
        raise ValueError(message)
    return job.subject, job.session


def _ordered(manifest: Mapping[str, Any]) -> list[tuple[dict[str, Any], int, int]]:
    """Return the series with their number among those of their class and how many there are."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in manifest["series"]:
        combined = entry["class"] == "MP2RAGE" and entry["acquisition"]["combined"]
        groups["UNIT1" if combined else entry["class"]].append(entry)
    groups["VFA"].sort(key=lambda e: (e["acquisition"]["flip_angles"][:1], e["run"]))
    for kind in ("IR", "MP2RAGE"):
        groups[kind].sort(key=lambda e: (e["acquisition"]["inversion_time"] or 0.0, e["run"]))
    return [
        (entry, number, len(entries))
        for entries in groups.values()
        for number, entry in enumerate(entries, start=1)
    ]


def _series(
    job: Job,
    manifest: Mapping[str, Any],
    entry: dict[str, Any],
    number: int,
    runs: int,
    sources: Mapping[str, Any],
) -> dict[str, Any] | None:
    """Convert and write one series; None, and a problem, where that fails."""
    what = f"{entry['class']} series"
    try:
        where = f"{manifest['center']}:{entry['instances'][0]['file']}"
        _refuse_mixed(entry, where)
        series = convert(entry, sources, str(manifest["center"]))
        return _write(job, entry, number, runs, series)
    except AfterglowError as error:
        parts = (error.what, f"in {error.where}" if error.where else "", error.expected)
        cause = "; ".join(part for part in parts if part).replace(
            error.expected or "\0", f"expected {error.expected}"
        )
        if entry["class"] in FURTHER and not is_transient(error):
            job.warn(f"{what} left out: {cause}")
        else:
            job.problem(what, cause, error.remedy or "look at the log of this stage", error)
    except Exception as error:  # noqa: BLE001 (one bad series never stops a session)
        place = traceback.extract_tb(error.__traceback__)[-1]
        file = entry["instances"][0]["file"] if entry["instances"] else ""
        cause = f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}"
        job.problem(
            what,
            f"{cause}; in {manifest['center']}:{file}",
            "send this line to the developers; the series is left out",
            error,
        )
    return None


def _refuse_mixed(entry: Mapping[str, Any], where: str) -> None:
    """Refuse a mapping series that mixes what its sidecar can say only once."""
    facts, kind = entry["acquisition"], entry["class"]
    several = {
        "VFA": ("flip angle", len(facts["flip_angles"])),
        "IR": ("inversion time", facts.get("n_inversion_times", 1)),
    }
    name, count = several.get(kind, ("", 1))
    if count != 1:
        raise AfterglowError(
            f"a {kind} series with {count} values of its {name}",
            where=where,
            expected=f"one {name} per series",
            remedy=f"export one series per {name}",
        )


def _write(
    job: Job, entry: dict[str, Any], number: int, runs: int, series: Series
) -> dict[str, Any]:
    subject, session = _unit(job)
    if entry["class"] == "DWI" and series.gradients is None:
        raise AfterglowError("a diffusion series without gradient directions")
    relative = "bids/" + series_path(subject, session, entry, number=number, runs=runs)
    step = frame_time(entry["frame_times"])
    paths = []
    echoes = entry["acquisition"]["echo_times"]
    for echo in range(max(len(echoes), 1)):
        path = relative if len(echoes) < 2 else _echo_path(relative, echo + 1)
        array = series.array if len(echoes) < 2 else series.array[..., echo]
        save_nifti(array, series.affine, job.out(path), frame_time=step)
        content = sidecar(entry, series.header, series.reader, series.affine)
        if len(echoes) > 1:
            content["EchoTime"] = echoes[echo]
        if series.scale:
            content["IntensityScale"] = series.scale
        if series.warnings or series.notes:
            content["ConversionWarnings"] = series.warnings + series.notes
        write_json(job.out(path.replace(".nii.gz", ".json")), content)
        paths.append(path)
    if entry["class"] == "DWI" and series.gradients is not None:
        _write_gradients(job, relative, series.gradients)
    for doubt in entry.get("doubts", ()):
        job.warn(f"{entry['class']} series: {doubt.replace('_', ' ')}")
    for warning in series.warnings:
        job.warn(f"{entry['class']} series: {warning}")
    append_digests(
        job.study.private_dir,
        f"sub-{subject}_ses-{session}",
        [vars(intake) for intake in series.intakes],
    )
    shape = series.array.shape
    return {
        "path": paths[0],
        "echoes": paths if len(paths) > 1 else None,
        "sidecar": paths[0].replace(".nii.gz", ".json"),
        "series_key": entry["series_key"],
        "evaluable": bool(entry["evaluable"]),
        "reason": entry["reason"] or "",
        "shape": [int(n) for n in shape[:4]],
        "voxel_volume": round(abs(float(np.linalg.det(series.affine[:3, :3]))), 4),
    }


def _write_gradients(job: Job, relative: str, gradients: NDArray[np.float64]) -> None:
    """Write b-values and directions beside the image at ``relative``."""
    for end, rows in ((".bval", gradients[:1]), (".bvec", gradients[1:])):
        lines = [" ".join(f"{value:g}" for value in row) for row in rows]
        job.out(relative.replace(".nii.gz", end)).write_text("\n".join(lines) + "\n")


def _echo_path(relative: str, echo: int) -> str:
    stem, _, suffix = relative.rpartition("_")
    return f"{stem}_echo-{echo}_{suffix}"


def _chosen(converted: list[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    """Return the series later stages use: one per class, all of VFA, the rest as alternatives."""
    groups: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = defaultdict(list)
    for entry, written in converted:
        groups[entry["class"]].append((entry, written))
    chosen: dict[str, Any] = {}
    for kind, members in groups.items():
        if kind in _EVERY:
            chosen[_EVERY[kind]] = [
                {**written, "combined": entry["acquisition"].get("combined", False)}
                if kind == "MP2RAGE"
                else written
                for entry, written in members
            ]
            continue
        members.sort(key=lambda item: _preference(*item))
        best = dict(members[0][1])
        if len(members) > 1:
            best["alternatives"] = [written["path"] for _, written in members[1:]]
        chosen[_KEYS.get(kind, kind)] = best
    return chosen


def _preference(entry: Mapping[str, Any], written: Mapping[str, Any]) -> tuple[float, ...]:
    """Return what sorts the better series first."""
    if entry["class"] in _KEYS:
        return (not entry["evaluable"], -entry["n_volumes"], entry["run"])
    # 3D and isotropic first: the anatomical reference carries every other space
    return (entry["acquisition"]["dimension"] != "3D", written["voxel_volume"], entry["run"])


def _scans(job: Job, paths: list[str]) -> None:
    """Write ``scans.tsv``: times are in the sidecars, relative to the first volume."""
    subject, session = _unit(job)
    folder = f"bids/sub-{subject}/ses-{session}/"
    relative = "bids/" + bids_path(subject, session, "", "scans", ".tsv")
    lines = ["filename", *sorted(path.removeprefix(folder) for path in paths)]
    job.out(relative).write_text("\n".join(lines) + "\n", encoding="utf-8")
