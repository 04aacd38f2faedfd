"""The phantom's physics, seeds and geometry, without rendering a head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import phantom_integration as independent
from afterglow.phantom import physics
from afterglow.phantom.geometry import Pose, axial_grid, to_indices
from afterglow.phantom.interpolate import CHANNELS, occupancy, sample
from afterglow.phantom.lesions import Solid
from afterglow.phantom.plan import NORTH, SOUTH, WEST, LesionState
from afterglow.phantom.protocol import injections, part_starts, series_of
from afterglow.phantom.signals import tissue_signal

HEMATOCRIT = 0.42
DCE_START, DSC_START = (part_starts(NORTH)[part] for part in ("dce", "dsc"))


@pytest.fixture(scope="module")
def session_blood() -> tuple[np.ndarray, np.ndarray]:
    time = physics.clock(1320.0)
    return time, physics.arterial_blood(time, injections(NORTH))


def test_first_pass_carries_the_dose_over_the_cardiac_output() -> None:
    time = physics.clock(120.0)
    blood = physics.arterial_blood(time, (physics.Injection(20.0, 0.1, 2.8),))
    peak_time = time[blood.argmax()]
    assert 4.5 < blood.max() < 7.5
    assert 26.0 < peak_time < 30.0
    assert np.abs(blood[time < 20.0]).max() < 1e-9


def test_preload_is_still_in_the_blood_when_the_second_bolus_comes(session_blood) -> None:
    time, blood = session_blood
    before = np.interp(DSC_START, time, blood)
    assert 0.2 < before < 1.2
    assert np.interp(DCE_START, time, blood) == pytest.approx(0.0, abs=1e-9)


def test_signals_agree_with_an_integration_in_ten_times_finer_steps() -> None:
    """Quadrature of the convolutions and stepwise Bloch relaxation, sharing no function."""
    kinds = {
        "t2s": physics.Tissue(
            0.85, 1.45, 0.1, 0.06, cbv=0.066, ktrans=0.2, ve=0.35, dispersion=0.9, r2s_ees=20.0
        ),
        "t1": physics.Tissue(0.85, 1.3, 0.1, 0.06, cbv=0.02, ktrans=0.1, delay=1.5, r2s_ees=1.0),
        "wm": physics.tissues(1.5, 0.4)["wm"],
        "artery": physics.tissues(3.0, HEMATOCRIT)["artery"],
        "vein": physics.tissues(3.0, HEMATOCRIT)["vein"],
    }
    worst = {}
    for center in (NORTH, SOUTH, WEST):
        for name, tissue in kinds.items():
            expected = independent.Course(center, tissue)
            for key in ("dce", "dsc"):
                series = next(s for s in series_of(center) if s.name == key)
                offset = series.slice_offsets()[7]
                got = tissue_signal(center, series, tissue, np.array([offset]), 0.05)[0]
                wanted = expected.signal(series, offset, 1.05 * series.flip)
                worst[center.name, name, key] = float(np.abs(got / wanted - 1.0).max())
    assert {key: error for key, error in worst.items() if not error < 1e-3} == {}


def test_vascular_area_is_proportional_to_blood_volume(session_blood) -> None:
    time, blood = session_blood
    areas = [
        physics.course(
            physics.Tissue(1, 1, 1, 1, cbv=cbv, mtt=mtt), time, blood, HEMATOCRIT
        ).r2s.sum()
        for cbv, mtt in ((0.02, 4.0), (0.06, 7.0))
    ]
    assert areas[1] / areas[0] == pytest.approx(3.0, rel=1e-2)


def test_spgr_inverts_to_the_relaxation_time_by_the_linear_form() -> None:
    tissue = physics.Tissue(0.7, 1.084, 0.07, 0.05)
    flips = np.array([2.0, 5.0, 10.0, 15.0, 20.0])
    s = np.array([physics.spgr(tissue, np.array([1 / 1.084]), 0.005, 0.0, f)[0] for f in flips])
    angle = np.deg2rad(flips)
    slope = np.polyfit(s / np.tan(angle), s / np.sin(angle), 1)[0]
    assert -0.005 / np.log(slope) == pytest.approx(1.084, rel=1e-6)


def test_flair_nulls_fluid_and_shows_oedema_over_white_matter() -> None:
    table = physics.tissues(3.0, HEMATOCRIT)
    value = {n: physics.flair(t, 1 / t.t1, 9.0, 0.12, 2.5) for n, t in table.items()}
    assert 5 * value["csf"] < value["wm"] < value["gm"] < value["edema"]
    assert value["artery"] == 0.0


def test_blood_relaxation_follows_the_haematocrit_formula() -> None:
    table = physics.tissues(3.0, HEMATOCRIT)
    assert table["artery"].t1 == pytest.approx(1.671, abs=1e-3)
    assert table["vein"].t1 == pytest.approx(1.591, abs=2e-3)


def test_physics_imports_nothing_that_it_judges() -> None:
    root = Path(physics.__file__).parent
    for module in root.glob("*.py"):
        assert "afterglow.perfusion" not in module.read_text(encoding="utf-8"), module.name


def test_resampling_averages_over_the_voxel_and_follows_the_pose() -> None:
    fields = np.zeros((40, 40, 40, CHANNELS), np.uint8)
    fields[..., 0] = 100 + np.arange(40)[:, None, None]
    affine = np.eye(4)
    affine[:3, 3] = -20.0
    grid = axial_grid((4, 4, 4), (4.0, 4.0, 4.0), (0.0, 0.0, 0.0))

    def seen(pose: Pose, shift: float = 0.0) -> np.ndarray:
        rows = np.full(grid.shape, shift, np.float32)
        matrix = to_indices(affine, grid, pose)
        return sample(fields, occupancy(fields), matrix, rows, (4, 4, 4))[..., 0] - 120.0

    assert seen(Pose())[:, 0, 0] == pytest.approx([6.0, 2.0, -2.0, -6.0], abs=1e-4)
    moved = seen(Pose(translation=(3.0, 0, 0)))
    assert moved == pytest.approx(seen(Pose()) - 3.0, abs=1e-4)
    turned = seen(Pose(rotation=(0.0, 0.0, 90.0)))
    assert turned[0, :, 0] == pytest.approx([6.0, 2.0, -2.0, -6.0], abs=1e-4)
    fields[..., 0] = 100 + np.arange(40)[:, None]
    assert seen(Pose(), 0.5) == pytest.approx(seen(Pose()) - 2.0, abs=1e-4)


def test_slices_of_epi_are_interleaved_within_one_repetition() -> None:
    dsc = next(series for series in series_of(NORTH) if series.name == "dsc")
    offsets = dsc.slice_offsets()
    assert offsets[0] == 0.0
    # The scanner pauses after the last slice: its repetition time is shorter than a frame.
    busy = dsc.frame_time - dsc.pause
    assert busy == pytest.approx(1.35)
    assert offsets[1] == pytest.approx(busy / 2)
    assert sorted(offsets) == pytest.approx([busy * k / 20 for k in range(20)])


@pytest.mark.parametrize("core", [0.0, 0.5])
def test_rendered_lesion_has_the_volume_and_centroid_of_its_truth(core: float) -> None:
    rng = np.random.default_rng(3)
    bumps = np.column_stack([np.eye(3), rng.uniform(-0.12, 0.12, 3)])
    state = LesionState(20.0, 3.0, 0.1, core=core)
    solid = Solid(1, "progression", np.array([5.0, -3.0, 8.0]), bumps, state)
    grid = axial_grid((40, 40, 40), (1.4, 1.4, 1.4), (0.0, 0.0, 0.0))
    box, parts = solid.fractions(grid, Pose(), (2, 2, 2))
    total = parts["whole"].sum() * 1.4**3 / 1000.0
    assert total == pytest.approx(solid.volume_ml, rel=0.01)
    assert parts["core"].sum() / parts["whole"].sum() == pytest.approx(core**3, abs=0.01)
    index = np.stack(np.meshgrid(*(np.arange(b.start, b.stop) for b in box), indexing="ij"), -1)
    mean = (index * parts["whole"][..., None]).sum((0, 1, 2)) / parts["whole"].sum()
    assert grid.affine[:3, :3] @ mean + grid.affine[:3, 3] == pytest.approx(solid.centroid, abs=0.1)
