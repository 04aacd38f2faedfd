"""Facts of every frame of an enhanced object, from the bytes of its functional groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from afterglow.dicom.clock import instant
from afterglow.dicom.header import (
    CONTRAST_AGENTS,
    PER_FRAME_GROUPS,
    SHARED_GROUPS,
    Header,
    HeaderError,
    Walker,
)
from afterglow.dicom.tags import integer, numbers, text

MAX_FRAMES = 200_000

# name: sequence, element in its first item, VR where the syntax does not say it, kind
_FACTS: dict[str, tuple[int, int, bytes, str]] = {
    "position": (0x00209113, 0x00200032, b"DS", "numbers"),
    "orientation": (0x00209116, 0x00200037, b"DS", "numbers"),
    "pixel_spacing": (0x00289110, 0x00280030, b"DS", "numbers"),
    "slice_thickness": (0x00289110, 0x00180050, b"DS", "number"),
    "slice_spacing": (0x00289110, 0x00180088, b"DS", "number"),
    "acquired": (0x00209111, 0x00189074, b"DT", "instant"),
    "referenced": (0x00209111, 0x00189151, b"DT", "instant"),
    "temporal_index": (0x00209111, 0x00209128, b"UL", "integer"),
    "stack_position": (0x00209111, 0x00209057, b"UL", "integer"),
    "acquisition_number": (0x00209111, 0x00209156, b"US", "integer"),
    "temporal_offset": (0x00209310, 0x0020930D, b"FD", "number"),
    "trigger_delay": (0x00189118, 0x00209153, b"FD", "number"),
    "echo_time": (0x00189114, 0x00189082, b"FD", "number"),
    "flip_angle": (0x00189112, 0x00181314, b"DS", "number"),
    "repetition_time": (0x00189112, 0x00180080, b"DS", "number"),
    "inversion_time": (0x00189115, 0x00189079, b"FD", "number"),
    "frequency": (0x00189006, 0x00189098, b"FD", "number"),
    "b_value": (0x00189117, 0x00189087, b"FD", "number"),
    "slope": (0x00289145, 0x00281053, b"DS", "number"),
    "intercept": (0x00289145, 0x00281052, b"DS", "number"),
    "component": (0x00189226, 0x00089208, b"CS", "text"),
    "frame_type": (0x00189226, 0x00089007, b"CS", "texts"),
    # Philips repeats the classic header in a private sequence
    "label": (0x2005140F, 0x20051429, b"CS", "text"),
    "dynamic_start": (0x2005140F, 0x200510A0, b"FL", "number"),
    "scanning_sequence": (0x2005140F, 0x00180020, b"CS", "texts"),
}
FRAME_NAMES = tuple(_FACTS)
# of the first item of the sequence of contrast agents
_AGENT = {
    0x00080104: ("contrast_agent", b"LO", "text"),
    0x00181041: ("contrast_volume", b"DS", "number"),
    0x00181049: ("contrast_concentration", b"DS", "number"),
}
_Wanted = Mapping[int, Mapping[int, tuple[str, bytes, str]]]


def _by_sequence() -> _Wanted:
    wanted: dict[int, dict[int, tuple[str, bytes, str]]] = {}
    for name, (sequence, tag, vr, kind) in _FACTS.items():
        wanted.setdefault(sequence, {})[tag] = (name, vr, kind)
    return wanted


_WANTED = _by_sequence()


def frame_facts(header: Header) -> list[dict[str, Any]]:
    """Return one mapping of facts per frame of an enhanced object.

    Parameters
    ----------
    header : Header
        Header of an object with functional groups.

    Returns
    -------
    list of dict
        Facts by the names of :data:`FRAME_NAMES`; what a frame does not say is None. Shared
        facts are repeated in every frame.

    Raises
    ------
    HeaderError
        Functional groups that break off or are no sequence.
    """
    walker = Walker.over(header)
    shared: dict[str, Any] = dict.fromkeys(FRAME_NAMES)
    if SHARED_GROUPS in header.groups:
        for start, end in walker.items(*header.groups[SHARED_GROUPS]):
            shared.update(_facts(walker, start, end))
            break
    frames: list[dict[str, Any]] = []
    for start, end in walker.items(*header.groups[PER_FRAME_GROUPS]):
        if len(frames) >= MAX_FRAMES:
            break
        frames.append({"index": len(frames), **shared, **_facts(walker, start, end)})
    return frames


def contrast_facts(header: Header) -> dict[str, Any]:
    """Return what an enhanced object says of the first contrast agent, which it does in a sequence.

    Returns
    -------
    dict
        ``contrast_agent``, ``contrast_volume`` (mL) and ``contrast_concentration`` (mg/mL), those
        that are stated.
    """
    found: dict[str, Any] = {}
    if CONTRAST_AGENTS in header.groups:
        _first_item(Walker.over(header), *header.groups[CONTRAST_AGENTS], _AGENT, found)
    return found


def _facts(walker: Walker, start: int, end: int) -> dict[str, Any]:
    """Return what one item of functional groups says; absent and empty elements are left out."""
    found: dict[str, Any] = {}
    for tag, vr, at, stop in walker.elements(start, end):
        wanted = _WANTED.get(tag)
        if wanted is None:
            continue
        inner = walker.implicit() if vr == b"UN" else walker
        try:
            _first_item(inner, at, stop, wanted, found)
        except HeaderError:
            # a private element of unknown form may be no sequence at all
            if vr != b"UN":
                raise
    return found


def _first_item(
    walker: Walker,
    at: int,
    stop: int,
    wanted: Mapping[int, tuple[str, bytes, str]],
    found: dict[str, Any],
) -> None:
    data = walker.source.data
    for first, last in walker.items(at, stop):
        for tag, vr, value, end in walker.elements(first, last):
            if tag in wanted:
                name, usual, kind = wanted[tag]
                known = vr if vr not in {b"", b"UN"} else usual
                decoded = _value(known, data[value:end], kind, walker.little)
                if decoded is not None:
                    found[name] = decoded
        return


def _value(vr: bytes, content: bytes, kind: str, little: bool) -> Any:
    if kind in {"text", "texts", "instant"}:
        words = text(content, "latin-1", several=kind == "texts")
        return instant(words) if kind == "instant" and isinstance(words, str) else words
    values = numbers(vr, content, little)
    if kind == "numbers":
        return values or None
    if not values:
        return None
    return integer(values[0]) if kind == "integer" else values[0]
