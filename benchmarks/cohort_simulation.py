"""Simulated cohorts: what validation finds in nothing, and how true its figures are of a signal.

Run: ``python benchmarks/cohort_simulation.py [cohorts] [out.json]``. Prints, for each model, the
mean area on null cohorts (nested within center, leaving one center out) and, with signal, bias
against lesions of 400 new patients of the same centers and coverage of the 95 % interval.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from afterglow.cohort import validation
from afterglow.cohort.auc import clustered_auc
from afterglow.cohort.design import Design, center_confounding
from afterglow.cohort.models import model_spec
from cohort_simulation import simulate

MODELS = ("logistic",)


def area(design: Design, result: validation.OutOfFold, within: bool = True):
    strata = result.fold.astype(str)
    if within:
        strata = np.array([f"{a}/{b}" for a, b in zip(strata, design.centers, strict=True)])
    return clustered_auc(design.y, result.probability, design.patients, strata)


def null(n: int, model: str) -> dict[str, float]:
    nested, left_out = [], []
    for seed in range(n):
        design = simulate(seed)
        spec = model_spec(model)
        nested.append(area(design, validation.nested(design, spec, seed=seed)).value)
        left_out.append(area(design, validation.leave_one_center_out(design, spec)).value)
    return {
        "nested_within_center": float(np.mean(nested)),
        "leave_one_center_out": float(np.mean(left_out)),
        "standard_error": float(np.std(nested) / np.sqrt(n)),
    }


def signal(n: int, model: str) -> dict[str, float]:
    gaps, hits = [], []
    for seed in range(n):
        both = simulate(seed, n_patients=460, signal=0.8)
        order = np.unique(both.patients)
        inside = np.isin(both.patients, order[:60])
        design, new = both.take(np.flatnonzero(inside)), both.take(np.flatnonzero(~inside))
        spec = model_spec(model)
        found = area(design, validation.nested(design, spec, seed=seed))
        fitted, _ = validation.fit_final(design, spec, seed=seed)
        truth = clustered_auc(new.y, fitted.predict_proba(new.x)[:, 1], new.patients, new.centers)
        gaps.append(found.value - truth.value)
        hits.append(found.low <= truth.value <= found.high)
    return {
        "bias": float(np.mean(gaps)),
        "standard_error": float(np.std(gaps) / np.sqrt(n)),
        "coverage": float(np.mean(hits)),
    }


def confounding(n: int) -> dict[str, float]:
    def share(spread: float) -> float:
        found = [simulate(s, n_patients=100, prevalence_spread=spread) for s in range(n)]
        return float(np.mean([center_confounding(d)["flag"] for d in found]))

    return {"flagged_with_spread": share(2.0), "flagged_without": share(0.0)}


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    found = {"cohorts": n, "confounding": confounding(n)}
    for model in MODELS:
        found[model] = {"null": null(n, model), "signal": signal(n, model)}
        print(json.dumps(found, indent=1))
    if len(sys.argv) > 2:
        Path(sys.argv[2]).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
