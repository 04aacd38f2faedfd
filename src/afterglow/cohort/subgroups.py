"""Groups of lesions for which a model's figures are given on their own."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from afterglow.cohort.design import Design

Chosen = NDArray[np.bool_]
EARLY_DAYS = 180.0


def subgroups(design: Design) -> dict[str, Chosen]:
    """Return named groups of lesions, as far as the features tell them apart.

    Returns
    -------
    dict
        Masks (n,): small and large lesions (about the median volume), scans early and late after
        radiosurgery, lesions with and without missing features, patients with one lesion and
        with several. Groups that hold everyone are left out.
    """
    found: dict[str, Chosen] = {}
    for name, column, border in (
        ("volume", "volume", None),
        ("scan", "days_from_srs", EARLY_DAYS),
    ):
        if column in design.names:
            values = design.x[:, design.names.index(column)]
            known = np.isfinite(values)
            if known.any():
                at = float(np.median(values[known])) if border is None else border
                low, high = ("small", "large") if border is None else ("early", "late")
                found[f"{name}_{low}"] = known & (values <= at)
                found[f"{name}_{high}"] = known & (values > at)
    complete = np.asarray(np.isfinite(design.x).all(axis=1), dtype=np.bool_)
    sizes = Counter(design.patients.tolist())
    single = np.array([sizes[p] == 1 for p in design.patients.tolist()], dtype=bool)
    found |= {"features_complete": complete, "features_missing": ~complete}
    found |= {"patient_one_lesion": single, "patient_several_lesions": ~single}
    return {name: mask for name, mask in found.items() if mask.any() and not mask.all()}
