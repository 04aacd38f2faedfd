"""Outside programs run through their real command line; absence and failure are explained."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from afterglow.anat import external
from afterglow.anat.grids import Volume
from afterglow.config.anat import AnatConfig
from afterglow.errors import AfterglowError

if TYPE_CHECKING:
    from pathlib import Path

STAND_IN = """#!{python}
import sys, nibabel, numpy
arguments = sys.argv[1:]
expected = {expected}
assert [a for a in arguments if a.startswith("-")] == expected, arguments
image = nibabel.load(arguments[arguments.index("-i") + 1])
mask = (image.get_fdata() > 0.5).astype("uint8")
nibabel.save(nibabel.Nifti1Image(mask, image.affine), {target})
"""
TARGETS = {
    "hdbet": (
        "hd-bet",
        ["-i", "-o", "-device", "--disable_tta", "--save_bet_mask"],
        'arguments[arguments.index("-o") + 1].replace(".nii.gz", "_bet.nii.gz")',
    ),
    "synthstrip": ("mri_synthstrip", ["-i", "-m"], 'arguments[arguments.index("-m") + 1]'),
}


def install(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / name
    program.write_text(text, encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def image() -> Volume:
    values = np.zeros((12, 12, 12), dtype=np.float32)
    values[3:9, 3:9, 3:9] = 1.0
    return Volume(values, np.diag([2.0, 2.0, 2.0, 1.0]))


@pytest.mark.parametrize("backend", ["hdbet", "synthstrip"])
def test_programs_get_their_arguments_and_give_a_mask(backend, image, tmp_path, monkeypatch):
    name, expected, target = TARGETS[backend]
    text = STAND_IN.format(python=sys.executable, expected=expected, target=target)
    install(tmp_path, name, text, monkeypatch)
    assert external.choose("auto") == backend
    mask, facts = external.run(backend, image, AnatConfig())
    assert np.array_equal(mask.values, image.values > 0.5)
    assert facts["program"] == name


@pytest.mark.parametrize("backend", ["hdbet", "synthstrip"])
def test_a_missing_program_names_the_remedy(backend, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AfterglowError, match=r"not installed.*remedy: install"):
        external.choose(backend)
    assert external.choose("auto") == "bet"


def test_a_failing_program_is_quoted(image, tmp_path, monkeypatch):
    text = "#!/bin/sh\necho 'no weights found' >&2\nexit 3\n"
    install(tmp_path, "mri_synthstrip", text, monkeypatch)
    with pytest.raises(AfterglowError, match=r"mri_synthstrip failed: .*no weights found"):
        external.run("synthstrip", image, AnatConfig())


def test_missing_weights_are_named_before_anything_runs(image, tmp_path):
    settings = AnatConfig(brain_weights=str(tmp_path / "absent"))
    with pytest.raises(AfterglowError, match="weights"):
        external.run("hdbet", image, settings)


@pytest.mark.parametrize("backend", ["hdbet", "synthstrip"])
def test_weights_reach_the_program_and_are_recorded(backend, image, tmp_path, monkeypatch):
    """HD-BET looks for weights in the home folder only; SynthStrip takes the path."""
    weights = tmp_path / "weights"
    if backend == "hdbet":
        weights.mkdir()
        (weights / "fold_0.pt").write_bytes(b"network")
        check = 'open(os.path.expanduser("~/hd-bet_params/fold_0.pt"), "rb").read() == b"network"'
    else:
        weights.write_bytes(b"network")
        check = 'open(arguments[arguments.index("--model") + 1], "rb").read() == b"network"'
    name, expected, target = TARGETS[backend]
    options = expected + (["--model"] if backend == "synthstrip" else [])
    text = STAND_IN.format(python=sys.executable, expected=options, target=target)
    head, rest = text.split("image =", 1)
    install(tmp_path, name, f"{head}import os\nassert {check}\nimage ={rest}", monkeypatch)
    settings = AnatConfig(brain_weights=str(weights))
    mask, facts = external.run(backend, image, settings)
    assert mask.values.any()
    assert facts["weights"] == "weights"
    first = facts["weights_sha256"]
    changed = weights / "fold_0.pt" if backend == "hdbet" else weights
    changed.write_bytes(b"another network")
    with pytest.raises(AfterglowError, match="failed"):
        external.run(backend, image, settings)
    assert external._digest(weights) != first


def test_a_program_that_writes_no_mask_or_a_wrong_one_is_refused(image, tmp_path, monkeypatch):
    install(tmp_path, "mri_synthstrip", "#!/bin/sh\nexit 0\n", monkeypatch)
    with pytest.raises(AfterglowError, match="ended well but wrote no mask"):
        external.run("synthstrip", image, AnatConfig())
    name, expected, target = TARGETS["synthstrip"]
    text = STAND_IN.format(python=sys.executable, expected=expected, target=target)
    install(
        tmp_path,
        name,
        text.replace("mask = (", "mask = numpy.zeros((3, 3, 3), 'uint8') if 1 else ("),
        monkeypatch,
    )
    with pytest.raises(AfterglowError, match=r"mask of shape \(3, 3, 3\)"):
        external.run("synthstrip", image, AnatConfig())
