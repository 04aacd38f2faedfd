"""Classification of a plain table: validate models on labels, or apply a saved model."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterglow.cohort.artifact import CARD_FILE, MODEL_FILE, save_model
from afterglow.cohort.fitting import Fitted
from afterglow.cohort.harmonization import from_dict
from afterglow.cohort.modelling import Analysis, validate
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
        Folder for ``predictions``, ``performance``, ``validation_curves`` and ``feature_tests``
        (Parquet), ``journal/`` (CSV and LaTeX) and ``model/``.

    Raises
    ------
    AfterglowError
        A missing or malformed column; no labelled lesion.
    """
    from afterglow.cohort.outputs import write_validation

    settings = config or CohortConfig()
    rows = read_features(path)
    design = to_design(rows, read_outcomes(outcomes, settings.mixed))
    say(f"{design.y.size} labelled lesions of {design.n_patients} patients, {len(rows)} rows")
    found = validate(design, settings, say)
    forget_optional(out)
    write_validation(found, out, out / "journal")
    save_model(found, settings, out / "model")
    return found


def forget_optional(out: Path) -> None:
    """Remove from a folder of results what not every classification writes.

    A model and journal tables of an earlier run would otherwise pass for those of the next. The
    card goes first: a model without a card is none.
    """
    from afterglow.cohort.outputs import sheets

    nothing = Analysis(rules=[], predictions=[], performance=[], validation={}, flow=[])
    journal = [f"journal/{name}.{kind}" for name in sheets(nothing) for kind in ("csv", "tex")]
    for name in (f"model/{CARD_FILE}", f"model/{MODEL_FILE}", *journal):
        (out / name).unlink(missing_ok=True)


def apply_model(folder: Path, path: Path) -> list[dict[str, Any]]:
    """Apply a saved model to the lesions of a table.

    A lesion gets no probability where a feature lies outside of the range of the training
    lesions, or where features are missing that those always had. A center that the model was
    not harmonized to is used as measured, and the reasons say so.

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
    names = tuple(card["features"])
    content = card.get("harmonization")
    combat = None if content is None else from_dict(content, names)
    fitted = Fitted(_load(folder / MODEL_FILE), combat, names)
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


def _one(row: Mapping[str, Any], card: Mapping[str, Any], fitted: Fitted) -> dict[str, Any]:
    reasons = outside_domain(row["features"], card["domain"])
    x = np.array([[row["features"][name] for name in fitted.names]])
    center = np.array([str(row["center"])])
    notes = []
    if fitted.combat is not None and row["center"] not in fitted.combat.centers:
        notes.append("center_not_harmonized")
    probability = math.nan if reasons else float(fitted.probability(x, center)[0])
    return {
        "subject": row["subject"],
        "lesion_id": row["lesion_id"],
        "session": row["session"],
        "probability": probability,
        "reasons": [*reasons, *notes],
        "explanation": {} if reasons else _explain(fitted, x, center),
    }


def _explain(fitted: Fitted, x: NDArray[np.float64], center: NDArray[np.str_]) -> dict[str, float]:
    """Return the strongest contributions to the log odds; empty for models without coefficients."""
    weights = fitted.weights()
    if not weights:
        return {}
    scaled = fitted.pipeline[:-1].transform(fitted.prepared(x, center))[0]
    parts = {n: float(v) * weights[n] for n, v in zip(weights, scaled, strict=True) if weights[n]}
    strongest = sorted(parts, key=lambda n: -abs(parts[n]))[:5]
    return {name: round(parts[name], 4) for name in strongest}


def _load(path: Path) -> Any:
    import skops.io

    if not path.exists():
        raise AfterglowError(
            "the model has a card but no file",
            where=path.parent.name,
            expected=path.name,
            remedy="`afterglow classify --outcomes` writes both",
        )
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
