"""Reads the top level of a DICOM header without building a data set.

Only positions, lengths and the raw bytes of the wanted elements are kept, which is several
times faster than decoding every element; nested data sets are skipped over. Every length is
checked against the file, so that no header makes it read or allocate beyond the file's size.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from struct import Struct

IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"

_PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_PER_FRAME = 0x52009230
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG_VRS = frozenset({b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UT", b"UN", b"UC", b"UR"})
_LONG_VRS |= {b"SV", b"UV"}
# fmt: off
_SHORT_VRS = frozenset({
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN",
    b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US",
})
# fmt: on
_MAX_DEPTH = 32
_MAX_INFLATED = 64 * 2**20
_KNOWN_GROUPS = frozenset({0x0002, 0x0008})


class HeaderError(ValueError):
    """A file that is no DICOM or whose header cannot be read; the message is the reason."""


@dataclass
class Header:
    """Where the parts of one DICOM file are, and the wanted elements.

    ``elements`` maps a tag to its VR (empty in implicit syntax) and its raw bytes.
    ``pixel_offset`` is -1 where there are no pixels; ``pixel_length`` is -1 where the pixels
    are encapsulated. Offsets count from the start of the file except in deflated files.
    """

    syntax: str = ""
    little: bool = True
    start: int = 0
    end: int = 0
    pixel_offset: int = -1
    pixel_length: int = 0
    multiframe: bool = False
    elements: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)


class _Source:
    """A growing window on a file from its start."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self.data = read(65536)

    def need(self, end: int) -> bool:
        """Make ``data`` reach ``end``; False where the file is shorter."""
        while len(self.data) < end:
            more = self._read(max(end - len(self.data), len(self.data)))
            if not more:
                return False
            self.data += more
        return True


def read_header(
    read: Callable[[int], bytes], size: int, wanted: Container[int]
) -> tuple[Header, bytes]:
    """Parse the header of one file.

    Parameters
    ----------
    read : callable
        Reads that many bytes on from the start of the file.
    size : int
        Size of the file (bytes).
    wanted : container of int
        Tags whose values are kept.

    Returns
    -------
    tuple
        The header, and the bytes of the data set before the pixels, for its digest.

    Raises
    ------
    HeaderError
        No DICOM, or a broken header.
    """
    source = _Source(read)
    header = Header()
    position = _meta(source, header, wanted)
    if header.syntax == DEFLATED:
        source.need(size)
        source = _Source(_inflated(source.data[position:]))
        position, size = 0, len(source.data)
        source.need(_MAX_INFLATED)
        size = len(source.data)
    header.start = position
    header.little = header.syntax != BIG_ENDIAN
    _Walker(source, size, explicit=header.syntax != IMPLICIT, little=header.little).top(
        header, wanted
    )
    return header, source.data[header.start : header.end]


def _meta(source: _Source, header: Header, wanted: Container[int]) -> int:
    """Read preamble and file meta information; return where the data set starts."""
    data = source.data
    if data[128:132] == b"DICM":
        walker = _Walker(source, len(data), explicit=True, little=True)
        position = walker.group_two(132, header, wanted)
        _, value = header.elements.get(0x00020010, (b"", b""))
        header.syntax = value.rstrip(b"\0 ").decode("ascii", "replace")
        if not header.syntax:
            header.syntax = _guess(source.data[position : position + 8])
        return position
    group = int.from_bytes(data[0:2], "little")
    if len(data) < 16 or group not in _KNOWN_GROUPS:
        raise HeaderError("not_dicom")
    header.syntax = _guess(data[:8])
    return 0


def _guess(data: bytes) -> str:
    """Tell explicit from implicit little endian by the first element."""
    explicit = data[4:6].isalpha() and data[4:6].isupper()
    return "1.2.840.10008.1.2.1" if explicit else IMPLICIT


