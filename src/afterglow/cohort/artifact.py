"""The fitted model and its card; skops instead of pickle, so that loading runs no code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from afterglow import __version__
from afterglow.cohort.analysis import Analysis, candidate_models
from afterglow.cohort.design import Design
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
        fitted, choice = fit_final(design, spec, inner=config.inner_folds, seed=config.seed)
        _dump(fitted, folder / MODEL_FILE)
        card |= _describe(design, found, spec.name, choice, spec.pick(design.names))
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(card, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / CARD_FILE).write_text(text + "\n", encoding="utf-8")
    return {"fitted": card["fitted"], "model": card.get("model"), "reason": card.get("reason", "")}


def _describe(
    design: Design, found: Analysis, name: str, choice: dict[str, Any], features: list[str]
) -> dict[str, Any]:
    import sklearn

    own = [row for row in found.performance if row["model"] == name]
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
        "performance": [_plain(row) for row in own],
        "checks": {k: v for k, v in found.checks.items() if k != "permuted_auc"},
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
