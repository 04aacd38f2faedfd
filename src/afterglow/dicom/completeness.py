"""Whether slices at the edges of a volume never came, by everything that counts them.

A lost slice between others leaves a gap (``volumes.lacks_slices``); one at the edge does not. Only
a count tells of it: the vendor's number of slices, the images of the acquisition, the instance
numbers, or a series of the same protocol and study that reaches further. None of them is certain,
so that all of them only ever give a doubt.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from afterglow.dicom.volumes import Row, Slice, Volumes

WORD = "slices_may_be_missing"
# numbers that begin at 101 or 1001 are a scheme of the vendor, not a loss
_SCHEME = 100
# of the distance between slices
_REACHES = 0.5
_PARTNERS = (frozenset({"T1w", "T1w_ce"}), frozenset({"VFA", "DCE"}))


def add_doubts(study: Sequence[dict[str, Any]], rows: Sequence[Row]) -> None:
    """Append a doubt to every series of a study whose volumes seem to lack slices.

    Parameters
    ----------
    study : sequence of dict
        Described series of one study, with their classes.
    rows : sequence of mapping
        Inventory rows that their ``rows`` point into.
    """
    numbers: dict[str, list[int | None]] = defaultdict(list)
    planes: dict[str, set[tuple[float, ...]]] = defaultdict(set)
    for series in study:
        found = [rows[n].get("instance_number") for n in series["rows"]]
        numbers[series["series_uid"]] += found
        cosines = rows[series["rows"][0]].get("image_orientation") or ()
        planes[series["series_uid"]].add(tuple(round(v, 2) + 0.0 for v in cosines))
    for series in study:
        own = [rows[n] for n in series["rows"]]
        volumes: Volumes = series["volumes"]
        if series["facts"]["object"] != "image" or volumes.key == "mosaic" or not volumes.complete:
            continue
        # what counts the slices of three planes tells nothing of one of them
        one_plane = len(planes[series["series_uid"]]) == 1
        counts = _counts(own, volumes, numbers[series["series_uid"]]) if one_plane else {}
        counts["series_of_same_protocol"] = _partner(series, study, rows)
        seen = volumes.n_positions
        told = [(count, name) for name, count in counts.items() if count > seen]
        if told:
            count, name = told[0]
            series["doubts"].append(f"{WORD} ({seen} of {count} by {name})")


def _counts(rows: Sequence[Row], volumes: Volumes, numbers: Sequence[int | None]) -> dict[str, int]:
    """Return how many slices a volume should have, by what says so, most certain first."""
    row = rows[0]
    if row.get("frames"):
        return {"stack_position": _stack(row)}
    return {
        "vendor_count": row.get("ge_slices") or row.get("philips_slices") or 0,
        "images_in_acquisition": _by_images(rows, volumes, len(numbers)),
        "instance_number": _by_numbers(rows, volumes, numbers),
    }


def _stack(row: Row) -> int:
    places = {frame.get("stack_position") or 0 for frame in row["frames"]}
    return max(places)


def _by_images(rows: Sequence[Row], volumes: Volumes, present: int) -> int:
    """Return the slices per volume that the number of images says; 0 where it says nothing.

    Vendors count the images of a volume, of a series, or of all its echoes and components alike;
    ``present`` is how many of the whole series are here.
    """
    declared, seen = rows[0].get("images_in_acquisition") or 0, volumes.n_positions
    if declared <= seen or any(r.get("images_in_acquisition") != declared for r in rows):
        return 0
    if len(volumes.complete) + len(volumes.incomplete) < 2:
        return _shared(declared, max(round(present / seen), 1), present)
    if declared % seen and declared < 2 * seen:
        return declared
    count = rows[0].get("n_temporal") or 0
    parts = count * max(len(volumes.echo_times), 1) * round(present / len(rows))
    return _shared(declared, parts, present) if count > 1 else 0


def _shared(declared: int, parts: int, present: int) -> int:
    return declared // parts if declared > present and declared % parts == 0 else 0


def _by_numbers(rows: Sequence[Row], volumes: Volumes, numbers: Sequence[int | None]) -> int:
    """Return the slices per volume that the gaps in instance numbers say.

    The numbers are those of the whole series, which may hold several images (magnitude and phase).
    Gaps between volumes are lost slices only if numbers run through one volume after the other.
    """
    known = sorted({n for n in numbers if n is not None})
    if len(known) < max(2, len(numbers)) or len(set(np.diff(known))) == 1 < known[1] - known[0]:
        return 0
    before = known[0] - 1 if known[0] > 0 and (known[0] - 1) % _SCHEME else 0
    images = max(round(len(numbers) / max(volumes.n_positions, 1)), 1)
    every = (*volumes.complete, *volumes.incomplete)
    if len(every) < 2:
        lost = before + known[-1] - known[0] + 1 - len(known)
        return volumes.n_positions + lost // images
    if len(rows) != len(numbers) or len(volumes.echo_times) > 1:
        return 0
    between = _between(every)
    return volumes.n_positions + (before // images if between is None else between)


def _between(volumes: Sequence[Sequence[Slice]]) -> int | None:
    """Return the numbers left out after every volume; None where they are not numbered in turn."""
    ranges = sorted((min(s.instance for s in v), max(s.instance for s in v)) for v in volumes)
    least = min(after[0] - before[1] - 1 for before, after in pairwise(ranges))
    return least if least >= 0 else None


def _partner(
    series: Mapping[str, Any], study: Sequence[dict[str, Any]], rows: Sequence[Row]
) -> int:
    """Return how many slices a series of the same protocol has that holds all of this and more."""
    kinds = next((kinds for kinds in _PARTNERS if series["class"] in kinds), frozenset())
    own = _protocol(series, rows)
    places = _places(series)
    if not kinds or None in own or places.size < 2:
        return 0
    step = float(np.median(np.diff(places)))
    found = 0
    for other in study:
        if other is series or other["class"] not in kinds or _protocol(other, rows) != own:
            continue
        wider = _places(other)
        if wider.size <= places.size or abs(float(np.median(np.diff(wider))) - step) > 0.01 * step:
            continue
        apart = np.min(np.abs(places[:, None] - wider[None, :]), axis=1)
        if np.all(apart < _REACHES * step):
            found = max(found, int(wider.size))
    return found


def _places(series: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    volume = (series["volumes"].complete or ((),))[0]
    return np.sort([s.position for s in volume if s.position is not None]).astype(np.float64)


def _protocol(series: Mapping[str, Any], rows: Sequence[Row]) -> tuple[Any, ...]:
    """Return what series share that were planned with the same slices."""
    row = rows[series["rows"][0]]
    frame = (row.get("frames") or [{}])[0]
    orientation = row.get("image_orientation") or frame.get("orientation")
    spacing = row.get("pixel_spacing") or frame.get("pixel_spacing")
    repetition, echo = series["facts"]["repetition_time"], series["facts"]["echo_time"]
    return (
        row.get("frame_of_reference_uid"),
        row.get("rows"),
        row.get("columns"),
        orientation and tuple(round(v, 3) + 0.0 for v in orientation),
        spacing and tuple(round(v, 3) for v in spacing),
        None if repetition is None else round(repetition, 1),
        None if echo is None else round(echo, 1),
    )
