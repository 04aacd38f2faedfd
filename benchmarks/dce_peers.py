"""Speed and error of extended Tofts fits beside published codes: one run, one machine, same curves.

Run ``python benchmarks/dce_peers.py docs`` in an environment that has this package's `numba` and,
as far as they are wanted, `osipy`, `dcmri`, `sepal` and `scipy`; what is not installed is left out.
Writes ``dce_peers.md`` and ``images/dce_peers.png`` into the folder. CPU time is taken, so that
other work on the machine disturbs the ratios least; only the factor of two threads is wall time.

Truths are uniform: Ktrans 0.05-0.3 1/min, ve 0.1-0.5, vp 0.01-0.1; the input is Parker's at 20 s
with haematocrit 0.42, 100 frames of 3 s; noise has the peak of each curve over SNR. The bound is
the Cramer-Rao bound's median of the absolute error: no unbiased estimator can have less.
"""

from __future__ import annotations

import importlib.metadata
import platform
import sys
import time
from pathlib import Path

import numpy as np

from afterglow.perfusion import aif, dce, t1
from afterglow.perfusion.convolution import exponential_convolution
from afterglow.perfusion.signal import spgr_signal

TIME = np.arange(100) * 3.0
HEMATOCRIT = 0.42
BLOOD = aif.parker(TIME, arrival=20.0)
PLASMA = aif.to_plasma(BLOOD, HEMATOCRIT)
NAMES = ("Ktrans", "ve", "vp")
RANGES = {
    "Ktrans": (0.05, 0.3),
    "ve": (0.1, 0.5),
    "vp": (0.01, 0.1),
    "Fp": (20.0, 80.0),
    "PS": (0.02, 0.2),
}
SEQUENCE = {"r10": 1 / 1.4, "tr": 0.005, "angle": 15.0, "r1": 4.5}


def truth_and_curves(n, snr, model="extended_tofts"):
    rng = np.random.default_rng(0)
    names = ("Fp", "PS", "ve", "vp") if model == "2cxm" else NAMES
    truth = {name: rng.uniform(*RANGES[name], n) for name in names}
    curves = dce.predict(model, truth, TIME, PLASMA)
    if np.isfinite(snr):
        curves = curves + rng.normal(size=curves.shape) * curves.max(1, keepdims=True) / snr
    return truth, curves


def bound(truth, snr):
    """Return the medians of the absolute error (%) that the Cramer-Rao bound allows."""
    exact = dce.predict("extended_tofts", truth, TIME, PLASMA)
    columns = []
    for name, values in truth.items():
        up, down = ({**truth, name: values * (1 + s)} for s in (1e-5, -1e-5))
        rise = dce.predict("extended_tofts", up, TIME, PLASMA)
        rise -= dce.predict("extended_tofts", down, TIME, PLASMA)
        columns.append(rise / (2e-5 * values[:, None]))
    jac = np.stack(columns, axis=2)
    inverse = np.linalg.inv(np.einsum("nti,ntj->nij", jac, jac))
    sigma = exact.max(axis=1) / snr
    draws = np.abs(np.random.default_rng(1).normal(size=(20, sigma.size)))
    return [
        100 * np.median(draws * sigma * np.sqrt(inverse[:, i, i]) / truth[name])
        for i, name in enumerate(truth)
    ]


def afterglow_fit(curves):
    return dce.fit(curves, TIME, PLASMA).maps


def scipy_fit(curves):
    from scipy.optimize import curve_fit

    t = TIME / 60.0

    def model(_, ktrans, ve, vp):
        return vp * PLASMA + ktrans * exponential_convolution(t, PLASMA, ktrans / ve)

    bounds = ([0, 1e-3, 0], [5, 1, 1])
    rows = [curve_fit(model, t, y, (0.1, 0.2, 0.03), bounds=bounds)[0] for y in curves]
    return dict(zip(NAMES, np.array(rows).T, strict=True))


def osipy_fit(curves):
    from osipy.dce.fitting import fit_model

    found = fit_model("extended_tofts", curves[:, None, None, :], PLASMA, TIME)
    return {name: np.ravel(found.parameter_maps[name].values) for name in NAMES}


def sepal_fit(curves):
    from sepal import aifs, dce_fit, pk_models

    model = pk_models.ExtendedTofts(TIME, aifs.PatientSpecific(TIME, PLASMA))
    fitter = dce_fit.ConcToPKP(model)
    rows = [fitter.proc(y)[:3] for y in curves]
    vp, ps, ve = np.array(rows).T
    return {"Ktrans": ps, "ve": ve, "vp": vp}


def dcmri_fit(curves):
    """Fit signals, which is what dcmri does: those of the concentrations, exactly."""
    import dcmri

    rate = SEQUENCE["r10"] + SEQUENCE["r1"] * curves
    signals = spgr_signal(rate, 1000.0, SEQUENCE["tr"], SEQUENCE["angle"])
    tissue = dcmri.TissueArray(
        (curves.shape[0],), kinetics="HF", water_exchange="FF", sequence="SS", ca=BLOOD / 1000.0,
        t=TIME, r1=1000.0 * SEQUENCE["r1"], R10=np.full(curves.shape[0], SEQUENCE["r10"]),
        TR=SEQUENCE["tr"], FA=SEQUENCE["angle"], n0=6, H=HEMATOCRIT,
    )  # fmt: skip
    tissue.train(TIME, signals)
    return {"Ktrans": 60.0 * tissue.PS, "ve": tissue.vi, "vp": tissue.vb * (1 - HEMATOCRIT)}


