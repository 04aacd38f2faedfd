"""Runs dcm2niix through nipype on the files of one series."""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterglow.errors import AfterglowError


@dataclass(frozen=True)
class Converted:
    """One image that dcm2niix made, with the sidecar it wrote."""

    array: NDArray[Any]
    affine: NDArray[np.float64]
    sidecar: dict[str, Any]
    name: str
    gradients: NDArray[np.float64] | None = None


def dcm2niix(files: Sequence[Path], work: Path) -> list[Converted]:
    """Convert files of one series and return every image that came of it.

    Parameters
    ----------
    files : sequence of Path
        DICOM files; they are linked into ``work`` so that nothing else is converted.
    work : Path
        Empty temporary folder.

    Returns
    -------
    list of Converted
        Arrays of shape (x, y, z) or (x, y, z, n), sorted by name. Values keep their integer type
        where the header asks for no scaling, else they are scaled float32.

    Raises
    ------
    AfterglowError
        The converter failed or made nothing.
    """
    source, target = work / "in", work / "out"
    source.mkdir(parents=True)
    target.mkdir()
    for number, path in enumerate(files):
        (source / f"{number:06d}.dcm").symlink_to(path)
    said = _run(source, target, work)
    images = sorted(target.glob("*.nii"))
    if not images:
        raise AfterglowError(
            f"dcm2niix made no image of {len(files)} files", expected="one", remedy=_hint(said)
        )
    return [_load(path) for path in images]


def _run(source: Path, target: Path, work: Path) -> str:
    """Call the converter and return what it said."""
    interface = _interface(work)
    interface.inputs.source_dir = str(source)
    interface.inputs.output_dir = str(target)
    interface.inputs.out_filename = "s%s_a%u_e%e"
    interface.inputs.compress = "n"
    interface.inputs.anon_bids = True
    interface.inputs.philips_float = True
    # 2: volumes of one series are stacked whatever their trigger or acquisition number says
    interface.inputs.merge_imgs = 2
    try:
        runtime = interface.run(cwd=str(work)).runtime
    except Exception as error:
        message = _hint(str(error))
        killed = re.search(r"Return code: (-9|137)\b", str(error)) is not None
        raise AfterglowError(f"dcm2niix failed: {message}", transient=killed) from error
    return f"{runtime.stdout}\n{runtime.stderr}"


def _interface(work: Path) -> Any:
    """Return nipype's interface, set so that nothing is fetched, logged or cached elsewhere."""
    os.environ["NO_ET"] = os.environ["NIPYPE_NO_ET"] = "1"
    os.environ.setdefault("NIPYPE_CONFIG_DIR", str(work / "nipype"))
    from nipype import config
    from nipype.interfaces.dcm2nii import Dcm2niix

    # nipype collects garbage after every call, through all that it imported.
    gc.freeze()
    config.update_config(
        {
            "execution": {"check_version": "false", "crashdump_dir": str(work)},
            "logging": {"log_to_file": "false", "interface_level": "ERROR"},
            "monitoring": {"enabled": "false"},
        }
    )
    interface = Dcm2niix(terminal_output="allatonce")
    program = shutil.which("dcm2niix") or _bundled()
    interface.inputs.environ = {"PATH": f"{Path(program).parent}{os.pathsep}{os.environ['PATH']}"}
    return interface


def _bundled() -> str:
    """Return the program that the Python package of the same name carries."""
    try:
        import dcm2niix as package  # type: ignore[import-untyped]
    except ImportError as error:
        raise AfterglowError(
            "dcm2niix is not installed", remedy="install it, or the Python package `dcm2niix`"
        ) from error
    return str(package.bin)


def _hint(said: str) -> str:
    """Return the converter's warnings and errors without paths and names."""
    lines = [line for line in said.splitlines() if re.search(r"error|warning", line, re.IGNORECASE)]
    text = "; ".join(line.strip() for line in lines[-3:])
    return re.sub(r"\S*[/\\]\S*", "<file>", text)[:300]


def _load(path: Path) -> Converted:
    import nibabel as nib

    image = nib.load(path)
    slope, intercept = image.dataobj.slope, image.dataobj.inter
    if slope == 1 and intercept == 0:
        array = np.asarray(image.dataobj)
    else:
        array = np.asarray(image.dataobj, dtype=np.float32)
    sidecar = path.with_suffix(".json")
    content = json.loads(sidecar.read_text(encoding="utf-8")) if sidecar.exists() else {}
    affine = np.asarray(image.affine, dtype=np.float64)
    return Converted(array, affine, content, path.stem, _gradients(path))


def _gradients(path: Path) -> NDArray[np.float64] | None:
    """Return b values (s/mm2) and directions, shape (4, n), where the converter wrote them."""
    values, directions = path.with_suffix(".bval"), path.with_suffix(".bvec")
    if not values.exists() or not directions.exists():
        return None
    rows = [np.loadtxt(values, ndmin=2), np.loadtxt(directions, ndmin=2)]
    return np.vstack(rows) if rows[0].shape[1] == rows[1].shape[1] else None
