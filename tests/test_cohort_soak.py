"""The long proof behind docs/cohort-simulations.md: 200 cohorts, or a file of results of them.

``AFTERGLOW_COHORTS`` names a file that ``benchmarks/cohort_simulation.py run`` wrote; without it
the cohorts are simulated here, which takes the better part of an hour.
"""

from __future__ import annotations

import os
import runpy
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.soak
BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks/cohort_simulation.py"


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    simulation = runpy.run_path(str(BENCHMARK))
    given = os.environ.get("AFTERGLOW_COHORTS")
    path = Path(given) if given else tmp_path_factory.mktemp("cohorts") / "results.jsonl"
    if not given:
        simulation["run"](path, 200, 5 * 200)
    return simulation["read"](path)


def of(rows, job, **wanted):
    found = [r for r in rows if r["job"].startswith(job)]
    return [r for r in found if all(r.get(k) == v for k, v in wanted.items())]


def column(rows, name):
    return np.array([row[name] for row in rows])


def test_every_model_finds_nothing_in_nothing(rows):
    null = of(rows, "null")
    models = {(r["model"], r["split"]) for r in null}
    assert len(models) == 12
    for model, split in sorted(models):
        own = column(of(null, "null", model=model, split=split), "auc")
        assert own.size == 200
        assert 0.47 < own.mean() < 0.53, (model, split)


def test_the_confounding_flag_is_raised_where_prevalence_differs(rows):
    assert column(of(rows, "confounded", model="unequal"), "flag").mean() >= 0.9
    assert column(of(rows, "confounded", model="equal"), "flag").mean() <= 0.1


@pytest.mark.parametrize("model", ["logistic", "clinical_perfusion"])
def test_nested_estimates_are_unbiased_and_their_intervals_cover(rows, model):
    own = of(rows, "signal", model=model)
    assert len(own) == 200
    auc, truth = column(own, "auc"), column(own, "external")
    assert abs((auc - truth).mean()) < 0.02
    covered = (column(own, "low") <= truth) & (truth <= column(own, "high"))
    assert 0.90 <= covered.mean() <= 0.98
