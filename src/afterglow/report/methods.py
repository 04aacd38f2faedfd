"""A methods paragraph that says what was run, with versions, ready to paste."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from afterglow import __version__
from afterglow.provenance.job import State


def methods_text(states: Mapping[str, State]) -> list[str]:
    """Return the paragraphs of the stages that ended well."""
    done = {name for name, state in states.items() if state.done}
    text = [f"Data were processed with Afterglow {__version__}."]
    if "bids" in done:
        text.append(
            f"DICOM was converted with dcm2niix {_version('dcm2niix')} to the Brain Imaging Data"
            " Structure; frame times come from the DICOM attributes named in the table of series,"
            " never from the repetition time where a better source exists."
        )
    if "anat" in done:
        text.append(
            "Images were corrected for bias (N4), registered within the session (rigid) and over"
            " time, and the dynamic series for motion, all with ANTs (ANTsPy"
            f" {_version('antspyx')}); the brain was extracted with BET (brainextractor"
            f" {_version('brainextractor')}) refined against a template."
        )
    if "dsc" in done:
        text.append(
            "DSC: signal was turned into the change of R2*; cerebral blood volume was corrected"
            f" for leakage ({_model(states, 'dsc', 'CBV')}) and divided by the median of"
            " normal-appearing white matter; flow is by deconvolution. Percentage of signal"
            " recovery and peak height come from the uncorrected signal. Values from the change of"
            " R2* are relative."
        )
    if "dce" in done:
        text.append(
            "DCE: T1 was fitted to spoiled gradient echo images of several flip angles, and"
            f" concentration with the model {_model(states, 'dce', 'Ktrans')}; every parameter"
            " has a standard error, and voxels that do not allow one are marked not evaluable."
        )
    if "features" in done:
        text.append(
            "Lesions were measured on the grids on which the maps were made, over contralateral"
            " normal-appearing white matter where a ratio is given; regions too small or outside of"
            " the evaluable part of a map have no value and a reason."
        )
    return text


def _model(states: Mapping[str, State], stage: str, name: str) -> str:
    entry = (states[stage].summary.get("maps") or {}).get(name) or {}
    return str(entry.get("model") or "not recorded")


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "(version unknown)"
