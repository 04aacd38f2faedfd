"""Simulated cohorts: what validation finds in nothing, and how true its figures are of a signal.

Run ``python benchmarks/cohort_simulation.py run FILE [cohorts] [cohorts at once]`` until it says
that it is complete (it goes on where it stopped), then ``... table FILE`` for the tables in
`docs/cohort-simulations.md`. Each cohort: 100 patients of 5 centers, 1 to 5 lesions each, centers
that shift features, perfusion missing a modality at a time.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import sklearn

from afterglow.cohort import validation
from afterglow.cohort.auc import Estimate, bootstrap_auc, clustered_auc, pooled_auc
from afterglow.cohort.checks import within_center
from afterglow.cohort.design import Design, center_confounding
from afterglow.cohort.models import model_spec
from afterglow.cohort.tabular import standard_name
from afterglow.phantom.tables import feature_names, generate

LINEAR = ("logistic", "sparse", "clinical_perfusion", "clinical_only", "volume_only")
TREES = ("boosting",)
INNER = 2
CENTERS, PATIENTS, NEW_PATIENTS = 5, 100, 500
NAMES = (*feature_names(16), "volume", "prescribed_dose")
SIGNAL = {
    "rCBV.lesion.median": 0.9,
    "Ktrans.lesion.median": 0.6,
    "PSR.lesion.median": -0.6,
    "volume": 0.5,
    "prescribed_dose": -0.5,
}
UNEQUAL = (0.15, 0.2, 0.3, 0.45, 0.6)


def cohort(
    seed: int, *, patients: int = PATIENTS, signal: bool = False, prevalence: Any = 0.3
) -> Design:
    """Return one simulated cohort as a design."""
    table = generate(
        patients=patients,
        lesions_per_patient=(1, 5),
        centers=CENTERS,
        features=NAMES,
        signal=SIGNAL if signal else 0.0,
        prevalence=prevalence,
        missing=(0.0, 0.05, 0.1, 0.2, 0.3),
        seed=seed,
    )
    columns = ["days_from_srs", *NAMES]
    return Design(
        table[columns].to_numpy(dtype=np.float64),
        (table["outcome"] == "progression").to_numpy(dtype=np.int64),
        table["subject"].to_numpy(dtype=np.str_),
        table["center"].to_numpy(dtype=np.str_),
        tuple(standard_name(c) for c in columns),
        tuple(f"{s}/{n}" for s, n in zip(table["subject"], table["lesion_id"], strict=True)),
    )


def null(seed: int, models: tuple[str, ...] = LINEAR) -> list[dict[str, Any]]:
    """No signal, equal prevalence: the area within center, nested and leaving a center out."""
    design = cohort(seed)
    rows = []
    for name in models:
        spec = model_spec(name, seed=seed)
        left_out = validation.leave_one_center_out(design, spec, inner=INNER, seed=seed)
        for split, result in (
            ("nested", validation.nested(design, spec, inner=INNER, seed=seed)),
            ("leave_one_center_out", left_out),
        ):
            found = within_center(design, result)
            rows.append({"model": name, "split": split, **interval(found)})
    return rows


def signal(seed: int, models: tuple[str, ...] = ("logistic",)) -> list[dict[str, Any]]:
    """With signal: the nested estimate against 500 new patients of the same centers.

    ``external`` is the area of the model fitted to all lesions, ``external_folds`` the mean of
    the models of the outer folds, which had four fifths of the patients.
    """
    both = cohort(seed, patients=PATIENTS + NEW_PATIENTS, signal=True)
    inside = np.isin(both.patients, np.unique(both.patients)[:PATIENTS])
    design, new = both.take(np.flatnonzero(inside)), both.take(np.flatnonzero(~inside))
    folds = validation.grouped_folds(design.y, design.patients, 5, seed)
    rows = []
    for name in models:
        spec = model_spec(name, seed=seed)
        result = validation.nested(design, spec, inner=INNER, seed=seed, folds=folds)
        fitted, _ = validation.fit_final(design, spec, inner=INNER, seed=seed)
        strata = [f"{a}/{b}" for a, b in zip(result.fold, design.centers, strict=True)]
        boot = bootstrap_auc(
            design.y, result.probability, design.patients, strata, samples=300, seed=seed
        )
        pooled = pooled_auc(
            design.y, result.probability, design.patients, result.fold, design.centers
        )
        row = {
            "model": name,
            **interval(within_center(design, result)),
            "boot": [boot.low, boot.high],
            "external": area(fitted, new, spec),
            "pooled": interval(pooled),
            "external_pooled": area(fitted, new, spec, within=False),
        }
        if name == "logistic":
            parts = [
                validation.fit(spec, result.choices[k], used(design.take(train), spec))
                for k, (train, _) in enumerate(folds)
            ]
            row["external_folds"] = float(np.mean([area(m, new, spec) for m in parts]))
        rows.append(row)
    return rows


def confounded(seed: int) -> list[dict[str, Any]]:
    """Prevalence from 15 to 60 % by center, and equal: whether the flag goes up."""
    return [
        {"model": name, "flag": bool(center_confounding(cohort(seed, prevalence=p))["flag"])}
        for name, p in (("unequal", UNEQUAL), ("equal", 0.3))
    ]


def used(design: Design, spec: Any) -> Design:
    """Return the features of a model."""
    return design.columns(spec.pick(design.names))


def area(fitted: validation.Fitted, new: Design, spec: Any, within: bool = True) -> float:
    """Return a model's area on new patients, within center or over all of them."""
    x = used(new, spec).x
    strata = new.centers if within else None
    found = fitted.probability(x, new.centers)
    return clustered_auc(new.y, found, new.patients, strata).value


