"""The models: scikit-learn pipelines in which everything that learns, learns inside a fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

CLINICAL = ("days_from_srs", "prescribed_dose", "fractions")
VOLUME = ("volume", "volume_change_nadir")
PERFUSION = (
    "lesion_rCBV_median",
    "lesion_PSR_median",
    "lesion_Ktrans_median",
    "lesion_vp_median",
)


@dataclass(frozen=True)
class ModelSpec:
    """One candidate model.

    ``make`` builds an unfitted pipeline from one of ``grid``, which tunes its last step only;
    ``features`` picks columns (None: all).
    """

    name: str
    make: Callable[[dict[str, Any]], Any]
    grid: tuple[dict[str, Any], ...]
    features: tuple[str, ...] | None = None

    def pick(self, names: Sequence[str]) -> list[str]:
        """Return the feature names this model uses, of those there are."""
        return [n for n in names if self.features is None or n in self.features]


def model_spec(name: str, *, indicators: bool = True, seed: int = 0) -> ModelSpec:
    """Return a candidate model by name.

    Parameters
    ----------
    name : {"logistic", "boosting", "clinical_perfusion", "clinical_only", "volume_only"}
        Penalized logistic regression on all features, gradient boosting, and small logistic
        models on named columns.
    indicators : bool
        Whether missingness is a feature.
    seed : int
        Seed of the boosting.
    """

    def logistic(choice: dict[str, Any]) -> Any:
        return _logistic(choice["C"], indicators)

    def boosting(choice: dict[str, Any]) -> Any:
        return _boosting(choice["learning_rate"], seed)

    weak = tuple({"C": c} for c in (0.001, 0.01, 0.1, 1.0))
    few = tuple({"C": c} for c in (0.1, 1.0, 10.0))
    known = {
        "logistic": ModelSpec("logistic", logistic, weak),
        "boosting": ModelSpec(
            "boosting", boosting, tuple({"learning_rate": r} for r in (0.02, 0.1))
        ),
        "clinical_perfusion": ModelSpec(
            "clinical_perfusion", logistic, few, (*CLINICAL, *VOLUME, *PERFUSION)
        ),
        "clinical_only": ModelSpec("clinical_only", logistic, few, CLINICAL),
        "volume_only": ModelSpec("volume_only", logistic, few, VOLUME),
    }
    return known[name]


def _logistic(strength: float, indicators: bool) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    return Pipeline(
        [
            (
                "impute",
                SimpleImputer(
                    strategy="median", add_indicator=indicators, keep_empty_features=True
                ),
            ),
            ("scale", StandardScaler()),
            ("fit", LogisticRegression(C=strength, max_iter=2000)),
        ]
    )


def _boosting(rate: float, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import Pipeline

    return Pipeline(
        [
            (
                "fit",
                HistGradientBoostingClassifier(
                    learning_rate=rate,
                    max_iter=60,
                    max_leaf_nodes=7,
                    min_samples_leaf=10,
                    l2_regularization=1.0,
                    early_stopping=False,
                    random_state=seed,
                ),
            )
        ]
    )
