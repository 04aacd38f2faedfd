"""Siemens' private image header: named values in a binary element (0029,1010).

Converters take the number of slices in a mosaic, the direction in which they are counted and the
times of the slices from there. The layout (version SV10) is described by several open readers,
among them nibabel's.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

Tag = tuple[str, Sequence[float | str]]
_VR_CODES = {"IS": 6, "US": 17, "FD": 4, "SH": 22, "CS": 16, "LO": 19}
_CHECK = 77
_LEAST_ITEMS = 6


def encode(tags: Mapping[str, Tag]) -> bytes:
    """Return the header of named tags, each with its VR and its values.

    Examples
    --------
    >>> header = encode({"NumberOfImagesInMosaic": ("US", [20])})
    >>> header[:4], len(header) % 4
    (b'SV10', 0)
    """
    body = b"".join(_tag(name, vr, values) for name, (vr, values) in tags.items())
    return b"SV10\x04\x03\x02\x01" + struct.pack("<II", len(tags), _CHECK) + body


def _tag(name: str, vr: str, values: Sequence[float | str]) -> bytes:
    count = max(len(values), _LEAST_ITEMS)
    head = struct.pack(
        "<64si4siii", name.encode(), len(values), vr.encode(), _VR_CODES[vr], count, _CHECK
    )
    items = [_item(value) for value in values]
    items += [struct.pack("<4i", 0, 0, _CHECK, 0)] * (count - len(values))
    return head + b"".join(items)


def _item(value: float | str) -> bytes:
    text = value if isinstance(value, str) else f"{value:.8f}" if value % 1 else f"{value:.0f}"
    raw = text.encode() + b"\0"
    size = len(raw)
    return struct.pack("<4i", size, size, _CHECK, size) + raw + b"\0" * (-size % 4)
