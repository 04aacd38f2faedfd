"""Published rules: what they rest on, and every call and reason on worked cases."""

from __future__ import annotations

import math

import pytest
import yaml

from afterglow.cohort.rule_files import load_rules, read_rule_file
from afterglow.cohort.rules import apply
from afterglow.errors import AfterglowError
from cohort_tables import feature, lesion, session
from rule_cases import CASES, tables

RULES = {rule.id: rule for rule in load_rules()}

# k and n of sensitivity and specificity, and the exact 95 % intervals in percent
PUBLISHED = {
    "barajas2009_psr": ((22, 23, 78.1, 99.9), (11, 11, 71.5, 100)),
    "barajas2009_rcbv": ((21, 23, 72.0, 98.9), (8, 11, 39.0, 94.0)),
    "hoefnagels2009_rcbv_wm": ((17, 20, 62.1, 96.8), None),
    "hoefnagels2009_rcbv_gm": ((14, 20, 45.7, 88.1), (14, 14, 76.8, 100)),
    "hoefnagels2009_visual": ((14, 20, 45.7, 88.1), (13, 14, 66.1, 99.8)),
    "mitsuya2010_rcbv": ((7, 7, 59.0, 100), (20, 21, 76.2, 99.9)),
    "huang2011_rcbv": ((10, 18, 30.8, 78.5), (9, 9, 66.4, 100)),
    "hatzoglou2013_rcbv": ((5, 5, 47.8, 100), (5, 7, 29.0, 96.3)),
    "hatzoglou2013_psr": ((3, 5, 14.7, 94.7), (7, 7, 59.0, 100)),
    "almeida_freitas2014_dktrans": ((7, 9, 40.0, 97.2), (11, 13, 54.6, 98.1)),
    "hainc2021_crd_sign": ((19, 23, 61.2, 95.0), (23, 36, 46.2, 79.2)),
    "lai2015_asl": ((5, 6, 35.9, 99.6), (8, 8, 63.1, 100)),
    "lai2015_fdg": ((5, 6, 35.9, 99.6), (6, 8, 34.9, 96.8)),
    "lai2015_tl": (None, (4, 8, 15.7, 84.3)),
}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_counts_reproduce_published_figures_and_exact_intervals(name):
    for found, wanted in zip(
        (RULES[name].sensitivity, RULES[name].specificity), PUBLISHED[name], strict=True
    ):
        if wanted is None:
            assert found is None
            continue
        assert (found.k, found.n) == wanted[:2]
        assert (100 * found.low, 100 * found.high) == pytest.approx(wanted[2:], abs=0.06)


def test_rules_without_derivable_counts_carry_no_interval():
    for name in set(RULES) - set(PUBLISHED):
        assert RULES[name].counts == "unknown"
        assert RULES[name].sensitivity is None
        assert RULES[name].specificity is None


def test_recalled_constants_are_present_and_disabled_with_a_reason():
    for name in ("barajas2009_rcbv", "morabito2019_ktrans", "kano2010_t1t2_mismatch"):
        assert RULES[name].constant_status == "recall"
        assert not RULES[name].enabled
        assert len(RULES[name].disabled_reason) > 20
    assert all(r.enabled or r.disabled_reason for r in RULES.values())
    assert all(r.cutoff is not None or r.kind == "prior" for r in RULES.values() if r.enabled)


def test_failed_validation_travels_with_the_lesion_quotient():
    rule = RULES["dequesada2008_lq"]
    assert [v.verdict for v in rule.external_validations] == ["failed"]
    row = one("dequesada2008_lq", [], lesions=[lesion(lesion_quotient=0.7)])
    assert row["call"] == "progression"
    assert "failed_external_validation" in row["reasons"]


@pytest.mark.parametrize(
    "name", ["barajas2009_gbm_rcbv", "hu2009_rcbv", "qin_nrcbv", "glioma_ftb", "my_GBM_rule"]
)
def test_glioma_rules_are_refused_by_name(name, tmp_path):
    with pytest.raises(AfterglowError, match="refused"):
        load_rules(only=[name])
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump([{"id": name}]))
    with pytest.raises(AfterglowError, match="refused"):
        read_rule_file(path)


def test_a_site_adds_its_rule_and_cannot_replace_a_published_one(tmp_path):
    own = yaml.safe_load(RULES["huang2011_rcbv"].model_dump_json()) | {"id": "site_rcbv"}
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump([own]))
    assert "site_rcbv" in {rule.id for rule in load_rules([path])}
    path.write_text(yaml.safe_dump([own | {"id": "huang2011_rcbv"}]))
    with pytest.raises(AfterglowError, match="defined twice"):
        load_rules([path])


