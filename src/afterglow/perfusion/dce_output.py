"""The files of the `dce` stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.bids.images import save_nifti
from afterglow.bids.sidecars import sources_as_uris, write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.perfusion.aif_choice import ArterialChoice
    from afterglow.perfusion.dce_analysis import DCEResult
    from afterglow.perfusion.dce_t10 import T10

UNITS = {
    "Ktrans": "1/min",
    "kep": "1/min",
    "PS": "1/min",
    "Fp": "mL/100 mL/min",
    "ve": "1",
    "vp": "1",
    "delay": "s",
    "IAUC": "mM s",
    "T1": "s",
}
_NAMES = {"2cum": "twoCompartmentUptake", "2cxm": "twoCompartmentExchange", "auto": "auto"}


@dataclass
class MapWriter:
    """Writes maps of one session with sidecars, and keeps what later stages need to find them.

    Parameters
    ----------
    out : callable
        Gives where to write a path relative to the study (``Job.out``).
    stem : str
        Path of the maps up to ``_model-``, relative to the study.
    affine : array (4, 4)
        Of the series.
    sources : list of str
        Inputs, relative to the study.
    parameters : dict
        What the maps rest on; goes into every sidecar.
    """

    out: Callable[[str], Path]
    stem: str
    affine: NDArray[np.float64]
    sources: list[str]
    parameters: dict[str, Any]
    index: dict[str, dict[str, Any]] = field(default_factory=dict)

    def write(
        self,
        name: str,
        values: NDArray[Any],
        model: str,
        *,
        error: NDArray[Any] | None = None,
        evaluable: NDArray[np.bool_] | None = None,
    ) -> None:
        """Write a map, its standard error and its evaluable mask."""
        base = f"{self.stem}_model-{model_label(model)}_param-{name}"
        units = UNITS[name]
        mask_path = None
        if evaluable is not None:
            mask_path = f"{base}_desc-evaluable_map.nii.gz"
            self._save(mask_path, evaluable.astype(np.uint8), "1", model, "1 where evaluable")
        note = f"see {Path(mask_path).name}" if mask_path else "all finite voxels"
        path = f"{base}_map.nii.gz"
        self._save(path, values.astype(np.float32), units, model, note)
        entry = {"units": units, "model": model, "evaluable": mask_path}
        self.index[name] = {"path": path, "kind": "map", **entry}
        if error is not None:
            path = f"{base}_desc-se_map.nii.gz"
            self._save(path, error.astype(np.float32), units, model, note)
            self.index[f"{name}_se"] = {"path": path, "kind": "se", **entry}

    def _save(self, path: str, values: NDArray[Any], units: str, model: str, note: str) -> None:
        save_nifti(values, self.affine, self.out(path))
        content = {
            "Units": units,
            "Model": model,
            "Parameters": self.parameters,
            "Sources": sources_as_uris(self.sources),
            "Evaluable": note,
        }
        write_json(self.out(path.replace(".nii.gz", ".json")), content)


def model_label(model: str) -> str:
    """Return a model's name as a BIDS label.

    Examples
    --------
    >>> model_label("extended_tofts"), model_label("2cxm")
    ('extendedtofts', 'twoCompartmentExchange')
    """
    return _NAMES.get(model, model.replace("_", ""))


def write_maps(writer: MapWriter, result: DCEResult, t10: T10, model: str) -> None:
    """Write the maps of an analysis and the T1 map."""
    if t10.fit is not None:
        fit = t10.fit
        errors = fit.standard_errors["t1"]
        writer.write("T1", fit.t1, "vfa", error=errors, evaluable=fit.evaluable)
    for name, values in result.maps.items():
        kind = "none" if name == "IAUC" else model
        error = result.standard_errors.get(name)
        writer.write(name, values, kind, error=error, evaluable=result.evaluable_by[name])


def write_input(
    out: Callable[[str], Path],
    stem: str,
    affine: NDArray[np.float64],
    time: NDArray[np.float64],
    choice: ArterialChoice,
) -> dict[str, Any]:
    """Write the arterial input with its voxels; return what the summary says of it."""
    table = f"{stem}_desc-aif_timeseries.tsv"
    rows = ["time\tblood\tplasma"]
    rows += [
        f"{t:.6g}\t{b:.6g}\t{p:.6g}"
        for t, b, p in zip(time, choice.blood, choice.plasma, strict=True)
    ]
    out(table).write_text("\n".join(rows) + "\n", encoding="utf-8")
    mask = None
    if choice.voxels.size and choice.voxels.any():
        mask = f"{stem}_desc-aif_mask.nii.gz"
        save_nifti(choice.voxels.astype(np.uint8), affine, out(mask))
    facts = {
        "source": choice.source,
        "rule": choice.rule,
        "arrival": choice.arrival,
        "partial_volume_scale": choice.scale,
        "t1": choice.t1.value if choice.t1 else None,
        "t1_source": choice.t1.source if choice.t1 else None,
    }
    columns = {
        "time": {"Units": "s"},
        "blood": {"Units": "mM", "Description": "Whole arterial blood"},
        "plasma": {"Units": "mM", "Description": "Arterial plasma"},
    }
    write_json(out(table.replace(".tsv", ".json")), {**columns, **facts, "Metrics": choice.metrics})
    return {**choice.metrics, **facts, "path": table, "mask": mask}
