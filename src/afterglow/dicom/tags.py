"""Which header elements the inventory keeps, under which name and as what."""

from __future__ import annotations

import math
import struct
from typing import Any

# name: (tag, kind); kinds are text, texts, number, numbers, integer
TAGS: dict[str, tuple[int, str]] = {
    "charset": (0x00080005, "text"),
    "image_type": (0x00080008, "texts"),
    "sop_class": (0x00080016, "text"),
    "sop_uid": (0x00080018, "text"),
    "study_date": (0x00080020, "text"),
    "series_date": (0x00080021, "text"),
    "acquisition_date": (0x00080022, "text"),
    "content_date": (0x00080023, "text"),
    "acquisition_datetime": (0x0008002A, "text"),
    "study_time": (0x00080030, "text"),
    "series_time": (0x00080031, "text"),
    "acquisition_time": (0x00080032, "text"),
    "content_time": (0x00080033, "text"),
    "accession_number": (0x00080050, "text"),
    "modality": (0x00080060, "text"),
    "manufacturer": (0x00080070, "text"),
    "institution": (0x00080080, "text"),
    "referring_physician": (0x00080090, "text"),
    "station_name": (0x00081010, "text"),
    "study_description": (0x00081030, "text"),
    "series_description": (0x0008103E, "text"),
    "operators": (0x00081070, "text"),
    "model": (0x00081090, "text"),
    "patient_name": (0x00100010, "text"),
    "patient_id": (0x00100020, "text"),
    "birth_date": (0x00100030, "text"),
    "patient_sex": (0x00100040, "text"),
    "other_patient_ids": (0x00101000, "texts"),
    "patient_weight": (0x00101030, "number"),
    "identity_removed": (0x00120062, "text"),
    "deid_method": (0x00120063, "texts"),
    "contrast_agent": (0x00180010, "text"),
    "body_part": (0x00180015, "text"),
    "scanning_sequence": (0x00180020, "texts"),
    "sequence_variant": (0x00180021, "texts"),
    "scan_options": (0x00180022, "texts"),
    "acquisition_type": (0x00180023, "text"),
    "sequence_name": (0x00180024, "text"),
    "slice_thickness": (0x00180050, "number"),
    "repetition_time": (0x00180080, "number"),
    "echo_time": (0x00180081, "number"),
    "inversion_time": (0x00180082, "number"),
    "averages": (0x00180083, "number"),
    "imaging_frequency": (0x00180084, "number"),
    "echo_number": (0x00180086, "integer"),
    "field_strength": (0x00180087, "number"),
    "slice_spacing": (0x00180088, "number"),
    "echo_train_length": (0x00180091, "number"),
    "pixel_bandwidth": (0x00180095, "number"),
    "device_serial": (0x00181000, "text"),
    "software": (0x00181020, "texts"),
    "protocol_name": (0x00181030, "text"),
    "contrast_route": (0x00181040, "text"),
    "contrast_volume": (0x00181041, "number"),
    "contrast_start": (0x00181042, "text"),
    "contrast_stop": (0x00181043, "text"),
    "contrast_total_dose": (0x00181044, "number"),
    "contrast_flow_rate": (0x00181046, "numbers"),
    "contrast_ingredient": (0x00181048, "text"),
    "contrast_concentration": (0x00181049, "number"),
    "trigger_time": (0x00181060, "number"),
    "receive_coil": (0x00181250, "text"),
    "phase_direction": (0x00181312, "text"),
    "flip_angle": (0x00181314, "number"),
    "patient_position": (0x00185100, "text"),
    "pulse_sequence": (0x00189005, "text"),
    "echo_pulse": (0x00189008, "text"),
    "echo_planar": (0x00189018, "text"),
    "acquisition_contrast": (0x00089209, "text"),
    "complex_component": (0x00089208, "text"),
    "acquisition_duration": (0x00189073, "number"),
    "b_value": (0x00189087, "number"),
    "study_uid": (0x0020000D, "text"),
    "series_uid": (0x0020000E, "text"),
    "series_number": (0x00200011, "integer"),
    "acquisition_number": (0x00200012, "integer"),
    "instance_number": (0x00200013, "integer"),
    "image_position": (0x00200032, "numbers"),
    "image_orientation": (0x00200037, "numbers"),
    "frame_of_reference_uid": (0x00200052, "text"),
    "temporal_index": (0x00200100, "integer"),
    "n_temporal": (0x00200105, "integer"),
    "temporal_resolution": (0x00200110, "number"),
    "images_in_acquisition": (0x00201002, "integer"),
    "slice_location": (0x00201041, "number"),
    "samples_per_pixel": (0x00280002, "integer"),
    "n_frames": (0x00280008, "integer"),
    "rows": (0x00280010, "integer"),
    "columns": (0x00280011, "integer"),
    "pixel_spacing": (0x00280030, "numbers"),
    "bits_allocated": (0x00280100, "integer"),
    "pixel_representation": (0x00280103, "integer"),
    "burned_in": (0x00280301, "text"),
    "rescale_intercept": (0x00281052, "number"),
    "rescale_slope": (0x00281053, "number"),
    "frame_reference_time": (0x00541300, "number"),
    # private elements: the block number is the vendors' usual one, checked by their creator
    "ge_duration": (0x0019105A, "number"),
    "ge_analog_gain": (0x0019108A, "integer"),
    "ge_digital_gain": (0x0019108B, "integer"),
    "ge_sequence": (0x0019109C, "text"),
    "ge_slices": (0x0021104F, "integer"),
    "ge_delay": (0x0043107C, "number"),
    "siemens_b_value": (0x0019100C, "number"),
    "siemens_mosaic": (0x0019100A, "integer"),
    "siemens_since_start": (0x00191016, "number"),
    "siemens_slice_times": (0x00191029, "numbers"),
    "philips_b_value": (0x20011003, "number"),
    "philips_epi_factor": (0x20011013, "integer"),
    "philips_slices": (0x20011018, "integer"),
    "philips_dynamic_start": (0x200510A0, "number"),
    "philips_label": (0x20051429, "text"),
    "philips_scale_slope": (0x2005100E, "number"),
    "philips_scale_intercept": (0x2005100D, "number"),
}

