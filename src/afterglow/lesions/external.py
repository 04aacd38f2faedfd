"""Lesions from an outside segmenter, called by a command template."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.bids.images import load_nifti, save_nifti
from afterglow.errors import AfterglowError
from afterglow.lesions.masks import Labels, read_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.lesions.grids import Grid

IMAGES = ("t1w", "pre", "flair", "brain")


def run_segmenter(
    command: Sequence[str],
    images: Mapping[str, NDArray[Any]],
    grid: Grid,
    timeout: float,
) -> Labels:
    """Run a program on the images of a session and return its lesions.

    The program reads NIfTI files and writes a binary mask or a label map on the same grid.

    Parameters
    ----------
    command : sequence of str
        Program and arguments; ``{t1w}``, ``{pre}``, ``{flair}``, ``{brain}`` are replaced by the
        files of the images, ``{out}`` by that of the result, ``{folder}`` by their folder.
    images : mapping
        Images by name, those in the session's possession.
    grid : Grid
        Their grid.
    timeout : float
        Time limit, s.

    Raises
    ------
    AfterglowError
        No such program, an image that the session does not have, a failure, or no usable result.
    """
    if shutil.which(command[0]) is None:
        raise AfterglowError(
            "the external segmenter is not installed",
            where="lesions.segmentation.command",
            expected="a program on the PATH",
            remedy="install it, or remove the setting",
        )
    with tempfile.TemporaryDirectory(prefix="afterglow-") as name:
        folder = Path(name)
        files = {"out": str(folder / "lesions.nii.gz"), "folder": name}
        for image, values in images.items():
            files[image] = str(folder / f"{image}.nii.gz")
            save_nifti(values, grid.affine, files[image], dtype="float32")
        _call(_filled(command, files), folder, timeout)
        return _result(Path(files["out"]), grid)


def _filled(command: Sequence[str], files: Mapping[str, str]) -> list[str]:
    try:
        return [part.format(**files) for part in command]
    except (KeyError, IndexError) as error:
        raise AfterglowError(
            f"the external segmenter asks for {error}, which this session does not have",
            where="lesions.segmentation.command",
            expected=", ".join(sorted(files)),
        ) from error


def _call(arguments: Sequence[str], folder: Path, timeout: float) -> None:
    """Run the program through nipype, without a shell."""
    import os
    import shlex

    os.environ.setdefault("NIPYPE_NO_ET", "1")
    os.environ.setdefault("NO_ET", "1")
    from nipype.interfaces.base import CommandLine

    limited = ["timeout", "--kill-after=10", f"{timeout:.0f}", *arguments]
    interface = CommandLine(command=limited[0], args=shlex.join(limited[1:]))
    interface.terminal_output = "allatonce"
    try:
        runtime = interface.run(cwd=str(folder)).runtime
        code, words = int(runtime.returncode or 0), str(runtime.stderr or "")
    except (RuntimeError, OSError) as error:
        code, words = -1, str(error)
    if code != 0:
        lines = [line.strip() for line in words.splitlines() if line.strip()]
        last = lines[-1][:200].replace(str(folder), "") if lines else "it said nothing"
        raise AfterglowError(
            f"the external segmenter failed: {last}",
            where="lesions.segmentation.command",
            remedy="run the command by hand on one session",
        )


def _result(path: Path, grid: Grid) -> Labels:
    """Return the lesions the program wrote."""
    if not path.exists():
        raise AfterglowError(
            "the external segmenter ended well but wrote no mask",
            where="lesions.segmentation.command",
            expected="a NIfTI file at {out}",
        )
    values, affine = load_nifti(path)
    if values.shape != grid.shape or not np.allclose(affine, grid.affine, atol=1e-3):
        raise AfterglowError(
            "the external segmenter wrote a mask on another grid", expected=str(grid.shape)
        )
    return read_labels(values, "external segmenter")
