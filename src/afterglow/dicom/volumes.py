"""Sorts the slices of one series into volumes.

Slices come as files (classic), frames (enhanced) or whole volumes (mosaic). What separates one
volume from the next is asked in order of trust: a temporal position, an acquisition number, a
time that is constant within a volume, and last the order of instance numbers at each position.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from afterglow.dicom.clock import instant, is_whole, joined

_SAME_POSITION = 0.02
# a slice that never came doubles one step; headers that round positions stay far below this
_UNEVEN = 0.5

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Slice:
    """One slice, or one mosaic, with everything that may tell when it was acquired.

    Times are seconds, on whatever clock their source uses.
    """

    row: int
    frame: int | None
    position: float | None
    instance: int
    echo: float | None
    label: str
    temporal: int | None
    acquisition: int | None
    b_value: float | None
    times: Mapping[str, float | None] = field(default_factory=dict)
    whole_seconds: bool = False


@dataclass(frozen=True)
class Volumes:
    """Volumes of a series, in order; each a tuple of slices sorted by position.

    ``incomplete`` holds those that lack slices; ``key`` says what told the volumes apart.
    """

    complete: tuple[tuple[Slice, ...], ...]
    incomplete: tuple[tuple[Slice, ...], ...]
    n_positions: int
    echo_times: tuple[float, ...]
    key: str

    @property
    def n_volumes(self) -> int:
        """Number of complete volumes of one echo."""
        return len(self.complete)


def is_mosaic(row: Row) -> bool:
    """Tell whether a file is a mosaic of slices."""
    return any(str(t).upper() == "MOSAIC" for t in row.get("image_type") or ())


def slices(rows: Sequence[Row]) -> list[Slice]:
    """Return every slice of a series, of files and of frames alike."""
    found: list[Slice] = []
    for number, row in enumerate(rows):
        frames = row.get("frames")
        if frames:
            found.extend(_frame_slice(number, row, frame) for frame in frames)
        else:
            found.append(_file_slice(number, row))
    return found


def _file_slice(number: int, row: Row) -> Slice:
    date = row.get("acquisition_date") or row.get("series_date") or row.get("study_date")
    return Slice(
        row=number,
        frame=None,
        position=None if is_mosaic(row) else _position(row, row),
        instance=row.get("instance_number") or 0,
        echo=row.get("echo_time"),
        label=row.get("philips_label") or "",
        temporal=row.get("temporal_index"),
        acquisition=row.get("acquisition_number"),
        b_value=_b_value(row),
        times={
            "acquisition_datetime": instant(row.get("acquisition_datetime")),
            "acquisition_time": joined(date, row.get("acquisition_time")),
            "trigger_time": _thousandth(row.get("trigger_time")),
            "frame_reference_time": _thousandth(row.get("frame_reference_time")),
            "philips_dynamic_start": row.get("philips_dynamic_start"),
            "siemens_since_start": row.get("siemens_since_start"),
        },
        whole_seconds=is_whole(row.get("acquisition_time")),
    )


def _frame_slice(number: int, row: Row, frame: Mapping[str, Any]) -> Slice:
    own = _first(frame.get("temporal_index"), row.get("temporal_index"))
    return Slice(
        row=number,
        frame=int(frame["index"]),
        position=_position(frame, row, frame.get("position"), frame.get("orientation")),
        instance=(row.get("instance_number") or 0) * 1_000_000 + int(frame["index"]),
        echo=_first(frame.get("echo_time"), row.get("echo_time")),
        label=f"{frame.get('label') or ''}{frame.get('component') or ''}",
        temporal=own,
        acquisition=_first(frame.get("acquisition_number"), row.get("acquisition_number")),
        b_value=_first(frame.get("b_value"), _b_value(row)),
        times={
            "frame_acquisition_datetime": frame.get("acquired"),
            "temporal_offset": frame.get("temporal_offset"),
            "acquisition_datetime": instant(row.get("acquisition_datetime")),
            "philips_dynamic_start": frame.get("dynamic_start"),
            "trigger_delay": _thousandth(frame.get("trigger_delay")),
            "frame_reference_datetime": frame.get("referenced"),
        },
    )


def _b_value(row: Row) -> float | None:
    value = _first(row.get("b_value"), row.get("siemens_b_value"), row.get("philips_b_value"))
    return None if value is None else float(value)


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _thousandth(value: float | None) -> float | None:
    return None if value is None else value / 1000.0


def _position(
    facts: Mapping[str, Any],
    row: Row,
    position: Sequence[float] | None = None,
    orientation: Sequence[float] | None = None,
) -> float | None:
    """Return where a slice lies along the slice normal (mm)."""
    position = position or facts.get("image_position") or row.get("image_position")
    orientation = orientation or facts.get("image_orientation") or row.get("image_orientation")
    if position is None or orientation is None or len(position) != 3 or len(orientation) != 6:
        location = row.get("slice_location")
        return None if location is None else float(location)
    (a, b, c), (d, e, f), (x, y, z) = orientation[:3], orientation[3:], position
    return float((b * f - c * e) * x + (c * d - a * f) * y + (a * e - b * d) * z)


def assemble(rows: Sequence[Row]) -> Volumes:
    """Sort the slices of one series into volumes.

    Parameters
    ----------
    rows : sequence of mapping
        Inventory rows of one series.

    Returns
    -------
    Volumes
        Volumes of the first echo; further echoes repeat their times.
    """
    every = slices(rows)
    echoes = sorted({round(s.echo, 4) for s in every if s.echo is not None})
    first = every
    if echoes:
        first = [s for s in every if s.echo is not None and round(s.echo, 4) == echoes[0]]
    if any(is_mosaic(row) for row in rows):
        ordered = sorted(first, key=lambda s: (_or(s.acquisition), s.instance))
        whole = tuple((s,) for s in ordered)
        return Volumes(whole, (), 1, tuple(echoes), "mosaic")
    places = _places(first)
    n_positions = max(places.values(), default=0) + 1 if first else 0
    groups, key = _groups(first, places)
    complete = tuple(g for g in groups if len(g) == n_positions)
    partial = tuple(g for g in groups if len(g) != n_positions)
    return Volumes(complete, partial, n_positions, tuple(echoes), key)


def lacks_slices(volumes: Volumes) -> bool:
    """Tell whether the slices lie at uneven distances, as where some files never came.

    Such slices cannot be stacked: an image has one distance between all of them.
    """
    places = [s.position for s in (volumes.complete or ((),))[0] if s.position is not None]
    steps = np.diff(np.sort(np.array(places, dtype=np.float64)))
    if steps.size < 2:
        return False
    usual = float(np.median(steps))
    return bool(np.any(np.abs(steps - usual) > _UNEVEN * usual))


def moved_up(volumes: Volumes, rows: Sequence[Row]) -> bool:
    """Tell whether lost slices may have moved later ones into earlier volumes.

    That is so where nothing but the order of the files at each position tells the volumes apart,
    and some numbers in between are not there. A series cut off at its end has all of them.
    """
    if volumes.key != "instance_number" or not volumes.incomplete:
        return False
    return {row.get("instance_number") for row in rows} != set(range(1, len(rows) + 1))


def _or(value: int | None) -> int:
    return -1 if value is None else value


def _places(every: Sequence[Slice]) -> dict[int, int]:
    """Return the index of the slice position of every slice (by its identity in the list)."""
    values = np.array([np.nan if s.position is None else s.position for s in every])
    order = np.argsort(values, kind="stable")
    places: dict[int, int] = {}
    current = 0
    for rank, index in enumerate(order):
        step = values[index] - values[order[rank - 1]] if rank else 0.0
        # a slice without a place cannot be told from the next one: each is its own position
        if rank and not step <= _SAME_POSITION:
            current += 1
        places[id(every[int(index)])] = current
    return places


def _groups(
    every: Sequence[Slice], places: Mapping[int, int]
) -> tuple[list[tuple[Slice, ...]], str]:
    """Return the volumes in order and the name of the key that told them apart."""
    counts = Counter(places.values())
    if not every or max(counts.values()) == 1:
        return ([tuple(sorted(every, key=lambda s: places[id(s)]))] if every else []), "single"
    keys: list[tuple[str, Callable[[Slice], Any]]] = [
        ("temporal_position", lambda s: s.temporal),
        ("acquisition_number", lambda s: s.acquisition),
        ("trigger_time", lambda s: s.times.get("trigger_time")),
        ("acquisition_time", lambda s: s.times.get("acquisition_time")),
    ]
    for name, key in keys:
        groups = _by(every, places, key, max(counts.values()))
        if groups is not None:
            return groups, name
    return _by_rank(every, places), "instance_number"


def _by(
    every: Sequence[Slice],
    places: Mapping[int, int],
    key: Callable[[Slice], Any],
    most: int,
) -> list[tuple[Slice, ...]] | None:
    """Group by a key where it puts every slice position at most once into each volume."""
    groups: dict[tuple[Any, ...], list[Slice]] = defaultdict(list)
    for item in every:
        value = key(item)
        if value is None:
            return None
        groups[(value, item.label, item.b_value or 0.0)].append(item)
    # more volumes than the busiest position has slices: the key changes within a volume
    if len(groups) < most or len(groups) > most + 1:
        return None
    for members in groups.values():
        if len({places[id(m)] for m in members}) != len(members):
            return None
    ordered = sorted(
        groups.items(), key=lambda item: (item[0][0], min(m.instance for m in item[1]))
    )
    return [tuple(sorted(m, key=lambda s: places[id(s)])) for _, m in ordered]


def _by_rank(every: Sequence[Slice], places: Mapping[int, int]) -> list[tuple[Slice, ...]]:
    """Put the n-th slice at every position, by instance number, into the n-th volume."""
    seen: dict[int, int] = defaultdict(int)
    groups: dict[int, list[Slice]] = defaultdict(list)
    for item in sorted(every, key=lambda s: (_or(s.acquisition), s.instance)):
        place = places[id(item)]
        groups[seen[place]].append(item)
        seen[place] += 1
    return [tuple(sorted(g, key=lambda s: places[id(s)])) for _, g in sorted(groups.items())]
