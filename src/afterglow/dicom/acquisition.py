"""The facts of a series that later stages read, in SI units and without free text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from afterglow.dicom.agents import AGENTS, normalized_agent
from afterglow.dicom.technical import technical
from afterglow.dicom.volumes import Row, Volumes

_SAME = 0.01
# MHz/T of protons; magnets sold as 3 T have 2.89 T
_PROTON, _FIELDS_AGREE = 42.577, 0.1
_UNITS = (1.0, 1e3, 1e6)


def acquisition(rows: Sequence[Row], facts: dict[str, Any], volumes: Volumes) -> dict[str, Any]:
    """Return what conversion and the later stages need to know of a series.

    Returns
    -------
    dict
        Times in s, angles in degrees, lengths in mm, dose in mmol/kg; unknown facts are null.
    """
    row = rows[0]
    frame = (row.get("frames") or [{}])[0]
    agent = normalized_agent(row.get("contrast_agent") or row.get("contrast_ingredient"))
    return {
        "vendor": row["vendor"],
        "model": technical(row.get("model")),
        "field_strength": None if field_doubt(rows) else _field_strength(rows),
        "repetition_time": _seconds(_one(_repetition_times(rows), facts["repetition_time"])),
        "echo_times": [round(value / 1000.0, 7) for value in facts["echo_times"]],
        "flip_angles": facts["flip_angles"],
        "inversion_time": _seconds(facts["inversion_time"]),
        "n_inversion_times": facts["n_inversion_times"],
        "combined": bool({"UNI", "UNI-DEN"} & set(facts["image_type"])),
        "b1_units": _b1_units(row, facts),
        "dimension": "3D" if facts["is_3d"] else "2D",
        "epi": facts["epi"],
        "spin_echo": facts["spin_echo"],
        "gradient_echo": facts["gradient_echo"],
        "scanning_sequence": [technical(t) for t in row.get("scanning_sequence") or ()],
        "sequence_variant": [technical(t) for t in row.get("sequence_variant") or ()],
        "scan_options": [technical(t) for t in row.get("scan_options") or ()],
        "sequence_name": technical(row.get("sequence_name") or row.get("pulse_sequence")),
        "slice_thickness": row.get("slice_thickness") or frame.get("slice_thickness"),
        "pixel_spacing": row.get("pixel_spacing") or frame.get("pixel_spacing"),
        "n_positions": facts["n_positions"],
        "n_expected": row.get("n_temporal"),
        "matrix": [row.get("columns"), row.get("rows")],
        "phase_direction": technical(row.get("phase_direction")),
        "contrast_agent": agent,
        "contrast_volume": row.get("contrast_volume"),
        "dose": dose(agent, row),
        "mosaic": volumes.key == "mosaic",
        "slice_times": None if facts["is_3d"] else slice_times(volumes),
        "slice_normal": slice_normal(row),
    }


def _b1_units(row: Row, facts: dict[str, Any]) -> str | None:
    """Return the unit of a flip-angle map where the vendor's convention is known, else None."""
    return "percent" if row["vendor"] == "Philips" and "B1" in facts["image_type"] else None


def dose(agent: str | None, row: Row) -> float | None:
    """Return the dose (mmol/kg) where agent, volume and weight are all in the header."""
    volume, weight = row.get("contrast_volume"), row.get("patient_weight")
    if agent not in AGENTS or not volume or not weight or not 20 <= weight <= 300:
        return None
    value = float(volume) * AGENTS[agent].molar / float(weight)
    return round(value, 4) if 0.005 <= value <= 0.5 else None


def slice_times(volumes: Volumes) -> list[float] | None:
    """Return the start of every slice of the first volume (s), by rising position, or None.

    A mosaic holds them in private fields that the converter reads. Clocks of whole seconds do not
    resolve them.
    """
    if not volumes.complete or volumes.key == "mosaic" or volumes.n_positions < 2:
        return None
    for name in ("frame_acquisition_datetime", "trigger_time", "acquisition_time"):
        values = [s.times.get(name) for s in volumes.complete[0]]
        known = [float(v) for v in values if v is not None]
        coarse = name == "acquisition_time" and all(s.whole_seconds for s in volumes.complete[0])
        if len(known) == len(values) and len(set(known)) > 1 and not coarse:
            return [round(v - min(known), 6) for v in known]
    return None


def slice_normal(row: Row) -> list[float] | None:
    """Return the direction (RAS) in which slice positions rise."""
    frame = (row.get("frames") or [{}])[0]
    cosines = row.get("image_orientation") or frame.get("orientation")
    if not cosines or len(cosines) != 6:
        return None
    normal = np.cross(cosines[:3], cosines[3:]) * [-1.0, -1.0, 1.0]
    return [round(float(value), 6) + 0.0 for value in normal]


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds / 1000.0, 7)


def _tesla(value: float | None) -> float | None:
    # some vendors write Gauss
    return None if value is None else round(value / 10000.0 if value > 100 else value, 4)


def receive_gains(rows: Sequence[Row]) -> list[list[int]]:
    """Return every pair of analog and digital receive gain that GE states; they scale images."""
    pairs = {(row.get("ge_analog_gain"), row.get("ge_digital_gain")) for row in rows}
    return sorted([a, d] for a, d in pairs if a is not None and d is not None)


def _field_strength(rows: Sequence[Row]) -> float | None:
    return _one([_tesla(r.get("field_strength")) for r in rows])


def field_doubt(rows: Sequence[Row]) -> str:
    """Return the doubt where field strength and resonance frequency contradict; else empty.

    Some write Hz or kHz for MHz. Frequencies of other nuclei contradict as well.

    Examples
    --------
    >>> field_doubt([{"field_strength": 3.0, "imaging_frequency": 63.68}])
    'field_strength_contradicted (3 T, but 63.68 MHz is 1.496 T)'
    >>> field_doubt([{"field_strength": 3.0, "imaging_frequency": 123.25}])
    ''
    """
    stated = _field_strength(rows)
    frequencies = [row.get("imaging_frequency") for row in rows]
    frequencies += [f.get("frequency") for row in rows for f in (row.get("frames") or ())[:1]]
    known = next((value for value in frequencies if value), None)
    if not stated or not known:
        return ""
    if any(abs(known / _PROTON / unit / stated - 1.0) <= _FIELDS_AGREE for unit in _UNITS):
        return ""
    return (
        f"field_strength_contradicted ({stated:g} T, but {known:g} MHz is {known / _PROTON:.4g} T)"
    )


def _repetition_times(rows: Sequence[Row]) -> list[float | None]:
    found = [row.get("repetition_time") for row in rows]
    return found + [f.get("repetition_time") for row in rows for f in row.get("frames") or ()]


def _one(values: Sequence[float | None], shown: float | None = None) -> float | None:
    """Return the value that all agree on within a percent (``shown`` if given), else None."""
    known = [value for value in values if value is not None]
    if not known or max(known) - min(known) > _SAME * abs(max(known)):
        return None
    return known[0] if shown is None else shown