def test_a_rule_whose_counts_contradict_its_figures_is_refused(tmp_path):
    own = yaml.safe_load(RULES["huang2011_rcbv"].model_dump_json()) | {"id": "site_rcbv"}
    own["counts"]["tp"], own["counts"]["fn"] = 12, 6
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump([own]))
    with pytest.raises(AfterglowError, match="counts give sensitivity"):
        read_rule_file(path)


def run(rules, features, sessions=None, lesions=None):
    return apply(rules, features, sessions or [session()], lesions or [lesion()])


def one(name, features, sessions=None, lesions=None):
    rows = run([RULES[name]], features, sessions, lesions)
    assert len(rows) == 1
    return rows[0]


CUTOFFS = [
    ("hoefnagels2009_rcbv_wm", 2.0, "above", {"statistic": "max"}),
    ("mitsuya2010_rcbv", 2.1, "above", {"statistic": "max"}),
    ("huang2011_rcbv", 2.0, "above", {"statistic": "max"}),
    ("hatzoglou2016_vp", 2.1, "at_or_above", {"map": "vp", "statistic": "ratio_mean"}),
    ("barajas2009_psr", 76.3, "at_or_below", {"map": "PSR", "statistic": "curve"}),
]


@pytest.mark.parametrize(("name", "cutoff", "side", "cell"), CUTOFFS)
@pytest.mark.parametrize("step", [-1.0, -1e-9, 0.0, 1e-9, 1.0])
def test_calls_on_both_sides_of_and_at_the_cutoff(name, cutoff, side, cell, step):
    value = cutoff + step
    positive = {
        "above": value > cutoff,
        "at_or_above": value >= cutoff,
        "at_or_below": value <= cutoff,
    }[side]
    row = one(name, [feature(value, **cell)])
    assert row["call"] == ("progression" if positive else "treatment_effect")
    assert row["value"] == value
    assert row["distance"] == pytest.approx(step, abs=1e-12)
    assert row["reasons"][0] == ("beyond_cutoff" if positive else "within_cutoff")
    assert row["record_id"] == "r" * 8


COLUMN_CASES = [
    ("hoefnagels2009_visual", "reader_cbv_high", 1, "progression"),
    ("hoefnagels2009_visual", "reader_cbv_high", 0, "treatment_effect"),
    ("hoefnagels2009_visual", "reader_cbv_high", True, "progression"),
    ("leeman2013_edema_ratio", "edema_ratio", 9.9, "progression"),
    ("leeman2013_edema_ratio", "edema_ratio", 10.0, "indeterminate"),
    ("hainc2021_crd_sign", "reader_crd_sign", 1, "treatment_effect"),
    ("hainc2021_crd_sign", "reader_crd_sign", 0, "progression"),
    ("dequesada2008_lq", "lesion_quotient", 0.29, "treatment_effect"),
    ("dequesada2008_lq", "lesion_quotient", 0.3, "indeterminate"),
    ("dequesada2008_lq", "lesion_quotient", 0.6, "indeterminate"),
    ("dequesada2008_lq", "lesion_quotient", 0.61, "progression"),
    ("stockham2012_lq", "lesion_quotient", 0.61, "progression"),
    ("yomo2017_met_lnr", "met_lnr", 1.40, "progression"),
    ("yomo2017_met_lnr", "met_lnr", 1.39, "treatment_effect"),
    ("kline1996_tl_ts", "tl_tumour_scalp", 2.01, "progression"),
    ("kline1996_tl_ts", "tl_tumour_scalp", 1.0, "indeterminate"),
    ("kline1996_tl_ts", "tl_tumour_scalp", 0.49, "treatment_effect"),
    ("trams", "reader_trams_clearance", 1, "progression"),
    ("trams", "reader_trams_clearance", 0, "treatment_effect"),
    ("lai2015_asl", "reader_asl_high", 1, "progression"),
    ("lai2015_fdg", "reader_fdg_high", 0, "treatment_effect"),
    ("lai2015_tl", "reader_tl_high", 1, "progression"),
    ("serizawa2005_tl", "tl_index", 5.1, "progression"),
    ("serizawa2005_tl", "tl_index", 5.0, "indeterminate"),
    ("serizawa2005_tl", "tl_index", 2.9, "treatment_effect"),
]


