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
