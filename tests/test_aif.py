"""Population inputs, and vessels found in simulated series."""

from __future__ import annotations

import numpy as np
import pytest

from afterglow.perfusion import aif
from afterglow.perfusion.aif_choice import Injection, choose_input
from afterglow.perfusion.blood_signal import blood_concentration, without_noise_floor
from afterglow.perfusion.signal import spgr_signal

TISSUE, ARTERY, LESION, VEIN, MIXED = 1, 2, 3, 4, 5
SHAPE = (24, 24, 10)


def labels():
    lab = np.zeros(SHAPE, int)
    lab[4:20, 4:20, 2:8] = TISSUE
    lab[6:9, 6:9, 3:5] = LESION
    lab[18, 10:13, 3:6] = ARTERY
    lab[12:15, 4:6, :] = VEIN
    lab[18, 9, 3:6] = MIXED
    return lab


def simulated(kind, step, frames, vessels=True, seed=1, noise=0.003):
    """Return concentration, time, arterial curve and its visible arrival."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames) * step
    start = rng.uniform(6, 9) * step
    fine = np.arange(0.0, frames * step, 0.1)

    def framed(curve):
        return np.array([curve[(fine >= t) & (fine < t + step)].mean() for t in time])

    kernel = np.exp(-fine / 3.0) / np.exp(-fine / 3.0).sum()
    artery = framed(aif.parker(fine, start))
    vein = framed(np.convolve(aif.parker(fine, start + 5.0), kernel)[: fine.size])
    leak = np.cumsum(artery) * step / 60.0
    curves = {
        TISSUE: 0.03 * artery,
        LESION: 0.06 * artery + (0.15 * leak if kind == "dce" else 0.0),
        ARTERY: artery,
        VEIN: vein,
        MIXED: 0.5 * artery,
    }
    lab = labels()
    if not vessels:
        lab[np.isin(lab, (ARTERY, VEIN, MIXED))] = TISSUE
    conc = np.zeros((*SHAPE, frames))
    for label, curve in curves.items():
        conc[lab == label] = curve
    conc += noise * artery.max() * rng.normal(size=conc.shape)
    return conc, time, artery, start


@pytest.mark.parametrize(("kind", "step", "frames"), [
    ("dsc", 1.5, 60), ("dsc", 2.0, 60), ("dce", 3.0, 100), ("dce", 5.0, 65), ("dce", 10.0, 40),
])  # fmt: skip
@pytest.mark.parametrize("signal", [False, True])
def test_pure_artery_and_vein_are_found(kind, step, frames, signal):
    conc, time, artery, _ = simulated(kind, step, frames)
    dynamic, truth = conc, artery
    if signal:
        rng = np.random.default_rng(9)
        if kind == "dsc":
            dynamic, truth = 400 * np.exp(-0.25 * conc), 400 * np.exp(-0.25 * artery)
        else:
            dynamic, truth = 100 * (1 + 0.8 * conc), 100 * (1 + 0.8 * artery)
        dynamic = dynamic + rng.normal(size=dynamic.shape)
    found = aif.detect(dynamic, time, labels() > 0, kind)
    assert found.evaluable
    assert (labels()[found.voxels] == ARTERY).all()
    assert (labels()[found.venous_voxels] == VEIN).all()
    extreme = int(np.argmax(artery))
    assert abs(found.curve[extreme] / truth[extreme] - 1.0) < 0.15
    visible = time[np.flatnonzero(artery > 0.05 * artery.max())[0]]
    assert abs(found.arrival - visible) <= 1.5 * step


@pytest.mark.parametrize(("step", "frames"), [(3.0, 100), (5.0, 65), (10.0, 40)])
def test_no_vessel_in_a_dce_series_is_said(step, frames):
    conc, time, _, _ = simulated("dce", step, frames, vessels=False)
    found = aif.detect(conc, time, labels() > 0, "dce")
    assert not found.evaluable
    assert found.reason == "no_vessel"
    assert np.isnan(found.curve).all()
    assert not found.voxels.any()


def test_fallback_is_a_population_curve_with_its_rule():
    conc, time, _, start = simulated("dce", 5.0, 65, vessels=False)
    series = spgr_signal(1 / 1.2 + 4.5 * conc, 500.0, 0.005, 15.0)
    injection = Injection(0.005, 15.0, 4.5, 3.0, dose=0.05)
    choice = choose_input(series, time, labels() > 0, (0, 5), injection, arrival=start)
    assert choice.source == "parker"
    assert "no vessel" in choice.rule
    assert 0.25 < choice.blood.max() / aif.parker(np.arange(0, 60, 0.1)).max() < 0.5
    wanted = choose_input(
        series, time, labels() > 0, (0, 5), injection, arrival=start, wanted="detected"
    )
    assert np.isnan(wanted.plasma).all()


def test_partial_volume_is_made_good_by_the_vein():
    conc, time, artery, start = simulated("dce", 5.0, 65, noise=0.0005)
    lab = labels()
    conc[np.isin(lab, (ARTERY, MIXED))] *= 0.6
    series = spgr_signal(1 / 1.671 + 4.5 * conc, 500.0, 0.005, 15.0)
    injection = Injection(0.005, 15.0, 4.5, 3.0)
    choice = choose_input(series, time, lab > 0, (0, 5), injection, arrival=start)
    assert choice.source == "detected"
    assert 1.4 < choice.scale < 1.9
    assert abs(choice.blood.max() / artery.max() - 1.0) < 0.15


def test_blood_and_plasma_are_not_confused():
    time = np.arange(0.0, 300.0, 0.5)
    blood = aif.weinmann(time, hematocrit=0.45)
    assert abs(aif.to_plasma(blood, 0.45)[0] - 0.1 * (3.99 + 4.78)) < 1e-12
    assert abs(aif.to_plasma(aif.parker(time), 0.42).max() - 10.46) < 0.05
    assert (aif.parker(time, arrival=20.0)[time < 20.0] == 0).all()
    np.testing.assert_allclose(aif.georgiou(time, dose=0.05), 0.5 * aif.georgiou(time))
    with pytest.raises(ValueError, match="hematocrit"):
        aif.to_plasma(blood, 42.0)


def test_noise_floor_is_taken_away():
    rng = np.random.default_rng(3)
    truth = np.where(np.arange(60) < 12, 6.0, 60.0)
    noise = rng.normal(size=(2, 400, 60)) * 5.0
    magnitude = np.hypot(truth + noise[0], noise[1])
    found = without_noise_floor(magnitude)
    assert abs(found[:12].mean() / 6.0 - 1.0) < 0.05
    assert magnitude[:, :12].mean() / 6.0 > 1.2


@pytest.mark.parametrize("te", [0.0014, 0.0022])
def test_decay_of_the_blood_signal_is_undone(te):
    truth = np.concatenate([np.zeros(6), aif.parker(np.arange(0.0, 200.0, 4.0), 3.0)])
    truth *= 6.0 / truth.max()
    signal = spgr_signal(1 / 1.671 + 4.5 * truth, 1000.0, 0.005, 15.0) * np.exp(-te * 7.1 * truth)
    errors = []
    for known in (None, te):
        injection = Injection(0.005, 15.0, 4.5, 3.0, te=known, blood_r2star=7.1)
        found = blood_concentration(signal[None], (0, 6), injection, 1.671)
        errors.append(abs(found.max() / truth.max() - 1.0))
    assert errors[0] > 0.2
    assert errors[1] < 1e-6
    hopeless = Injection(0.005, 15.0, 4.5, 3.0, te=te, blood_r2star=200.0)
    assert np.isnan(blood_concentration(signal[None], (0, 6), hopeless, 1.671)).any()


def test_shown_t1_of_blood_tells_the_flip_angle():
    conc, time, artery, start = simulated("dce", 5.0, 65, noise=0.0005)
    ratio, lab = 1.04, labels()
    true = np.where(lab == VEIN, 1.591, 1.671)
    series = spgr_signal(1 / true[..., None] + 4.5 * conc, 500.0, 0.005, 15.0 * ratio)
    shown = true * ratio**2 + np.random.default_rng(2).normal(0, 0.002, true.shape)
    injection = Injection(0.005, 15.0, 4.5, 3.0)
    errors = []
    for t1 in (None, shown):
        choice = choose_input(series, time, lab > 0, (0, 5), injection, arrival=start, t1=t1)
        assert choice.source == "detected"
        errors.append(abs(choice.blood.max() / artery.max() - 1.0))
    assert errors[0] > 0.15
    assert errors[1] < 0.05
    assert choice.t1.value == pytest.approx(1.671, abs=0.001)
    assert "flip angle 1.04" in choice.t1.source


@pytest.mark.parametrize(
    ("blood", "vein", "native", "doubted"),
    [
        (1.68, 1.6, True, False),
        # flip angles of 0.8 of the nominal ones
        (1.07, 1.02, True, False),
        # after an injection whose series is missing
        (0.34, 0.34, True, True),
        (0.34, 0.34, False, False),
        # fresh blood in the artery alone
        (0.34, 1.6, True, False),
    ],
)
def test_blood_with_contrast_before_the_bolus_doubts_native_t1(blood, vein, native, doubted):
    conc, time, _, start = simulated("dce", 5.0, 65, noise=0.0005)
    lab = labels()
    t1 = np.where(lab == VEIN, vein, blood)
    series = spgr_signal(1 / t1[..., None] + 4.5 * conc, 500.0, 0.005, 15.0)
    shown = t1 + np.random.default_rng(2).normal(0, 0.002, t1.shape)
    config = {"arrival": start, "native": native}
    injection = Injection(0.005, 15.0, 4.5, 3.0)
    for map_, expected in ((shown, doubted), (None, False)):
        choice = choose_input(series, time, lab > 0, (0, 5), injection, t1=map_, **config)
        assert bool(choice.doubt) == expected, choice.doubt
    choice = choose_input(
        series, time, lab > 0, (0, 5), Injection(0.005, 15.0, 4.5, None), t1=shown, **config
    )
    assert choice.doubt == "", "without a field strength nobody knows what blood has"
