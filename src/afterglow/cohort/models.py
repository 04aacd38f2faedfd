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
    ``features`` picks columns (None: all); ``combat`` is the number of lesions from which a
    center's features are harmonized inside the folds (None: never).
    """

    name: str
    make: Callable[[dict[str, Any]], Any]
    grid: tuple[dict[str, Any], ...]
    features: tuple[str, ...] | None = None
    combat: int | None = None

    def pick(self, names: Sequence[str]) -> list[str]:
        """Return the feature names this model uses, of those there are."""
        return [n for n in names if self.features is None or n in self.features]


def model_spec(
    name: str, *, indicators: bool = True, seed: int = 0, combat: int | None = None
) -> ModelSpec:
    """Return a candidate model by name.

    Parameters
    ----------
    name : {"logistic", "sparse", "boosting", "clinical_perfusion", "clinical_only", "volume_only"}
        Logistic regression on all features, with a ridge penalty or one that selects (L1),
        gradient boosting, and small logistic models on named columns.
    indicators : bool
        Whether missingness is a feature.
    seed : int
        Seed of the boosting.
    combat : int, optional
        Lesions a center needs for ComBat; None leaves features as measured.
    """

    def logistic(choice: dict[str, Any]) -> Any:
        return _logistic(choice["C"], indicators)

    def sparse(choice: dict[str, Any]) -> Any:
        return _logistic(choice["C"], indicators, selecting=True)

    def boosting(choice: dict[str, Any]) -> Any:
        return _boosting(choice["learning_rate"], seed)

    weak = tuple({"C": c} for c in (0.001, 0.01, 0.1, 1.0))
    some = tuple({"C": c} for c in (0.03, 0.1, 0.3, 1.0))
    few = tuple({"C": c} for c in (0.1, 1.0, 10.0))
    known = {
        "logistic": ModelSpec("logistic", logistic, weak, None, combat),
        "sparse": ModelSpec("sparse", sparse, some, None, combat),
        "boosting": ModelSpec(
            "boosting", boosting, tuple({"learning_rate": r} for r in (0.05, 0.15)), None, combat
        ),
        "clinical_perfusion": ModelSpec(
            "clinical_perfusion", logistic, few, (*CLINICAL, *VOLUME, *PERFUSION), combat
        ),
        "clinical_only": ModelSpec("clinical_only", logistic, few, CLINICAL),
        "volume_only": ModelSpec("volume_only", logistic, few, VOLUME),
    }
    return known[name]


def _logistic(strength: float, indicators: bool, selecting: bool = False) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    steps: list[tuple[str, Any]] = [
        (
            "impute",
            SimpleImputer(strategy="median", add_indicator=indicators, keep_empty_features=True),
        ),
        ("scale", StandardScaler()),
    ]
    if selecting:
        # liblinear penalizes the intercept too; a large scale makes that harmless.
        model = LogisticRegression(
            C=strength, l1_ratio=1.0, solver="liblinear", intercept_scaling=100.0, random_state=0
        )
    else:
        model = LogisticRegression(C=strength, max_iter=2000)
    return Pipeline([*steps, ("fit", model)])


def _boosting(rate: float, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import Pipeline

    return Pipeline(
        [
            (
                "fit",
                HistGradientBoostingClassifier(
                    learning_rate=rate,
                    max_iter=40,
                    max_leaf_nodes=7,
                    min_samples_leaf=10,
                    l2_regularization=1.0,
                    early_stopping=False,
                    random_state=seed,
                ),
            )
        ]
    )
