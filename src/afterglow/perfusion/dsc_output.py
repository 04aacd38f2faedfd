"""The files of one DSC analysis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.bids.images import save_nifti
from afterglow.bids.sidecars import sources_as_uris, write_json
from afterglow.perfusion.dsc_reason import Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.perfusion.dsc_analysis import DSCResult

UNITS = {
    "CBV": "1 (relative: area under delta R2*)",
    "CBVraw": "1 (relative: area under delta R2*)",
    "CBF": "mL/100 mL/min (relative: from delta R2*)",
    "MTT": "s",
    "Tmax": "s",
    "delay": "s",
    "CTH": "s",
    "TTP": "s",
    "sRCBV": "1 (standard scale)",
    "PSR": "percent",
    "PH": "percent of S0",
    "PHdR2s": "1/s",
    "K1": "1",
    "K2": "1/s",
    "kep": "1/min",
    "rCBV": "1 (ratio to the median of whole-brain normal-appearing white matter)",
}
_LEAKAGE = ("CBV", "rCBV", "sRCBV", "K1", "K2", "kep")
_UNCORRECTED = ("CBVraw", "PSR", "PH", "PHdR2s", "TTP")
_NORMALIZATION = {"rCBV": "whole_brain_nawm", "sRCBV": "standard_scale"}
_WINDOWS = {
    "whole": "whole curve",
    "first_pass": "first pass",
    "gamma_variate": "gamma variate of the first pass",
}


@dataclass
class DSCWriter:
    """Writes one analysis, and returns what later stages need to find it.

    Parameters
    ----------
    out : callable
        Gives where to write a path relative to the study (``Job.out``).
    stem : str
        Path of the files up to ``_model-``, relative to the study.
    affine : array (4, 4)
    sources : list of str
        Inputs, relative to the study.
    models : (str, str)
        Leakage model and deconvolution.
    parameters : dict
        What the maps rest on; goes into every sidecar.
    """

    out: Callable[[str], Path]
    stem: str
    affine: NDArray[np.float64]
    sources: list[str]
    models: tuple[str, str]
    parameters: dict[str, Any]

    def write_maps(self, result: DSCResult) -> dict[str, dict[str, Any]]:
        """Write maps, evaluable masks and reasons; return the index of the maps."""
        index: dict[str, dict[str, Any]] = {}
        for name, values in result.maps.items():
            model = self._model(name)
            base = f"{self.stem}_model-{model.replace('_', '')}_param-{name}"
            mask = f"{base}_desc-evaluable_map.nii.gz"
            self._save(mask, result.evaluable_by[name].astype(np.uint8), name, "1", "1: evaluable")
            path = f"{base}_map.nii.gz"
            note = f"see {Path(mask).name}"
            self._save(path, values.astype(np.float32), name, UNITS[name], note)
            index[name] = {
                "path": path,
                "units": UNITS[name],
                "model": model,
                "leakage_model": self._leakage(name),
                "window": self._window(name),
                "normalization": _NORMALIZATION.get(name, "none"),
                "evaluable": mask,
                "kind": "map",
            }
        self._write_reasons(result)
        return index

    def _model(self, name: str) -> str:
        """Return the model a map rests on: leakage, deconvolution (after leakage), or none."""
        if name in _UNCORRECTED:
            return "none"
        return self.models[0] if name in _LEAKAGE else self.models[1]

    def _leakage(self, name: str) -> str:
        """Return the leakage model of the curves a map is made of."""
        return "none" if name in _UNCORRECTED else self.parameters["domain"]["leakage_model"]

    def _window(self, name: str) -> str:
        """Return the part of the curve that a map is made of."""
        facts = self.parameters["domain"]
        if name == "PSR":
            first, last = facts["psr_window"]
            return f"{first:g} to {last:g} s after arrival"
        if name in ("PH", "PHdR2s", "TTP"):
            return "first pass"
        if name in ("CBV", "CBVraw", "rCBV", "sRCBV"):
            return _WINDOWS[facts["cbv_window"]]
        return "whole curve"

    def _save(self, path: str, values: NDArray[Any], name: str, units: str, note: str) -> None:
        save_nifti(values, self.affine, self.out(path))
        content = {
            "Units": units,
            "Model": self._model(name),
            "LeakageModel": self._leakage(name),
            "Window": self._window(name),
            "Parameters": self.parameters,
            "Sources": sources_as_uris(self.sources),
            "Evaluable": note,
        }
        write_json(self.out(path.replace(".nii.gz", ".json")), content)

    def _write_reasons(self, result: DSCResult) -> None:
        """Write the reason bits with their meaning and count."""
        path = f"{self.stem}_desc-reasons_dseg.nii.gz"
        save_nifti(result.reasons, self.affine, self.out(path))
        bits = {bit.name or "": int(bit) for bit in Reason}
        counts = {name: int(np.count_nonzero(result.reasons & bit)) for name, bit in bits.items()}
        content = {"Bits": bits, "VoxelCounts": counts, "Sources": sources_as_uris(self.sources)}
        write_json(self.out(path.replace(".nii.gz", ".json")), content)

    def write_curves(self, result: DSCResult, time: NDArray[np.float64]) -> str:
        """Write the mean curves by region; return the path."""
        path = f"{self.stem}_desc-regions_timeseries.tsv"
        columns = {"time": time, "signal": result.signal_curve, **result.curves}
        _table(self.out(path), columns)
        units = {"time": "s", "signal": "arbitrary"}
        content = {name: {"Units": units.get(name, "1/s")} for name in columns}
        write_json(self.out(path.replace(".tsv", ".json")), content)
        return path

    def write_aif(self, result: DSCResult, time: NDArray[np.float64]) -> dict[str, Any]:
        """Write the arterial input and its voxels; return what the summary says of it."""
        if not result.aif.evaluable:
            return {"path": None, "source": "none", "reason": result.aif.reason}
        path = f"{self.stem}_desc-aif_timeseries.tsv"
        mask = f"{self.stem}_desc-aif_mask.nii.gz"
        lead = np.full(time.size - result.aif.curve.size, np.nan)
        _table(self.out(path), {"time": time, "aif": np.concatenate([lead, result.aif.curve])})
        save_nifti(result.aif.voxels.astype(np.uint8), self.affine, self.out(mask))
        facts = {"source": "detected", "arrival": result.aif.arrival, **result.aif.metrics}
        units = {"time": {"Units": "s"}, "aif": {"Units": "1/s", "Description": "delta R2*"}}
        write_json(self.out(path.replace(".tsv", ".json")), {**units, **facts})
        return {**facts, "path": path, "mask": mask}


def _table(path: Path, columns: dict[str, NDArray[np.float64]]) -> None:
    """Write columns as TSV, ``n/a`` where not finite."""
    lines = ["\t".join(columns)]
    lines += [
        "\t".join(f"{x:.6g}" if np.isfinite(x) else "n/a" for x in row)
        for row in zip(*columns.values(), strict=True)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
