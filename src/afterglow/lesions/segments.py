"""DICOM segmentations and label files as masks on their own grids."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.bids.structures import safe_name
from afterglow.errors import AfterglowError
from afterglow.lesions.grids import Grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NRRD_TYPES = {
    "int8": "i1", "signed char": "i1", "uint8": "u1", "uchar": "u1", "unsigned char": "u1",
    "int16": "i2", "short": "i2", "uint16": "u2", "ushort": "u2", "unsigned short": "u2",
    "int32": "i4", "int": "i4", "uint32": "u4", "uint": "u4", "unsigned int": "u4",
    "int64": "i8", "uint64": "u8", "float": "f4", "double": "f8",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Segment:
    """One segment of a file: its number, its name, and its voxels on the file's grid."""

    number: int
    name: str
    mask: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Segments:
    """The segments of one file on one grid (RAS), overlapping where the file lets them."""

    grid: Grid
    segments: tuple[Segment, ...]


def segments_of(
    values: NDArray[np.generic], affine: NDArray[np.float64], facts: Mapping[str, Any]
) -> Segments:
    """Return the segments of ``bids.structures.segments``: (x, y, z, segment) of 0 and 1."""
    stack = np.asarray(values)
    stack = stack[..., None] if stack.ndim == 3 else stack
    found = [
        Segment(int(item["Number"]), item["Name"], stack[..., place] > 0)
        for place, item in enumerate(facts["Segments"])
    ]
    return Segments(Grid((stack.shape[0], stack.shape[1], stack.shape[2]), affine), tuple(found))


def read_seg(path: Path | str) -> Segments:
    """Read a DICOM segmentation (binary, fractional or label map), placed by its own affine.

    Raises
    ------
    AfterglowError
        Not a segmentation, or frames that make no volume.
    """
    import pydicom

    from afterglow.bids.structures import segments

    dataset = pydicom.dcmread(path)
    if dataset.get("Modality") != "SEG":
        raise AfterglowError("a DICOM file is no segmentation", expected="modality SEG")
    found = segments(dataset)
    return segments_of(found.values, np.asarray(found.affine, dtype=np.float64), found.facts)


def read_nifti(path: Path | str) -> Segments:
    """Read a NIfTI label image; every label is a segment without a name.

    Raises
    ------
    AfterglowError
        Values that are no labels, or two affines that disagree by more than 1e-3 mm.
    """
    import nibabel as nib

    image: Any = nib.load(path)
    header = image.header
    if int(header["sform_code"]) > 0 and int(header["qform_code"]) > 0:
        apart = float(np.abs(header.get_sform() - header.get_qform()).max())
        if apart > 1e-3:
            raise AfterglowError(
                f"sform and qform of a mask disagree by {apart:.3g}",
                expected="one place in the world",
                remedy="export the mask again, or correct its header",
            )
    values = np.asarray(image.dataobj, dtype=np.float64)
    return _of_labels(values.reshape(values.shape[:3]), np.asarray(image.affine, float), {})


def read_nrrd(path: Path | str) -> Segments:
    """Read a label image in NRRD, as 3D Slicer writes segmentations (``.seg.nrrd``) too.

    Raises
    ------
    AfterglowError
        Not a readable NRRD, no orientation, or values that are no labels.
    """
    fields, data = _nrrd(Path(path).read_bytes())
    turn = _nrrd_affine(fields)
    if data.ndim == 3:
        return _of_labels(data.astype(np.float64), turn, _slicer_names(fields, 0))
    grid = Grid((data.shape[1], data.shape[2], data.shape[3]), turn)
    found: list[Segment] = []
    for layer in range(data.shape[0]):
        names = _slicer_names(fields, layer)
        for label in [int(n) for n in np.unique(data[layer]) if n > 0]:
            found.append(Segment(len(found) + 1, names.get(label, ""), data[layer] == label))
    return Segments(grid, tuple(found))


