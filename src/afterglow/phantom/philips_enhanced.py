"""A dynamic series as one enhanced multi-frame object, as Philips writes it.

What differs between frames stands in their functional groups: place, time, scale; there is no
AcquisitionTime that could tell one volume from the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from afterglow.phantom import dicom, encoding

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import Dataset

    from afterglow.phantom.dicom import Study
    from afterglow.phantom.encoding import Own
    from afterglow.phantom.scan import Scan
    from afterglow.phantom.series import Series

ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
_KIND = ["ORIGINAL", "PRIMARY", "PERFUSION", "NONE"]
_TRAITS = {
    "PixelPresentation": "MONOCHROME",
    "VolumetricProperties": "VOLUME",
    "VolumeBasedCalculationTechnique": "NONE",
    "ComplexImageComponent": "MAGNITUDE",
    "AcquisitionContrast": "PERFUSION",
}
_PULSES = {
    "MRAcquisitionType": "2D",
    "EchoPulseSequence": "GRADIENT",
    "MultiPlanarExcitation": "NO",
    "PhaseContrast": "NO",
    "TimeOfFlightContrast": "NO",
    "SteadyStatePulseSequence": "NONE",
    "EchoPlanarPulseSequence": "YES",
    "SaturationRecovery": "NO",
    "SpectrallySelectedSuppression": "FAT",
    "OversamplingPhase": "NONE",
    "GeometryOfKSpaceTraversal": "RECTILINEAR",
    "SegmentedKSpaceTraversal": "SINGLE",
    "RectilinearPhaseEncodeReordering": "LINEAR",
}
_DIMENSIONS = ((0x00209056, 0x00209111), (0x00209057, 0x00209111), (0x00209128, 0x00209111))


def write_series(study: Study, scan: Scan, folder: Path) -> Path:
    """Write a series as one object whose frames run through the times of each slice in turn."""
    uid = study.uid(scan.series.name, scan.first_instance)
    stored = np.ascontiguousarray(scan.data.transpose(2, 3, 1, 0)).astype("<u2")
    own: Own = {
        0x52009229: ("SQ", [_shared(scan)]),
        0x52009230: ("SQ", _frames(study, scan)),
        0x7FE00010: ("OW", stored.tobytes()),
    }
    return encoding.Encoder(_common(study, scan)).save(uid, own, folder / "IM_0001")


def _common(study: Study, scan: Scan) -> Dataset:
    """Return the elements outside the functional groups."""
    from afterglow.phantom.philips import equipment

    series, grid = scan.series, scan.grid
    ds = dicom.general(study, series.number, series.description, series.start)
    del ds.AcquisitionTime, ds.AcquisitionDate
    ds.AcquisitionDateTime = study.instant(series.start)
    ds.AcquisitionDuration = series.frames * series.frame_time
    ds.SOPClassUID = ENHANCED_MR
    ds.ImageType = _KIND
    equipment(ds)
    ds.ProtocolName = f"{series.description} CLEAR"
    ds.PatientPosition = "HFS"
    ds.BodyPartExamined = "BRAIN"
    for keyword, value in (_PULSES | _TRAITS).items():
        setattr(ds, keyword, value)
    ds.PulseSequenceName = "FEEPI"
    ds.NumberOfKSpaceTrajectories = 1
    ds.ContentQualification = "PRODUCT"
    ds.ResonantNucleus, ds.KSpaceFiltering = "1H", "NONE"
    ds.ApplicableSafetyStandardAgency = "IEC"
    ds.MagneticFieldStrength = study.center.field
    ds.FrameOfReferenceUID = study.uid("frame of reference")
    ds.PositionReferenceIndicator = ""
    ds.AcquisitionNumber, ds.InstanceNumber = str(series.number // 100), str(scan.first_instance)
    ds.NumberOfFrames = str(series.frames * grid.shape[2])
    ds.NumberOfTemporalPositions = str(series.frames)
    ds.BurnedInAnnotation, ds.LossyImageCompression = "NO", "00"
    ds.PresentationLUTShape = "IDENTITY"
    ds.AcquisitionContextSequence = []
    dicom.pixels(ds, grid.shape, dicom.stored_bits(scan.data), signed=False)
    dicom.count_frames_by(ds, study.uid("dimensions", series.name), _DIMENSIONS)
    _contrast(ds, study, series)
    dicom.private(ds, 0x2001, "Philips Imaging DD 001", {0x18: ("SL", grid.shape[2])})
    return ds


def _contrast(ds: Dataset, study: Study, series: Series) -> None:
    """Add the injection as an enhanced object states it, in a sequence."""
    contrast = dicom.contrast_of(study, series)
    agent = dicom.code(study.center.agent.upper()[:16], "99PHANTOM", contrast.agent)
    agent.ContrastBolusAgentNumber = 1
    agent.ContrastBolusAdministrationRouteSequence = [
        dicom.code("47625008", "SCT", "Intravenous route")
    ]
    agent.ContrastBolusIngredientCodeSequence = [dicom.code("12219", "99PHANTOM", "Gadolinium")]
    agent.ContrastBolusVolume = f"{contrast.volume:.1f}"
    agent.ContrastBolusIngredientConcentration = f"{contrast.concentration:g}"
    ds.ContrastBolusAgentSequence = [agent]


def _shared(scan: Scan) -> Own:
    """Return the functional groups that all frames share."""
    series, grid = scan.series, scan.grid
    phases, width = grid.shape[1], grid.shape[0]
    spacing = [f"{grid.spacing[1]:g}", f"{grid.spacing[0]:g}"]
    thickness = f"{grid.spacing[2]:g}"
    region: Own = {0x00080100: ("SH", "12738006"), 0x00080102: ("SH", "SCT")}
    region[0x00080104] = ("LO", "Brain")
    return {
        0x00289110: _one(
            {
                0x00180050: ("DS", thickness),
                0x00180088: ("DS", thickness),
                0x00280030: ("DS", spacing),
            }
        ),
        0x00209116: _one({0x00200037: ("DS", dicom.orientation(grid))}),
        0x00209071: _one({0x00082218: _one(region), 0x00209072: ("CS", "U")}),
        0x00189226: _one(
            {
                0x00089007: ("CS", _KIND),
                0x00089205: ("CS", _TRAITS["PixelPresentation"]),
                0x00089206: ("CS", _TRAITS["VolumetricProperties"]),
                0x00089207: ("CS", _TRAITS["VolumeBasedCalculationTechnique"]),
                0x00089208: ("CS", _TRAITS["ComplexImageComponent"]),
                0x00089209: ("CS", _TRAITS["AcquisitionContrast"]),
            }
        ),
        0x00189112: _one(
            {
                0x00180080: ("DS", series.repetition_time),
                0x00181314: ("DS", f"{series.flip:g}"),
                0x00180091: ("IS", phases),
                0x00189240: ("US", 1),
                0x00189241: ("US", phases),
                0x00189176: _one(
                    {0x00189177: ("CS", "GRADIENT"), 0x00189178: ("CS", "IEC_NORMAL")}
                ),
                0x00189239: _one({0x00189179: ("CS", "IEC_HEAD"), 0x00189181: ("FD", 0.4)}),
            }
        ),
        0x00189125: _one(
            {
                0x00181312: ("CS", "COLUMN"),
                0x00189058: ("US", width),
                0x00189231: ("US", phases),
                0x00180093: ("DS", "100"),
                0x00180094: ("DS", "100"),
            }
        ),
        0x00189114: _one({0x00189082: ("FD", series.te * 1000.0)}),
        0x00189115: _modifiers(),
        0x00189006: _one(
            {
                0x00180095: ("DS", "1814"),
                0x00189020: ("CS", "NONE"),
                0x00189022: ("CS", "NO"),
                0x00189028: ("CS", "NONE"),
                0x00189098: ("FD", 127.7),
            }
        ),
        0x00189042: _one(
            {
                0x00181250: ("SH", "MULTI COIL"),
                0x00189041: ("LO", "Philips"),
                0x00189043: ("CS", "MULTICOIL"),
                0x00189044: ("CS", "NO"),
                0x00189045: _one({0x00189047: ("SH", "HEAD"), 0x00189048: ("CS", "YES")}),
            }
        ),
        0x00189049: _one(
            {0x00181251: ("SH", "Body"), 0x00189050: ("LO", ""), 0x00189051: ("CS", "BODY")}
        ),
        0x00189119: _one({0x00180083: ("DS", "1")}),
        0x00189341: _one(
            {0x00189337: ("US", 1), 0x00189342: ("CS", "YES"), 0x00189343: ("CS", "NO")}
        ),
    }


def _modifiers() -> tuple[str, list[Own]]:
    """Return that nothing prepares or accelerates the signal but fat suppression."""
    no = (0x00189009, 0x00189021, 0x00189077, 0x00189081)
    none = (0x00189010, 0x00189026, 0x00189027)
    values: Own = dict.fromkeys(no, ("CS", "NO")) | dict.fromkeys(none, ("CS", "NONE"))
    values[0x00189016] = ("CS", "RF_AND_GRADIENT")
    return _one(values)


def _frames(study: Study, scan: Scan) -> list[Own]:
    """Return the functional groups of every frame."""
    from afterglow.phantom.philips import display_slope, scale_slope

    series, grid = scan.series, scan.grid
    display, high = display_slope(scan), float(scan.data.max()) * display_slope(scan)
    shown = _one(dicom.window(0.0, high))
    values = _one(
        {
            0x00281052: ("DS", "0"),
            0x00281053: ("DS", dicom.decimal(display)),
            0x00281054: ("LO", "US"),
        }
    )
    starts, offsets = series.frame_starts(), series.slice_offsets()
    items = []
    for k in range(grid.shape[2]):
        place = _one({0x00200032: ("DS", dicom.position(grid, k))})
        for frame, seconds in enumerate(starts):
            private: Own = {
                0x00180020: ("CS", "GR"),
                0x20050010: ("LO", "Philips MR Imaging DD 001"),
                0x2005100D: ("FL", 0.0),
                0x2005100E: ("FL", scale_slope(series)),
                0x200510A0: ("FL", seconds),
            }
            items.append(
                {
                    0x00209111: _content(study, series, k, frame, seconds + offsets[k]),
                    0x00209113: place,
                    0x00209310: _one({0x0020930D: ("FD", seconds)}),
                    0x00289132: shown,
                    0x00289145: values,
                    0x20050014: ("LO", "Philips MR Imaging DD 005"),
                    0x2005140F: _one(private),
                }
            )
    return items


def _content(
    study: Study, series: Series, k: int, frame: int, seconds: float
) -> tuple[str, list[Own]]:
    acquired = study.instant(series.start + seconds)
    return _one(
        {
            0x00189074: ("DT", acquired),
            0x00189151: ("DT", acquired),
            0x00189220: ("FD", 1000.0 * series.tr / series.shape[2]),
            0x00209056: ("SH", "1"),
            0x00209057: ("UL", k + 1),
            0x00209128: ("UL", frame + 1),
            0x00209156: ("US", series.number // 100),
            0x00209157: ("UL", [1, k + 1, frame + 1]),
        }
    )


def _one(own: Own) -> tuple[str, list[Own]]:
    """Return a sequence of one item."""
    return ("SQ", [own])
