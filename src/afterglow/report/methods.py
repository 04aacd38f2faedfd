"""A methods paragraph that says what was run, with versions and citations, ready to paste."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from afterglow import __version__
from afterglow.provenance.job import State
from afterglow.report.citations import References

_BACKENDS = {"hdbet": "HD-BET", "synthstrip": "SynthStrip", "given": "a mask given by the site"}
_WORKS = {
    "bsw": "bsw",
    "bidirectional": "bidirectional",
    "osvd": "osvd",
    "tofts": "tofts",
    "extended_tofts": "tofts",
    "extendedtofts": "tofts",
    "parker": "parker",
}


def methods_text(states: Mapping[str, State]) -> list[str]:
    """Return the paragraphs of the stages that ended well, then the works they cite.

    Examples
    --------
    >>> methods_text({})[0].startswith("Data were processed with Afterglow")
    True
    """
    cite = References()
    flow = f"a Snakemake {_version('snakemake')} workflow {cite('snakemake')}"
    text = [f"Data were processed with Afterglow {__version__}, {flow}."]
    writers = {
        "bids": _conversion,
        "anat": _anatomy,
        "dsc": _dsc,
        "dce": _dce,
        "features": _features,
    }
    for name, write in writers.items():
        state = states.get(name)
        if state is not None and state.done:
            text.append(write(state, cite))
    return [*text, *cite.listed()]


def _conversion(_: State, cite: References) -> str:
    return (
        f"DICOM was converted with dcm2niix {_version('dcm2niix')} {cite('dcm2niix')} to the Brain"
        f" Imaging Data Structure {cite('bids')}; frame times come from the DICOM attributes named"
        " in the table of series, never from the repetition time where a better source exists."
    )


def _anatomy(state: State, cite: References) -> str:
    backend = state.summary.get("brain_backend") or {}
    name = str(backend.get("name") or "bet")
    brain = _BACKENDS.get(
        name,
        f"BET (brainextractor {_version('brainextractor')}) {cite('bet')} refined against a"
        " template",
    )
    return (
        f"Images were corrected for bias (N4 {cite('n4')}), registered rigidly within the session"
        " and over time, and the dynamic series for motion, with ANTs (ANTsPy"
        f" {_version('antspyx')}) {cite('ants')}; the brain was extracted with {brain}."
    )


def _dsc(state: State, cite: References) -> str:
    leakage, flow = _model(state, "CBV"), _model(state, "CBF")
    return (
        "DSC: signal was turned into the change of R2*; cerebral blood volume was corrected for"
        f" leakage ({_named(leakage, cite)}) and divided by the median of normal-appearing white"
        f" matter; flow is by deconvolution ({_named(flow, cite)}). Percentage of signal recovery"
        " and peak height come from the uncorrected signal. Values from the change of R2* are"
        f" relative. Acquisition: {state.summary.get('domain', {}).get('text') or 'not recorded'}."
    )


def _dce(state: State, cite: References) -> str:
    source = str((state.summary.get("aif") or {}).get("source") or "not recorded")
    fitted = (
        f"DCE: T1 was fitted to spoiled gradient echo images of several flip angles {cite('vfa')}"
    )
    reason = ((state.summary.get("maps") or {}).get("Ktrans") or {}).get("reason")
    if reason:
        return f"{fitted}; kinetic parameters are not evaluable ({str(reason).replace('_', ' ')})."
    return (
        f"{fitted},"
        f" and concentration with the model {_named(_model(state, 'Ktrans'), cite)}; the arterial"
        f" input was {_named(source, cite)}. Every parameter has a standard error, and voxels that"
        " do not allow one are marked not evaluable."
    )


def _features(_: State, cite: References) -> str:
    return (
        "Lesions were measured on the grids on which the maps were made, over contralateral"
        " normal-appearing white matter where a ratio is given; regions too small or outside of the"
        " evaluable part of a map have no value and a reason. Response follows RANO-BM"
        f" {cite('rano_bm')}."
    )


def _model(state: State, name: str) -> str:
    entry = (state.summary.get("maps") or {}).get(name) or {}
    return str(entry.get("model") or "not recorded")


def _named(model: str, cite: References) -> str:
    """Return a model in words, with the work it comes from where one is known."""
    words = model.replace("_", " ")
    return f"{words} {cite(_WORKS[model])}" if model in _WORKS else words


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "(version unknown)"