def interval(found: Estimate) -> dict[str, float]:
    """Return an estimate as a row."""
    return {"auc": found.value, "se": found.se, "low": found.low, "high": found.high}


JOBS = {
    "null": null,
    "signal": signal,
    "confounded": confounded,
    "null, trees": partial(null, models=TREES),
    "signal, small": partial(signal, models=("clinical_perfusion",)),
}


def run(path: Path, cohorts: int, at_once: int) -> bool:
    """Add up to ``at_once`` cohorts to the file; tell whether all are there."""
    done = defaultdict(set)
    for row in read(path):
        done[row["job"]].add(row["seed"])
    wanted = [(job, s) for job in JOBS for s in range(cohorts) if s not in done[job]]
    for job, seed in wanted[:at_once]:
        rows = [{"job": job, "seed": seed, **row} for row in JOBS[job](seed)]
        with path.open("a", encoding="utf-8") as stream:
            stream.write("".join(json.dumps(row) + "\n" for row in rows))
    return len(wanted) <= at_once


def read(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of results."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(rows: list[dict[str, Any]]) -> str:
    """Return the tables in Markdown."""
    groups: defaultdict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["job"], row["model"], row.get("split", "")].append(row)
    lines = [
        "No signal, equal prevalence of 30 %: area within center.",
        "",
        "| model | split | cohorts | mean area | standard error | intervals that hold 0.5 |",
        "|---|---|---|---|---|---|",
    ]
    for (job, model, split), own in groups.items():
        if job.startswith("null"):
            auc = column(own, "auc")
            held = (column(own, "low") <= 0.5) & (column(own, "high") >= 0.5)
            lines.append(
                f"| {model} | {split} | {auc.size} | {auc.mean():.3f} |"
                f" {auc.std(ddof=1) / auc.size**0.5:.4f} | {100 * held.mean():.1f} % |"
            )
    lines += [
        "",
        "With signal: nested estimate against 500 new patients of the same centers.",
        "",
        (
            "| model | area | cohorts | nested | external | bias | s.e. | bias against models"
            " of the folds | coverage, clustered DeLong | coverage, bootstrap |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (job, model, _), own in groups.items():
        if job.startswith("signal"):
            lines += [signal_line(model, own, pooled) for pooled in (False, True)]
    lines += [
        "",
        "Prevalence by center.",
        "",
        "| prevalence | cohorts | flag raised |",
        "|---|---|---|",
    ]
    for (job, model, _), own in groups.items():
        if job == "confounded":
            lines.append(f"| {model} | {len(own)} | {100 * column(own, 'flag').mean():.1f} % |")
    return "\n".join(lines) + "\n"


def signal_line(model: str, own: list[dict[str, Any]], pooled: bool) -> str:
    """Return one line of the table of cohorts with signal."""
    found = [row["pooled"] for row in own] if pooled else own
    truth = column(own, "external_pooled" if pooled else "external")
    auc = column(found, "auc")
    gap = auc - truth
    held = (column(found, "low") <= truth) & (truth <= column(found, "high"))
    folds = boot = "–"
    if not pooled:
        low, high = np.array([row["boot"] for row in own]).T
        boot = f"{100 * ((low <= truth) & (truth <= high)).mean():.1f} %"
        if "external_folds" in own[0]:
            folds = f"{(auc - column(own, 'external_folds')).mean():+.4f}"
    return (
        f"| {model} | {'over all' if pooled else 'within center'} | {auc.size} |"
        f" {auc.mean():.3f} | {truth.mean():.3f} | {gap.mean():+.4f} |"
        f" {gap.std(ddof=1) / gap.size**0.5:.4f} | {folds} | {100 * held.mean():.1f} % | {boot} |"
    )


def column(rows: list[dict[str, Any]], name: str) -> Any:
    """Return one column of rows."""
    return np.array([row[name] for row in rows])


def main() -> None:
    """Run or print, as the arguments say."""
    path = Path(sys.argv[2])
    if sys.argv[1] == "table":
        print(table(read(path)), end="")
        return
    cohorts = int(sys.argv[3]) if len(sys.argv) > 3 else 200
    at_once = int(sys.argv[4]) if len(sys.argv) > 4 else len(JOBS) * cohorts
    # Speed only: the same numbers come out with scikit-learn's checks of arguments.
    sklearn.set_config(skip_parameter_validation=True)
    print("complete" if run(path, cohorts, at_once) else "not complete")


if __name__ == "__main__":
    main()
