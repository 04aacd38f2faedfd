"""The QIBA DCE reference object as a study of its own: DICOM to T1 and Tofts maps, no anatomy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from afterglow.bids.images import load_nifti

SHARED = Path(os.environ.get("AFTERGLOW_SHARED", Path(__file__).resolve().parents[2] / "shared"))
OBJECT = SHARED / "data" / "dicom" / "qiba_dce_dro_v12_ge" / "dicom"

pytestmark = pytest.mark.skipif(
    not OBJECT.is_dir(), reason="the reference object is not on this machine"
)


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, object]]:
    """Run the study as far as DCE and return its states by stage and session."""
    folder = tmp_path_factory.mktemp("object")
    (folder / "study.yaml").write_text(
        "study: reference-object\nout: out\n"
        f"centers:\n  - name: dro\n    dicom: [{OBJECT}]\n"
        "dce:\n  model: tofts\n  relaxivity: 4.5\n"
    )
    command = [sys.executable, "-m", "afterglow.cli.app", "run", ".", "--until", "dce"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = {}
    for path in (folder / "out/ledger/states").glob("*/*.json"):
        state = json.loads(path.read_text())
        found[state["stage"], state["session"]] = {**state, "out": folder / "out"}
    return found


def maps_of(state: dict[str, object], name: str) -> np.ndarray:
    summary = state["summary"]
    assert isinstance(summary, dict)
    values, _ = load_nifti(Path(str(state["out"])) / summary["maps"][name]["path"])
    return values


def test_the_stages_that_cannot_run_say_so(states) -> None:
    anat = [s for (stage, _), s in states.items() if stage == "anat"]
    assert [(s["status"], s["reason"]) for s in anat] == [
        ("not_evaluable", "no_anatomical_image")
    ] * 2


def test_frame_times_come_from_the_trigger_times(states) -> None:
    for (stage, _), state in states.items():
        if stage == "dce":
            assert np.allclose(np.diff(state["summary"]["time"]), 6.0, atol=1e-3)


def test_t1_and_kinetics_are_those_of_the_object(states) -> None:
    """Two objects of nominal T1 0.2 s and 0.5 s, with patches of 10 by 10 noisy voxels.

    Rows hold Ktrans 0.35, 0.2, ... per minute below the vascular strip, columns ve up to 0.5; the
    two upper rows and right columns carry signal enough for a median to be held to a tenth or two.
    """
    levels = []
    for (stage, _), state in states.items():
        if stage != "dce":
            continue
        t1, ktrans, ve = (maps_of(state, name)[..., 0] for name in ("T1", "Ktrans", "ve"))
        path = state["summary"]["maps"]["Ktrans"]["evaluable"]
        good = load_nifti(Path(str(state["out"])) / path)[0][..., 0] > 0
        levels.append(float(np.median(t1[good])))
        right, last = slice(30, 50), slice(40, 50)
        for rows, truth, tolerance in ((slice(10, 20), 0.35, 0.1), (slice(20, 30), 0.2, 0.2)):
            patch = ktrans[right, rows][good[right, rows]]
            assert patch.size > 50
            assert float(np.median(patch)) == pytest.approx(truth, rel=tolerance)
        half = ve[last, 10:20][good[last, 10:20]]
        assert float(np.median(half)) == pytest.approx(0.5, rel=0.15)
    assert sorted(levels) == pytest.approx([0.2, 0.5], rel=0.05)