WANTED = frozenset(tag for tag, _ in TAGS.values()) | {
    0x00190010,
    0x00210010,
    0x00430010,
    0x20010010,
    0x20050010,
}
_CREATORS = {
    "ge": ("GEMS",),
    "siemens": ("SIEMENS",),
    "philips": ("PHILIPS",),
}
# VRs of private elements where the syntax does not tell them
_PRIVATE_VR = {
    0x0019105A: b"FL",
    0x0019108A: b"SS",
    0x0019108B: b"SS",
    0x0021104F: b"SS",
    0x0043107C: b"FL",
    0x0019100A: b"US",
    0x00191029: b"FD",
    0x20011003: b"FL",
    0x20011013: b"SL",
    0x20011018: b"SL",
    0x200510A0: b"FL",
    0x2005100E: b"FL",
    0x2005100D: b"FL",
    0x00189073: b"FD",
    0x00189087: b"FD",
    0x00280002: b"US",
    0x00280010: b"US",
    0x00280011: b"US",
    0x00280100: b"US",
    0x00280103: b"US",
}
_BINARY = {
    b"US": ("H", 2),
    b"SS": ("h", 2),
    b"UL": ("I", 4),
    b"SL": ("i", 4),
    b"FL": ("f", 4),
    b"FD": ("d", 8),
}
_MAX_TEXT = 1024
_TEXTS = frozenset({"text", "texts"})
_BY_TAG = {tag: (name, kind) for name, (tag, kind) in TAGS.items()}


def decode(elements: dict[int, tuple[bytes, bytes]], *, little: bool) -> dict[str, Any]:
    """Return the named values of raw elements; what is absent or unreadable is None."""
    values: dict[str, Any] = dict.fromkeys(TAGS)
    charset = elements.get(0x00080005, (b"", b""))[1]
    encoding = "utf-8" if b"192" in charset else "latin-1"
    for tag, (vr, content) in elements.items():
        named = _BY_TAG.get(tag)
        if named is None or not content:
            continue
        name, kind = named
        if tag & 0x10000 and not _own(name, tag, elements):
            continue
        if kind in _TEXTS:
            values[name] = text(content, encoding, several=kind == "texts")
        else:
            values[name] = _numeric(vr or _PRIVATE_VR.get(tag, b"DS"), content, kind, tag, little)
    return values


def _own(name: str, tag: int, elements: dict[int, tuple[bytes, bytes]]) -> bool:
    """Tell whether the private block belongs to the vendor whose element this is."""
    creator = elements.get((tag & 0xFFFF0000) | 0x10, (b"", b""))[1].upper().decode("latin-1")
    return any(mark in creator for mark in _CREATORS[name.split("_", maxsplit=1)[0]])


def text(content: bytes, encoding: str, *, several: bool) -> str | list[str] | None:
    """Return a value as text, or as the list of its parts; None where it is empty."""
    words = content[:_MAX_TEXT].decode(encoding, "replace").strip("\0 \t\r\n")
    if not words:
        return None
    return [part.strip() for part in words.split("\\")] if several else words


def _numeric(vr: bytes, content: bytes, kind: str, tag: int, little: bool) -> Any:
    values = numbers(_PRIVATE_VR.get(tag, vr) if vr == b"UN" else vr, content, little)
    if kind == "numbers":
        return values or None
    if not values:
        return None
    return integer(values[0]) if kind == "integer" else values[0]


def integer(value: float) -> int | None:
    """Return a whole number that fits 64 bits, else None."""
    return int(value) if math.isfinite(value) and abs(value) < 2**62 else None


def numbers(vr: bytes, content: bytes, little: bool) -> list[float]:
    """Return the numbers of a value, binary or decimal; none where any of them is unreadable."""
    form = _BINARY.get(vr)
    try:
        if form is not None:
            letter, width = form
            count = min(len(content) // width, _MAX_TEXT)
            order = "<" if little else ">"
            values = [float(v) for v in struct.unpack_from(f"{order}{count}{letter}", content)]
        elif b"\\" not in content and len(content) < 64:
            values = [float(content.strip(b"\0 "))]
        else:
            values = [float(v.strip(b"\0 ")) for v in content[: 16 * _MAX_TEXT].split(b"\\")]
    except (ValueError, struct.error):
        return []
    return values if all(map(math.isfinite, values)) else []