# Name, distribution, fit, most curves it is given.
CODES = (
    ("afterglow", None, afterglow_fit, 40_000),
    ("osipy", "osipy", osipy_fit, 2_000),
    ("scipy curve_fit, exact convolution", "scipy", scipy_fit, 300),
    ("sepal", "sepal", sepal_fit, 150),
    ("dcmri TissueArray", "dcmri", dcmri_fit, 60),
)


def timed(work):
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def version(distribution):
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def measure():
    """Return rows (code, SNR, voxels, voxels a CPU second, three errors)."""
    rows = []
    for name, distribution, fit, most in CODES:
        label = name if distribution is None else f"{name} {version(distribution)}"
        if distribution is not None and version(distribution) is None:
            continue
        for snr in (np.inf, 50, 20):
            truth, curves = truth_and_curves(40_000, snr)
            fit(curves[:2])
            found, seconds = timed(lambda f=fit, c=curves[:most]: f(c))
            errors = [
                100 * float(np.median(np.abs(found[k][:most] / truth[k][:most] - 1))) for k in NAMES
            ]
            rows.append((label, snr, most, most / seconds, errors))
            print(label, snr, round(most / seconds), np.round(errors, 3), flush=True)
    return rows


def others():
    """Return speeds of the other fits and the factor of two threads."""
    curves = truth_and_curves(20_000, 50, "2cxm")[1]
    dce.fit(curves[:2], TIME, PLASMA, model="2cxm")
    _, seconds = timed(lambda: dce.fit(curves, TIME, PLASMA, model="2cxm"))
    found = {"2CXM, voxels a CPU second": 20_000 / seconds}
    angles = np.array([2.0, 5.0, 10.0, 15.0, 25.0])
    rate = 1 / np.random.default_rng(1).uniform(0.3, 3, 400_000)
    signal = spgr_signal(rate[:, None], 1000.0, 0.006, angles)
    signal = signal + np.random.default_rng(2).normal(0, 0.01, signal.shape) * signal.max()
    t1.fit_vfa(signal[:4], angles, 0.006)
    _, seconds = timed(lambda: t1.fit_vfa(signal, angles, 0.006))
    found["VFA nonlinear, voxels a CPU second"] = 400_000 / seconds
    curves = truth_and_curves(60_000, 50)[1]
    rates = [[60_000 / wall(curves, threads) for threads in (1, 2)] for _ in range(15)]
    one, two = np.median(rates, axis=0)
    found["extended Tofts, voxels a second of wall time, one thread"] = one
    found["the same, two threads"] = two
    found["two threads over one, median of 15 pairs"] = np.median([b / a for a, b in rates])
    return found


def wall(curves, threads):
    """Return the seconds that a fit takes."""
    start = time.perf_counter()
    dce.fit(curves, TIME, PLASMA, threads=threads)
    return time.perf_counter() - start


def report(rows, speeds):
    osipy = [speed for code, snr, _, speed, _ in rows if code.startswith("osipy") and snr == 50]
    lines = [
        "# Extended Tofts fits beside published codes", "",
        f"`python benchmarks/dce_peers.py docs`, {platform.machine()}, one thread, one run. "
        + __doc__.split("\n\n")[-1].replace("\n", " ").strip(), "",
        "| code | SNR | voxels | voxels a CPU second | median error of Ktrans / ve / vp, % |",
        "|---|---|---|---|---|",
    ]  # fmt: skip
    for code, snr, count, speed, errors in rows:
        text = " / ".join(f"{e:.3f}" for e in errors)
        noise = "none" if snr == np.inf else snr
        lines.append(f"| {code} | {noise} | {count} | {speed:.0f} | {text} |")
    truth, _ = truth_and_curves(4_000, np.inf)
    for snr in (50, 20):
        text = " / ".join(f"{e:.3f}" for e in bound(truth, snr))
        lines.append(f"| bound | {snr} | 4000 | | {text} |")
    lines.append("")
    for name, value in speeds.items():
        lines.append(f"- {name}: {value:.2f}" if value < 10 else f"- {name}: {value:.0f}")
    if osipy:
        lines.append(f"- extended Tofts over osipy at SNR 50: {rows[1][3] / osipy[0]:.0f} times")
    return "\n".join(lines) + "\n\n![speed and error](images/dce_peers.png)\n"


def draw(rows, path):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    for (code, _, _, speed, errors), mark in zip(
        [row for row in rows if row[1] == 50], "osD^v", strict=False
    ):
        axis.loglog(speed, max(errors), mark, ms=9, label=code)
    axis.set(xlabel="voxels a CPU second", ylabel="largest median error at SNR 50 (%)")
    axis.set_ylim(1, 20)
    axis.grid(alpha=0.3, which="both")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=8)
    figure.savefig(path, metadata={"Software": None})


def main(folder):
    rows = measure()
    speeds = others()
    text = report(rows, speeds)
    print(text)
    if folder is not None:
        (folder / "images").mkdir(parents=True, exist_ok=True)
        (folder / "dce_peers.md").write_text(text, encoding="utf-8")
        draw(rows, folder / "images" / "dce_peers.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
