"""Reporting checklists, filled as far as a run can, with evidence; the rest is left to people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from afterglow import __version__
from afterglow.report.render import number

Row = Mapping[str, Any]
NAMES = ("metrics", "clear", "tripod_ai")
HUMAN = "a person must answer"


def fill_checklists(
    tables: Mapping[str, Sequence[Row]], cohort: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return every checklist with its items answered where the run knows the answer.

    Parameters
    ----------
    tables : mapping
        Rows of the tables by name.
    cohort : mapping
        Summary of the cohort stage.

    Returns
    -------
    dict
        By checklist: ``title``, ``source``, ``items`` (``item``, ``topic``, ``status`` in
        {``filled``, ``human``, ``not_applicable``}, ``answer``, ``evidence``, ``weight``),
        ``n_filled``, ``n`` and, where items have weights, ``weight_filled``.
    """
    facts = run_facts(tables, cohort)
    return {name: _fill(content, facts) for name, content in _sources().items()}


def run_facts(
    tables: Mapping[str, Sequence[Row]], cohort: Mapping[str, Any]
) -> dict[str, tuple[str, str]]:
    """Return what a run can state, by fact: the statement and where its evidence is."""
    sessions, lesions = tables.get("sessions", ()), tables.get("lesions", ())
    facts = {**_always(), **_data(sessions, lesions, tables.get("features", ()))}
    validated = bool((cohort.get("validation") or {}).get("possible"))
    if validated:
        facts |= _modelling(cohort, tables.get("performance", ()))
    return facts


def as_markdown(checklist: Mapping[str, Any]) -> str:
    """Return a filled checklist as Markdown."""
    lines = [f"# {checklist['title']}", "", checklist["source"], ""]
    lines += ["| item | topic | status | answer | evidence |", "|---|---|---|---|---|"]
    lines += [
        f"| {i['item']} | {i['topic']} | {i['status']} | {i['answer']} | {i['evidence']} |"
        for i in checklist["items"]
    ]
    return "\n".join(lines) + "\n"


