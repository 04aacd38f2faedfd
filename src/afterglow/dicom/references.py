"""What radiotherapy and segmentation objects say about the images they belong to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# RT dose, structure set and plan (ion plan included), segmentation, label map segmentation
REFERRING = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.481.2",
        "1.2.840.10008.5.1.4.1.1.481.3",
        "1.2.840.10008.5.1.4.1.1.481.5",
        "1.2.840.10008.5.1.4.1.1.481.8",
        "1.2.840.10008.5.1.4.1.1.66.4",
        "1.2.840.10008.5.1.4.1.1.66.7",
    }
)
MAX_REFERENCES = 50_000
_MAX_DEPTH = 16
_MAX_POINTS = 512
_SERIES, _FRAME, _FRAME_REFERENCED, _SOP = 0x0020000E, 0x00200052, 0x30060024, 0x00081155
_CONTOUR = 0x30060050
_WANTED = {_SERIES: "series", _FRAME: "frames", _FRAME_REFERENCED: "frames", _SOP: "sops"}
NAMES = ("referenced_series", "referenced_sops", "referenced_frames")


def references(dataset: Any) -> dict[str, list[Any]]:
    """Collect the identifiers an object refers to, at whatever depth they stand.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Header of a structure set, dose, plan or segmentation.

    Returns
    -------
    dict
        ``referenced_series``, ``referenced_sops`` and ``referenced_frames`` (frames of reference):
        sorted unique identifiers, without the object's own; ``contour_points``: the first vertex
        of up to 512 contours (mm, LPS), one after the other.
    """
    found: dict[str, set[str]] = {"series": set(), "frames": set(), "sops": set()}
    points: list[float] = []
    for tag, value in _nested(dataset, 0):
        if tag == _CONTOUR:
            if len(points) < 3 * _MAX_POINTS:
                points.extend(_vertex(value))
        elif len(found[_WANTED[tag]]) < MAX_REFERENCES and value:
            found[_WANTED[tag]].add(str(value))
    own = dataset.get("FrameOfReferenceUID")
    if own:
        found["frames"].add(str(own))
    return {
        "referenced_series": sorted(found["series"]),
        "referenced_sops": sorted(found["sops"]),
        "referenced_frames": sorted(found["frames"]),
        "contour_points": points,
    }


def _vertex(value: Any) -> list[float]:
    try:
        first = [float(number) for number in list(value)[:3]]
    except (TypeError, ValueError):
        return []
    return first if len(first) == 3 else []


def _nested(dataset: Any, depth: int) -> Iterator[tuple[int, Any]]:
    """Yield the wanted elements of all nested data sets; nothing else is decoded."""
    from pydicom.datadict import dictionary_VR

    if depth > _MAX_DEPTH:
        return
    for tag in sorted(dataset.keys()):
        number = int(tag)
        if depth and (number in _WANTED or number == _CONTOUR):
            yield number, dataset[tag].value
            continue
        vr = dataset.get_item(tag).VR
        if vr is None:
            try:
                vr = dictionary_VR(tag)
            except KeyError:
                continue
        if vr == "SQ":
            for item in dataset[tag].value or ():
                yield from _nested(item, depth + 1)
