"""Classification of a plain table: validate models on labels, or apply a saved model."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from afterglow.cohort.analysis import Analysis, validate
from afterglow.cohort.artifact import CARD_FILE, MODEL_FILE, save_model
from afterglow.cohort.tabular import read_features, read_outcomes, to_design
from afterglow.config.cohort import CohortConfig
from afterglow.errors import AfterglowError

# How far beyond the range of the training lesions a feature may lie, as a share of that range.
MARGIN = 0.1


def classify_table(
    path: Path,
    outcomes: Path,
    out: Path,
    *,
    config: CohortConfig | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Analysis:
    """Validate models on a feature table and labels, and write what was found.

    Parameters
    ----------
    path : Path
        Parquet or CSV; ``subject`` and ``lesion_id``, optionally ``session`` and ``center``, and
        numeric features, one row per lesion; or the long form of the features table.
    outcomes : Path
        CSV or Parquet: ``subject``, ``lesion_id``, ``label``.
    out : Path
        Folder for ``predictions.parquet``, ``performance.parquet`` and ``model/``.

    Raises
    ------
    AfterglowError
        A missing or malformed column; no labelled lesion.
    """
    from afterglow.tables.models import PerformanceRow, PredictionRow
    from afterglow.tables.write import write_table

    settings = config or CohortConfig()
    rows = read_features(path)
    design = to_design(rows, read_outcomes(outcomes, settings.mixed))
    say(f"{design.y.size} labelled lesions of {design.n_patients} patients, {len(rows)} rows")
    found = validate(design, settings, say)
    write_table(found.predictions, PredictionRow, out / "predictions.parquet")
    write_table(found.performance, PerformanceRow, out / "performance.parquet")
    save_model(found, settings, out / "model")
    return found


def apply_model(folder: Path, path: Path) -> list[dict[str, Any]]:
    """Apply a saved model to the lesions of a table.

    A lesion gets no probability where a feature lies outside of the range of the training
    lesions, or where features are missing that those always had.

    Returns
    -------
    list of dict
        ``subject``, ``lesion_id``, ``session``, ``probability`` (NaN where refused), ``reasons``,
        and ``explanation``: the contribution (log odds) of the five strongest features.

    Raises
    ------
    AfterglowError
        There is no fitted model, or the table lacks a feature of it.
    """
    card = read_card(folder)
    rows = read_features(path)
    lacking = [n for n in card["features"] if n not in rows[0]["features"]]
    if lacking:
        raise AfterglowError(
            f"the table lacks {len(lacking)} features of the model: {', '.join(lacking[:5])}",
            where=path.name,
        )
    fitted = _load(folder / MODEL_FILE)
    return [_one(row, card, fitted) for row in rows]


def read_card(folder: Path) -> dict[str, Any]:
    """Return the card of a fitted model.

    Raises
    ------
    AfterglowError
        No card, or the card says that no model was fitted.
    """
    path = folder / CARD_FILE
    if not path.exists():
        raise AfterglowError("there is no model", where=folder.name, expected=CARD_FILE)
    card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if not card["fitted"]:
        raise AfterglowError(
            f"no model was fitted, because {card.get('reason') or 'it was not possible'}",
            where=folder.name,
        )
    return card


def outside_domain(
    features: Mapping[str, float], domain: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """Return why a lesion lies outside of what a model was fitted to.

    Examples
    --------
    >>> outside_domain({"rCBV": 9.0}, {"rCBV": {"minimum": 0.5, "maximum": 4.0, "missing": 0.0}})
    ['rCBV:9 outside 0.5 to 4']
    """
    reasons = []
    for name, limits in sorted(domain.items()):
        value = features[name]
        low, high = limits["minimum"], limits["maximum"]
        room = MARGIN * (high - low)
        if math.isnan(value):
            if limits["missing"] == 0:
                reasons.append(f"{name}:missing")
        elif not low - room <= value <= high + room:
            reasons.append(f"{name}:{value:.4g} outside {low:.4g} to {high:.4g}")
    return reasons


def _one(row: Mapping[str, Any], card: Mapping[str, Any], fitted: Any) -> dict[str, Any]:
    names: Sequence[str] = card["features"]
    reasons = outside_domain(row["features"], card["domain"])
    x = np.array([[row["features"][name] for name in names]])
    probability = math.nan if reasons else float(fitted.predict_proba(x)[0, 1])
    return {
        "subject": row["subject"],
        "lesion_id": row["lesion_id"],
        "session": row["session"],
        "probability": probability,
        "reasons": reasons,
        "explanation": {} if reasons else _explain(fitted, x, names),
    }


def _explain(fitted: Any, x: np.ndarray[Any, Any], names: Sequence[str]) -> dict[str, float]:
    """Return the strongest contributions to the log odds; empty for models without coefficients."""
    model = fitted.named_steps["fit"]
    if not hasattr(model, "coef_"):
        return {}
    scaled = fitted[:-1].transform(x)[0]
    labels = [str(n) for n in fitted[:-1].get_feature_names_out(list(names))]
    parts = dict(zip(labels, (scaled * model.coef_[0]).tolist(), strict=True))
    strongest = sorted(parts, key=lambda n: -abs(parts[n]))[:5]
    return {name: round(parts[name], 4) for name in strongest}


def _load(path: Path) -> Any:
    import skops.io

    unknown = skops.io.get_untrusted_types(file=path)
    # skops trusts what scikit-learn ships; anything else in the file is not ours.
    foreign = [name for name in unknown if not name.startswith(("sklearn.", "numpy."))]
    if foreign:
        raise AfterglowError(
            f"the model file holds {foreign[0]}",
            where=path.name,
            expected="types of scikit-learn and numpy only",
        )
    return skops.io.load(path, trusted=unknown)
