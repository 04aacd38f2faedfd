"""Structure sets, segmentations and doses as plain files without identity.

Names of structures are free text that people type. Only words of a fixed vocabulary and short
numbers pass; every other word becomes ``x``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterglow.errors import AfterglowError

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_WORD = re.compile(r"[^\W\d_]+|\d+")
_MAX_DIGITS = 3
_WORDS = """
gtv ctv ptv itv gtvp gtvn met mets metastasis metastases lesion lesions lesionid les tumor
tumour tgt target targets cavity resection bed enhancing enhancement et tc wt netc snfh ed edema
oedema necrosis necrotic core whole rc segment seg label roi mask plan total all sum union outer
inner prescription shell ring margin expansion minus plus new old pre post residual recurrence
rn l r lt rt left right bilateral a b c d e f m n p s t v i ii iii iv ant anterior sup superior
inf inferior med medial lat lateral mid frontal parietal temporal occipital cerebellar
cerebellum insula insular thalamus thalamic basal ganglia pons medulla midbrain corpus callosum
vermis motor sensory cortex lobe gyrus deep periventricular hippocampus hippocampi skull body
external outline contour patient brain brainstem stem eye eyes lens lenses globe orbit optic
nerve nerves tract chiasm cochlea pituitary hypophysis scalp skin bone head cord spinal
ventricle ventricles parotid lacrimal retina vessel vessels frame couch table isocenter iso dose
gy background
"""
_VOCABULARY = frozenset(_WORDS.split())


@dataclass(frozen=True)
class Dose:
    """A dose grid: ``values`` (Gy, x y z), its affine (RAS mm) and what kind of dose it is."""

    values: NDArray[np.float32]
    affine: NDArray[np.float64]
    facts: dict[str, Any]


@dataclass(frozen=True)
class Segments:
    """Segments (x, y, z, n) as 0 and 1, their affine (RAS mm) and what each is."""

    values: NDArray[np.uint8]
    affine: NDArray[np.float64]
    facts: dict[str, Any]


def safe_name(text: Any) -> str:
    """Return a name that identifies nobody.

    Examples
    --------
    >>> safe_name("GTV_01 lt frontal"), safe_name("Met-3 MILLER"), safe_name("PTV19510203")
    ('gtv 01 lt frontal', 'met 3 x', 'ptv x')
    """
    words = []
    for word in _WORD.findall(str(text or "").lower()):
        known = len(word) <= _MAX_DIGITS if word.isdigit() else word in _VOCABULARY
        words.append(word if known else "x")
    return " ".join(words[:12])


def structures(dataset: Any) -> dict[str, Any]:
    """Return the structures of an RTSTRUCT.

    Parameters
    ----------
    dataset : pydicom.Dataset
        The whole object.

    Returns
    -------
    dict
        ``Structures``: for each its ``Number``, ``Name``, ``Type`` (RT ROI interpreted type),
        and ``Contours`` (geometric ``Type`` and ``Points``, mm, LPS, as the file has them);
        contours whose numbers cannot be read are counted in ``Unreadable``. A structure without
        contours is listed with none.
    """
    kinds = {
        int(item.ReferencedROINumber): str(item.get("RTROIInterpretedType") or "").upper()
        for item in dataset.get("RTROIObservationsSequence") or ()
        if item.get("ReferencedROINumber") is not None
    }
    drawn: dict[int, Any] = {
        int(item.ReferencedROINumber): item.get("ContourSequence") or ()
        for item in dataset.get("ROIContourSequence") or ()
        if item.get("ReferencedROINumber") is not None
    }
    found = []
    for item in dataset.get("StructureSetROISequence") or ():
        number = int(item.ROINumber)
        contours, unreadable = _contours(drawn.get(number, ()))
        found.append(
            {
                "Number": number,
                "Name": safe_name(item.get("ROIName")),
                "Type": re.sub(r"[^A-Z_]", "", kinds.get(number, "")),
                "Contours": contours,
                "Unreadable": unreadable,
            }
        )
    return {"Structures": sorted(found, key=lambda entry: entry["Number"])}


def _contours(sequence: Any) -> tuple[list[dict[str, Any]], int]:
    contours, unreadable = [], 0
    for item in sequence:
        try:
            points = np.array([float(v) for v in item.ContourData]).reshape(-1, 3)
        except (AttributeError, TypeError, ValueError):
            unreadable += 1
            continue
        kind = re.sub(r"[^A-Z_]", "", str(item.get("ContourGeometricType") or "CLOSED_PLANAR"))
        contours.append({"Type": kind, "Points": np.round(points, 4).tolist()})
    return contours, unreadable


def segments(dataset: Any) -> Segments:
    """Return the segments of a DICOM SEG on its own grid, placed by its affine.

    Segments may overlap. Fractional ones count from one half on.

    Raises
    ------
    AfterglowError
        Frames that form no regular volume.
    """
    import highdicom as hd

    try:
        image = hd.seg.Segmentation.from_dataset(dataset, copy=False)
        numbers = [n for n in image.segment_numbers if _label(image, n) != "background"]
        volume = image.get_volume(segment_numbers=numbers, combine_segments=False)
    except (ValueError, RuntimeError, AttributeError, KeyError, IndexError) as error:
        raise AfterglowError(
            f"a segmentation cannot be read ({type(error).__name__})",
            remedy="export it on the slices of its image",
        ) from error
    array = np.asarray(volume.array)
    array = array[..., None] if array.ndim == 3 else array
    described = [
        {
            "Number": int(number),
            "Name": _label(image, number),
            "Category": _meaning(image, number, "segmented_property_category"),
            "Type": _meaning(image, number, "segmented_property_type"),
            "Tracked": bool(image.get_segment_description(number).tracking_uid),
        }
        for number in numbers
    ]
    kind = str(dataset.get("SegmentationType") or "")
    facts = {"SegmentationType": re.sub(r"[^A-Z_]", "", kind), "Segments": described}
    values = (array >= 0.5).astype(np.uint8)
    return Segments(values, _LPS_TO_RAS @ np.asarray(volume.affine), facts)


def _label(image: Any, number: int) -> str:
    return safe_name(image.get_segment_description(number).segment_label)


def _meaning(image: Any, number: int, name: str) -> str:
    code = getattr(image.get_segment_description(number), name, None)
    return safe_name(getattr(code, "meaning", ""))


def dose(dataset: Any) -> Dose:
    """Return the dose grid of an RTDOSE in Gy.

    Raises
    ------
    AfterglowError
        Relative units, or a grid whose planes are not evenly spaced.
    """
    units = str(dataset.get("DoseUnits") or "").upper()
    scaling = dataset.get("DoseGridScaling")
    if units != "GY" or not scaling:
        raise AfterglowError(
            "a dose grid is not in Gy",
            expected="DoseUnits GY and a DoseGridScaling",
            remedy="export the absolute dose",
        )
    values = np.asarray(dataset.pixel_array, dtype=np.float64) * float(scaling)
    values = values[None] if values.ndim == 2 else values
    offsets = _offsets(dataset, values.shape[0])
    cosines = np.array([float(v) for v in dataset.ImageOrientationPatient])
    spacing = [float(v) for v in dataset.PixelSpacing]
    normal = np.cross(cosines[:3], cosines[3:])
    step = float(np.mean(np.diff(offsets))) if len(offsets) > 1 else 1.0
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = cosines[:3] * spacing[1], cosines[3:] * spacing[0]
    corner = np.array([float(v) for v in dataset.ImagePositionPatient])
    affine[:3, 2], affine[:3, 3] = normal * step, corner + normal * offsets[0]
    facts = {
        "Units": "Gy",
        "DoseType": _code(dataset.get("DoseType")),
        "DoseSummationType": _code(dataset.get("DoseSummationType")),
    }
    return Dose(values.transpose(2, 1, 0).astype(np.float32), _LPS_TO_RAS @ affine, facts)


def _offsets(dataset: Any, count: int) -> NDArray[np.float64]:
    """Return where the planes of a dose lie along the normal (mm), from the first position."""
    if count == 1:
        return np.zeros(1)
    given = dataset.get("GridFrameOffsetVector")
    offsets = np.array([] if given is None else [float(v) for v in given])
    if offsets.size != count:
        raise AfterglowError("a dose grid does not say where its planes lie")
    # PS3.3 C.8.8.3.2: offsets that do not begin with 0 are patient coordinates
    if offsets[0] != 0:
        offsets -= offsets[0]
    steps = np.diff(offsets)
    if np.any(np.abs(steps - steps.mean()) > 0.01 * abs(steps.mean())):
        raise AfterglowError("the planes of a dose grid are not evenly spaced")
    return offsets


def _code(value: Any) -> str:
    return re.sub(r"[^A-Z_]", "", str(value or "").upper())


def overview(kind: str, facts: Mapping[str, Any]) -> int:
    """Return how many structures or segments an object holds; 1 for a dose."""
    names = {"RTSTRUCT": "Structures", "SEG": "Segments"}
    return len(facts[names[kind]]) if kind in names else 1