@pytest.mark.parametrize(("name", "column", "value", "call"), COLUMN_CASES)
def test_rules_on_columns(name, column, value, call):
    row = one(name, [], lesions=[lesion(**{column: value})])
    assert row["call"] == call


@pytest.mark.parametrize("name", sorted({case[0] for case in COLUMN_CASES}))
def test_a_column_that_is_not_there_makes_the_rule_not_evaluable(name):
    row = one(name, [])
    assert row["call"] == "not_evaluable"
    assert row["reasons"] == [f"no_{RULES[name].measurements[0].map}"]


@pytest.mark.parametrize(
    ("facts", "call", "reason"),
    [
        ({"preload": "full"}, "not_applicable", "preload_outside_domain"),
        ({"preload": "dce"}, "not_applicable", "preload_outside_domain"),
        ({"preload": None}, "not_evaluable", "preload_unknown"),
        ({"preload": "unknown"}, "not_evaluable", "preload_unknown"),
        ({"dsc_flip_angle": 60.0}, "not_applicable", "flip_angle_outside_domain"),
        ({"dsc_flip_angle": None}, "not_evaluable", "flip_angle_unknown"),
        ({"dsc_echo_time": 0.03}, "not_applicable", "echo_time_outside_domain"),
        ({"dsc_echo_time": math.nan}, "not_evaluable", "echo_time_unknown"),
        ({}, "progression", "beyond_cutoff"),
    ],
)
def test_the_domain_of_psr_withholds_a_call_and_keeps_the_value(facts, call, reason):
    cell = feature(50.0, map="PSR", statistic="curve")
    row = one("barajas2009_psr", [cell], [session(**facts)])
    assert (row["call"], row["reasons"][0], row["value"]) == (call, reason, 50.0)


@pytest.mark.parametrize("reason", ["too_small", "not_evaluable_in_map", "reference_too_small"])
def test_the_reason_of_a_missing_value_is_passed_on(reason):
    row = one("huang2011_rcbv", [feature(None, reason=reason)])
    assert row["call"] == "not_evaluable"
    assert row["reasons"] == [f"rCBV:{reason}"]
    assert math.isnan(row["value"])


def test_an_unmeasured_map_is_named():
    assert one("huang2011_rcbv", [])["reasons"] == ["rCBV_not_measured"]


def test_another_reference_tissue_is_said_and_a_wrong_one_refused():
    whole = feature(3.0, normalization="whole_brain_nawm")
    row = one("huang2011_rcbv", [whole])
    assert row["call"] == "progression"
    assert "normalized_by_whole_brain_nawm" in row["reasons"]
    grey = feature(3.0, map="CBV", statistic="ratio_max", normalization="contralateral_nawm")
    row = one("hoefnagels2009_rcbv_gm", [grey])
    assert row["reasons"] == ["CBV:not_normalized_by_contralateral_gm"]


@pytest.mark.parametrize(("day", "call"), [(-3.0, "not_applicable"), (0.0, "not_applicable")])
def test_a_scan_before_radiosurgery_is_not_judged(day, call):
    row = one("huang2011_rcbv", [feature(3.0)], [session(day=day)])
    assert (row["call"], row["reasons"]) == (call, ["before_srs"])


def test_no_rule_judges_a_lesion_whose_day_from_radiosurgery_is_unknown():
    columns = {case[1]: case[2] for case in COLUMN_CASES}
    without_day = session()
    del without_day["days_from_srs"]
    for facts in (session(day=None), without_day):
        rows = run(list(RULES.values()), [feature(3.0)], [facts], [lesion(**columns)])
        assert {(r["call"], *r["reasons"]) for r in rows} == {
            ("not_evaluable", "days_from_srs_unknown")
        }


def test_the_day_of_the_lesion_wins_over_that_of_the_subject():
    row = one("huang2011_rcbv", [feature(3.0)], [session(day=50.0)], [lesion(days_from_srs=-1.0)])
    assert row["reasons"] == ["before_srs"]


def ktrans(before, after, day=40.0):
    features = [
        feature(v, map="Ktrans", statistic="mean", session=s)
        for s, v in (("s1", before), ("s2", after))
    ]
    sessions = [session("s1", -5.0), session("s2", day)]
    return apply(
        [RULES["almeida_freitas2014_dktrans"]], features, sessions, [lesion("s1"), lesion("s2")]
    )[1]


