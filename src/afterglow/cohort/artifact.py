"""The fitted model and its card; skops instead of pickle, so that loading runs no code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from afterglow import __version__
from afterglow.cohort.design import Design
from afterglow.cohort.modelling import Analysis, candidate_models
from afterglow.cohort.threads import one_thread
from afterglow.cohort.validation import fit_final
from afterglow.config.cohort import CohortConfig

MODEL_FILE, CARD_FILE = "model.skops", "card.json"
LIMITS = (
    "Estimates hold for centers and protocols like those listed; expect 0.1 to 0.2 of AUC less "
    "elsewhere. Not a medical device. Not for lesions outside the ranges in `domain`."
)


def save_model(found: Analysis, config: CohortConfig, folder: Path) -> dict[str, Any]:
    """Fit the first model to all labelled lesions and write it with its card.

    Where validation was impossible only a card is written, which says so: a model nobody can
    judge is not handed out.

    Returns
    -------
    dict
        ``{"fitted", "model", "reason"}``.
    """
    card: dict[str, Any] = {"afterglow_version": __version__, "fitted": False}
    design = found.design
    if design is None or not found.validation["possible"]:
        card["reason"] = found.validation["detail"]
    else:
        spec = candidate_models(config)[0]
        with one_thread():
            fitted, choice = fit_final(design, spec, inner=config.inner_folds, seed=config.seed)
        _dump(fitted.pipeline, folder / MODEL_FILE)
        card |= _describe(design, found, spec.name, choice, spec.pick(design.names))
        card["harmonization"] = None if fitted.combat is None else fitted.combat.as_dict()
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(card, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / CARD_FILE).write_text(text + "\n", encoding="utf-8")
    return {"fitted": card["fitted"], "model": card.get("model"), "reason": card.get("reason", "")}


def _describe(
    design: Design, found: Analysis, name: str, choice: dict[str, Any], features: list[str]
) -> dict[str, Any]:
    import sklearn

    own = [_plain(row) for row in found.performance if row["model"] == name]
    return {
        "fitted": True,
        "model": name,
        "choice": choice,
        "features": features,
        "domain": _domain(design.columns(features)),
        "positive_class": "progression",
        "intended_use": "Research: progression or treatment effect of irradiated brain metastases.",
        "limits": LIMITS,
        "data": {
            "n_lesions": int(design.y.size),
            "n_patients": design.n_patients,
            "n_events": int(design.y.sum()),
            "centers": sorted(set(design.centers.tolist())),
        },
        "performance": [r for r in own if ":" not in r["metric"] or "@" in r["metric"]],
        "performance_by_center": _named(own, "auc_center:"),
        "performance_by_subgroup": _named(own, "auc_subgroup:"),
        "compared_with": _named(own, "auc_less_"),
        "checks": found.checks,
        "versions": {"scikit-learn": sklearn.__version__},
    }


def _domain(design: Design) -> dict[str, dict[str, float]]:
    """Return the range of each feature among the lesions the model was fitted to."""
    ranges = {}
    for i, name in enumerate(design.names):
        known = design.x[np.isfinite(design.x[:, i]), i]
        if known.size:
            ranges[name] = {
                "minimum": float(known.min()),
                "maximum": float(known.max()),
                "missing": float(1 - known.size / design.y.size),
            }
    return ranges


def _named(rows: Sequence[dict[str, Any]], prefix: str) -> list[dict[str, Any]]:
    """Return the rows whose metric begins with a prefix, with the rest of it as name."""
    keys = ("split", "value", "low", "high", "n_subjects", "n_lesions", "p_value", "reason")
    return [
        {"name": row["metric"].removeprefix(prefix), **{key: row[key] for key in keys}}
        for row in rows
        if row["metric"].startswith(prefix)
    ]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and np.isnan(value) else value
        for key, value in row.items()
    }


def _dump(fitted: Any, path: Path) -> None:
    """Write a fitted pipeline so that equal models give equal bytes.

    skops names objects by their address in memory and dates its members by the clock: addresses
    are numbered in order of appearance, dates fixed.
    """
    import io
    import re
    import zipfile

    import skops.io

    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(fitted))) as raw:
        content = {name: raw.read(name) for name in raw.namelist()}
    schema = content.pop("schema.json").decode("utf-8")
    order = dict.fromkeys(re.findall(r'"__id__": (\d+)|"(\d+)\.npy"', schema))
    number = {next(filter(None, found)): str(i) for i, found in enumerate(order, start=1)}
    schema = re.sub(r'(?<="__id__": )\d+', lambda m: number[m[0]], schema)
    schema = re.sub(r'(?<=")\d+(?=\.npy")', lambda m: number[m[0]], schema)
    members = {f"{number[Path(n).stem]}.npy": data for n, data in content.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as fixed:
        for name, data in sorted((members | {"schema.json": schema.encode()}).items()):
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            fixed.writestr(info, data)
