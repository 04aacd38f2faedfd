"""What the cohort step found, as Parquet and as tables that a journal takes (CSV and LaTeX)."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from afterglow.cohort.modelling import Analysis

Row = Mapping[str, Any]
Sheet = tuple[str, Sequence[str], list[list[str]]]
SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def write_validation(found: Analysis, folder: Path, journal: Path) -> list[str]:
    """Write the tables of a validation and their journal form; return the journal's file names.

    Parameters
    ----------
    found : Analysis
        What was found.
    folder : Path
        Gets ``predictions``, ``performance``, ``validation_curves`` and ``feature_tests``
        (Parquet).
    journal : Path
        Gets each sheet of ``sheets`` as CSV and as a LaTeX table.
    """
    from afterglow.tables.models import (
        FeatureTestRow,
        PerformanceRow,
        PredictionRow,
        ValidationCurveRow,
    )
    from afterglow.tables.write import write_table

    for name, rows, model in (
        ("predictions", found.predictions, PredictionRow),
        ("performance", found.performance, PerformanceRow),
        ("validation_curves", found.curves, ValidationCurveRow),
        ("feature_tests", found.features, FeatureTestRow),
    ):
        write_table(rows, model, folder / f"{name}.parquet")
    journal.mkdir(parents=True, exist_ok=True)
    names = []
    for name, (caption, header, lines) in sheets(found).items():
        if not lines:
            continue
        (journal / f"{name}.csv").write_text(as_csv(header, lines), encoding="utf-8")
        text = as_latex(caption, header, lines)
        (journal / f"{name}.tex").write_text(text, encoding="utf-8")
        names += [f"{name}.csv", f"{name}.tex"]
    return names


def sheets(found: Analysis) -> dict[str, Sheet]:
    """Return the tables of a paper by name: caption, header, rows of text."""
    models = [r for r in found.performance if not r["model"].startswith("rule:")]
    rules = [r for r in found.performance if r["model"].startswith("rule:")]
    return {
        "models": (
            (
                "Discrimination, calibration and net benefit of each model by nested"
                " cross-validation grouped by patient and by leaving one center out."
            ),
            ("Model", "Validation", "Measure", "Estimate (95 % CI)", "P", "Patients", "Lesions"),
            [_measure(r) for r in models if ":" not in r["metric"] or "@" in r["metric"]],
        ),
        "centers_and_subgroups": (
            "Area under the ROC curve by center and subgroup.",
            ("Model", "Validation", "Group", "Estimate (95 % CI)", "P", "Patients", "Lesions"),
            [_measure(r) for r in models if r["metric"].startswith(("auc_center", "auc_subgroup"))],
        ),
        "comparisons": (
            (
                "Differences in area between models, baselines and published rules on the same"
                " lesions."
            ),
            ("Model", "Validation", "Less", "Difference (95 % CI)", "P", "Patients", "Lesions"),
            [_measure(r) for r in models if r["metric"].startswith("auc_less_")],
        ),
        "rules": (
            "Published rules applied to the labelled lesions of this study.",
            ("Rule", "Lesions judged", "Measure", "Estimate (95 % CI)", "P", "Patients", "Lesions"),
            [_measure(r) for r in rules],
        ),
        "features": (
            "Candidate features one by one: area within center; P adjusted for all features.",
            ("Feature", "Lesions", "Missing, %", "Area (95 % CI)", "P", "P (Holm)", "FDR"),
            [_feature(r) for r in found.features],
        ),
    }


def as_csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""Return rows as CSV with a header.

    Examples
    --------
    >>> as_csv(["a", "b"], [["1", "x, y"]])
    'a,b\n1,"x, y"\n'
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return stream.getvalue()


def as_latex(caption: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows as a LaTeX ``longtable`` with rules of the package ``booktabs``."""
    lines = [" & ".join(map(escaped, row)) + r" \\" for row in rows]
    head = " & ".join(map(escaped, header)) + r" \\"
    return "\n".join(
        [
            r"% needs the packages booktabs and longtable",
            rf"\begin{{longtable}}{{{'l' * len(header)}}}",
            rf"\caption{{{escaped(caption)}}} \\",
            r"\toprule",
            head,
            r"\midrule",
            r"\endhead",
            *lines,
            r"\bottomrule",
            r"\end{longtable}",
            "",
        ]
    )


def escaped(text: str) -> str:
    r"""Return text with the characters that LaTeX reads as commands escaped.

    Examples
    --------
    >>> escaped("rCBV_max > 2 %")
    'rCBV\\_max \\textgreater{} 2 \\%'
    """
    return "".join(SPECIAL.get(c, c) for c in text).replace("−", "$-$")


def _measure(row: Row) -> list[str]:
    metric = str(row["metric"])
    for prefix in ("auc_center:", "auc_subgroup:", "auc_less_rule:", "auc_less_"):
        metric = metric.removeprefix(prefix)
    return [
        str(row["model"]).removeprefix("rule:"),
        str(row["split"]),
        metric,
        _estimate(row, "value"),
        _p(row["p_value"]),
        str(row["n_subjects"]),
        str(row["n_lesions"]),
    ]


def _feature(row: Row) -> list[str]:
    return [
        str(row["feature"]),
        str(row["n_lesions"]),
        f"{100 * row['missing']:.0f}",
        _estimate(row, "auc"),
        _p(row["p_value"]),
        _p(row["p_holm"]),
        _p(row["q_value"]),
    ]


def _estimate(row: Row, name: str) -> str:
    if math.isnan(row[name]):
        return "not estimable"
    if math.isnan(row["low"]):
        return f"{row[name]:.3f}"
    return f"{row[name]:.3f} ({row['low']:.3f} to {row['high']:.3f})"


def _p(value: float) -> str:
    if math.isnan(value):
        return ""
    return "<0.001" if value < 0.001 else f"{value:.3f}"
