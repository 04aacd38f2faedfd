"""One DICOM file as one row of the inventory."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import IO, Any

import pyarrow as pa

from afterglow.dicom.frames import FRAME_NAMES, contrast_facts, frame_facts
from afterglow.dicom.header import HeaderError, read_header
from afterglow.dicom.references import NAMES, REFERRING, references
from afterglow.dicom.tags import TAGS, WANTED, decode

_TYPES = {
    "text": pa.string(),
    "texts": pa.list_(pa.string()),
    "number": pa.float64(),
    "numbers": pa.list_(pa.float64()),
    "integer": pa.int64(),
}
_FRAME_TYPES = {
    "position": pa.list_(pa.float64()),
    "orientation": pa.list_(pa.float64()),
    "pixel_spacing": pa.list_(pa.float64()),
    "temporal_index": pa.int64(),
    "stack_position": pa.int64(),
    "acquisition_number": pa.int64(),
    "component": pa.string(),
    "label": pa.string(),
    "frame_type": pa.list_(pa.string()),
    "scanning_sequence": pa.list_(pa.string()),
}
FRAME = pa.struct(
    [("index", pa.int64())] + [(n, _FRAME_TYPES.get(n, pa.float64())) for n in FRAME_NAMES]
)
SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("member", pa.string()),
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("inode", pa.uint64()),
        ("bytes", pa.int64()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("header_sha256", pa.string()),
        ("transfer_syntax", pa.string()),
        ("pixel_offset", pa.int64()),
        ("pixel_length", pa.int64()),
        ("vendor", pa.string()),
        *((name, _TYPES[kind]) for name, (_, kind) in TAGS.items()),
        ("frames", pa.list_(FRAME)),
        *((name, pa.list_(pa.string())) for name in NAMES),
        ("contour_points", pa.list_(pa.float64())),
    ]
)
_DICOMDIR = "1.2.840.10008.1.3.10"


def describe(stream: IO[bytes], size: int) -> dict[str, Any]:
    """Return the row of one file; a file that is no DICOM or broken gives a rejected row.

    Nothing in a file makes this raise: incoming data are not trusted.
    """
    try:
        header, content = read_header(stream.read, size, WANTED)
        values = decode(header.elements, little=header.little)
    except HeaderError as error:
        return reject(str(error))
    except RecursionError:
        return reject("nested_too_deep")
    if values["sop_class"] == _DICOMDIR:
        return reject("dicomdir")
    if not values["sop_uid"] or not values["series_uid"] or not values["study_uid"]:
        return reject("uid_missing")
    frames: list[dict[str, Any]] | None = None
    referred: dict[str, Any] = {}
    if header.multiframe or values["sop_class"] in REFERRING:
        try:
            if header.multiframe:
                frames = frame_facts(header)
                values |= {k: v for k, v in contrast_facts(header).items() if values[k] is None}
            if values["sop_class"] in REFERRING:
                referred = references(_dataset(stream, size))
        except Exception as error:  # noqa: BLE001 (pydicom raises anything on a broken header)
            return reject(f"frames_unreadable_{type(error).__name__.lower()}")
    digest = hashlib.sha256(header.syntax.encode() + b"\0" + content).hexdigest()
    return {
        "status": "ok",
        "header_sha256": digest,
        "transfer_syntax": header.syntax,
        "pixel_offset": header.pixel_offset,
        "pixel_length": header.pixel_length,
        "vendor": vendor(values["manufacturer"]),
        **values,
        "frames": frames,
        **referred,
    }


def tabulate(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return rows as a table of :data:`SCHEMA`; most columns of most files are empty."""
    columns = []
    for column in SCHEMA:
        values = [row.get(column.name) for row in rows]
        empty = values.count(None) == len(values)
        columns.append(
            pa.nulls(len(values), column.type) if empty else pa.array(values, column.type)
        )
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def reject(reason: str) -> dict[str, Any]:
    """Return the fields of a file that is listed but not used."""
    return {"status": "rejected", "reason": reason}


def vendor(manufacturer: str | None) -> str:
    """Return a vendor's short name.

    Examples
    --------
    >>> vendor("GE MEDICAL SYSTEMS"), vendor("Siemens Healthineers"), vendor(None)
    ('GE', 'Siemens', 'unknown')
    """
    text = (manufacturer or "").lower()
    for mark, name in (
        ("siemens", "Siemens"),
        ("philips", "Philips"),
        ("ge medical", "GE"),
        ("ge healthcare", "GE"),
        ("toshiba", "Canon"),
        ("canon", "Canon"),
        ("hitachi", "Hitachi"),
        ("uih", "UIH"),
        ("united imaging", "UIH"),
        ("bruker", "Bruker"),
    ):
        if mark in text:
            return name
    return "GE" if text == "ge" else "unknown"


def _dataset(stream: IO[bytes], size: int) -> Any:
    """Return the header with its nested parts, pixels left out."""
    import pydicom

    stream.seek(0)
    source = BytesIO(stream.read()) if size < 2**26 else stream
    source.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(source, stop_before_pixels=True, force=True)
