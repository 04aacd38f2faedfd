"""Names and sidecars of converted series."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterglow.bids.names import bids_path

# folder, suffix and fixed entities of classes whose name says neither
_PLACES: dict[str, tuple[str, str, dict[str, str]]] = {
    "DWI": ("dwi", "dwi", {}),
    "ADC": ("dwi", "ADC", {}),
    "ASL": ("perf", "asl", {}),
    "SWI": ("anat", "T2starw", {"acq": "swi"}),
    "B1map": ("fmap", "TB1map", {}),
}
_WITHIN = 1.05
_TEXT = re.compile(r"^[\w .,:;+*/()=-]{0,64}$")

# fields of the converter that may pass: measured or technical, never free text
_ALLOWED = (
    "AcquisitionMatrixPE",
    "BandwidthPerPixelPhaseEncode",
    "ConversionSoftware",
    "ConversionSoftwareVersion",
    "DerivedVendorReportedEchoSpacing",
    "EchoTrainLength",
    "EffectiveEchoSpacing",
    "ImageOrientationPatientDICOM",
    "InPlanePhaseEncodingDirectionDICOM",
    "MultibandAccelerationFactor",
    "NonlinearGradientCorrection",
    "ParallelReductionFactorInPlane",
    "ParallelReductionFactorOutOfPlane",
    "PartialFourier",
    "PercentPhaseFOV",
    "PercentSampling",
    "PhaseEncodingAxis",
    "PhaseEncodingDirection",
    "PhaseEncodingPolarityGE",
    "PhaseEncodingSteps",
    "PixelBandwidth",
    "ReconMatrixPE",
    "SAR",
    "SpacingBetweenSlices",
    "TotalReadoutTime",
)


def series_path(
    subject: str, session: str, entry: Mapping[str, Any], *, number: int, runs: int
) -> str:
    """Return the path of a series in the raw dataset.

    Parameters
    ----------
    subject, session : str
        Labels.
    entry : mapping
        A series of the manifest.
    number : int
        Place of the series among those of its class in order of time, from 1; for VFA, in
        order of flip angle.
    runs : int
        How many series of the class there are.

    Examples
    --------
    >>> series_path("a", "b", {"class": "DSC"}, number=1, runs=1)
    'sub-a/ses-b/perf/sub-a_ses-b_ce-gadolinium_run-1_dsc.nii.gz'
    >>> series_path("a", "b", {"class": "T1w"}, number=1, runs=1)
    'sub-a/ses-b/anat/sub-a_ses-b_T1w.nii.gz'
    """
    kind = entry["class"]
    run = number if runs > 1 else None
    if kind in {"DSC", "DCE"}:
        name = bids_path(subject, session, "perf", kind.lower(), ce="gadolinium", run=number)
    elif kind == "VFA":
        name = bids_path(subject, session, "anat", "VFA", flip=number)
    elif kind == "T1w_ce":
        name = bids_path(subject, session, "anat", "T1w", ce="gadolinium", run=run)
    elif kind in _PLACES:
        folder, suffix, entities = _PLACES[kind]
        name = bids_path(subject, session, folder, suffix, run=run, **entities)
    elif kind == "IR":
        name = bids_path(subject, session, "anat", "IRT1", inv=number)
    elif kind == "MP2RAGE" and entry["acquisition"]["combined"]:
        name = bids_path(subject, session, "anat", "UNIT1", run=run)
    elif kind == "MP2RAGE":
        name = bids_path(subject, session, "anat", "MP2RAGE", inv=number)
    else:
        name = bids_path(subject, session, "anat", kind, run=run)
    return name


def sidecar(
    entry: Mapping[str, Any],
    header: Mapping[str, Any],
    reader: str,
    affine: NDArray[np.float64],
) -> dict[str, Any]:
    """Return the sidecar of a series: BIDS fields in BIDS units, from an allow-list.

    Parameters
    ----------
    entry : mapping
        A series of the manifest, whose facts win over the converter's.
    header : mapping
        The converter's sidecar.
    reader : str
        What read the pixels, ``dcm2niix`` or ``afterglow``.
    affine : ndarray, shape (4, 4)
        Affine of the image, which tells along which direction its slices are counted.
    """
    facts = entry["acquisition"]
    content = {
        name: header[name] for name in _ALLOWED if name in header and _harmless(header[name])
    }
    content |= {
        "Modality": "MR",
        "Manufacturer": facts["vendor"],
        "ManufacturersModelName": facts["model"],
        "MagneticFieldStrength": facts["field_strength"],
        "MRAcquisitionType": facts["dimension"],
        "ScanningSequence": "_".join(facts["scanning_sequence"]) or None,
        "SequenceVariant": "_".join(facts["sequence_variant"]) or None,
        "ScanOptions": "_".join(facts["scan_options"]) or None,
        "SequenceName": facts["sequence_name"],
        "PulseSequenceType": _pulse(facts),
        "RepetitionTime": facts["repetition_time"],
        "EchoTime": facts["echo_times"][0] if len(facts["echo_times"]) == 1 else None,
        "EchoTimes": facts["echo_times"] if len(facts["echo_times"]) > 1 else None,
        "InversionTime": facts["inversion_time"],
        "FlipAngle": facts["flip_angles"][0] if len(facts["flip_angles"]) == 1 else None,
        "SliceThickness": facts["slice_thickness"],
        "ContrastBolusAgent": facts["contrast_agent"],
        "ContrastBolusVolume": facts["contrast_volume"],
        "ContrastBolusDose": facts["dose"],
        "InjectionsOfSameVolume": entry.get("same_volume"),
        "PixelReader": reader,
        "SeriesKey": entry["series_key"],
        "SeriesClass": entry["class"],
        "SeriesClassRule": entry["rule"],
        "SeriesClassConfidence": entry["confidence"],
    }
    if entry.get("doubts"):
        content["SeriesDoubts"] = entry["doubts"]
    if entry["class"] == "B1map":
        content["Units"] = facts["b1_units"] or "arbitrary"
    if entry["class"] == "VFA":
        content["RepetitionTimeExcitation"] = facts["repetition_time"]
        content["ReceiveGains"] = entry.get("receive_gains")
    if entry["frame_times"]:
        content |= timing(entry, header, affine)
    return {name: value for name, value in content.items() if value is not None}


def timing(
    entry: Mapping[str, Any], header: Mapping[str, Any], affine: NDArray[np.float64]
) -> dict[str, Any]:
    """Return the fields that say when volumes and slices were acquired (s)."""
    facts = entry["acquisition"]
    slices = header.get("SliceTiming") if facts["mosaic"] else facts["slice_times"]
    normal = facts["slice_normal"]
    if slices and not facts["mosaic"] and normal and float(np.dot(affine[:3, 2], normal)) < 0:
        slices = slices[::-1]
    step = frame_time(entry["frame_times"])
    if slices and step and max(slices) > _WITHIN * step:
        # no slice of a volume begins after the next volume: these times count something else
        slices = None
    return {
        "VolumeTiming": entry["frame_times"],
        "TimingSource": entry["timing_source"],
        "TimingDisagreement": entry["timing_disagreement"],
        "TimingEvaluable": entry["evaluable"],
        "TimingReason": entry["reason"] or None,
        "SliceTiming": slices,
        "VolumesDropped": entry["n_incomplete"] or None,
        "NumberOfTemporalPositionsDeclared": facts["n_expected"],
    }


def frame_time(times: list[float] | None) -> float | None:
    """Return what ``pixdim[4]`` says: the median time between volumes (s)."""
    return float(np.median(np.diff(times))) if times and len(times) > 1 else None


def _pulse(facts: Mapping[str, Any]) -> str | None:
    parts = [
        ("spin_echo", "spin echo"),
        ("gradient_echo", "gradient echo"),
        ("epi", "echo planar"),
    ]
    return " ".join(text for name, text in parts if facts[name]) or None


def _harmless(value: Any) -> bool:
    if isinstance(value, str):
        return _TEXT.match(value) is not None
    if isinstance(value, list):
        return all(_harmless(item) for item in value)
    return isinstance(value, int | float | bool)
