"""Coverage of the intervals, share of evaluable voxels, choice of model, and undersampled inputs.

Run ``python benchmarks/dce_coverage.py docs``; writes ``dce_coverage.md`` into the folder. Truths
are uniform: Ktrans 0.03-0.3 1/min, ve 0.1-0.5, vp 0.02-0.1, Fp 20-80 mL/100 mL/min, PS 0.03-0.2
1/min; Parker's input, 100 frames of 3 s unless said; noise has the peak of each curve over SNR. A
voxel is identifiable where the Cramer-Rao bound of every parameter is at most a quarter of truth.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy.stats import t as student

from afterglow.perfusion import aif, dce
from afterglow.perfusion.dce_models import SPECS

TIME = np.arange(100) * 3.0
PLASMA = aif.to_plasma(aif.parker(TIME, arrival=21.0))
RANGES = {
    "Ktrans": (0.03, 0.3),
    "ve": (0.1, 0.5),
    "vp": (0.02, 0.1),
    "Fp": (20.0, 80.0),
    "PS": (0.03, 0.2),
}
ORDER = ["none", "patlak", "tofts", "extended_tofts", "2cxm"]


def truths(model, n, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(*RANGES[name], n) for name in SPECS[model].free}


def noisy(exact, snr, seed=1):
    rng = np.random.default_rng(seed)
    return exact + exact.max(1, keepdims=True) / snr * rng.normal(size=exact.shape)


def least_errors(model, truth, exact, snr):
    """Return the standard errors that the Cramer-Rao bound allows, by parameter."""
    columns = []
    for name, values in truth.items():
        up, down = ({**truth, name: values * (1 + s)} for s in (1e-5, -1e-5))
        rise = dce.predict(model, up, TIME, PLASMA) - dce.predict(model, down, TIME, PLASMA)
        columns.append(rise / (2e-5 * values[:, None]))
    jac = np.stack(columns, axis=2)
    inverse = np.linalg.inv(np.einsum("nti,ntj->nij", jac, jac))
    sigma = exact.max(axis=1) / snr
    return {name: sigma * np.sqrt(inverse[:, i, i]) for i, name in enumerate(truth)}


def coverage():
    yield "| model | SNR | evaluable | of identifiable | coverage of 95 % intervals |"
    yield "|---|---|---|---|---|"
    for model in ("tofts", "extended_tofts", "patlak"):
        truth = truths(model, 8000)
        exact = dce.predict(model, truth, TIME, PLASMA)
        for snr in (50, 20):
            found = dce.fit(noisy(exact, snr), TIME, PLASMA, model=model)
            width = student.ppf(0.975, TIME.size - SPECS[model].n_parameters)
            least = least_errors(model, truth, exact, snr)
            known = np.all([least[n] <= 0.25 * values for n, values in truth.items()], axis=0)
            cells = []
            for name, values in truth.items():
                good = found.evaluable_by[name]
                error = np.abs(found.maps[name] - values)[good]
                inside = np.mean(error <= width * found.standard_errors[name][good])
                cells.append(f"{name} {100 * inside:.1f} %")
            yield (
                f"| {model} | {snr} | {100 * found.evaluable.mean():.1f} % "
                f"| {100 * found.evaluable[known].mean():.1f} % | {', '.join(cells)} |"
            )


def choice():
    yield "| made from | materially different | chosen | richer |"
    yield "|---|---|---|---|"
    for model in ORDER[1:]:
        truth = truths(model, 2000)
        exact = dce.predict(model, truth, TIME, PLASMA)
        sigma = exact.max(axis=1) / 50
        gap = np.full(2000, np.inf)
        for other in ORDER[1:]:
            more = SPECS[other].n_parameters - SPECS[model].n_parameters
            if other != model and more <= 0:
                rss = dce.fit(exact, TIME, PLASMA, model=other).rss
                gap = np.minimum(gap, rss / sigma**2 + 2 * more)
        clear = gap >= 10
        found = dce.fit(noisy(exact, 50), TIME, PLASMA, model="auto").model[clear]
        above = ORDER[ORDER.index(model) + (2 if model == "patlak" else 1) :]
        yield (
            f"| {model} | {100 * clear.mean():.1f} % | {100 * np.mean(found == model):.1f} % "
            f"| {100 * np.isin(found, above).mean():.1f} % |"
        )


def undersampled():
    yield "| model | SNR | values off by more than 50 % | of these flagged | evaluable |"
    yield "|---|---|---|---|---|"
    rng = np.random.default_rng(2)
    fine, frame = np.arange(0.0, 320.0, 0.5), 10.0
    for model in ("tofts", "extended_tofts", "patlak", "2cum", "2cxm"):
        for snr in (1e6, 50, 20):
            wrong, flagged = [], []
            for phase in rng.uniform(0.0, frame, 40):
                plasma = aif.to_plasma(aif.parker(fine, arrival=30.0 + phase))
                truth = {k: rng.uniform(*RANGES[k], 250) for k in SPECS[model].free}
                exact = dce.predict(model, truth, fine, plasma)
                mean = exact[:, :600].reshape(250, 30, 20).mean(axis=2)
                found = dce.fit(
                    noisy(mean, snr, int(10 * phase)), np.arange(30) * frame,
                    plasma[:600].reshape(30, 20).mean(axis=1), model=model,
                )  # fmt: skip
                for name, values in truth.items():
                    wrong.append(np.abs(found.maps[name] / values - 1) > 0.5)
                    flagged.append(~found.evaluable_by[name])
            off, flag = np.concatenate(wrong), np.concatenate(flagged)
            part = f"{100 * flag[off].mean():.1f} %" if off.any() else "-"
            label = "none" if snr > 100 else f"{snr:.0f}"
            yield (
                f"| {model} | {label} | {100 * off.mean():.2f} % ({off.sum()}) | {part} "
                f"| {100 * (1 - flag.mean()):.1f} % |"
            )


def main(folder):
    lines = ["# What the intervals and flags of the DCE fits are worth", ""]
    lines += [
        "`python benchmarks/dce_coverage.py docs`. " + __doc__[__doc__.index("Truths") :]
        .strip().replace("\n", " "), "",
        "## Intervals", "", *coverage(), "", "## Choice of the model at SNR 50", "", *choice(), "",
        "## A 0.5 s input averaged over 10 s frames, random phase, all parameters pooled", "",
        *undersampled(),
    ]  # fmt: skip
    text = "\n".join(lines) + "\n"
    print(text)
    if folder is not None:
        (folder / "dce_coverage.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
