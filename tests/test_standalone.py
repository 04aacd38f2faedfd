"""`afterglow t1` and `afterglow dce` on simulated images with known answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from afterglow.bids.images import load_nifti, save_nifti
from afterglow.cli.app import app
from afterglow.errors import AfterglowError
from afterglow.perfusion import aif, dce, standalone

TR, R1, T10 = 0.005, 4.5, 1.2
SHAPE = (6, 6, 2)


def spgr(t1: np.ndarray, angle: float) -> np.ndarray:
    decay, alpha = np.exp(-TR / t1), np.radians(angle)
    return 10000 * np.sin(alpha) * (1 - decay) / (1 - np.cos(alpha) * decay)


def write(folder: Path, name: str, data: np.ndarray, **facts: object) -> Path:
    path = folder / f"{name}.nii.gz"
    save_nifti(data.astype(np.float32), np.diag([2.0, 2.0, 4.0, 1.0]), path)
    (folder / f"{name}.json").write_text(json.dumps(facts))
    return path


def test_t1_comes_back_from_flip_angles_in_sidecars(tmp_path: Path) -> None:
    t1 = np.linspace(0.6, 2.4, 72).reshape(SHAPE)
    paths = [
        write(tmp_path, f"vfa{a}", spgr(t1, a), FlipAngle=a, RepetitionTime=TR) for a in (2, 8, 15)
    ]
    done = CliRunner().invoke(app, ["t1", *map(str, paths), "--out", str(tmp_path / "t1")])
    assert done.exit_code == 0, done.exception
    found, _ = load_nifti(tmp_path / "t1/T1map.nii.gz")
    assert np.allclose(found, t1, rtol=1e-3)


def dynamic(folder: Path, **facts: object) -> Path:
    """A DCE series: one slice of tissue, one of blood for the arterial input."""
    time = np.arange(0, 300, 3.0)
    blood = aif.parker(time, arrival=30.0)
    plasma = aif.to_plasma(blood, hematocrit=0.42)
    tissue = dce.predict(
        "extended_tofts", {"Ktrans": 0.15, "ve": 0.3, "vp": 0.03}, time, plasma
    ).ravel()
    concentration = np.zeros((*SHAPE, time.size))
    concentration[:, :, 0] = tissue
    concentration[:, :, 1] = blood
    baseline = np.full((*SHAPE, 1), T10)
    baseline[:, :, 1] = 1.671
    noise = np.random.default_rng(1).normal(0, 0.5, concentration.shape)
    signal = spgr(1 / (1 / baseline + R1 * concentration), 15) + noise
    return write(folder, "dce", signal, VolumeTiming=time.tolist(), **facts)


def test_kinetics_come_back_from_one_series(tmp_path: Path) -> None:
    series = dynamic(tmp_path, RepetitionTime=TR, FlipAngle=15, MagneticFieldStrength=3)
    t1 = np.full(SHAPE, T10)
    t1[:, :, 1] = 1.671
    t1_map = write(tmp_path, "t1", t1)
    words = ["dce", str(series), "--out", str(tmp_path / "dce-out"), "--t1", str(t1_map)]
    done = CliRunner().invoke(app, [*words, "--relaxivity", str(R1), "--dose", "0.1"])
    assert done.exit_code == 0, done.exception
    assert "Ktrans" in done.output
    path = next((tmp_path / "dce-out").rglob("*param-Ktrans_map.nii.gz"))
    ktrans, _ = load_nifti(path)
    assert np.median(ktrans[:, :, 0]) == pytest.approx(0.15, rel=0.05)


@pytest.mark.parametrize("missing", ["RepetitionTime", "FlipAngle", "MagneticFieldStrength"])
def test_a_missing_fact_is_asked_for_and_never_guessed(tmp_path: Path, missing: str) -> None:
    facts = {"RepetitionTime": TR, "FlipAngle": 15, "MagneticFieldStrength": 3}
    del facts[missing]
    series = dynamic(tmp_path, **facts)
    words = ["dce", str(series), "--out", str(tmp_path / "o"), "--t1", "1.2", "--relaxivity", "4.5"]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, AfterglowError)
    assert missing in str(done.exception)
    assert not (tmp_path / "o").exists()


def moved(path: Path, name: str, data: np.ndarray) -> Path:
    other = np.diag([2.0, 2.0, 4.0, 1.0])
    other[0, 3] = 3.0
    save_nifti(data.astype(np.float32), other, path / f"{name}.nii.gz")
    return path / f"{name}.nii.gz"


def test_images_of_another_grid_are_refused(tmp_path: Path) -> None:
    """Same shape, three millimeters aside: each would be taken for the voxel beside it."""
    series = dynamic(tmp_path, RepetitionTime=TR, FlipAngle=15, MagneticFieldStrength=3)
    aside = moved(tmp_path, "aside", np.full(SHAPE, T10))
    beside = write(tmp_path, "beside", spgr(np.full(SHAPE, T10), 2))
    flips = ["--flip-angles", "2,8", "--tr", str(TR)]
    kinetic = ["dce", str(series), "--relaxivity", str(R1), "--t1"]
    for words in (
        [*kinetic, str(aside)],
        [*kinetic, "1.2", "--mask", str(aside)],
        ["t1", str(beside), str(aside), *flips],
        ["t1", str(beside), str(beside), *flips, "--b1", str(aside)],
        ["dsc", str(series), "--te", "0.03", "--mask", str(aside)],
    ):
        done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "o")])
        assert isinstance(done.exception, AfterglowError), words
        assert "3 mm off the series; in aside.nii.gz" in str(done.exception)
        assert "resample" in done.exception.remedy
        assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("as_map", [True, False])
def test_milliseconds_are_no_seconds(tmp_path: Path, *, as_map: bool) -> None:
    series = dynamic(tmp_path, RepetitionTime=TR, FlipAngle=15, MagneticFieldStrength=3)
    t1 = str(write(tmp_path, "t1", np.full(SHAPE, 1200.0))) if as_map else "1200"
    words = ["dce", str(series), "--out", str(tmp_path / "o"), "--t1", t1, "--relaxivity", "4.5"]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, AfterglowError)
    assert "1200 s in the median" in str(done.exception)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["t1", "gone.nii"], "there is no such image"),
        (["t1", "{image}"], "needs two flip angles"),
        (["t1", "{image}", "--flip-angles", "2;8"], "a word is no number"),
        (["dce", "{image}", "--t1", "1.2", "--agent", "gadovist"], "gadobutrol, gadoterate"),
        (["dce", "{image}", "--t1", "1.2", "--agent", "gadobutrol", "--model", "x"], "is no model"),
        (["dsc", "{image}", "--leakage", "x"], "`x` is no leakage model; expected 'bsw' or"),
        (["demo", "{image}.d", "--size", "huge"], "there is no size `huge`"),
    ],
)
def test_a_wrong_word_is_answered_with_what_was_expected(
    tmp_path: Path, words: list[str], said: str
) -> None:
    facts = {"FlipAngle": 8, "RepetitionTime": TR, "MagneticFieldStrength": 3}
    image = write(tmp_path, "one", np.ones((*SHAPE, 3)), **facts, VolumeTiming=[0, 5, 10])
    given = [word.format(image=image) for word in words]
    out = [] if words[0] == "demo" else ["--out", str(tmp_path / "out")]
    refused = CliRunner().invoke(app, [*given, *out])
    assert isinstance(refused.exception, AfterglowError)
    assert said in str(refused.exception)


def test_results_are_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up at the third map leaves the results of the last run as they were."""
    t1 = np.full(SHAPE, T10)
    paths = [
        write(tmp_path, f"vfa{a}", spgr(t1, a), FlipAngle=a, RepetitionTime=TR) for a in (2, 8, 15)
    ]
    words = ["t1", *map(str, paths), "--out", str(tmp_path / "new" / "t1")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.exception
    out = tmp_path / "new" / "t1"
    assert f"{out / 'T1map.nii.gz'}\n" in done.output
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert len(before) == 5
    write(tmp_path, "vfa2", spgr(np.full(SHAPE, 2 * T10), 2), FlipAngle=2, RepetitionTime=TR)
    left = [None, None]

    def full(*arguments: object, **options: object) -> None:
        if not left:
            raise OSError(28, "No space left on device")
        left.pop()
        save_nifti(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(standalone, "save_nifti", full)
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, OSError)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in out.parent.iterdir()] == ["t1"]
