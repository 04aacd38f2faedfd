"""Facts of every frame of an enhanced object."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from afterglow.dicom.clock import instant

MAX_FRAMES = 200_000

# keyword, sequence that holds it, kind
_FACTS: dict[str, tuple[str, str, str]] = {
    "position": ("PlanePositionSequence", "ImagePositionPatient", "numbers"),
    "orientation": ("PlaneOrientationSequence", "ImageOrientationPatient", "numbers"),
    "pixel_spacing": ("PixelMeasuresSequence", "PixelSpacing", "numbers"),
    "slice_thickness": ("PixelMeasuresSequence", "SliceThickness", "number"),
    "slice_spacing": ("PixelMeasuresSequence", "SpacingBetweenSlices", "number"),
    "acquired": ("FrameContentSequence", "FrameAcquisitionDateTime", "instant"),
    "referenced": ("FrameContentSequence", "FrameReferenceDateTime", "instant"),
    "temporal_index": ("FrameContentSequence", "TemporalPositionIndex", "integer"),
    "stack_position": ("FrameContentSequence", "InStackPositionNumber", "integer"),
    "acquisition_number": ("FrameContentSequence", "FrameAcquisitionNumber", "integer"),
    "temporal_offset": ("TemporalPositionSequence", "TemporalPositionTimeOffset", "number"),
    "trigger_delay": ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime", "number"),
    "echo_time": ("MREchoSequence", "EffectiveEchoTime", "number"),
    "flip_angle": ("MRTimingAndRelatedParametersSequence", "FlipAngle", "number"),
    "repetition_time": ("MRTimingAndRelatedParametersSequence", "RepetitionTime", "number"),
    "inversion_time": ("MRModifierSequence", "InversionTimes", "number"),
    "b_value": ("MRDiffusionSequence", "DiffusionBValue", "number"),
    "slope": ("PixelValueTransformationSequence", "RescaleSlope", "number"),
    "intercept": ("PixelValueTransformationSequence", "RescaleIntercept", "number"),
    "component": ("MRImageFrameTypeSequence", "ComplexImageComponent", "text"),
    "frame_type": ("MRImageFrameTypeSequence", "FrameType", "texts"),
}
_PHILIPS_GROUP = 0x2005140F
_PHILIPS = {
    "label": (0x20051429, "text"),
    "dynamic_start": (0x200510A0, "number"),
    "scanning_sequence": (0x00180020, "texts"),
}


def frame_facts(dataset: Any) -> list[dict[str, Any]]:
    """Return one mapping of facts per frame of an enhanced object.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Header of an object with functional groups.

    Returns
    -------
    list of dict
        Facts by the names of :data:`FRAME_NAMES`; what a frame does not say is None. Shared
        facts are repeated in every frame.
    """
    shared_items = dataset.get("SharedFunctionalGroupsSequence") or []
    shared = dict(_facts(shared_items[0])) if len(shared_items) else {}
    frames = []
    for index, item in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        if index >= MAX_FRAMES:
            break
        own = {name: value for name, value in _facts(item) if value is not None}
        frames.append({"index": index, **dict.fromkeys(FRAME_NAMES), **shared, **own})
    return frames


def contrast_facts(dataset: Any) -> dict[str, Any]:
    """Return what an enhanced object says of the first contrast agent, which it does in a sequence.

    Returns
    -------
    dict
        ``contrast_agent``, ``contrast_volume`` (mL) and ``contrast_concentration`` (mg/mL), those
        that are stated.
    """
    agents = dataset.get("ContrastBolusAgentSequence") or []
    if not len(agents):
        return {}
    found = {
        "contrast_agent": _value(agents[0].get("CodeMeaning"), "text"),
        "contrast_volume": _value(agents[0].get("ContrastBolusVolume"), "number"),
        "contrast_concentration": _value(
            agents[0].get("ContrastBolusIngredientConcentration"), "number"
        ),
    }
    return {name: value for name, value in found.items() if value is not None}


FRAME_NAMES = (*_FACTS, *_PHILIPS)


def _facts(item: Any) -> Iterator[tuple[str, Any]]:
    for name, (sequence, keyword, kind) in _FACTS.items():
        inner = item.get(sequence)
        if inner is not None and len(inner):
            yield name, _value(inner[0].get(keyword), kind)
    private = item.get(_PHILIPS_GROUP)
    if private is not None and private.VR == "SQ" and len(private.value):
        for name, (tag, kind) in _PHILIPS.items():
            element = private.value[0].get(tag)
            yield name, _value(None if element is None else element.value, kind)


def _value(value: Any, kind: str) -> Any:
    if value is None or not str(value):
        return None
    if kind == "text":
        return str(value)[:1024]
    if kind == "instant":
        return instant(str(value))
    return _parts(value, kind)


def _parts(value: Any, kind: str) -> Any:
    several = not isinstance(value, str | bytes) and hasattr(value, "__len__")
    parts = list(value) if several else [value]
    if kind == "texts":
        return [str(part)[:64] for part in parts]
    try:
        numbers = [float(part) for part in parts]
    except (TypeError, ValueError):
        return None
    if not numbers or not all(math.isfinite(number) for number in numbers):
        return None
    if kind == "numbers":
        return numbers
    return int(numbers[0]) if kind == "integer" else numbers[0]