def _of_labels(
    values: NDArray[np.float64], affine: NDArray[np.float64], names: dict[int, str]
) -> Segments:
    """Return every positive label of an image as a segment."""
    whole = np.rint(values)
    if not np.isfinite(values).all() or np.abs(values - whole).max(initial=0) > 1e-3:
        raise AfterglowError(
            "a given mask holds values that are no labels",
            expected="whole numbers, 0 for background",
            remedy="export the mask as a label map",
        )
    if whole.min(initial=0) < 0:
        raise AfterglowError("a given mask holds negative labels", expected="0, 1, 2, ...")
    labels = whole.astype(np.int32)
    grid = Grid((labels.shape[0], labels.shape[1], labels.shape[2]), affine)
    numbers = [int(n) for n in np.unique(labels) if n > 0]
    return Segments(grid, tuple(Segment(n, names.get(n, ""), labels == n) for n in numbers))


def _nrrd(content: bytes) -> tuple[dict[str, str], NDArray[np.generic]]:
    """Return header fields and data of an NRRD file, the first axis running fastest."""
    head, found, body = content.partition(b"\n\n")
    if not found:
        head, _, body = content.partition(b"\r\n\r\n")
    lines = head.decode("utf-8", "replace").splitlines()
    if not lines or not lines[0].startswith("NRRD"):
        raise AfterglowError("a file is no NRRD", expected="the first four letters NRRD")
    fields: dict[str, str] = {}
    for line in lines[1:]:
        name, separator, value = line.partition(":")
        if separator and not line.startswith("#"):
            fields[name.strip().lower()] = value.removeprefix("=").strip()
    kind = _NRRD_TYPES.get(fields.get("type", ""))
    encoding = fields.get("encoding", "")
    if kind is None or "data file" in fields or encoding not in {"raw", "gzip", "gz"}:
        raise AfterglowError(
            "an NRRD of a kind that is not read",
            expected="numbers in the file itself, raw or gzip",
            remedy="save it as .nrrd from 3D Slicer, or as NIfTI",
        )
    sizes = [int(n) for n in fields["sizes"].split()]
    order = ">" if fields.get("endian") == "big" else "<"
    try:
        raw = body if encoding == "raw" else gzip.decompress(body)
        data = np.frombuffer(raw, np.dtype(order + kind), count=int(np.prod(sizes)))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise AfterglowError("the data of an NRRD are cut off or damaged") from error
    return fields, data.reshape(sizes, order="F")


def _nrrd_affine(fields: dict[str, str]) -> NDArray[np.float64]:
    """Return the voxel-to-world matrix (RAS) of an NRRD header."""
    space = fields.get("space", "").lower().replace("_", "-")
    signs = {
        "left-posterior-superior": (-1, -1, 1), "lps": (-1, -1, 1),
        "right-anterior-superior": (1, 1, 1), "ras": (1, 1, 1),
        "left-anterior-superior": (-1, 1, 1), "las": (-1, 1, 1),
    }.get(space)  # fmt: skip
    words = fields.get("space directions", "").replace(" ,", ",").replace(", ", ",").split()
    axes = [_vector(word) for word in words if word.lower() != "none"]
    if signs is None or len(axes) != 3 or "space origin" not in fields:
        raise AfterglowError("an NRRD mask has no place in the world", expected="space directions")
    affine = np.eye(4)
    affine[:3, :3] = np.stack(axes, axis=1)
    affine[:3, 3] = _vector(fields["space origin"].replace(", ", ","))
    return np.asarray(np.diag([*signs, 1.0]) @ affine)


def _vector(word: str) -> NDArray[np.float64]:
    return np.array([float(x) for x in word.strip("()").split(",")])


def _slicer_names(fields: dict[str, str], layer: int) -> dict[int, str]:
    """Return the names that 3D Slicer keeps beside the labels of one layer."""
    names = {}
    for key, value in fields.items():
        if key.startswith("segment") and key.endswith("_labelvalue"):
            stem = key.removesuffix("_labelvalue")
            if int(fields.get(f"{stem}_layer", "0")) == layer:
                names[int(value)] = safe_name(fields.get(f"{stem}_name", ""))
    return names