@pytest.mark.parametrize(
    ("before", "after", "day", "call", "reason"),
    [
        (0.10, 0.116, 40.0, "progression", "beyond_cutoff"),
        (0.10, 0.114, 40.0, "treatment_effect", "within_cutoff"),
        (0.10, 0.05, 28.0, "treatment_effect", "within_cutoff"),
        (0.10, 0.2, 56.0, "progression", "beyond_cutoff"),
        (0.10, 0.2, 57.0, "not_applicable", "outside_time_window"),
        (0.10, 0.2, 27.0, "not_applicable", "outside_time_window"),
        (None, 0.2, 40.0, "not_evaluable", "before_srs:Ktrans:not_evaluable"),
        (0.0, 0.2, 40.0, "not_evaluable", "baseline_not_positive"),
        (0.10, None, 40.0, "not_evaluable", "Ktrans:not_evaluable"),
    ],
)
def test_change_of_ktrans(before, after, day, call, reason):
    row = ktrans(before, after, day)
    assert (row["call"], row["reasons"][0]) == (call, reason)


def test_change_of_ktrans_in_numbers():
    row = ktrans(0.10, 0.13)
    assert row["value"] == pytest.approx(30.0)
    assert row["distance"] == pytest.approx(15.0)
    assert "field_strength_outside_domain" in row["reasons"]


def test_change_without_a_scan_before_radiosurgery():
    cell = feature(0.1, map="Ktrans", statistic="mean")
    row = one("almeida_freitas2014_dktrans", [cell], [session(day=40.0)])
    assert (row["call"], row["reasons"]) == ("not_evaluable", ["no_scan_before_srs"])


def gate(ktrans_ratio, vp_ratio):
    names = ["ijms_absent_hyperperfusion", "huang2011_rcbv", "yomo2017_met_lnr"]
    features = [feature(3.0, session="s2")]
    for map_, value in (("Ktrans", ktrans_ratio), ("vp", vp_ratio)):
        features.append(feature(value, map=map_, statistic="ratio_mean", session="s1"))
    sessions = [session("s1", -5.0), session("s2", 90.0)]
    lesions = [lesion("s1", met_lnr=2.0), lesion("s2", met_lnr=2.0)]
    rows = apply([RULES[n] for n in names], features, sessions, lesions)
    return {r["rule_id"]: r for r in rows if r["session"] == "s2"}


@pytest.mark.parametrize(
    ("ktrans_ratio", "vp_ratio", "shut"),
    [(1.2, 1.4, True), (1.2, 1.5, False), (3.0, 1.0, False), (None, 1.0, False)],
)
def test_a_lesion_never_perfused_is_not_judged_by_perfusion(ktrans_ratio, vp_ratio, shut):
    rows = gate(ktrans_ratio, vp_ratio)
    assert rows["huang2011_rcbv"]["call"] == ("not_applicable" if shut else "progression")
    assert (rows["huang2011_rcbv"]["reasons"][0] == "not_perfused_before_srs") is shut
    assert rows["huang2011_rcbv"]["value"] == 3.0
    assert rows["yomo2017_met_lnr"]["call"] == "progression"


def thallium(values, days):
    sessions = [session(f"s{i}", d) for i, d in enumerate(days)]
    lesions = [lesion(f"s{i}", tl_index=v) for i, v in enumerate(values)]
    rows = apply([RULES["serizawa2005_tl"]], [], sessions, lesions)
    return [r["call"] for r in rows]


@pytest.mark.parametrize(
    ("values", "days", "calls"),
    [
        ([4.0, 4.0, 4.0], [100, 130, 160], ["indeterminate", "indeterminate", "treatment_effect"]),
        ([4.0, 6.0, 4.0], [100, 130, 160], ["indeterminate", "progression", "indeterminate"]),
        ([4.0, None, 4.0], [100, 130, 160], ["indeterminate", "not_evaluable", "treatment_effect"]),
        ([4.0, 2.0, 4.0], [100, 130, 160], ["indeterminate", "treatment_effect", "indeterminate"]),
        ([4.0, 4.0], [100, 159], ["indeterminate", "indeterminate"]),
    ],
)
def test_the_sequential_thallium_rule(values, days, calls):
    assert thallium(values, days) == calls


@pytest.mark.parametrize(("day", "months"), [(100.0, 3.285), (400.0, 13.14)])
def test_a_prior_is_never_a_call(day, months):
    row = one("narloch2017_interval", [], [session(day=day)])
    assert (row["call"], row["reasons"]) == ("indeterminate", ["prior_only"])
    assert row["value"] == pytest.approx(months, abs=0.01)


