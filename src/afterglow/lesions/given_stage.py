"""Given masks of one session: from whatever files came to label images of the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.bids.images import load_nifti, save_nifti
from afterglow.bids.names import bids_path
from afterglow.bids.sidecars import read_json, write_json
from afterglow.dicom.deidentify import read_sources
from afterglow.errors import AfterglowError
from afterglow.lesions.agreement import agreement
from afterglow.lesions.given import Given, Rating, rating_of, read_file
from afterglow.lesions.grids import Grid
from afterglow.lesions.segments import segments_of
from afterglow.lesions.structures import structures_of

if TYPE_CHECKING:
    from afterglow.provenance.job import Job

KINDS = ("brats", "nodule")
PARTS = {"core": 1, "edema": 2, "enhancing": 3}
_ORDER = {"seg": 0, "nifti": 1, "nrrd": 2, "rtstruct": 3}


def write_given(job: Job) -> None:
    """Bring every mask of a session to the grid of its anatomical reference.

    One label image per rater is written; a file that cannot be used becomes a problem of the job.
    ``job.summary`` gets ``mask`` (of the rater that is measured) and ``masks`` (paths by rater,
    agreement, record), and ``nodules``, the path of nodules drawn on T2.
    """
    job.summary |= {"mask": None, "masks": None, "nodules": None}
    name = f"sub-{job.subject}_ses-{job.session}"
    manifest = read_json(job.path(f"index/manifests/{name}.json"))
    objects = [o for o in job.summary.get("objects", []) if o["kind"] in {"rtstruct", "seg"}]
    if not (manifest["masks"] or objects):
        return
    reference = job.summary["reference"]
    if reference is None:
        where = f"{manifest['center']}:{manifest['masks'][0]['file']}" if manifest["masks"] else ""
        cause = f"no T1w series to place it on; in {where}"
        job.problem("given mask", cause, "send a T1w series")
        return
    grid = _grid(job, job.summary["series"][reference]["path"])
    given = [*_files(job, manifest), *_objects(job, objects)]
    _write_nodules(job, [one for one in given if one.kind == "nodule"], grid)
    given = [one for one in given if one.kind != "nodule"]
    ratings: dict[str, Rating] = {}
    for rater, files in _by_rater(given).items():
        try:
            ratings[rater] = rating_of(files, grid, job.study.lesions.given)
        except AfterglowError as error:
            _problem(job, files[0].where, error)
    if ratings:
        _write_ratings(job, ratings, grid)


def _files(job: Job, manifest: Mapping[str, Any]) -> list[Given]:
    """Read the files of the center's mask list."""
    found = []
    paths = read_sources(job.study, str(job.subject), str(job.session))["masks"]
    for entry in manifest["masks"]:
        where = f"{manifest['center']}:{entry['file']}"
        kind = entry["kind"] if entry.get("kind") in KINDS else "lesions"
        try:
            path = Path(paths[entry["file"]])
            found.append(read_file(path, where, rater=entry.get("rater", ""), kind=kind))
        except Exception as error:  # noqa: BLE001 (incoming files are not trusted)
            _problem(job, where, error)
    return found


def _objects(job: Job, objects: Sequence[Mapping[str, Any]]) -> list[Given]:
    """Return the structure sets and segmentations that came as DICOM."""
    found = []
    for item in objects:
        image = item.get("image")
        grid = _grid(job, image) if image else None
        facts = read_json(job.out(item["sidecar"]))
        if item["kind"] == "rtstruct":
            content: Any = structures_of(facts)
        else:
            values, affine = load_nifti(job.out(item["path"]))
            content = segments_of(values, affine, facts)
        where = item["path"].rpartition("/")[2]
        found.append(Given(where, item["kind"], content, grid=grid))
    return found


def _problem(job: Job, where: str, error: Exception) -> None:
    cause = error.what if isinstance(error, AfterglowError) else type(error).__name__
    remedy = getattr(error, "remedy", "") or "check the file; `afterglow whereis` shows it"
    job.problem("given mask", f"{cause}; in {where}", remedy, error)


def _grid(job: Job, relative: str) -> Grid:
    image, affine = load_nifti(job.out(relative))
    return Grid((image.shape[0], image.shape[1], image.shape[2]), affine)


def _by_rater(given: Sequence[Given]) -> dict[str, list[Given]]:
    """Return the files of each rater, best first; formats of one rater are kept apart.

    Who is not named is called by the format; names are letters and digits.
    """
    groups: dict[tuple[str, str], list[Given]] = {}
    for one in given:
        groups.setdefault((one.rater, one.format), []).append(one)
    names = {}
    for rater, kind in sorted(groups, key=_preference):
        several = sum(other == rater for other, _ in groups) > 1
        plain = "".join(c for c in rater if c.isalnum())
        names[plain + (kind if several or not plain else "")] = groups[rater, kind]
    return names


