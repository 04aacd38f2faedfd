"""What the page of a study says of its models: figures in short, groups, features, doubts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from afterglow.report.render import DASH, known, number, words

Row = Mapping[str, Any]
SHOWN_FEATURES = 20
LEFT_OUT = "leave_one_center_out"


def model_tables(
    performance: Sequence[Row], features: Sequence[Row], checks: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the tables of the models' section: ``title``, ``caption``, ``head``, ``rows``.

    Parameters
    ----------
    performance, features : sequence of mapping
        Rows of the tables ``performance`` and ``feature_tests``.
    checks : mapping
        Checks of the cohort stage.
    """
    primary = checks.get("primary_model")
    own = [r for r in performance if not str(r["model"]).startswith("rule:")]
    own.sort(key=lambda r: (r["model"] != primary, r["model"], r["split"] == LEFT_OUT))
    found = [
        _short(own),
        _groups(own),
        _comparisons(own),
        _features(features, checks),
        _missingness(checks),
        _mixed(checks),
    ]
    return [table for table in found if table["rows"]]


def check_lines(checks: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each thing that speaks for or against the figures."""
    lines = [str(doubt) for doubt in checks.get("label_doubts") or []]
    shared = checks.get("incorporated_features") or []
    if shared:
        lines.append(
            f"Labels rest on what {len(shared)} features measure too ({', '.join(shared[:6])}"
            f"{', ...' if len(shared) > 6 else ''}): their figures are circular (incorporation)."
        )
    lines += _center_lines(checks)
    if checks.get("events_per_feature") is not None:
        events = checks["events_per_feature"]
        warning = " Fewer than 10: expect optimism." if events < 10 else ""
        lines.append(f"{number(events)} events for each candidate feature.{warning}")
    if checks.get("permuted_auc_mean") is not None:
        lines.append(
            f"With labels permuted by patient the area within center is"
            f" {number(checks['permuted_auc_mean'])} on average (it must lie near 0.5);"
            f" the area found has p {_p_text(checks['permutation_p'])} against these."
        )
    if checks.get("harmonization") == "combat":
        lines.append(
            "Features were harmonized by ComBat in the training folds, without the label; centers"
            " with few lesions and unseen centers rest on their reference tissue alone."
        )
    lines += [f"{words(k)}: {v}" for k, v in sorted((checks.get("skipped") or {}).items())]
    return lines


def _center_lines(checks: Mapping[str, Any]) -> list[str]:
    lines = []
    center = checks.get("center_confounding")
    if center:
        shares = ", ".join(f"{c} {100 * v:.0f} %" for c, v in sorted(center["prevalence"].items()))
        found = "differs" if center["flag"] else "does not differ detectably"
        lines.append(
            f"The share of progressions {found} between centers (p {_p_text(center['p'])};"
            f" {shares}).{' Read the areas within center.' if center['flag'] else ''}"
        )
    follows = (checks.get("center_missingness") or {}).get("follows_center") or []
    if follows:
        lines.append(
            f"What is missing follows the center ({', '.join(follows)}): a model that is told what"
            " is missing can guess the center. Set missing_indicators to false to see whether it"
            " does."
        )
    return lines


def _short(rows: Sequence[Row]) -> dict[str, Any]:
    """Return one row for each model: areas, operating point, calibration."""
    at: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        split = "left" if row["split"] == LEFT_OUT else "nested"
        at[row["model"], split, row["metric"]] = row
    columns = (
        ("nested", "auc"),
        ("nested", "auc_within_center"),
        ("left", "auc"),
        ("nested", "sensitivity"),
        ("nested", "specificity"),
        ("nested", "calibration_slope"),
        ("nested", "calibration_intercept"),
        ("nested", "brier"),
    )
    models = list(dict.fromkeys(row["model"] for row in rows))
    return {
        "title": "In short",
        "caption": "Models on patients (or centers) that they have not seen; 95 % intervals.",
        "head": [
            "Model",
            "Area, nested",
            "Area within center",
            "Area, center left out",
            "Sensitivity at 0.5",
            "Specificity at 0.5",
            "Calibration slope",
            "Calibration intercept",
            "Brier score",
        ],
        "rows": [[words(m), *(_with_interval(at.get((m, *c))) for c in columns)] for m in models],
    }


def _groups(rows: Sequence[Row]) -> dict[str, Any]:
    first = rows[0]["model"] if rows else None
    own = [
        r
        for r in rows
        if r["model"] == first and str(r["metric"]).startswith(("auc_center:", "auc_subgroup:"))
    ]
    return {
        "title": "By center and subgroup",
        "caption": f"Area of the model {words(first)} in groups that are large enough.",
        "head": ["Group", "Validation", "Area (95 % interval)", "Subjects", "Lesions"],
        "rows": [
            [
                words(str(r["metric"]).removeprefix("auc_").replace(":", ": ")),
                words(r["split"]),
                _with_interval(r),
                r["n_subjects"],
                r["n_lesions"],
            ]
            for r in own
        ],
    }


def _comparisons(rows: Sequence[Row]) -> dict[str, Any]:
    own = [r for r in rows if str(r["metric"]).startswith("auc_less_")]
    return {
        "title": "Against baselines and rules",
        "caption": "Difference in area on the same lesions (paired, clustered by patient); P of"
        " comparisons with rules adjusted for their number (Holm).",
        "head": ["Model", "Validation", "Less", "Difference (95 % interval)", "P", "Lesions"],
        "rows": [
            [
                words(r["model"]),
                words(r["split"]),
                words(str(r["metric"]).removeprefix("auc_less_")),
                _with_interval(r),
                _p(r.get("p_holm") if known(r.get("p_holm")) else r.get("p_value")),
                r["n_lesions"],
            ]
            for r in own
        ],
    }


def _features(rows: Sequence[Row], checks: Mapping[str, Any]) -> dict[str, Any]:
    """Return the features of smallest p value, with what their weights do over the folds."""
    shown = sorted(rows, key=lambda r: r["p_value"] if known(r["p_value"]) else 2.0)
    n, bare, left = (
        checks.get(name, DASH)
        for name in ("n_features_tested", "n_features_uncorrected", "n_features_after_holm")
    )
    return {
        "title": "Features one by one",
        "caption": f"{n} features tested; {bare} have P < 0.05 uncorrected, {left} after Holm's"
        f" correction. The {min(SHOWN_FEATURES, len(rows))} of smallest P; weights are log odds"
        " for one standard deviation, least to largest over the folds.",
        "head": [
            "Feature",
            "Area within center",
            "P",
            "P (Holm)",
            "FDR",
            "Missing, %",
            "Weight over folds",
            "Folds of one sign, %",
        ],
        "rows": [
            [
                words(r["feature"]),
                _with_interval(r, "auc"),
                _p(r["p_value"]),
                _p(r["p_holm"]),
                _p(r["q_value"]),
                round(100 * r["missing"]),
                f"{number(r['weight_low'], 2)} to {number(r['weight_high'], 2)}",
                round(100 * r["sign_agreement"]) if known(r["sign_agreement"]) else DASH,
            ]
            for r in shown[:SHOWN_FEATURES]
        ],
    }


def _missingness(checks: Mapping[str, Any]) -> dict[str, Any]:
    share = (checks.get("center_missingness") or {}).get("share") or {}
    centers = sorted({c for values in share.values() for c in values})
    return {
        "title": "What is missing",
        "caption": "Share of labelled lesions without a value, %, by map and center.",
        "head": ["Map", *centers],
        "rows": [[g, *(round(100 * v.get(c, 0.0)) for c in centers)] for g, v in share.items()],
    }


def _mixed(checks: Mapping[str, Any]) -> dict[str, Any]:
    found = checks.get("mixed_sensitivity") or {}
    return {
        "title": "Mixed lesions",
        "caption": "Area within center of the first model under each policy for mixed histology.",
        "head": ["Mixed lesions count as", "Area within center", "Lesions"],
        "rows": [
            [
                "left out" if policy == "drop" else words(policy),
                _with_interval(entry, "auc") if "auc" in entry else entry["reason"],
                entry["n_lesions"],
            ]
            for policy, entry in found.items()
        ],
    }


def _with_interval(row: Row | None, name: str = "value") -> str:
    if row is None or not known(row[name]):
        return DASH
    if not known(row["low"]):
        return _two(row[name])
    return f"{_two(row[name])} ({_two(row['low'])} to {_two(row['high'])})"


def _two(value: float) -> str:
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", "−")


def _p_text(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _p(value: Any) -> str:
    if not known(value):
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