def test_disabled_rules_are_silent_unless_asked_for():
    rules = list(RULES.values())
    quiet = run(rules, [feature(3.0)])
    loud = apply(rules, [feature(3.0)], [session()], [lesion()], include_disabled=True)
    assert len(loud) == len(RULES)
    assert {r["rule_id"] for r in quiet} == {r.id for r in rules if r.enabled}
    disabled = {r["rule_id"]: r for r in loud}["barajas2009_rcbv"]
    assert (disabled["call"], disabled["reasons"]) == ("not_evaluable", ["rule_disabled"])


def test_a_lesion_in_pieces_is_judged_once_by_its_largest():
    lesions = [lesion(label=1, volume=0.2), lesion(label=2, volume=2.0)]
    cells = [feature(1.0, label=1), feature(4.0, label=2)]
    row = one("huang2011_rcbv", cells, lesions=lesions)
    assert (row["call"], row["value"]) == ("progression", 4.0)


def test_a_lesion_that_a_session_does_not_show_has_no_row():
    assert run(list(RULES.values()), [], lesions=[lesion(label=0)]) == []


@pytest.mark.parametrize(
    "case", CASES, ids=[f"{i:03d}-{case[0]}-{case[1]}" for i, case in enumerate(CASES)]
)
def test_worked_cases(case):
    name, call, reasons, visits = case
    rule = RULES[name]
    row = apply([rule], *tables(visits))[-1]
    assert (row["call"], tuple(row["reasons"])) == (call, reasons)
    if rule.cutoff is not None and math.isfinite(row["value"]):
        assert row["distance"] == pytest.approx(row["value"] - rule.cutoff, abs=1e-12)


def test_worked_cases_cover_every_call_every_rule_and_every_reason():
    assert len(CASES) >= 100
    calls = {"progression", "treatment_effect", "indeterminate", "not_applicable", "not_evaluable"}
    assert {case[1] for case in CASES} == calls
    assert {case[0] for case in CASES} == {rule.id for rule in RULES.values() if rule.enabled}
    said = {reason.split(":")[-1] for case in CASES for reason in case[2]}
    fixed = {
        *("beyond_cutoff", "within_cutoff", "beyond_second_cutoff", "grey_zone", "repeat_later"),
        *("grey_zone_persisted", "gate_open", "not_perfused_before_srs", "prior_only"),
        *("outside_time_window", "before_srs", "days_from_srs_unknown", "no_scan_before_srs"),
        *("baseline_not_positive", "statistic_recalled", "failed_external_validation"),
        *("leakage_model_of_source_unknown", "normalized_by_whole_brain_nawm"),
        *("preload_unknown", "preload_outside_domain", "echo_time_unknown"),
        *("echo_time_outside_domain", "flip_angle_unknown", "flip_angle_outside_domain"),
        "field_strength_outside_domain",
    }
    assert fixed <= said


def test_every_count_that_follows_uniquely_from_what_is_printed_is_there():
    """Percentages and group sizes give counts only where one count prints as the percentage."""
    checked = 0
    for rule in RULES.values():
        positive = rule.n_tp if rule.positive_class == "progression" else rule.n_rn
        negative = rule.n_rn if rule.positive_class == "progression" else rule.n_tp
        groups = (
            ("sensitivity", rule.published.sensitivity, positive),
            ("specificity", rule.published.specificity, negative),
        )
        unique = [
            None
            if printed is None or n is None
            else unique_count(float(printed), n, places(printed))
            for _, printed, n in groups
        ]
        given = [printed is not None and n is not None for _, printed, n in groups]
        if any(g and u is None for g, u in zip(given, unique, strict=True)):
            assert rule.counts == "unknown", f"{rule.id}: the groups do not fit the percentages"
            continue
        for (name, _, n), count in zip(groups, unique, strict=True):
            found = getattr(rule, name)
            assert (found is None) == (count is None), f"{rule.id} {name}"
            if count is not None:
                assert (found.k, found.n) == (count, n)
                checked += 1
    assert checked == sum(part is not None for pair in PUBLISHED.values() for part in pair)


def unique_count(percent, n, decimals):
    """Return the only count out of ``n`` that prints as ``percent``, or None."""
    half = 0.5 * 10**-decimals + 1e-9
    fits = [k for k in range(n + 1) if abs(100 * k / n - percent) <= half]
    return fits[0] if len(fits) == 1 else None


def places(printed):
    return len(str(printed).partition(".")[2])
