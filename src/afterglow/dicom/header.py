"""Reads the top level of a DICOM header without building a data set.

Only positions, lengths and the raw bytes of the wanted elements are kept, which is several
times faster than decoding every element; nested data sets are skipped over. Every length is
checked against the file, so that no header makes it read or allocate beyond the file's size.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from struct import Struct

IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"

_PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
SHARED_GROUPS, PER_FRAME_GROUPS, CONTRAST_AGENTS = 0x52009229, 0x52009230, 0x00180012
_GROUPS = frozenset({SHARED_GROUPS, PER_FRAME_GROUPS, CONTRAST_AGENTS})
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
    elements: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    groups: dict[int, tuple[int, int]] = field(default_factory=dict)
    data: bytes = b""

    @property
    def multiframe(self) -> bool:
        """Whether the object has functional groups of single frames."""
        return PER_FRAME_GROUPS in self.groups


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
    explicit = header.syntax != IMPLICIT
    Walker(source, size, explicit=explicit, little=header.little).top(header, wanted)
    header.data = source.data
    return header, source.data[header.start : header.end]


def _meta(source: _Source, header: Header, wanted: Container[int]) -> int:
    """Read preamble and file meta information; return where the data set starts."""
    data = source.data
    if data[128:132] == b"DICM":
        walker = Walker(source, len(data), explicit=True, little=True)
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
    if not engine.eof and len(content) < _MAX_INFLATED:
        raise HeaderError("deflate_truncated")
    taken = 0

    def read(count: int) -> bytes:
        nonlocal taken
        part = content[taken : taken + count]
        taken += len(part)
        return part

    return read


class Walker:
    """Steps from element to element of a data set in memory.

    ``source`` reads on where the data end before ``size``.
    """

    def __init__(self, source: _Source, size: int, *, explicit: bool, little: bool) -> None:
        self.source, self.size, self.explicit, self.little = source, size, explicit, little
        order = "<" if little else ">"
        self.head = Struct(order + "HH2sH").unpack_from
        self.u4 = Struct(order + "I").unpack_from

    @classmethod
    def over(cls, header: Header) -> Walker:
        """Return a walker over what was read of a file."""
        data = header.data
        source = _Source(lambda _: b"")
        source.data = data
        return cls(source, len(data), explicit=header.syntax != IMPLICIT, little=header.little)

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
        if not self.explicit or group == 0xFFFE:
            return tag, b"", self.u4(data, at + 4)[0], at + 8
        if vr not in _LONG_VRS:
            if vr in _SHORT_VRS or (vr.isalpha() and vr.isupper()):
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
        at, source, size, explicit, head = (
            header.start, self.source, self.size, self.explicit, self.head
        )  # fmt: skip
        data, elements = source.data, header.elements
        safe = len(data) - 12
        while at + 8 <= size:
            # the loop that every element of every file passes: what is common is done here
            vr = b""
            if explicit and at <= safe:
                group, number, vr, length = head(data, at)
                tag, value = group << 16 | number, at + 8
            if vr not in _SHORT_VRS:
                tag, vr, length, value = self.element(at)
                data = source.data
                safe = len(data) - 12
                if tag in _PIXELS:
                    header.end, header.pixel_offset = at, value
                    header.pixel_length = -1 if length == _UNDEFINED else length
                    return
                if length == _UNDEFINED:
                    at = self.skip(value, 1, nested=vr != b"UN")
                    if tag in _GROUPS:
                        header.groups[tag] = (value, at)
                    data = source.data
                    safe = len(data) - 12
                    continue
                if tag in _GROUPS:
                    header.groups[tag] = (value, value + length)
            at = value + length
            if at > len(data):
                if at > size or not source.need(at):
                    raise HeaderError("header_truncated")
                data = source.data
                safe = len(data) - 12
            if tag in wanted:
                elements[tag] = (vr, data[value:at])
        header.end = min(at, size)

    def skip(self, at: int, depth: int, *, nested: bool) -> int:
        """Return the end of a sequence of undefined length whose first item is at ``at``."""
        if depth > _MAX_DEPTH:
            raise HeaderError("nested_too_deep")
        # PS3.5 6.2.2: an unknown VR of undefined length is encoded implicitly.
        walker = self if nested else self.implicit()
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
        explicit, head, size, source = self.explicit, self.head, self.size, self.source
        data = source.data
        safe = len(data) - 12
        while True:
            vr = b""
            if explicit and at <= safe:
                _, _, vr, length = head(data, at)
            if vr in _SHORT_VRS:
                at += 8 + length
            else:
                tag, vr, length, value = self.element(at)
                if tag == _ITEM_END:
                    return value
                if length == _UNDEFINED:
                    at = self.skip(value, depth + 1, nested=vr != b"UN")
                else:
                    at = value + length
                data = source.data
                safe = len(data) - 12
            if at > size:
                raise HeaderError("header_truncated")

    def implicit(self) -> Walker:
        """Return a walker over the same data in implicit little endian."""
        return Walker(self.source, self.size, explicit=False, little=True)

    def items(self, at: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield start and end of the items of a sequence; of either length convention."""
        while at + 8 <= end:
            tag, _, length, value = self.element(at)
            if tag == _SEQUENCE_END:
                return
            if tag != _ITEM:
                raise HeaderError("sequence_broken")
            if length == _UNDEFINED:
                at = self.item(value, 1)
                yield value, at - 8
            else:
                at = value + length
                if at > end:
                    raise HeaderError("header_truncated")
                yield value, at

    def elements(self, at: int, end: int) -> Iterator[tuple[int, bytes, int, int]]:
        """Yield tag, VR, start and end of the value of every element of a data set."""
        while at + 8 <= end:
            tag, vr, length, value = self.element(at)
            undefined = length == _UNDEFINED
            at = self.skip(value, 1, nested=vr != b"UN") if undefined else value + length
            if at > end:
                raise HeaderError("header_truncated")
            yield tag, vr, value, at
