"""Synthetic feature tables: schema, signal, prevalence, shifts and gaps are as asked for."""

from __future__ import annotations

import numpy as np
import pytest

from afterglow.phantom.tables import DEFAULT_SIGNAL, feature_names, generate
from afterglow.tables.models import WideRow

KEYS = list(WideRow.KEYS)


def _auc(score: np.ndarray, label: np.ndarray) -> float:
    order = score.argsort().argsort() + 1
    n = label.sum()
    return float((order[label].sum() - n * (n + 1) / 2) / (n * (len(label) - n)))


def test_rows_have_the_schema_of_the_wide_table_and_are_reproducible() -> None:
    table = generate(patients=30, lesions_per_patient=(2, 4), sessions=2, seed=4)
    known = [name for name in WideRow.model_fields if name not in KEYS]
    assert list(table.columns[:8]) == [*KEYS, *known]
    assert list(table.columns[8:]) == list(feature_names(24))
    assert not table.duplicated(KEYS).any()
    assert table.groupby("subject").lesion_id.nunique().between(2, 4).all()
    assert table.groupby(["subject", "lesion_id"]).outcome.nunique().eq(1).all()
    again = generate(patients=30, lesions_per_patient=(2, 4), sessions=2, seed=4)
    assert table.equals(again)
    assert not table.equals(generate(patients=30, lesions_per_patient=(2, 4), sessions=2, seed=5))


def test_signal_is_in_the_chosen_features_only_and_absent_at_zero() -> None:
    wanted = {"CBF.lesion.median": 2.0}
    table = generate(
        patients=1500, lesions_per_patient=2, features=12, signal=wanted, shift=0.0, seed=2
    )
    label = (table.outcome == "progression").to_numpy()
    areas = {name: _auc(table[name].to_numpy(), label) for name in table.columns[8:]}
    assert areas.pop("CBF.lesion.median") > 0.8
    assert max(abs(area - 0.5) for area in areas.values()) < 0.05
    none = generate(patients=1500, lesions_per_patient=2, features=12, signal=0.0, seed=2)
    label = (none.outcome == "progression").to_numpy()
    assert all(abs(_auc(none[n].to_numpy(), label) - 0.5) < 0.05 for n in DEFAULT_SIGNAL)


def test_prevalence_gaps_and_shifts_differ_between_centers_as_asked() -> None:
    table = generate(
        patients=3000,
        lesions_per_patient=2,
        centers=("a", "b"),
        prevalence=(0.2, 0.6),
        missing=(0.0, 0.5),
        shift=1.0,
        seed=3,
    )
    share = (table.outcome == "progression").groupby(table.center).mean()
    assert share.to_numpy() == pytest.approx([0.2, 0.6], abs=0.03)
    dsc = [n for n in table.columns[8:] if n.startswith(("rCBV", "PSR", "CBF"))]
    gone = table[dsc].isna()
    assert gone.any(axis=1).equals(gone.all(axis=1))
    empty = gone.all(axis=1).groupby(table.center).mean()
    assert empty.to_numpy() == pytest.approx([0.0, 0.5], abs=0.04)
    assert not table["T1.lesion.median"].isna().any()
    means = np.log(table["T1.lesion.median"]).groupby(table.center).mean()
    assert abs(means["a"] - means["b"]) > 0.02


def test_lesions_of_one_patient_resemble_each_other() -> None:
    table = generate(patients=2000, lesions_per_patient=2, likeness=0.6, shift=0.0, seed=6)
    values = np.log(table["ve.lesion.median"].to_numpy()).reshape(-1, 2)
    assert np.corrcoef(values.T)[0, 1] == pytest.approx(0.6, abs=0.05)


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="names no feature"):
        generate(features=3, signal={"nothing.lesion.mean": 1.0})
    with pytest.raises(ValueError, match="2 values for 3 centers"):
        generate(prevalence=(0.2, 0.4))
    with pytest.raises(ValueError, match="between 0 and 1"):
        generate(missing=1.5)
