"""Largest errors on the OSIPI reference curves beside those of the published codes.

Run ``python benchmarks/dce_osipi.py`` where the reference data are (AFTERGLOW_SHARED). The codes'
own results come with the data. Prints one row a model and parameter: tolerance at the truth of the
worst case, largest error, the least of the published largest errors, and their whole range.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import test_dce_osipi as reference


def row(model, delayed, table, found, limits):
    """Yield the table's rows of one model."""
    codes = reference.published(reference.PEERS[model], [r[:2] for r in limits], delayed)
    label = f"{model}, delayed" if delayed else model
    for name, column, absolute, relative, _ in limits:
        truth = reference.truth(table, column)
        error = np.abs(found[name] - truth)
        worst = int(error.argmax())
        best = min(codes, key=lambda code: codes[code][name])
        least, most = codes[best][name], max(code[name] for code in codes.values())
        yield (
            f"| {label} | {name} | {absolute + relative * abs(truth[worst]):.4f} "
            f"| {error[worst]:.5f} | {least:.5f} ({best.removeprefix('TestResults_models_')}) "
            f"| {most:.5f} | {'yes' if error[worst] <= reference.printed(least) else 'no'} |"
        )


def main():
    print("| cases | parameter | tolerance | largest error | best published | worst | reached |")
    print("|---|---|---|---|---|---|---|")
    for model, name, plasma, tissue, limits, frames, _ in reference.SETS:
        table, cases = reference.curves(name, plasma, tissue)
        for delayed in (False, True):
            shown = reference.delayed(cases, frames) if delayed else cases
            names = [r[0] for r in limits]
            found = reference.fitted(shown, model, names, fit_delay=delayed)
            print(*row(model, delayed, table, found, limits), sep="\n")
    for delay in (0, 5):
        table, cases = reference.curves(
            f"DCEmodels/patlak_sd_0.02_delay_{delay}.csv", "cp_aif", "C_t"
        )
        names = [r[0] for r in reference.PATLAK]
        found = reference.fitted(cases, "patlak", names, fit_delay=bool(delay))
        print(*row("patlak", bool(delay), table, found, reference.PATLAK), sep="\n")


if __name__ == "__main__":
    main()
