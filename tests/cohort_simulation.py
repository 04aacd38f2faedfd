"""Cohorts with known signal: patients, lesions, centers, shifts and missing perfusion."""

from __future__ import annotations

import numpy as np

from afterglow.cohort.design import Design


def simulate(
    seed: int,
    *,
    n_patients: int = 60,
    n_features: int = 12,
    n_centers: int = 4,
    signal: float = 0.0,
    events: float = 0.3,
    prevalence_spread: float = 0.0,
    patient_sd: float = 1.0,
    shift: float = 0.5,
    signature: float = 0.5,
    missing: float = 0.0,
) -> Design:
    """Return a cohort of 1 to 5 lesions a patient; three features carry ``signal``.

    ``signature`` is how much lesions of one patient resemble each other.
    """
    rng = np.random.default_rng(seed)
    spread = np.linspace(-1, 1, n_centers) * prevalence_spread
    shifts = rng.normal(0, shift, (n_centers, n_features))
    x, y, patients, centers = [], [], [], []
    for i in range(n_patients):
        center = i % n_centers
        common = rng.normal(0, patient_sd)
        own = rng.normal(0, signature, n_features)
        for _ in range(1 + rng.integers(0, 5)):
            values = rng.normal(0, 1, n_features) + own
            logit = np.log(events / (1 - events)) + spread[center] + common
            logit += signal * (values[0] + values[1] - values[2])
            y.append(int(rng.random() < 1 / (1 + np.exp(-logit))))
            seen = values + shifts[center]
            if missing and rng.random() < missing * (1 + center) / n_centers:
                seen[n_features // 2 :] = np.nan
            x.append(seen)
            patients.append(f"p{i:03d}")
            centers.append(f"c{center}")
    return Design(
        np.array(x),
        np.array(y),
        np.array(patients),
        np.array(centers),
        tuple(f"f{i}" for i in range(n_features)),
        tuple(f"{p}/L{i:03d}/s1" for i, p in enumerate(patients)),
    )
