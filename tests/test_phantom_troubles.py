"""Each seeded trouble ends as intended: resolved, skipped with a reason, refused or not evaluable.

A trouble is a planned property of one visit; sessions are written with it alone and indexed.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from afterglow.config.dce import DCEConfig
from afterglow.dicom.convert import convert
from afterglow.dicom.index import build_index
from afterglow.dicom.result import IndexResult
from afterglow.errors import AfterglowError, NotEvaluable
from afterglow.perfusion.dce_t10 import t10_of
from afterglow.perfusion.dsc_stage import preload_of
from afterglow.perfusion.dynamic import _entry
from afterglow.phantom import cohort
from afterglow.phantom.plan import Trouble, TroubleKind
from phantom_sessions import coarse_scanners, study, write  # noqa: F401

pytestmark = pytest.mark.usefixtures("coarse_scanners")
VISIT = 1


class Indexed:
    """One troubled session after indexing."""

    def __init__(self, folder: Path, patient: str, kind: TroubleKind) -> None:
        full = cohort.plan_cohort("full")
        troubled = replace(full.subject(patient), troubles=(Trouble(kind, VISIT),))
        others = tuple(s for s in full.subjects if s.patient != patient)
        plan = replace(full, subjects=(*others, troubled))
        self.session, self.folders = write(folder, patient, VISIT, plan)
        self.study = study(folder, self.session.center.name)
        self.result: IndexResult = build_index(self.study)

    def series(self, name: str) -> dict[str, Any]:
        (found,) = [row for row in self.result.series if row["class"] == name]
        return found

    def manifest(self) -> dict[str, Any]:
        (path,) = (self.study.out / "index/manifests").glob("*.json")
        return dict(json.loads(path.read_text()))

    def convert(self, name: str) -> Any:
        (private,) = (self.study.private_dir / "sessions").glob("*.json")
        sources = json.loads(private.read_text())["instances"]
        (entry,) = [e for e in self.manifest()["series"] if e["class"] == name]
        return convert(entry, sources, "center")


def test_the_full_plan_holds_every_trouble_and_the_small_none() -> None:
    kinds = [t.kind for s in cohort.plan_cohort("full").subjects for t in s.troubles]
    assert sorted(kinds) == sorted(TroubleKind.__args__)
    assert not any(s.troubles for s in cohort.plan_cohort("small").subjects)


def test_no_dce_leaves_dsc_without_preload_and_dce_not_evaluable(tmp_path: Path) -> None:
    found = Indexed(tmp_path, "SOUTH-0002", "no_dce")
    assert found.result.plan[0]["status"] == "planned"
    classes = set(found.result.plan[0]["classes"])
    assert classes == {"T1w", "T1w_ce", "FLAIR", "DSC"}
    facts = found.manifest()["facts"]
    assert (facts["injections"], facts["preload_evidence"]) == (["DSC"], "none_seen")
    assert preload_of("dce", facts)[0] == "none"
    with pytest.raises(NotEvaluable, match="no_dce_series"):
        _entry("dce", {"series": {"dsc": {}}}, ())


@pytest.mark.parametrize("patient", ["NORTH-0002", "SOUTH-0002", "WEST-0002"])
def test_a_series_that_is_cut_off_loses_its_last_volume_and_says_so(
    patient: str, tmp_path: Path
) -> None:
    found = Indexed(tmp_path, patient, "cut_off")
    row, planned = found.series("DCE"), found.session.series("dce")
    whole = int(0.6 * planned.frames)
    assert (row["n_volumes"], row["n_incomplete"]) == (whole, 1)
    assert (row["status"], row["reason"]) == ("used", "incomplete_volumes_dropped")
    assert row["evaluable"]
    np.testing.assert_allclose(row["frame_times"], planned.frame_starts()[:whole], atol=1e-3)


def test_a_series_pushed_twice_counts_once(tmp_path: Path) -> None:
    found = Indexed(tmp_path, "NORTH-0003", "duplicate_push")
    count = len(list(found.folders["dsc"].iterdir()))
    assert found.result.counts["duplicates"] == count
    assert found.result.counts["quarantined"] == 0
    row = found.series("DSC")
    assert (row["n_instances"], row["n_volumes"], row["n_incomplete"]) == (count, 60, 0)


@pytest.mark.parametrize("patient", ["NORTH-0003", "SOUTH-0003", "WEST-0003"])
def test_a_wrong_repetition_time_does_not_move_the_frames(patient: str, tmp_path: Path) -> None:
    found = Indexed(tmp_path, patient, "wrong_tr")
    row, planned = found.series("DSC"), found.session.series("dsc")
    np.testing.assert_allclose(row["frame_times"], planned.frame_starts(), atol=1e-3)
    (entry,) = [e for e in found.manifest()["series"] if e["class"] == "DSC"]
    stated = entry["acquisition"]["repetition_time"]
    assert stated == pytest.approx(1.25 * planned.tr)
    assert row["evaluable"]
    assert row["timing_source"] not in {"nominal", "single"}
    last = (planned.frames - 1) * (stated - planned.frame_time)
    assert row["timing_disagreement"] == pytest.approx(last, abs=0.01)


@pytest.mark.parametrize("patient", ["NORTH-0001", "SOUTH-0001", "WEST-0003"])
def test_an_unclassifiable_series_is_listed_and_skipped(patient: str, tmp_path: Path) -> None:
    found = Indexed(tmp_path, patient, "unclassifiable")
    row = found.series("unknown")
    assert (row["status"], row["skipped"]) == ("skipped", "class_unknown")
    assert row["n_instances"] == len(list(found.folders["wip"].iterdir()))
    assert "unknown" not in found.result.plan[0]["classes"]
    assert found.result.plan[0]["status"] == "planned"


def test_a_corrupt_file_fails_its_series_by_name_and_no_other(tmp_path: Path) -> None:
    found = Indexed(tmp_path, "NORTH-0003", "corrupt_file")
    assert "FLAIR" in found.result.plan[0]["classes"]
    with pytest.raises(AfterglowError, match="cut off") as error:
        found.convert("FLAIR")
    assert error.value.where.startswith("center:")
    assert "send the series again" in error.value.remedy
    assert found.convert("T1w_ce").reader == "dcm2niix"


def test_two_studies_of_one_date_are_two_sessions(tmp_path: Path) -> None:
    found = Indexed(tmp_path, "WEST-0002", "two_studies_one_date")
    first, second = sorted(found.result.plan, key=lambda row: len(row["classes"]))[::-1]
    assert {first["status"], second["status"]} == {"planned"}
    assert first["subject"] == second["subject"]
    assert first["date_shifted"] == second["date_shifted"]
    day = first["date_shifted"].replace("-", "")
    assert {first["session"], second["session"]} == {day, f"{day}b"}
    assert second["classes"] == ["T1w_ce"]
    assert set(first["classes"]) == {"T1w", "T1w_ce", "FLAIR", "VFA", "DCE", "DSC"}


def test_an_injection_between_flip_angles_and_dce_is_seen_and_t1_refused(tmp_path: Path) -> None:
    found = Indexed(tmp_path, "NORTH-0003", "injection_between")
    facts = found.manifest()["facts"]
    assert facts["injection_between_vfa_and_dce"] is True
    assert facts["injections"] == ["DSC", "DCE"]
    assert facts["preload_evidence"] == "none_seen"
    settings = DCEConfig(assumed_t10=False)
    with pytest.raises(NotEvaluable, match="injection_between_vfa_and_dce"):
        t10_of(Path, SimpleNamespace(warnings=[]), {"facts": facts}, None, settings)  # type: ignore[arg-type]