def _preference(group: tuple[str, str]) -> tuple[bool, str, int]:
    """Return what sorts masks drawn on purpose before planning targets, then raters by name."""
    rater, kind = group
    return kind == "rtstruct", rater, _ORDER[kind]


def _write_ratings(job: Job, ratings: Mapping[str, Rating], grid: Grid) -> None:
    """Write one label image per rater, the parts of lesions, and the record."""
    chosen = _measured_rater(job, ratings)
    files = {}
    for name, rating in ratings.items():
        desc = "given" if name == chosen else f"given{name}"
        files[name] = "derivatives/" + _file(job, "dseg", desc=desc)
        save_nifti(rating.labels, grid.affine, job.out(files[name]), dtype=np.int16)
        _warn_of(job, name, rating)
    path = _write_record(job, ratings, files, chosen)
    job.summary["mask"] = files[chosen]
    job.summary["masks"] = {
        "chosen": chosen,
        "files": files,
        "record": path,
        "parts": _write_parts(job, ratings[chosen], grid),
        "n_lesions": len(ratings[chosen].lesions),
    }


def _measured_rater(job: Job, ratings: Mapping[str, Rating]) -> str:
    """Return the rater the study asks for, else the first who drew a lesion."""
    wanted = "".join(c for c in job.study.lesions.given.rater if c.isalnum())
    if wanted in ratings:
        return wanted
    if wanted:
        job.warn("the rater asked for drew nothing here; another one is measured")
    filled = [name for name, rating in ratings.items() if rating.lesions]
    return (filled or list(ratings))[0]


def _warn_of(job: Job, name: str, rating: Rating) -> None:
    """Warn of what a rater's masks lost on the way to the grid."""
    if any(item["resampled"] for item in rating.lesions):
        job.warn(f"given mask resampled to the grid of its image (nearest): {name}")
    for item in rating.left_out:
        if item["reason"] == "empty":
            job.warn(f"a given structure holds no voxel of the image: {item['file']}")


def _write_record(
    job: Job, ratings: Mapping[str, Rating], files: Mapping[str, str], chosen: str
) -> str:
    """Write what became of every structure, and how the other raters agree; return the path."""
    record = {
        name: {"file": files[name], "lesions": rating.lesions, "left_out": rating.left_out}
        for name, rating in ratings.items()
    }
    compared = {
        name: agreement(ratings[chosen].labels, rating.labels)
        for name, rating in ratings.items()
        if name != chosen
    }
    content = {
        "chosen": chosen,
        "raters": record,
        "agreement": {name: _numbers(found) for name, found in compared.items()},
    }
    path = "derivatives/" + _file(job, "dseg", ".json", desc="given")
    write_json(job.out(path), content)
    return path


def _numbers(found: Any) -> dict[str, Any]:
    return {
        "dice": round(found.dice, 6) if np.isfinite(found.dice) else None,
        "lesions": {str(label): round(value, 6) for label, value in found.lesions.items()},
        "missed": found.missed,
        "extra": found.extra,
    }


def _write_parts(job: Job, rating: Rating, grid: Grid) -> str | None:
    """Write core (1), edema (2) and enhancing (3) parts where the file tells them apart."""
    if not rating.parts:
        return None
    parts = np.zeros(grid.shape, dtype=np.int16)
    for name, value in PARTS.items():
        parts[rating.parts[name]] = value
    path = "derivatives/" + _file(job, "dseg", desc="givenparts")
    save_nifti(parts, grid.affine, job.out(path), dtype=np.int16)
    return path


def _write_nodules(job: Job, files: Sequence[Given], grid: Grid) -> None:
    """Write the nodules that a person drew on T2-weighted images, of all raters together."""
    drawn = []
    for file in files:
        try:
            drawn.append(rating_of([file], grid, job.study.lesions.given).labels > 0)
        except AfterglowError as error:
            _problem(job, file.where, error)
    if drawn:
        path = "derivatives/" + _file(job, "dseg", desc="givennodule")
        save_nifti(np.any(drawn, axis=0), grid.affine, job.out(path))
        job.summary["nodules"] = path


def _file(job: Job, suffix: str, ext: str = ".nii.gz", **entities: str) -> str:
    return bids_path(str(job.subject), job.session, "lesions", suffix, ext, **entities)
