"""A fitted model: harmonization and pipeline together, both learnt from the same lesions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterglow.cohort.design import Design
from afterglow.cohort.harmonization import ComBat, fit_combat
from afterglow.cohort.models import ModelSpec

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fitted:
    """A pipeline and the harmonization before it (None: features as measured)."""

    pipeline: Any
    combat: ComBat | None
    names: tuple[str, ...]

    def prepared(self, x: Floats, centers: NDArray[np.str_]) -> Floats:
        """Return features as the pipeline takes them."""
        return x if self.combat is None else self.combat.transform(x, centers)

    def probability(self, x: Floats, centers: NDArray[np.str_]) -> Floats:
        """Return the probability of progression of each row of ``x`` (n, p)."""
        return np.asarray(self.pipeline.predict_proba(self.prepared(x, centers))[:, 1])

    def weights(self) -> dict[str, float]:
        """Return log odds for one standard deviation of each feature; empty without any."""
        last = self.pipeline.named_steps["fit"]
        if not hasattr(last, "coef_"):
            return {}
        labels = self.pipeline[:-1].get_feature_names_out(list(self.names))
        found = zip(labels, last.coef_[0], strict=True)
        return {str(name): float(weight) for name, weight in found}


def fit(spec: ModelSpec, choice: dict[str, Any], part: Design) -> Fitted:
    """Fit one setting of a model to the lesions of a design, which holds its features only."""
    x, combat = harmonized(spec, part)
    return Fitted(spec.make(choice).fit(x, part.y), combat, part.names)


def harmonized(spec: ModelSpec, part: Design) -> tuple[Floats, ComBat | None]:
    """Return the features of training lesions as a model takes them, and what was fitted."""
    if spec.combat is None:
        return part.x, None
    combat = fit_combat(part.x, part.centers, part.names, minimum=spec.combat)
    return combat.transform(part.x, part.centers), combat
