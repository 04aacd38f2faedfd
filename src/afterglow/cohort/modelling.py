"""All models of a study validated in every way it allows, with the checks that go with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from afterglow.cohort import curves, performance, validation
from afterglow.cohort.checks import (
    center_missingness,
    learning_curve,
    permutation_rows,
)
from afterglow.cohort.design import Design, center_confounding, events_per_feature
from afterglow.cohort.models import ModelSpec, model_spec
from afterglow.cohort.threads import one_thread
from afterglow.cohort.univariate import feature_rows
from afterglow.config.cohort import CohortConfig
from afterglow.errors import NotEvaluable

Row = dict[str, Any]
Say = Callable[[str], None]
Results = dict[tuple[str, str], validation.OutOfFold]
BASELINES = ("clinical_only", "volume_only")


@dataclass(frozen=True)
class Analysis:
    """What the cohort step found.

    ``validation`` is ``{"possible", "reason", "detail"}``; ``flow`` holds the steps from
    lesions to models without their numbers; ``checks`` what speaks against the figures;
    ``features`` one row for each feature, ``curves`` the points behind the figures, ``results``
    the out-of-fold predictions by model and split.
    """

    rules: list[Row]
    predictions: list[Row]
    performance: list[Row]
    validation: dict[str, Any]
    flow: list[Row]
    checks: dict[str, Any] = field(default_factory=dict)
    design: Design | None = None
    features: list[Row] = field(default_factory=list)
    curves: list[Row] = field(default_factory=list)
    results: Results = field(default_factory=dict)


def validate(design: Design, config: CohortConfig, say: Say = lambda _: None) -> Analysis:
    """Validate all models on a design, or say why that is impossible.

    Linear algebra runs on one thread, so that the number of cores changes no digit.
    """
    try:
        validation.feasible(
            design,
            min_patients=config.min_patients,
            min_events=config.min_events,
            folds=config.outer_folds,
        )
    except NotEvaluable as reason:
        say(f"validation impossible, because {reason.detail}")
        why = {"possible": False, "reason": reason.reason, "detail": reason.detail}
        return Analysis([], [], [], why, [], design=design)
    with one_thread():
        return _validate(design, config, say)


def candidate_models(config: CohortConfig) -> list[ModelSpec]:
    """Return the models to validate; the baselines are always among them."""
    names = [*config.models, *(b for b in BASELINES if b not in config.models)]
    combat = config.combat_lesions if config.harmonization == "combat" else None
    return [
        model_spec(name, indicators=config.missing_indicators, seed=config.seed, combat=combat)
        for name in names
    ]


def _validate(design: Design, config: CohortConfig, say: Say) -> Analysis:
    results, skipped = _results(design, config, say)
    found = Analysis(
        [], [], [], {"possible": True, "reason": "", "detail": ""}, [], {}, design, results=results
    )
    for result in results.values():
        found.predictions.extend(performance.prediction_rows(design, result))
        found.performance.extend(
            performance.model_rows(
                design,
                result,
                prevalence=config.prevalence,
                bootstrap=config.bootstrap,
                seed=config.seed,
                min_center=config.min_center_lesions,
            )
        )
        found.curves.extend(curves.curve_rows(design, result))
    _compare(found, results, design)
    first = candidate_models(config)[0]
    found.features.extend(feature_rows(design, list(results.values())))
    nested = next(
        (r for (name, s), r in results.items() if (name, s) == (first.name, "nested")), None
    )
    if nested is not None:
        found.curves.extend(curves.treat_all_rows(design, nested.split))
        found.curves.extend(learning_curve(design, first, nested, config))
        say(f"learning curve of {first.name}")
        found.performance.extend(permutation_rows(design, first, nested, config, say))
    found.checks.update(_checks(found, design, config, skipped))
    return found


def _results(design: Design, config: CohortConfig, say: Say) -> tuple[Results, dict[str, str]]:
    results: Results = {}
    skipped: dict[str, str] = {}
    for spec in candidate_models(config):
        for split in ("nested", "leave_one_center_out"):
            try:
                result = out_of_fold(design, spec, split, config)
            except NotEvaluable as reason:
                skipped[f"{spec.name}/{split}"] = str(reason)
                continue
            results[spec.name, split] = result
            say(f"validated {spec.name}, {result.split}")
    return results, skipped


def out_of_fold(
    design: Design, spec: ModelSpec, split: str, config: CohortConfig
) -> validation.OutOfFold:
    """Return the out-of-fold predictions of one model, ``nested`` or ``leave_one_center_out``."""
    if split == "nested":
        return validation.nested(
            design, spec, outer=config.outer_folds, inner=config.inner_folds, seed=config.seed
        )
    return validation.leave_one_center_out(design, spec, inner=config.inner_folds, seed=config.seed)


def _compare(found: Analysis, results: Results, design: Design) -> None:
    for (name, split), result in results.items():
        for other in BASELINES:
            baseline = results.get((other, split))
            if baseline is not None and other != name:
                rows = performance.comparison_rows(design, result, baseline)
                found.performance.extend(rows)


def _checks(
    found: Analysis, design: Design, config: CohortConfig, skipped: dict[str, str]
) -> dict[str, Any]:
    permuted = [r for r in found.performance if r["metric"] == performance.PERMUTED]
    return {
        "primary_model": candidate_models(config)[0].name,
        "center_confounding": center_confounding(design, seed=config.seed),
        "center_missingness": center_missingness(design, seed=config.seed),
        "events_per_feature": events_per_feature(design),
        "n_features_tested": len(found.features),
        "n_features_after_holm": _below(found.features, "p_holm"),
        "n_features_uncorrected": _below(found.features, "p_value"),
        "permuted_auc_mean": permuted[0]["value"] if permuted else None,
        "permutation_p": permuted[0]["p_value"] if permuted else None,
        "harmonization": config.harmonization,
        "skipped": skipped,
    }


def _below(rows: Sequence[Row], name: str, level: float = 0.05) -> int:
    return sum(bool(row[name] < level) for row in rows)
