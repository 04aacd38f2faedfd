"""What the headers of one series say, in terms that rules and later stages use."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from afterglow.dicom.clock import instant, joined
from afterglow.dicom.timing import FrameTimes
from afterglow.dicom.volumes import Row, Volumes

_OBJECTS = {
    "1.2.840.10008.5.1.4.1.1.481.3": "rtstruct",
    "1.2.840.10008.5.1.4.1.1.481.2": "rtdose",
    "1.2.840.10008.5.1.4.1.1.481.5": "rtplan",
    "1.2.840.10008.5.1.4.1.1.66.4": "seg",
    "1.2.840.10008.5.1.4.1.1.66.7": "seg",
    "1.2.840.10008.5.1.4.1.1.66": "raw",
    "1.2.840.10008.5.1.4.1.1.4.2": "spectroscopy",
    "1.2.840.10008.5.1.4.1.1.104.1": "document",
}
_PREFIXES = (
    ("1.2.840.10008.5.1.4.1.1.88.", "sr"),
    ("1.2.840.10008.5.1.4.1.1.11.", "presentation"),
    ("1.2.840.10008.5.1.4.1.1.481.", "rtplan"),
    ("1.2.840.10008.5.1.4.1.1.104.", "document"),
)
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_COMPONENTS = {
    "M": "M",
    "P": "P",
    "R": "R",
    "I": "I",
    "PHASE MAP": "P",
    "PHASE": "P",
    "REAL": "R",
    "IMAGINARY": "I",
    "MAGNITUDE": "M",
}
_EPI = re.compile(r"\bep[2i]|epi\b|\*?ep(fid|se|2d)|presto")
_SPIN = re.compile(r"\*?(tse|fse|spc|se\d|h2d)")
_GRADIENT = re.compile(r"\*?(fl|tfl|gre|ffe|spgr|efgre)\d?")


def object_kind(row: Row) -> str:
    """Return ``image`` or what else an instance is.

    Examples
    --------
    >>> object_kind({"sop_class": "1.2.840.10008.5.1.4.1.1.88.22", "rows": None})
    'sr'
    """
    sop_class = row.get("sop_class") or ""
    kind = _OBJECTS.get(sop_class)
    if kind is None:
        kind = next((name for prefix, name in _PREFIXES if sop_class.startswith(prefix)), None)
    if kind is None:
        has_pixels = (row.get("pixel_offset") or -1) >= 0 and row.get("rows") and row.get("columns")
        kind = "image" if has_pixels else "other"
    return kind


def component(row: Row) -> str:
    """Return M, P, R or I (magnitude, phase, real, imaginary), empty where not said."""
    for token in (row.get("image_type") or ())[2:]:
        found = _COMPONENTS.get(str(token).upper())
        if found is not None:
            return found
    return _COMPONENTS.get(str(row.get("complex_component") or "").upper(), "")


def tokens(rows: Sequence[Row]) -> set[str]:
    """Return the image type values of all instances and frames, upper case."""
    found = {str(t).upper() for row in rows for t in row.get("image_type") or ()}
    for row in rows:
        for frame in (row.get("frames") or ())[:1]:
            found |= {str(t).upper() for t in frame.get("frame_type") or ()}
    return found


def start_of(rows: Sequence[Row]) -> float | None:
    """Return when a series began (s, one clock with the date), None where not said."""
    starts: list[float] = []
    for row in rows:
        date = row.get("acquisition_date") or row.get("series_date") or row.get("study_date")
        frames = [f["acquired"] for f in row.get("frames") or () if f.get("acquired") is not None]
        candidates = [
            min(frames) if frames else None,
            instant(row.get("acquisition_datetime")),
            joined(date, row.get("acquisition_time")),
            joined(row.get("series_date") or date, row.get("series_time")),
        ]
        first = next((value for value in candidates if value is not None), None)
        if first is not None:
            starts.append(first)
    return min(starts, default=None)


def gather(rows: Sequence[Row], volumes: Volumes, times: FrameTimes) -> dict[str, Any]:
    """Return the facts of one series; times in ms, angles in degrees, absent ones None."""
    row = rows[0]
    frame = (row.get("frames") or [{}])[0]
    kinds = tokens(rows)
    sequence = {str(t).upper() for t in row.get("scanning_sequence") or ()}
    sequence |= {str(t).upper() for t in frame.get("scanning_sequence") or ()}
    names = " ".join(
        str(row.get(name) or "")
        for name in ("series_description", "protocol_name", "sequence_name", "pulse_sequence")
    ).lower()
    names = names.replace("_", " ")
    coded = f"{row.get('sequence_name') or ''} {row.get('pulse_sequence') or ''}".lower()
    epi = _is_epi(row, sequence, f"{names} {coded}")
    return {
        "object": object_kind(row),
        "modality": {str(row.get("modality") or "").upper()},
        "secondary_capture": (row.get("sop_class") or "").startswith(_SECONDARY_CAPTURE),
        "text": names,
        "image_type": kinds,
        "derived": "DERIVED" in kinds,
        "component": component(row) or None,
        "n_instances": len(rows),
        "n_volumes": volumes.n_volumes,
        "n_positions": int(row.get("siemens_mosaic") or volumes.n_positions),
        "n_orientations": len(_orientations(rows)),
        "n_echoes": max(len(volumes.echo_times), 1),
        "is_3d": (row.get("acquisition_type") or "") == "3D",
        "epi": epi,
        **_pulses(row, sequence, coded),
        **_numbers(rows, frame),
        "labels": {
            str(value).upper()
            for r in rows
            for value in (r.get("philips_label"), *(f.get("label") for f in r.get("frames") or ()))
            if value
        },
        "contrast": has_agent(rows),
        "contrast_volume": row.get("contrast_volume"),
        "frame_interval": _interval(times),
        "start": start_of(rows),
    }


def _is_epi(row: Row, sequence: set[str], coded: str) -> bool:
    if "EP" in sequence or str(row.get("echo_planar") or "").upper() == "YES":
        return True
    if (row.get("philips_epi_factor") or 0) >= 15:
        return True
    return _EPI.search(coded) is not None


def _pulses(row: Row, sequence: set[str], coded: str) -> dict[str, bool]:
    pulse = str(row.get("echo_pulse") or "").upper()
    spin = "SE" in sequence or pulse in {"SPIN", "BOTH"}
    gradient = "GR" in sequence or pulse in {"GRADIENT", "BOTH"}
    if not (spin or gradient):
        spin = _SPIN.search(coded) is not None
        gradient = _GRADIENT.search(coded) is not None or "fid" in coded
    return {"spin_echo": spin, "gradient_echo": gradient}


def _numbers(rows: Sequence[Row], frame: Mapping[str, Any]) -> dict[str, Any]:
    def every(name: str) -> list[float]:
        values = [row.get(name) for row in rows]
        values += [f.get(name) for row in rows for f in row.get("frames") or ()]
        return sorted({round(float(v), 4) for v in values if v is not None})

    echoes, angles, inversions = every("echo_time"), every("flip_angle"), every("inversion_time")
    inversions = [value for value in inversions if value > 0]
    b_values = [v for n in ("b_value", "siemens_b_value", "philips_b_value") for v in every(n)]
    repetition = rows[0].get("repetition_time") or frame.get("repetition_time")
    return {
        "echo_time": echoes[0] if echoes else None,
        "echo_times": echoes,
        "repetition_time": repetition,
        "inversion_time": inversions[0] if inversions else None,
        "n_inversion_times": len(inversions),
        "flip_angle": angles[0] if angles else None,
        "flip_angles": angles,
        "n_flip_angles": len(angles),
        "b_max": max(b_values, default=0.0) or None,
    }


def _orientations(rows: Sequence[Row]) -> set[tuple[float, ...]]:
    found = set()
    for row in rows:
        frames = row.get("frames") or ()
        for values in (row.get("image_orientation"), *(f.get("orientation") for f in frames)):
            if values:
                found.add(tuple(round(v, 2) + 0.0 for v in values))
    return found


def has_agent(rows: Sequence[Row]) -> bool:
    """Tell whether a header names a contrast agent (not just says there was none)."""
    for row in rows:
        for name in ("contrast_agent", "contrast_ingredient"):
            text = str(row.get(name) or "").strip().lower()
            if text and text not in {"none", "no", "n", "no contrast", "without", "0", "-"}:
                return True
        if (row.get("contrast_volume") or 0) > 0:
            return True
    return False


def _interval(times: FrameTimes) -> float | None:
    if times.seconds.size < 2:
        return None
    return float(np.median(np.diff(times.seconds))) * 1000.0
