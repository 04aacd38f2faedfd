"""Given masks of one session: from files of any kind to numbered lesions on one grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.errors import AfterglowError
from afterglow.lesions.grids import Grid
from afterglow.lesions.masks import components
from afterglow.lesions.naming import Role, role_of
from afterglow.lesions.placing import place
from afterglow.lesions.rtstruct import Convention, file_convention, rasterize
from afterglow.lesions.segments import Segment, Segments, read_nifti, read_nrrd, read_seg
from afterglow.lesions.structures import Structure, read_structures

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.config.lesions import GivenConfig

BRATS = {"core": (1,), "edema": (2,), "enhancing": (3, 4)}


@dataclass(frozen=True, eq=False)
class Given:
    """One given file as read: what it is called in messages, who drew it and on what grid.

    ``format`` is ``rtstruct``, ``seg``, ``nifti`` or ``nrrd``; ``kind`` is ``lesions``,
    ``brats`` or ``nodule`` (drawn on T2); ``grid`` is that of the image it references, where that
    is known.
    """

    where: str
    format: str
    content: Segments | tuple[Structure, ...]
    rater: str = ""
    kind: str = "lesions"
    grid: Grid | None = None


@dataclass(eq=False)
class Drawn:
    """One structure as voxels of the session's grid, with its record."""

    mask: NDArray[np.bool_]
    role: str
    record: dict[str, Any]
    parts: dict[str, NDArray[np.bool_]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Rating:
    """The lesions that one rater drew: labels from 1, parts of lesions, and how they came about.

    ``parts`` holds ``core``, ``enhancing`` and ``edema`` where the file tells them apart.
    """

    rater: str
    labels: NDArray[np.int32]
    parts: dict[str, NDArray[np.bool_]]
    lesions: list[dict[str, Any]]
    left_out: list[dict[str, Any]]


def read_file(path: Path, where: str, **facts: Any) -> Given:
    """Read one mask file by its content: RTSTRUCT, DICOM SEG, NIfTI or NRRD.

    Raises
    ------
    AfterglowError
        None of these, or not readable.
    """
    with path.open("rb") as stream:
        start = stream.read(132)
    if start[128:132] == b"DICM":
        import pydicom

        head = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Modality"])
        if head.get("Modality") == "RTSTRUCT":
            return Given(where, "rtstruct", read_structures(path), **facts)
        if head.get("Modality") == "SEG":
            return Given(where, "seg", read_seg(path), **facts)
    elif start[:4] == b"NRRD":
        return Given(where, "nrrd", read_nrrd(path), **facts)
    elif path.name.lower().endswith((".nii", ".nii.gz")):
        return Given(where, "nifti", read_nifti(path), **facts)
    raise AfterglowError(
        "a given mask is of no kind that is read",
        expected="RTSTRUCT, DICOM SEG, NIfTI or NRRD",
    )


def rating_of(files: Sequence[Given], grid: Grid, config: GivenConfig) -> Rating:
    """Return the lesions of all files of one rater on the session's grid.

    Parameters
    ----------
    files : sequence of Given
        Files of one rater.
    grid : Grid
        Grid of the session's anatomical reference.
    config : GivenConfig
        Name rules and tolerances.

    Raises
    ------
    AfterglowError
        A file that cannot be read, or structures that all lie outside of the image.
    """
    drawn: list[Drawn] = []
    for file in files:
        if isinstance(file.content, Segments):
            drawn += _segments(file.content, file, grid, config)
        else:
            drawn += _structures(file.content, file, grid, config)
    if drawn and not any(d.mask.any() for d in drawn) and any(d.record["voxels"] for d in drawn):
        raise AfterglowError(
            "a given mask does not overlap the image",
            remedy="check that the mask belongs to this patient and study date",
        )
    _drop_margins(drawn)
    return _numbered(drawn, files[0].rater if files else "", grid)


def _structures(
    read: Sequence[Structure], file: Given, grid: Grid, config: GivenConfig
) -> list[Drawn]:
    """Return the structures of a structure set as voxels."""
    own = file.grid or grid
    chosen = [(s, role_of(s.name, s.kind, config.no_lesion, config.lesion)) for s in read]
    asked: Convention | None = None if config.convention == "auto" else config.convention
    seen, share = file_convention([s.contours for s, r in chosen if r.role != "none"], own)
    found = []
    for structure, role in chosen:
        record: dict[str, Any] = {
            "file": file.where,
            "format": "rtstruct",
            "number": structure.number,
            "name": structure.name,
            "rule": role.rule,
            "convention": asked or seen,
            "vertices_on_centers": round(share, 4),
            "voxels": 0,
            "ignored_contours": [list(item) for item in structure.ignored],
        }
        if role.role == "none":
            found.append(Drawn(np.zeros(grid.shape, bool), "none", record))
            continue
        shape = rasterize(structure.contours, own, asked or seen)
        placed = place(shape.mask, own, grid, config.tolerance)
        record |= {
            "voxels": int(shape.mask.sum()),
            "clipped": round(shape.clipped, 4),
            "off_plane": round(shape.off_plane, 4),
            "resampled": placed.resampled,
        }
        record["ignored_contours"] += [list(item) for item in shape.left_out]
        found.append(Drawn(placed.mask, role.role, record))
    return found


def _segments(read: Segments, file: Given, grid: Grid, config: GivenConfig) -> list[Drawn]:
    """Return the segments of a segmentation or label image as voxels."""
    if file.kind == "brats":
        return _brats(read, file, grid, config)
    found = []
    for segment in read.segments:
        role = role_of(segment.name, "", config.no_lesion, config.lesion)
        found += _split(segment, role, read, file, grid, config)
    return found


def _split(
    segment: Segment, role: Role, read: Segments, file: Given, grid: Grid, config: GivenConfig
) -> list[Drawn]:
    """Return one segment as voxels; the only one of a file is taken apart into its components."""
    placed = place(segment.mask, read.grid, grid, config.tolerance)
    record = {
        "file": file.where,
        "format": file.format,
        "number": segment.number,
        "name": segment.name,
        "rule": role.rule,
        "voxels": int(segment.mask.sum()),
        "clipped": round(placed.clipped, 4),
        "resampled": placed.resampled,
    }
    alone = len(read.segments) == 1 and config.separate
    if role.role == "none" or not alone:
        return [Drawn(placed.mask, role.role, record)]
    return _components(placed.mask, record, config)


def _components(
    mask: NDArray[np.bool_], record: dict[str, Any], config: GivenConfig
) -> list[Drawn]:
    """Return the connected parts of a mask, largest first; those below the minimum are recorded."""
    parts = components(mask)
    sizes = np.bincount(parts.ravel())[1:]
    least = config.minimum_voxels if (sizes >= config.minimum_voxels).any() else 1
    found = []
    for number, size in enumerate(sizes, start=1):
        own = {**record, "component": number, "component_voxels": int(size)}
        role = "lesion" if size >= least else "too_small"
        found.append(Drawn(parts == number, role, own))
    return found or [Drawn(mask, "lesion", record)]


def _brats(read: Segments, file: Given, grid: Grid, config: GivenConfig) -> list[Drawn]:
    """Return lesions from BraTS labels: core and enhancing parts make one, edema is kept aside."""
    masks = {s.number: place(s.mask, read.grid, grid, config.tolerance) for s in read.segments}
    unknown = sorted(set(masks) - {n for numbers in BRATS.values() for n in numbers})
    if unknown:
        raise AfterglowError(
            f"a mask given as BraTS labels holds {unknown}", expected="1 core, 2 edema, 3 enhancing"
        )
    nothing = np.zeros(grid.shape, dtype=bool)
    parts = {
        name: np.any([masks[n].mask for n in numbers if n in masks] or [nothing], axis=0)
        for name, numbers in BRATS.items()
    }
    record = {
        "file": file.where,
        "format": file.format,
        "number": 0,
        "name": "BraTS labels",
        "rule": "brats",
        "voxels": int(sum(s.mask.sum() for s in read.segments if s.number != 2)),
        "clipped": round(max((m.clipped for m in masks.values()), default=0.0), 4),
        "resampled": any(m.resampled for m in masks.values()),
    }
    found = _components(parts["core"] | parts["enhancing"], record, config)
    found[0].parts = parts
    return found


def _drop_margins(drawn: Sequence[Drawn]) -> None:
    """Leave out planning volumes that contain a drawn lesion; others are lesions themselves."""
    lesions = [d for d in drawn if d.role == "lesion"]
    for margin in (d for d in drawn if d.role == "margin"):
        inside = any((margin.mask & lesion.mask).any() for lesion in lesions)
        margin.role = "margin" if inside else "lesion"


def _numbered(drawn: Sequence[Drawn], rater: str, grid: Grid) -> Rating:
    """Return the lesions with numbers; where two overlap, the smaller one keeps the voxels."""
    lesions = [d for d in drawn if d.role == "lesion" and d.mask.any()]
    labels = np.zeros(grid.shape, dtype=np.int32)
    records = []
    kept = _labels_of(lesions)
    for number, one in sorted(
        zip(kept, lesions, strict=True), key=lambda item: -item[1].mask.sum()
    ):
        taken = int((labels[one.mask] > 0).sum())
        if taken:
            one.record["overlaps_voxels"] = taken
        labels[one.mask] = number
    for number, one in zip(kept, lesions, strict=True):
        records.append({"label": number, **one.record})
    left_out = [
        {"reason": "empty" if d.role == "lesion" else _REASONS[d.role], **d.record}
        for d in drawn
        if d.role != "lesion" or not d.mask.any()
    ]
    parts: dict[str, NDArray[np.bool_]] = {}
    for one in drawn:
        for name, mask in one.parts.items():
            parts[name] = parts[name] | mask if name in parts else mask
    return Rating(rater, labels, parts, sorted(records, key=lambda r: r["label"]), left_out)


_REASONS = {"none": "no_lesion", "margin": "margin_of_a_lesion", "too_small": "too_small"}


def _labels_of(lesions: Sequence[Drawn]) -> list[int]:
    """Return the file's numbers of the lesions where they are distinct, else 1, 2, ..."""
    given = [int(d.record["number"]) for d in lesions]
    whole = all("component" not in d.record for d in lesions)
    if whole and len(set(given)) == len(given) and all(0 < n <= 32_767 for n in given):
        return given
    return list(range(1, len(lesions) + 1))
