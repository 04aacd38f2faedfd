"""The kinetic models against analytic truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from afterglow.perfusion import aif, dce
from afterglow.perfusion.convolution import exponential_convolution
from afterglow.perfusion.dce_models import SPECS, derive, to_columns

TIME = np.arange(100) * 3.0
PLASMA = aif.to_plasma(aif.parker(TIME, arrival=21.0))
RANGES = {
    "Ktrans": (0.03, 0.3),
    "ve": (0.1, 0.5),
    "vp": (0.02, 0.1),
    "Fp": (20.0, 80.0),
    "PS": (0.03, 0.2),
}


def truths(model, n, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(*RANGES[name], n) for name in SPECS[model].free}


def noisy(model, n, snr, seed=1):
    truth = truths(model, n)
    curves = dce.predict(model, truth, TIME, PLASMA)
    rng = np.random.default_rng(seed)
    sigma = curves.max(axis=1, keepdims=True) / snr
    return truth, curves + sigma * rng.normal(size=curves.shape)


@pytest.mark.parametrize("rate", [0.0, 0.3, 20.0])
def test_convolution_with_a_line_is_exact(rate):
    t = np.cumsum(np.random.default_rng(3).uniform(0.02, 0.2, 40))
    found = exponential_convolution(t, 2.0 + 3.0 * (t - t[0]), rate)
    u = t - t[0]
    if rate == 0:
        expected = 2 * u + 1.5 * u**2
    else:
        expected = (2 - 3 / rate) / rate * (1 - np.exp(-rate * u)) + 3 * u / rate
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_exchange_model_solves_its_equations():
    flow, ps, vp, ve = 0.5, 0.1, 0.05, 0.2
    maps = {"Fp": 50.0, "PS": ps, "vp": vp, "ve": ve}
    predicted = dce.predict("2cxm", maps, TIME, PLASMA)

    def change(t, y):
        c = np.interp(t * 60, TIME, PLASMA)
        into = flow * (c - y[0]) + ps * (y[1] - y[0])
        return [into / vp, ps * (y[0] - y[1]) / ve]

    solved = solve_ivp(
        change, (0, TIME[-1] / 60), [0, 0], t_eval=TIME / 60, rtol=1e-9, atol=1e-10, max_step=0.02
    )
    np.testing.assert_allclose(predicted, vp * solved.y[0] + ve * solved.y[1], atol=2e-6)


@pytest.mark.parametrize("model", list(SPECS))
def test_noise_free_curves_are_recovered(model):
    truth = truths(model, 200)
    curves = dce.predict(model, truth, TIME, PLASMA)
    found = dce.fit(curves, TIME, PLASMA, model=model)
    for name, values in truth.items():
        assert np.abs(found.maps[name] / values - 1).max() < 5e-4, name
    assert found.evaluable.mean() > 0.99


@pytest.mark.parametrize("model", list(SPECS))
def test_gradients_of_derived_parameters(model):
    spec = SPECS[model]
    columns = to_columns(spec, truths(model, 5))
    exact = derive(spec, columns)
    n = len(spec.kinds)
    for place in range(spec.n_parameters):
        high, low = columns.copy(), columns.copy()
        if place < n:
            high[:, place] += 1e-6
            low[:, place] -= 1e-6
        else:
            high[:, 2 + place - n] *= np.exp(1e-6)
            low[:, 2 + place - n] *= np.exp(-1e-6)
        above, below = derive(spec, high), derive(spec, low)
        for name, (_, gradient) in exact.items():
            slope = (above[name][0] - below[name][0]) / 2e-6
            np.testing.assert_allclose(gradient[:, place], slope, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("snr", [20, 50])
@pytest.mark.parametrize("model", ["tofts", "extended_tofts", "patlak"])
def test_intervals_cover_the_truth(model, snr):
    from scipy.stats import t as student

    truth, curves = noisy(model, 5000, snr)
    found = dce.fit(curves, TIME, PLASMA, model=model)
    width = student.ppf(0.975, TIME.size - SPECS[model].n_parameters)
    for name, values in truth.items():
        good = found.evaluable
        error = np.abs(found.maps[name] - values)[good]
        covered = np.mean(error <= width * found.standard_errors[name][good])
        assert 0.93 <= covered <= 0.97, (name, covered)
    assert found.evaluable.mean() > 0.9


def test_irregular_frames_delay_and_censored_frames():
    rng = np.random.default_rng(5)
    time = np.cumsum(rng.uniform(1.5, 5.0, 100))
    plasma = aif.to_plasma(aif.parker(time, arrival=30.0))
    truth = {**truths("extended_tofts", 50), "delay": rng.uniform(0.0, 8.0, 50)}
    curves = dce.predict("extended_tofts", truth, time, plasma)
    weights = np.ones(time.size)
    weights[[3, 50, 77]] = 0
    curves[:, weights == 0] = np.nan
    found = dce.fit(curves, time, plasma, fit_delay=True, weights=weights)
    assert np.abs(found.maps["delay"] - truth["delay"]).max() < 0.05
    assert np.abs(found.maps["Ktrans"] / truth["Ktrans"] - 1).max() < 0.01
    known = dce.fit(curves, time, plasma, delay=truth["delay"], weights=weights)
    assert np.abs(known.maps["ve"] / truth["ve"] - 1).max() < 5e-4


def test_useless_input_is_flagged_and_never_evaluable():
    rng = np.random.default_rng(6)
    spike = np.zeros(100)
    spike[40] = 5.0
    good = dce.predict("extended_tofts", {"Ktrans": 0.1, "ve": 0.3, "vp": 0.05}, TIME, PLASMA)
    spiked = good + 0.002 * rng.normal(size=100)
    spiked[70] += 3.0
    curves = np.stack(
        [np.full(100, np.nan), np.zeros(100), np.full(100, 3.0), -good, spike, spiked,
         rng.normal(0, 0.01, 100), np.where(np.arange(100) == 9, np.inf, good)]
    )  # fmt: skip
    for model in (*SPECS, "auto"):
        found = dce.fit(curves, TIME, PLASMA, model=model)
        delayed = dce.fit(curves.astype(np.float32), TIME, PLASMA, model=model, fit_delay=True)
        assert not any(by.any() for by in delayed.evaluable_by.values()), model
        assert not found.evaluable.any(), (model, found.reason)
        assert (found.reason > 0).all()
        assert not any(by.any() for by in found.evaluable_by.values()), model


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_short_series_are_flagged(frames):
    found = dce.fit(np.ones((3, frames)), TIME[:frames], PLASMA[:frames])
    assert (found.reason & dce.Reason.TOO_FEW_FRAMES | found.reason).all()
    assert not found.evaluable.any()
    assert np.isnan(found.maps["Ktrans"]).all()


@pytest.mark.parametrize("model", ["patlak", "tofts", "extended_tofts", "2cxm"])
def test_auto_finds_the_generating_model(model):
    truth, curves = noisy(model, 1000, 50)
    found = dce.fit(curves, TIME, PLASMA, model="auto")
    exact = dce.predict(model, truth, TIME, PLASMA)
    sigma = exact.max(axis=1) / 50
    order = ["none", "patlak", "tofts", "extended_tofts", "2cxm"]
    gap = np.full(1000, np.inf)
    for other in order[1:]:
        more = SPECS[other].n_parameters - SPECS[model].n_parameters
        if other != model and more <= 0:
            rss = dce.fit(exact, TIME, PLASMA, model=other).rss
            gap = np.minimum(gap, rss / sigma**2 + 2 * more)
    clear = gap >= 10
    assert clear.mean() > 0.5
    assert np.mean(found.model[clear] == model) >= 0.9
    # Patlak and Tofts are equally rich.
    richer = order[order.index(model) + (2 if model == "patlak" else 1) :]
    assert np.isin(found.model[clear], richer).mean() <= 0.05


def averaged(model, n, frame, snr, seed=0):
    """Return truth, time, input and curves of a 0.5 s input averaged over frames, by phase."""
    rng = np.random.default_rng(seed)
    fine, count = np.arange(0.0, 320.0, 0.5), int(300 / frame)

    def over_frames(values):
        part = values[..., : int(count * frame / 0.5)]
        return part.reshape(*values.shape[:-1], count, -1).mean(axis=-1)

    for phase in np.linspace(0.0, frame, 10, endpoint=False):
        plasma = aif.to_plasma(aif.parker(fine, arrival=30.0 + phase))
        truth = {name: rng.uniform(*RANGES[name], n) for name in SPECS[model].free}
        curves = over_frames(dce.predict(model, truth, fine, plasma))
        curves = curves + rng.normal(size=curves.shape) * curves.max(1, keepdims=True) / snr
        yield truth, np.arange(count) * frame, over_frames(plasma), curves


@pytest.mark.parametrize(
    ("model", "snr", "n", "least_kept"),
    [
        ("extended_tofts", 1e4, 100, 0.3),
        ("extended_tofts", 50, 400, 0.9),
        ("extended_tofts", 20, 400, 0.75),
        ("patlak", 20, 400, 0.7),
        ("2cum", 1e4, 100, 0.1),
        ("2cum", 50, 100, 0.3),
        ("2cxm", 1e4, 100, 0.05),
        ("2cxm", 50, 100, 0.35),
        ("2cxm", 20, 100, 0.2),
    ],
)
def test_an_input_sampled_too_slowly_is_flagged(model, snr, n, least_kept):
    wrong, flagged = [], []
    for truth, time, plasma, curves in averaged(model, n, 10.0, snr):
        found = dce.fit(curves, time, plasma, model=model)
        for name, values in truth.items():
            wrong.append(np.abs(found.maps[name] / values - 1) > 0.5)
            flagged.append(~found.evaluable_by[name])
    wrong, flagged = np.concatenate(wrong), np.concatenate(flagged)
    # What does not hang on the place of the bolus within a frame stays.
    assert 1.0 - flagged.mean() >= least_kept
    assert flagged[wrong].mean() >= 0.95 if wrong.any() else snr > 50


@pytest.mark.parametrize("frame", [3.0, 5.0, 10.0])
def test_the_frame_of_the_bolus_is_no_spike_and_a_spike_is(frame):
    rng = np.random.default_rng(1)
    for _, time, plasma, curves in averaged("extended_tofts", 50, frame, 300):
        found = dce.fit(curves, time, plasma)
        assert not (found.reason & dce.Reason.SPIKE).any()
        late = rng.integers(int(80 / frame), time.size, 50)
        curves[np.arange(50), late] += 2.0 * curves.max(axis=1) * rng.choice([-1, 1], 50)
        found = dce.fit(curves, time, plasma)
        assert ((found.reason & dce.Reason.SPIKE) > 0).mean() > 0.9


def test_short_frames_are_not_called_undersampled():
    for _, time, plasma, curves in averaged("2cxm", 20, 3.0, 50):
        found = dce.fit(curves, time, plasma, model="2cxm")
        assert not (found.reason & dce.Reason.INPUT_UNDERSAMPLED).any()


@pytest.mark.parametrize(("snr", "limits"), [(50, (1.15, 0.65, 1.45)), (20, (2.8, 1.6, 3.6))])
def test_errors_reach_the_bound_of_any_unbiased_estimator(snr, limits):
    rng = np.random.default_rng(0)
    ranges = {"Ktrans": (0.05, 0.3), "ve": (0.1, 0.5), "vp": (0.01, 0.1)}
    truth = {name: rng.uniform(*ranges[name], 20_000) for name in ranges}
    plasma = aif.to_plasma(aif.parker(TIME, arrival=20.0))
    exact = dce.predict("extended_tofts", truth, TIME, plasma)
    sigma = exact.max(axis=1, keepdims=True) / snr
    found = dce.fit(exact + sigma * rng.normal(size=exact.shape), TIME, plasma)
    columns = []
    for name, values in truth.items():
        up, down = ({**truth, name: values * (1 + step)} for step in (1e-5, -1e-5))
        rise = dce.predict("extended_tofts", up, TIME, plasma)
        rise = rise - dce.predict("extended_tofts", down, TIME, plasma)
        columns.append(rise / (2e-5 * values[:, None]))
    jac = np.stack(columns, axis=2) / sigma[:, :, None]
    bound = np.linalg.inv(np.einsum("nti,ntj->nij", jac, jac))
    draws = np.abs(rng.normal(size=20_000))
    for place, (name, limit) in enumerate(zip(truth, limits, strict=True)):
        error = np.median(np.abs(found.maps[name] / truth[name] - 1))
        least = np.median(draws * np.sqrt(bound[:, place, place]) / truth[name])
        assert error <= limit / 100, name
        assert error <= 1.05 * least, name


def test_useless_inputs_are_flagged():
    rng = np.random.default_rng(7)
    good = dce.predict("extended_tofts", {"Ktrans": 0.1, "ve": 0.3, "vp": 0.05}, TIME, PLASMA)
    noise = good + 0.005 * rng.normal(size=(20, 100))
    spike = np.zeros(100)
    spike[30] = 8.0
    for plasma in (np.full(100, np.nan), np.zeros(100), -PLASMA):
        found = dce.fit(noise, TIME, plasma)
        assert not found.evaluable.any()
        assert (found.reason & dce.Reason.INPUT_UNUSABLE).all()
        assert np.isnan(found.maps["Ktrans"]).all()
    for plasma in (np.full(100, 2.0), spike):
        for model in (*SPECS, "auto"):
            found = dce.fit(noise, TIME, plasma, model=model)
            values = [found.maps[name][by] for name, by in found.evaluable_by.items()]
            assert all(np.isfinite(value).all() for value in values)
    for curves in (noise[:0], noise[0]):
        assert dce.fit(curves, TIME, PLASMA).evaluable.shape == curves.shape[:-1]


def test_threads_blocks_and_memory_order_do_not_matter():
    _, curves = noisy("extended_tofts", 2400, 30)
    assert len(dce._blocks(np.ones(2400, bool), TIME.size)) > 2
    one = dce.fit(curves, TIME, PLASMA)
    two = dce.fit(np.asfortranarray(curves.reshape(80, 30, 100)), TIME, PLASMA, threads=2)
    np.testing.assert_array_equal(one.maps["Ktrans"], two.maps["Ktrans"].ravel())
    mask = np.zeros((80, 30), bool)
    mask[3, 4] = True
    part = dce.fit(curves.reshape(80, 30, 100), TIME, PLASMA, mask=mask)
    assert part.maps["ve"][3, 4] == two.maps["ve"][3, 4]
    assert np.isnan(part.maps["ve"]).sum() == 2399
    assert (part.reason[~mask] == dce.Reason.OUTSIDE_MASK).all()


@pytest.mark.parametrize(
    "arguments",
    [
        {"model": "unknown"},
        {"bounds": {"Kt": (0, 1)}},
        {"mask": np.ones(4, bool)},
        {"weights": np.ones(3)},
        {"fit_delay": True, "delay": 1.0},
    ],
)
def test_what_cannot_be_meant_is_refused(arguments):
    with pytest.raises(ValueError, match=r"\w"):
        dce.fit(np.ones((3, 100)), TIME, PLASMA, **arguments)


def test_iauc_is_exact_for_a_ramp():
    area = dce.iauc(np.clip(TIME - 31.0, 0, None), TIME, 31.0, 60.0)
    assert abs(float(area) - 1800.0) < 5.0
    assert np.isnan(dce.iauc(np.ones(100), TIME, 280.0, 60.0))