def write_checklists(filled: Mapping[str, Mapping[str, Any]], folder: Path) -> list[str]:
    """Write each checklist as JSON and Markdown; return the file names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for name, content in sorted(filled.items()):
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
        (folder / f"{name}.md").write_text(as_markdown(content), encoding="utf-8")
        names += [f"{name}.json", f"{name}.md"]
    return names


@lru_cache(maxsize=1)
def _sources() -> dict[str, Any]:
    import yaml

    path = Path(__file__).with_name("checklists.yaml")
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def _fill(content: Mapping[str, Any], facts: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    weights = content.get("weights") or [None] * len(content["items"])
    items = []
    for (item, topic, fact), weight in zip(content["items"], weights, strict=True):
        answer, evidence = facts.get(fact, (HUMAN, ""))
        status = "human" if answer == HUMAN else "filled"
        if fact == "not_applicable":
            status, answer, evidence = "not_applicable", "no end-to-end network is used", ""
        items.append(
            {
                "item": str(item),
                "topic": topic,
                "status": status,
                "answer": answer,
                "evidence": evidence,
                "weight": weight,
            }
        )
    filled = [i for i in items if i["status"] == "filled"]
    out = {
        "title": content["title"],
        "source": content["source"],
        "items": items,
        "n": len(items),
        "n_filled": len(filled),
    }
    if content.get("weights"):
        out["weight_filled"] = round(sum(i["weight"] for i in filled), 4)
    return out


def _always() -> dict[str, tuple[str, str]]:
    """Return what holds for every run."""
    return {
        "checklists": ("METRICS, CLEAR and TRIPOD+AI are filled by the run", "cohort/reporting/"),
        "pipeline": ("one recorded chain from DICOM to this page", "ledger/records/"),
        "preprocessing": (
            (
                "bias, brain, registration, motion, leakage and normalization as the session pages"
                " describe, with quality verdicts"
            ),
            "derivatives/*.html; tables/sessions.parquet",
        ),
        "segmentation": (
            (
                "lesion masks as given by the centers where there are any; their file hash and"
                " rater are in the manifest"
            ),
            "index/manifests/",
        ),
        "software": (f"Afterglow {__version__} and the versions in each record", "ledger/records/"),
        "parameters": ("every setting with unit and default", "ledger/records/"),
        "code": (f"Afterglow {__version__}, Apache-2.0", "ledger/records/"),
        "tables": ("all features with dictionary", "tables/features.parquet"),
        "flow": ("counts and reasons at each step", "tables/flow.parquet"),
    }


def _data(
    sessions: Sequence[Row], lesions: Sequence[Row], features: Sequence[Row]
) -> dict[str, tuple[str, str]]:
    """Return what the tables say of the data."""
    facts = {}
    centers = sorted({str(r["center"]) for r in sessions})
    if centers:
        text = f"{len(centers)} center{'s' * (len(centers) > 1)}: {', '.join(centers)}"
        facts["centers"] = (text, "tables/sessions.parquet")
        facts["protocol"] = ("by session, with source of frame times", "tables/sessions.parquet")
        facts["characteristics"] = ("cohort table by center", "cohort/report.html#centers")
        facts["dates"] = ("days from radiosurgery; dates are shifted", "tables/sessions.parquet")
    labelled = [r for r in lesions if r.get("outcome")]
    if labelled:
        known = [r for r in labelled if r.get("outcome_days_from_srs") is not None]
        text = f"days from radiosurgery to the label known for {len(known)} of {len(labelled)} rows"
        facts["label_interval"] = (text, "tables/lesions.parquet")
        blind = sum(bool(r.get("outcome_blinded")) for r in labelled)
        text = f"{blind} of {len(labelled)} rows were labelled blind to perfusion"
        facts["blinding"] = (text, "tables/lesions.parquet")
        facts["clinical"] = ("columns of the lesions table", "tables/dictionary.md")
    if features:
        maps = sorted({str(r["map"]) for r in features})
        facts["maps"] = (", ".join(maps), "tables/dictionary.md")
        share = sum(bool(r["evaluable"]) for r in features) / len(features)
        text = f"{100 * share:.0f} % of medians are evaluable; the others have a reason"
        facts["evaluable"] = (text, "tables/features.parquet")
    return facts


def _modelling(cohort: Mapping[str, Any], performance: Sequence[Row]) -> dict[str, tuple[str, str]]:
    """Return what a validated model allows to state."""
    table, card = "tables/performance.parquet", "cohort/model/card.json"
    checks = cohort.get("checks") or {}
    events = number(checks.get("events_per_feature"))
    center = checks.get("center_confounding") or {}
    facts = {
        "dimension": (f"{events} events for each candidate feature", card),
        "split": ("nested cross-validation grouped by patient; leaving one center out", table),
        "measures": (
            (
                "area under the ROC curve, sensitivity, specificity, predictive values,"
                " Brier score, calibration, net benefit"
            ),
            table,
        ),
        "uncertainty": (
            (
                "clustered DeLong (Obuchowski), patient bootstrap, exact intervals,"
                " permutation of labels by patient"
            ),
            table,
        ),
        "clusters": ("areas by center, by subgroup, and with each center left out", table),
        "univariate": (
            (
                f"{checks.get('n_features_tested')} features one by one,"
                f" {checks.get('n_features_after_holm')} with P < 0.05 after Holm's correction"
            ),
            "tables/feature_tests.parquet",
        ),
        "calibration": ("slope, intercept and plot", "cohort/figures/calibration.png"),
        "baselines": ("clinical-only and volume-only models beside", table),
        "missing": ("median and missingness indicator, inside the folds", card),
        "imbalance": ("no resampling; predictive values at a stated prevalence", table),
        "scaling": ("standardized inside the folds", card),
        "selection": ("ridge penalty tuned inside the folds; no selection before them", card),
        "algorithm": ("penalized logistic regression; alternatives beside", card),
        "interpretability": ("coefficients; contributions for each lesion", card),
        "output": ("probability of progression; 0.5 where a call is needed", table),
        "performance": (_areas(performance), table),
        "model": ("skops file with card", card),
    }
    if center:
        text = f"share of progressions by center tested, p = {number(center.get('p'))}"
        facts["confounding"] = (f"{text}; areas within center", table)
    return facts


def _areas(performance: Sequence[Row]) -> str:
    """Return the areas of the first models with their intervals."""
    areas = [
        r for r in performance if r["metric"] == "auc" and not str(r["model"]).startswith("rule:")
    ]
    return "; ".join(
        f"{r['model']} {r['split']} {number(r['value'], 2)}"
        f" ({number(r['low'], 2)} to {number(r['high'], 2)})"
        for r in areas[:4]
    )
