"""Which image a structure set, a segmentation or a dose belongs to.

Asked in order of trust: the instances and series it names, the frame of reference it shares, and
last its geometry, since de-identification often changes identifiers without changing references.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterglow.dicom.manifest import convertible
from afterglow.dicom.volumes import Row

OBJECTS = ("RTSTRUCT", "SEG", "RTDOSE")
# the doubt about an object that nothing but its place links
BY_GEOMETRY = "linked_by_geometry_alone"
# what masks and doses are drawn on, best first
_PREFERRED = ("T1w_ce", "T1w", "FLAIR", "T2w")
_MAX_HOPS = 4
_ENOUGH_INSIDE = 0.9
# of the distance between slices, and mm: what is drawn on slices lies in them but for rounding
_IN_SLICE, _ROUNDED = 0.1, 0.1


@dataclass(frozen=True)
class Link:
    """The image series an object belongs to, and by what it was found.

    ``by`` is ``instances``, ``series``, ``plan`` (through the plan or structure set a dose names),
    ``frame_of_reference``, ``geometry``, or empty where nothing was found; then ``reason`` says
    why.
    """

    image: Mapping[str, Any] | None
    by: str
    reason: str = ""


def link_objects(described: Sequence[Mapping[str, Any]], rows: Sequence[Row]) -> dict[str, Link]:
    """Find the image of every object of one patient.

    Parameters
    ----------
    described : sequence of mapping
        All series of the patient, of whatever study (``series.describe``).
    rows : sequence of mapping
        Inventory rows their ``rows`` point into.

    Returns
    -------
    dict
        Series key of each structure set, segmentation and dose to its link.
    """
    known = _Known(described, rows)
    return {
        series["series_key"]: known.link(series)
        for series in described
        if series["class"] in OBJECTS
    }


class _Known:
    """The images and objects of one patient, by everything that may name them."""

    def __init__(self, described: Sequence[Mapping[str, Any]], rows: Sequence[Row]) -> None:
        self.rows = rows
        self.images = [s for s in described if convertible(s)]
        self.by_sop: dict[str, Mapping[str, Any]] = {}
        self.by_series: dict[str, list[Mapping[str, Any]]] = {}
        for series in described:
            self.by_series.setdefault(series["series_uid"], []).append(series)
            for number in series["rows"]:
                self.by_sop[rows[number]["sop_uid"]] = series
        pictures = [s for s in described if s["facts"]["object"] == "image"]
        self.frames = set().union(*(self._own_frame(s) for s in pictures))

    def link(self, series: Mapping[str, Any]) -> Link:
        """Return the image of one object."""
        named, by = self._named(series, 0)
        frames = self._frames(series)
        usable = [s for s in named if s in self.images]
        if usable:
            fitting = [s for s in usable if frames & self._own_frame(s)]
            if not fitting and frames & self.frames:
                return Link(None, "", "other_frame_of_reference")
            return Link(_best(fitting or usable, series), by)
        shared = [s for s in self.images if frames & self._own_frame(s)]
        if shared:
            return Link(_best(shared, series), "frame_of_reference")
        # drawn on an image that is here: its points fit others by chance
        near = None if named or frames & self.frames else self._near(series)
        if near is not None:
            return Link(near, "geometry")
        return Link(None, "", "referenced_image_not_used" if named else "no_referenced_image")

    def _named(self, series: Mapping[str, Any], hops: int) -> tuple[list[Mapping[str, Any]], str]:
        """Return the series an object names, through plan and structure set where it must."""
        members = [self.rows[number] for number in series["rows"]]
        sops = {uid for row in members for uid in row.get("referenced_sops") or ()}
        uids = {uid for row in members for uid in row.get("referenced_series") or ()}
        found = {id(s): s for uid in sops if (s := self.by_sop.get(uid)) is not None}
        images = [s for s in found.values() if s["facts"]["object"] == "image"]
        if images:
            return images, "instances"
        images = [
            s
            for uid in uids
            for s in self.by_series.get(uid, ())
            if s["facts"]["object"] == "image"
        ]
        if images:
            return images, "series"
        if hops < _MAX_HOPS:
            for other in found.values():
                further, by = self._named(other, hops + 1)
                if by:
                    return further, "plan"
        return [], ""

    def _frames(self, series: Mapping[str, Any]) -> set[str]:
        return {
            uid
            for number in series["rows"]
            for uid in self.rows[number].get("referenced_frames") or ()
        }

    def _own_frame(self, series: Mapping[str, Any]) -> set[str]:
        uid = self.rows[series["rows"][0]].get("frame_of_reference_uid")
        return {uid} if uid else set()

    def _near(self, series: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the image of the same study or day whose slices the object's points lie in."""
        points = _points([self.rows[number] for number in series["rows"]])
        if not points.size:
            return None
        first = self.rows[series["rows"][0]]
        candidates = [s for s in self.images if s["study_uid"] == series["study_uid"]] or [
            s
            for s in self.images
            if first.get("study_date")
            and self.rows[s["rows"][0]].get("study_date") == first.get("study_date")
        ]
        inside = [s for s in candidates if _share_inside(points, s, self.rows) >= _ENOUGH_INSIDE]
        return _best(inside, series) if inside else None


def _best(found: Sequence[Mapping[str, Any]], series: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the series a reader would draw on: same study, after contrast, 3D, the earliest."""

    def order(image: Mapping[str, Any]) -> tuple[Any, ...]:
        kind = image["class"]
        rank = _PREFERRED.index(kind) if kind in _PREFERRED else len(_PREFERRED)
        start = image["facts"]["start"]
        return (
            image["study_uid"] != series["study_uid"],
            rank,
            not image["facts"]["is_3d"],
            float("inf") if start is None else start,
            image["series_key"],
        )

    return min(found, key=order)


def _points(rows: Sequence[Row]) -> NDArray[np.float64]:
    """Return places (n, 3) an object covers: contour vertices, or the corners of its frames."""
    found: list[Sequence[float]] = []
    for row in rows:
        flat = row.get("contour_points") or []
        found += [flat[i : i + 3] for i in range(0, len(flat) - 2, 3)]
        found += [f["position"] for f in row.get("frames") or () if f.get("position")]
    return np.array([p for p in found if len(p) == 3], dtype=np.float64).reshape(-1, 3)


def _share_inside(
    points: NDArray[np.float64], series: Mapping[str, Any], rows: Sequence[Row]
) -> float:
    """Return the share of points that lie in the slices of an image."""
    row = rows[series["rows"][0]]
    frame = (row.get("frames") or [{}])[0]
    cosines = row.get("image_orientation") or frame.get("orientation")
    corner = row.get("image_position") or frame.get("position")
    spacing = row.get("pixel_spacing") or frame.get("pixel_spacing")
    planes = [s.position for s in series["volumes"].complete[0] if s.position is not None]
    if not cosines or len(cosines) != 6 or not corner or not spacing or len(planes) < 2:
        return 0.0
    across, down = np.array(cosines[:3]), np.array(cosines[3:])
    along = points @ np.cross(across, down)
    column = (points - corner) @ across / spacing[1]
    line = (points - corner) @ down / spacing[0]
    step = float(np.median(np.diff(sorted(planes))))
    off = np.min(np.abs(along[:, None] - np.array(planes)[None, :]), axis=1)
    inside = (
        (off <= max(_IN_SLICE * step, _ROUNDED)) & (column > -1) & (column < (row["columns"] or 0))
    )
    inside &= (line > -1) & (line < (row["rows"] or 0))
    return float(inside.mean())
