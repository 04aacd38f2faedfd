"""DICOM files written element by element: what instances share is encoded once."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from afterglow.phantom.seeds import uid

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

Own = dict[int, tuple[str, Any]]
"""VR and value by tag."""
_NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
_LONG = frozenset({"OB", "OW", "SQ", "UN", "UT"})
_ITEM = 0xFFFEE000


class Encoder:
    """Writes instances that share most of their elements, which are encoded only once.

    Parameters
    ----------
    common : Dataset
        The elements that all instances share.
    """

    def __init__(self, common: Dataset) -> None:
        self._common = {int(element.tag): _encoded(element) for element in common}
        self._class = str(common.SOPClassUID)

    def save(self, instance: str, own: Own, path: Path) -> Path:
        """Write an instance of the common elements and its own; the same gives the same bytes.

        Parameters
        ----------
        instance : str
            SOP instance UID.
        own : dict
            VR and value by tag, of what differs between instances.
        """
        own = {0x00080018: ("UI", instance), **own}
        elements = self._common | {tag: _packed(tag, *item) for tag, item in own.items()}
        body = b"".join(elements[tag] for tag in sorted(elements))
        path.write_bytes(_preamble(self._class, instance) + body)
        return path


def save(ds: Dataset, path: Path) -> Path:
    """Write one dataset that shares nothing with others."""
    return Encoder(ds).save(str(ds.SOPInstanceUID), {}, path)


def _preamble(sop_class: str, instance: str) -> bytes:
    """Return the file meta information for explicit little-endian syntax (PS3.10 7.1)."""
    meta = b"".join(
        _packed(tag, vr, value)
        for tag, vr, value in (
            (0x00020001, "OB", b"\x00\x01"),
            (0x00020002, "UI", sop_class),
            (0x00020003, "UI", instance),
            (0x00020010, "UI", "1.2.840.10008.1.2.1"),
            (0x00020012, "UI", uid(0, "afterglow.phantom")),
            (0x00020013, "SH", "AFTERGLOW"),
        )
    )
    return bytes(128) + b"DICM" + _packed(0x00020000, "UL", len(meta)) + meta


def _packed(tag: int, vr: str, value: Any) -> bytes:
    r"""Return one element in explicit little-endian syntax (PS3.5 7.1.2).

    Examples
    --------
    >>> _packed(0x00200013, "IS", 7)[4:]
    b'IS\x02\x007 '
    """
    if vr == "SQ":
        body = b"".join(_item(own) for own in value)
    elif vr in _NUMBERS:
        numbers = value if isinstance(value, list) else [value]
        body = struct.pack(f"<{len(numbers)}{_NUMBERS[vr]}", *numbers)
    elif isinstance(value, bytes):
        body = value + b"\0" * (len(value) % 2)
    else:
        text = "\\".join(value) if isinstance(value, list) else str(value)
        body = text.encode("latin_1") + (b"\0" if vr == "UI" else b" ") * (len(text) % 2)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    size = struct.pack("<HI", 0, len(body)) if vr in _LONG else struct.pack("<H", len(body))
    return head + size + body


def _item(own: Own) -> bytes:
    """Return one item of a sequence, of known length."""
    body = b"".join(_packed(tag, *own[tag]) for tag in sorted(own))
    return struct.pack("<HHI", _ITEM >> 16, _ITEM & 0xFFFF, len(body)) + body


def _encoded(element: DataElement) -> bytes:
    """Return any element, sequences included, in the same syntax."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_data_element

    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_data_element(buffer, element, "latin_1")
    return bytes(buffer.getvalue())
