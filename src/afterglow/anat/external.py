"""Brain extraction by outside programs, HD-BET and SynthStrip, through nipype."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afterglow.anat.engine import workspace
from afterglow.anat.grids import Volume
from afterglow.bids.images import load_nifti, save_nifti
from afterglow.errors import AfterglowError

if TYPE_CHECKING:
    from afterglow.config.anat import AnatConfig

PROGRAMS = {"hdbet": "hd-bet", "synthstrip": "mri_synthstrip"}
_REMEDY = {
    "hdbet": "install HD-BET so that `hd-bet` is on the PATH, or set anat.brain_backend: bet",
    "synthstrip": (
        "install SynthStrip so that `mri_synthstrip` is on the PATH, or set anat.brain_backend: bet"
    ),
}


def choose(backend: str) -> str:
    """Return the back end to use; `auto` takes the first installed of hdbet, synthstrip, bet.

    Raises
    ------
    AfterglowError
        A program was asked for that is not on the PATH.
    """
    if backend == "auto":
        return next((name for name, program in PROGRAMS.items() if shutil.which(program)), "bet")
    if backend in PROGRAMS and shutil.which(PROGRAMS[backend]) is None:
        raise AfterglowError(
            f"the brain extraction program {PROGRAMS[backend]} is not installed",
            where="anat.brain_backend",
            expected=f"{PROGRAMS[backend]} on the PATH",
            remedy=_REMEDY[backend],
        )
    return backend


def run(backend: str, image: Volume, settings: AnatConfig) -> tuple[Volume, dict[str, Any]]:
    """Run an outside program on an image; return its mask and what ran.

    Raises
    ------
    AfterglowError
        The program failed, or left no mask of the image's shape.
    """
    _check_weights(settings)
    with workspace() as folder:
        source, target = folder / "image.nii.gz", folder / "brain.nii.gz"
        save_nifti(image.values, image.affine, source, dtype="float32")
        interface, mask = _interface(backend, source, target, settings)
        interface.terminal_output = "allatonce"
        code, words = _outcome(interface, folder)
        if code != 0:
            raise AfterglowError(
                f"{PROGRAMS[backend]} failed: {words}",
                where="brain extraction",
                remedy=f"run `{PROGRAMS[backend]} --help`, check its weights, or use bet",
            )
        if not mask.exists():
            raise AfterglowError(
                f"{PROGRAMS[backend]} ended well but wrote no mask",
                where="brain extraction",
                expected=mask.name,
                remedy=_REMEDY[backend],
            )
        values, _ = load_nifti(mask)
    if values.shape != image.shape:
        raise AfterglowError(
            f"{PROGRAMS[backend]} wrote a mask of shape {values.shape}", expected=str(image.shape)
        )
    facts = {"program": PROGRAMS[backend], "version": interface.version or "unknown"}
    if settings.brain_weights:
        weights = Path(settings.brain_weights)
        facts |= {"weights": weights.name, "weights_sha256": _digest(weights)}
    return image.like(values > 0.5), facts


def _interface(backend: str, source: Path, target: Path, settings: AnatConfig) -> tuple[Any, Path]:
    """Return the configured nipype interface and where its mask will be."""
    os.environ.setdefault("NIPYPE_NO_ET", "1")
    os.environ.setdefault("NO_ET", "1")
    from afterglow.anat.interfaces import HDBet, SynthStrip

    if backend == "hdbet":
        mask = target.with_name("brain_bet.nii.gz")
        hdbet = HDBet(in_file=str(source), out_file=str(target), device="cpu")
        if settings.brain_weights:
            hdbet.inputs.environ = {"HOME": str(_home(target.parent, settings.brain_weights))}
        return hdbet, mask
    mask = target.with_name("mask.nii.gz")
    interface = SynthStrip(in_file=str(source), out_mask=str(mask))
    if settings.brain_weights:
        interface.inputs.model = settings.brain_weights
    return interface, mask


def _home(folder: Path, weights: str) -> Path:
    """Return a home folder in which HD-BET finds the weights: it looks nowhere else."""
    home = folder / "home"
    home.mkdir()
    (home / "hd-bet_params").symlink_to(Path(weights).absolute(), target_is_directory=True)
    return home


def _digest(weights: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of a folder's files."""
    total = hashlib.sha256()
    files = [weights] if weights.is_file() else sorted(p for p in weights.rglob("*") if p.is_file())
    for path in files:
        name = "" if path == weights else path.relative_to(weights).as_posix()
        with path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        total.update(f"{name}\0{content}\n".encode())
    return total.hexdigest()


def _check_weights(settings: AnatConfig) -> None:
    if settings.brain_weights and not Path(settings.brain_weights).exists():
        raise AfterglowError(
            "the weights for brain extraction are missing",
            where="anat.brain_weights",
            expected="an existing file or folder",
            remedy="correct the path, or remove the setting",
        )


def _outcome(interface: Any, folder: Path) -> tuple[int, str]:
    """Run; return the exit status and the program's last words on its error output."""
    try:
        runtime = interface.run(cwd=str(folder)).runtime
    except (RuntimeError, OSError) as error:
        return -1, _last_line(str(error))
    return int(runtime.returncode or 0), _last_line(runtime.stderr or "")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"
