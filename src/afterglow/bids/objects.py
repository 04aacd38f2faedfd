"""The structure sets, segmentations and doses of one session, as files for the lesion stages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afterglow.bids.images import save_nifti
from afterglow.bids.names import bids_path
from afterglow.bids.sidecars import sources_as_uris, write_json
from afterglow.bids.structures import dose, overview, segments, structures
from afterglow.dicom.checks import intake
from afterglow.dicom.digests import append_digests
from afterglow.dicom.pixels import Source, read_dataset
from afterglow.errors import AfterglowError

if TYPE_CHECKING:
    from afterglow.provenance.job import Job

_SUFFIX = {"RTSTRUCT": "rtstruct", "SEG": "seg", "RTDOSE": "dose"}


def write_objects(
    job: Job,
    manifest: Mapping[str, Any],
    sources: Mapping[str, Any],
    images: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Write every object of a session; one that cannot be read becomes a problem of the job.

    Parameters
    ----------
    job : Job
        The running job.
    manifest : mapping
        Manifest of the session.
    sources : mapping
        ``instances`` of the private session file.
    images : mapping
        Series key to the path of its converted image.

    Returns
    -------
    list of dict
        ``kind`` (``rtstruct``, ``seg``, ``dose``), ``path``, ``sidecar``, ``series_key``,
        ``image_key`` and ``image`` (series key and path of the image it belongs to; the path is
        None where that image could not be converted), ``linked_by``, ``count``.
    """
    found: list[dict[str, Any]] = []
    numbers: dict[str, int] = {}
    for entry in manifest.get("objects", ()):
        for doubt in entry.get("doubts", ()):
            job.warn(f"{entry['kind']} object: {doubt.replace('_', ' ')}")
        for instance in entry["instances"]:
            number = numbers[entry["kind"]] = numbers.get(entry["kind"], 0) + 1
            label = f"{manifest['center']}:{instance['file']}"
            try:
                found.append(_object(job, entry, instance["file"], number, sources, images, label))
            except AfterglowError as error:
                where = error.where or label
                remedy = error.remedy or "check the file; `afterglow whereis` shows it"
                job.problem(f"{entry['kind']} object", f"{error.what}; in {where}", remedy, error)
            except Exception as error:  # noqa: BLE001 (incoming objects are not trusted)
                job.problem(
                    f"{entry['kind']} object",
                    f"{type(error).__name__}; in {label}",
                    "check the file; `afterglow whereis` shows it",
                    error,
                )
    return found


def _object(
    job: Job,
    entry: Mapping[str, Any],
    name: str,
    number: int,
    sources: Mapping[str, Any],
    images: Mapping[str, str],
    label: str,
) -> dict[str, Any]:
    center, _, _ = label.partition(":")
    taken = intake(name, center, sources[name])
    source = Source(Path(sources[name]["path"]), sources[name]["member"], label)
    kind = entry["kind"]
    image = images.get(entry["image"])
    facts, path = _written(job, kind, number, read_dataset(source))
    sidecar = path.replace(".nii.gz", ".json")
    content = {
        **facts,
        "Kind": kind,
        "SeriesKey": entry["series_key"],
        "ImageSeriesKey": entry["image"],
        "Sources": sources_as_uris([image]) if image else [],
        "LinkedBy": entry["linked_by"],
    }
    write_json(job.out(sidecar), content)
    append_digests(job.study.private_dir, f"sub-{job.subject}_ses-{job.session}", [vars(taken)])
    return {
        "kind": _SUFFIX[kind],
        "path": path,
        "sidecar": sidecar,
        "series_key": entry["series_key"],
        "image_key": entry["image"],
        "image": image,
        "linked_by": entry["linked_by"],
        "count": overview(kind, facts),
    }


def _written(job: Job, kind: str, number: int, dataset: Any) -> tuple[dict[str, Any], str]:
    """Write the voxels of one object, if it has any; return its facts and its path."""
    extension = ".json" if kind == "RTSTRUCT" else ".nii.gz"
    path = "derivatives/" + bids_path(
        str(job.subject),
        str(job.session),
        "lesions",
        _SUFFIX[kind],
        extension,
        run=number,
        desc="given",
    )
    if kind == "RTSTRUCT":
        return structures(dataset), path
    if kind == "SEG":
        given = segments(dataset)
        save_nifti(given.values, given.affine, job.out(path))
        return given.facts, path
    grid = dose(dataset)
    save_nifti(grid.values, grid.affine, job.out(path))
    return grid.facts, path
