"""The files of the `dce` stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.bids.images import save_nifti
from afterglow.bids.sidecars import sources_as_uris, write_json
from afterglow.perfusion.dce_reason import Reason

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
    "residual": "mM",
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
        reason: str = "",
    ) -> None:
        """Write a map, its standard error and its evaluable mask.

        ``reason`` says why no voxel of the map is evaluable.
        """
        if reason:
            evaluable = np.zeros(values.shape, dtype=bool)
        base = f"{self.stem}_model-{model_label(model)}_param-{name}"
        units = UNITS[name]
        mask_path = None
        if evaluable is not None:
            mask_path = f"{base}_desc-evaluable_map.nii.gz"
            self._save(mask_path, evaluable.astype(np.uint8), "1", model, "1 where evaluable")
        note = f"see {Path(mask_path).name}" if mask_path else "all finite voxels"
        note = f"not evaluable: {reason}" if reason else note
        path = f"{base}_map.nii.gz"
        self._save(path, values.astype(np.float32), units, model, note)
        entry = {"units": units, "model": model, "evaluable": mask_path, "reason": reason}
        self.index[name] = {"path": path, "kind": "map", **entry}
        if error is not None:
            path = f"{base}_desc-se_map.nii.gz"
            self._save(path, error.astype(np.float32), units, model, note)
            self.index[f"{name}_se"] = {"path": path, "kind": "se", **entry}

    def write_extra(
        self,
        name: str,
        values: NDArray[Any],
        units: str,
        model: str,
        bits: dict[str, str] | None = None,
    ) -> None:
        """Write a map about the fit itself, which is no measurement and in no index."""
        path = f"{self.stem}_model-{model_label(model)}_desc-{name}_map.nii.gz"
        self._save(path, values, units, model, "all voxels of the mask", bits)

    def _save(
        self,
        path: str,
        values: NDArray[Any],
        units: str,
        model: str,
        note: str,
        bits: dict[str, str] | None = None,
    ) -> None:
        save_nifti(values, self.affine, self.out(path))
        content = {
            "Units": units,
            "Model": model,
            "Parameters": self.parameters,
            "Sources": sources_as_uris(self.sources),
            "Evaluable": note,
        }
        if bits:
            content["BitFlags"] = bits
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
    """Write the maps of an analysis, the T1 map, and why single voxels are not evaluable."""
    if t10.fit is not None:
        fit = t10.fit
        errors = fit.standard_errors["t1"]
        writer.write("T1", fit.t1, "vfa", error=errors, evaluable=fit.evaluable, reason=t10.reason)
    write_kinetics(writer, result, model)


def write_kinetics(writer: MapWriter, result: DCEResult, model: str) -> None:
    """Write the maps of an analysis, its residual, and the flags of every voxel."""
    for name, values in result.maps.items():
        kind, reason = (model, result.choice.reason) if name != "IAUC" else ("none", "")
        error = result.standard_errors.get(name)
        writer.write(
            name, values, kind, error=error, evaluable=result.evaluable_by[name], reason=reason
        )
    writer.write_extra("residual", result.residual.astype(np.float32), "mM", model)
    writer.write_extra("reason", result.reason, "1", model, flags())


def flags() -> dict[str, str]:
    """Return the meaning of the bits of the reason map.

    Examples
    --------
    >>> flags()["16"]
    'no_enhancement'
    """
    return {str(int(flag)): str(flag.name).lower() for flag in Reason}


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
        "reason": choice.reason,
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