def _inflated(data: bytes) -> Callable[[int], bytes]:
    """Return a reader of deflated bytes that stops at a bound."""
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = engine.decompress(data, _MAX_INFLATED)
    except zlib.error as error:
        raise HeaderError("deflate_error") from error
    taken = 0

    def read(count: int) -> bytes:
        nonlocal taken
        part = content[taken : taken + count]
        taken += len(part)
        return part

    return read


class _Walker:
    """Steps from element to element."""

    def __init__(self, source: _Source, size: int, *, explicit: bool, little: bool) -> None:
        self.source, self.size, self.explicit = source, size, explicit
        order = "<" if little else ">"
        self.head = Struct(order + "HH2sH").unpack_from
        self.u4 = Struct(order + "I").unpack_from

    def element(self, at: int) -> tuple[int, bytes, int, int]:
        """Return tag, VR, length and start of the value of the element at ``at``."""
        data = self.source.data
        if len(data) < at + 12:
            self.source.need(at + 12)
            data = self.source.data
            if len(data) < at + 8:
                raise HeaderError("header_truncated")
        group, number, vr, short = self.head(data, at)
        tag = group << 16 | number
        if vr in _SHORT_VRS and self.explicit:
            return tag, vr, short, at + 8
        if not self.explicit or group == 0xFFFE:
            return tag, b"", self.u4(data, at + 4)[0], at + 8
        if vr not in _LONG_VRS:
            if vr.isalpha() and vr.isupper():
                return tag, vr, short, at + 8
            raise HeaderError("unknown_vr")
        if len(data) < at + 12:
            raise HeaderError("header_truncated")
        return tag, vr, self.u4(data, at + 8)[0], at + 12

    def group_two(self, at: int, header: Header, wanted: Container[int]) -> int:
        """Read the file meta information; return where it ends."""
        while self.source.need(at + 8):
            if self.source.data[at : at + 2] != b"\x02\x00":
                return at
            tag, vr, length, value = self.element(at)
            if length > 65536 or not self.source.need(value + length):
                raise HeaderError("header_truncated")
            if tag == 0x00020010 or tag in wanted:
                header.elements[tag] = (vr, self.source.data[value : value + length])
            at = value + length
        raise HeaderError("header_truncated")

    def top(self, header: Header, wanted: Container[int]) -> None:
        """Read the elements of the data set up to the pixels."""
        at, source, size = header.start, self.source, self.size
        while at + 8 <= size:
            tag, vr, length, value = self.element(at)
            if tag in _PIXELS:
                header.end, header.pixel_offset = at, value
                header.pixel_length = -1 if length == _UNDEFINED else length
                return
            if tag == _PER_FRAME:
                header.multiframe = True
            if length == _UNDEFINED:
                at = self.skip(value, 1, nested=vr != b"UN")
                continue
            at = value + length
            if at > size or (at > len(source.data) and not source.need(at)):
                raise HeaderError("header_truncated")
            if tag in wanted:
                header.elements[tag] = (vr, source.data[value:at])
        header.end = min(at, size)

    def skip(self, at: int, depth: int, *, nested: bool) -> int:
        """Return the end of a sequence of undefined length whose first item is at ``at``."""
        if depth > _MAX_DEPTH:
            raise HeaderError("nested_too_deep")
        # PS3.5 6.2.2: an unknown VR of undefined length is encoded implicitly.
        walker = self if nested else self._implicit()
        while True:
            tag, _, length, value = walker.element(at)
            if tag == _SEQUENCE_END:
                return value
            if tag != _ITEM:
                raise HeaderError("sequence_broken")
            at = walker.item(value, depth) if length == _UNDEFINED else value + length
            if at > self.size:
                raise HeaderError("header_truncated")

    def item(self, at: int, depth: int) -> int:
        """Return the end of an item of undefined length."""
        while True:
            tag, vr, length, value = self.element(at)
            if tag == _ITEM_END:
                return value
            if length == _UNDEFINED:
                at = self.skip(value, depth + 1, nested=vr != b"UN")
            else:
                at = value + length
            if at > self.size:
                raise HeaderError("header_truncated")

    def _implicit(self) -> _Walker:
        return _Walker(self.source, self.size, explicit=False, little=True)
