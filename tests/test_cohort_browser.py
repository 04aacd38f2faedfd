"""The cohort report in a browser: silent, self-contained, accessible, printable."""

from __future__ import annotations

import re

import pytest

from afterglow.cohort.analysis import analyse, rule_catalogue
from afterglow.cohort.figures import validation_figures
from afterglow.cohort.rule_files import load_rules
from afterglow.config.cohort import CohortConfig
from afterglow.report.checklists import fill_checklists
from afterglow.report.cohort import cohort_page
from afterglow.report.render import data_uri
from browser import axe_violations, chromium, console_errors, outside_requests, print_pdf
from cohort_tables import study_tables
from test_cohort_validation import many_tables


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report with everything in it: failures, courses, rules, models, checklists."""
    chromium()
    folder = tmp_path_factory.mktemp("page")
    config = CohortConfig(
        models=["logistic"], bootstrap=20, permutations=2, outer_folds=3, inner_folds=2
    )
    found = analyse(many_tables(), config)
    # Models of many subjects, and of the rest of the page as little as shows every part of it.
    tables = study_tables() | {"performance": found.performance, "feature_tests": found.features}
    tables["rules"] = analyse(study_tables(), config).rules
    summary = {"validation": found.validation, "flow": found.flow, "checks": found.checks}
    figures = [
        {"src": data_uri(folder / name), "alt": name.split(".")[0], "caption": name}
        for name in validation_figures(found, folder)
    ]
    html = cohort_page(
        tables,
        summary,
        rule_catalogue(load_rules()),
        study="demo",
        accuracy=None,
        figures=figures,
        checklists=list(fill_checklists(tables, summary).values()),
        record_id="e" * 64,
    )
    path = folder / "report.html"
    path.write_text(html, encoding="utf-8")
    return path


def test_the_report_opens_without_errors_or_outside_requests(page, tmp_path):
    assert console_errors(page, tmp_path) == []
    assert outside_requests(page, tmp_path) == []


def test_axe_sees_what_is_wrong(tmp_path):
    path = tmp_path / "bad.html"
    path.write_text("<!doctype html><html><body><img src='data:,'></body></html>")
    found = {v["id"] for v in axe_violations(path, tmp_path)}
    assert {"image-alt", "html-has-lang", "document-title"} <= found


@pytest.mark.parametrize("look", ["light", pytest.param("dark", marks=pytest.mark.soak)])
def test_the_report_passes_axe(page, tmp_path, look):
    flags = (
        ("--force-dark-mode", "--blink-settings=preferredColorScheme=0") if look == "dark" else ()
    )
    assert axe_violations(page, tmp_path, "--window-size=1280,900", *flags) == []


def test_the_report_prints_on_pages(page, tmp_path):
    pdf = print_pdf(page, tmp_path)
    assert pdf.startswith(b"%PDF-")
    pages = len(re.findall(rb"/Type\s*/Page\b", pdf))
    assert 4 <= pages <= 60
