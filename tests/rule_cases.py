"""Worked cases of published rules: what was measured, and by hand what the rule must say of it.

Each case is ``(rule, call, reasons, visits)``; the last visit is judged. Reasons are complete and
in order.
"""

from __future__ import annotations

import math
from typing import Any

from cohort_tables import feature, lesion, session

S, F = "statistic_recalled", "failed_external_validation"
L = "leakage_model_of_source_unknown"
YES, NO, OPEN = "progression", "treatment_effect", "indeterminate"
OUT, NONE = "not_applicable", "not_evaluable"
BEYOND, WITHIN = "beyond_cutoff", "within_cutoff"
Visit = dict[str, Any]
Case = tuple[str, str, tuple[str, ...], list[Visit]]


def at(
    day: float | None = 200.0, *cells: dict[str, Any], facts: Any = None, **columns: Any
) -> Visit:
    """Return one visit: its day, cells of the features table, acquisition, lesion columns."""
    return {"day": day, "cells": cells, "facts": facts or {}, "columns": columns}


def rcbv(value: float | None, **more: Any) -> dict[str, Any]:
    return feature(value, **more)


def psr(value: float | None, **more: Any) -> dict[str, Any]:
    return feature(value, map="PSR", statistic="curve", **more)


def dce(
    map_: str, value: float | None, statistic: str = "ratio_mean", **more: Any
) -> dict[str, Any]:
    return feature(value, map=map_, statistic=statistic, **more)


def tables(visits: list[Visit]) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the rows of features, sessions and lesions of a case."""
    cells, sessions, lesions = [], [], []
    for i, visit in enumerate(visits):
        name = f"s{i}"
        cells += [cell | {"session": name} for cell in visit["cells"]]
        sessions.append(session(name, visit["day"], **visit["facts"]))
        lesions.append(lesion(name, **visit["columns"]))
    return cells, sessions, lesions


HUANG, MITSUYA, HOEF = "huang2011_rcbv", "mitsuya2010_rcbv", "hoefnagels2009_rcbv_wm"
GM, PSR, VP = "hoefnagels2009_rcbv_gm", "barajas2009_psr", "hatzoglou2016_vp"
DKT, TL, LQ = "almeida_freitas2014_dktrans", "serizawa2005_tl", "dequesada2008_lq"
STOCK, KLINE, GATE = "stockham2012_lq", "kline1996_tl_ts", "ijms_absent_hyperperfusion"
EDEMA, MET, PRIOR = "leeman2013_edema_ratio", "yomo2017_met_lnr", "narloch2017_interval"
FIELD, GATED = "field_strength_outside_domain", "not_perfused_before_srs"
WHOLE = {"normalization": "whole_brain_nawm"}
UNNORMALIZED = {"normalization": "none"}
FIELD_15 = {"field_strength": 1.5}


def kt(value: float | None, day: float, facts: Any = None) -> Visit:
    return at(day, dce("Ktrans", value, "mean"), facts=facts)


def perfused(ktrans: float | None, vp: float | None, day: float = -5.0) -> Visit:
    return at(day, dce("Ktrans", ktrans), dce("vp", vp))


def tl(value: float | None, day: float | None = 200.0) -> Visit:
    return at(day, tl_index=value)


CASES: list[Case] = [
    # rCBV against white matter: sides of the cut-off, reference tissue, time, what is missing
    (HUANG, YES, (BEYOND, S, L), [at(200, rcbv(2.49))]),
    (HUANG, NO, (WITHIN, S, L), [at(200, rcbv(1.03))]),
    (HUANG, NO, (WITHIN, S, L), [at(200, rcbv(2.0))]),
    (HUANG, YES, (BEYOND, S, L), [at(200, rcbv(2.0000001))]),
    (HUANG, YES, (BEYOND, "normalized_by_whole_brain_nawm", S, L), [at(200, rcbv(3.0, **WHOLE))]),
    (
        HUANG,
        NONE,
        ("rCBV:not_normalized_by_contralateral_nawm",),
        [at(200, rcbv(3.0, **UNNORMALIZED))],
    ),
    (HUANG, NONE, ("rCBV_not_measured",), [at(200)]),
    (HUANG, NONE, ("rCBV_not_measured",), [at(200, rcbv(3.0, statistic="median"))]),
    (HUANG, NONE, ("rCBV_not_measured",), [at(200, rcbv(3.0, region="shell"))]),
    (HUANG, NONE, ("rCBV:too_small",), [at(200, rcbv(None, reason="too_small"))]),
    (HUANG, NONE, ("rCBV:susceptibility",), [at(200, rcbv(None, reason="susceptibility"))]),
    (HUANG, NONE, ("rCBV:not_evaluable",), [at(200, rcbv(math.nan))]),
    (HUANG, OUT, ("before_srs",), [at(-3, rcbv(3.0))]),
    (HUANG, OUT, ("before_srs",), [at(0, rcbv(3.0))]),
    (HUANG, YES, (BEYOND, S, L), [at(1, rcbv(3.0))]),
    (HUANG, NONE, ("days_from_srs_unknown",), [at(None, rcbv(3.0))]),
    (HUANG, NONE, ("days_from_srs_unknown",), [at(None)]),
    (HUANG, NONE, ("days_from_srs_unknown",), [at(-5, rcbv(4.0)), at(None, rcbv(1.0))]),
    (HUANG, NO, (WITHIN, S, L), [at(-5, rcbv(4.0)), at(90, rcbv(1.0))]),
    (MITSUYA, YES, (BEYOND, S, L), [at(200, rcbv(3.5))]),
    (MITSUYA, NO, (WITHIN, S, L), [at(200, rcbv(2.1))]),
    (MITSUYA, NO, (WITHIN, S, L), [at(200, rcbv(2.05))]),
    (HOEF, YES, (BEYOND, L), [at(200, rcbv(2.01))]),
    (HOEF, NO, (WITHIN, L), [at(200, rcbv(1.99))]),
    (HOEF, NO, (WITHIN, "normalized_by_whole_brain_nawm", L), [at(200, rcbv(1.2, **WHOLE))]),
    # CBV against grey matter: no substitute for the reference tissue
    (
        GM,
        YES,
        (BEYOND, L),
        [at(200, dce("CBV", 1.9, "ratio_max", normalization="contralateral_gm"))],
    ),
    (
        GM,
        NO,
        (WITHIN, L),
        [at(200, dce("CBV", 1.8, "ratio_max", normalization="contralateral_gm"))],
    ),
    (
        GM,
        NONE,
        ("CBV:not_normalized_by_contralateral_gm",),
        [at(200, dce("CBV", 3.0, "ratio_max"))],
    ),
    (GM, NONE, ("CBV_not_measured",), [at(200, rcbv(3.0))]),
    # PSR: the domain of acquisition withholds the call
    (PSR, YES, (BEYOND, S, F, L), [at(200, psr(60.64))]),
    (PSR, NO, (WITHIN, S, F, L), [at(200, psr(83.33))]),
    (PSR, YES, (BEYOND, S, F, L), [at(200, psr(76.3))]),
    (PSR, NO, (WITHIN, S, F, L), [at(200, psr(76.4))]),
    (
        PSR,
        OUT,
        ("preload_outside_domain", S, F, L),
        [at(200, psr(60.0), facts={"preload": "full"})],
    ),
    (PSR, OUT, ("preload_outside_domain", S, F, L), [at(200, psr(60.0), facts={"preload": "dce"})]),
    (PSR, NONE, ("preload_unknown", S, F, L), [at(200, psr(60.0), facts={"preload": "unknown"})]),
    (
        PSR,
        OUT,
        ("flip_angle_outside_domain", S, F, L),
        [at(200, psr(60.0), facts={"dsc_flip_angle": 60.0})],
    ),
    (PSR, YES, (BEYOND, S, F, L), [at(200, psr(60.0), facts={"dsc_flip_angle": 45.0})]),
    (
        PSR,
        NONE,
        ("flip_angle_unknown", S, F, L),
        [at(200, psr(60.0), facts={"dsc_flip_angle": None})],
    ),
    (
        PSR,
        OUT,
        ("echo_time_outside_domain", S, F, L),
        [at(200, psr(60.0), facts={"dsc_echo_time": 0.03})],
    ),
    (PSR, YES, (BEYOND, S, F, L), [at(200, psr(60.0), facts={"dsc_echo_time": 0.04})]),
    (
        PSR,
        NONE,
        ("echo_time_unknown", S, F, L),
        [at(200, psr(60.0), facts={"dsc_echo_time": math.nan})],
    ),
    (
        PSR,
        OUT,
        ("echo_time_outside_domain", "flip_angle_outside_domain", S, F, L),
        [at(200, psr(60.0), facts={"dsc_echo_time": 0.02, "dsc_flip_angle": 90.0})],
    ),
    (
        PSR,
        NONE,
        ("echo_time_outside_domain", "preload_unknown", S, F, L),
        [at(200, psr(60.0), facts={"dsc_echo_time": 0.02, "preload": None})],
    ),
    (PSR, NONE, ("PSR:bolus_cut_off",), [at(200, psr(None, reason="bolus_cut_off"))]),
    (PSR, OUT, ("before_srs",), [at(-1, psr(60.0))]),
    # plasma volume against normal brain
    (VP, YES, (BEYOND, S), [at(200, dce("vp", 2.1))]),
    (VP, NO, (WITHIN, S), [at(200, dce("vp", 2.09))]),
    (VP, YES, (BEYOND, "normalized_by_whole_brain_nawm", S), [at(200, dce("vp", 5.0, **WHOLE))]),
    (VP, NONE, ("vp_not_measured",), [at(200, dce("Ktrans", 5.0))]),
    (VP, NONE, ("vp:no_aif",), [at(200, dce("vp", None, reason="no_aif"))]),
    # change of Ktrans inside its window
    (DKT, YES, (BEYOND, FIELD, S), [kt(0.10, -5), kt(0.116, 40)]),
    (DKT, YES, (BEYOND, S), [kt(0.10, -5), kt(0.2, 40, FIELD_15)]),
    (DKT, NO, (WITHIN, FIELD, S), [kt(0.10, -5), kt(0.114, 40)]),
    (DKT, NO, (WITHIN, FIELD, S), [kt(0.13, -5), kt(0.08, 28)]),
    (DKT, YES, (BEYOND, FIELD, S), [kt(0.10, -5), kt(0.3, 56)]),
    (DKT, OUT, ("outside_time_window",), [kt(0.10, -5), kt(0.3, 57)]),
    (DKT, OUT, ("outside_time_window",), [kt(0.10, -5), kt(0.3, 27)]),
    (DKT, NONE, ("no_scan_before_srs",), [kt(0.3, 40)]),
    (DKT, NONE, ("no_scan_before_srs",), [kt(0.1, 10), kt(0.3, 40)]),
    (DKT, NONE, ("baseline_not_positive",), [kt(0.0, -5), kt(0.3, 40)]),
    (DKT, NONE, ("before_srs:Ktrans:not_evaluable",), [kt(None, -5), kt(0.3, 40)]),
    (DKT, NONE, ("before_srs:Ktrans_not_measured",), [at(-5), kt(0.3, 40)]),
    (DKT, NONE, ("Ktrans:not_evaluable",), [kt(0.1, -5), kt(None, 40)]),
    (DKT, NONE, ("days_from_srs_unknown",), [kt(0.1, -5), kt(0.3, None)]),
    (DKT, YES, (BEYOND, FIELD, S), [kt(0.05, -40), kt(0.10, -5), kt(0.12, 40)]),
    (DKT, YES, (BEYOND, FIELD, S), [kt(0.10, -40), kt(None, -5), kt(0.12, 40)]),
    # the gate: a lesion never perfused is not judged by perfusion
    (GATE, OUT, (GATED, S), [perfused(1.2, 1.4), at(90)]),
    (GATE, OPEN, ("gate_open", S), [perfused(1.2, 1.5), at(90)]),
    (GATE, OPEN, ("gate_open", S), [perfused(3.0, 1.0), at(90)]),
    (GATE, NONE, ("before_srs:Ktrans:not_evaluable",), [perfused(None, 1.0), at(90)]),
    (GATE, NONE, ("no_scan_before_srs",), [perfused(1.0, 1.0, day=30), at(90)]),
    (GATE, NONE, ("days_from_srs_unknown",), [perfused(1.0, 1.0), at(None)]),
    # lesion quotient: two cut-offs, failed outside
    (LQ, NO, ("beyond_second_cutoff", F), [at(200, lesion_quotient=0.29)]),
    (LQ, OPEN, ("grey_zone", F), [at(200, lesion_quotient=0.3)]),
    (LQ, OPEN, ("grey_zone", F), [at(200, lesion_quotient=0.6)]),
    (LQ, YES, (BEYOND, F), [at(200, lesion_quotient=0.61)]),
    (LQ, NONE, ("no_lesion_quotient",), [at(200)]),
    (STOCK, NO, ("beyond_second_cutoff", F), [at(200, lesion_quotient=0.1)]),
    (STOCK, OPEN, ("grey_zone", F), [at(200, lesion_quotient=0.45)]),
    (STOCK, YES, (BEYOND, F), [at(200, lesion_quotient=0.9)]),
    # edema against lesion: silent above the cut-off
    (EDEMA, YES, (BEYOND,), [at(200, edema_ratio=9.9)]),
    (EDEMA, OPEN, ("grey_zone",), [at(200, edema_ratio=10.0)]),
    (EDEMA, NONE, ("no_edema_ratio",), [at(200, edema_ratio=None)]),
    (EDEMA, OUT, ("before_srs",), [at(-2, edema_ratio=5.0)]),
    # readers
    ("hoefnagels2009_visual", YES, (BEYOND,), [at(200, reader_cbv_high=1)]),
    ("hoefnagels2009_visual", NO, (WITHIN,), [at(200, reader_cbv_high=0)]),
    ("hoefnagels2009_visual", NONE, ("no_reader_cbv_high",), [at(200)]),
    ("hainc2021_crd_sign", NO, (BEYOND,), [at(200, reader_crd_sign=1)]),
    ("hainc2021_crd_sign", YES, (WITHIN,), [at(200, reader_crd_sign=0)]),
    ("trams", YES, (BEYOND,), [at(200, reader_trams_clearance=1)]),
    ("trams", NO, (WITHIN,), [at(200, reader_trams_clearance=0)]),
    ("lai2015_asl", YES, (BEYOND,), [at(200, reader_asl_high=1)]),
    ("lai2015_asl", NO, (WITHIN,), [at(200, reader_asl_high=0)]),
    ("lai2015_fdg", YES, (BEYOND,), [at(200, reader_fdg_high=1)]),
    ("lai2015_fdg", NO, (WITHIN,), [at(200, reader_fdg_high=0)]),
    ("lai2015_tl", YES, (BEYOND,), [at(200, reader_tl_high=1)]),
    ("lai2015_tl", NONE, ("no_reader_tl_high",), [at(200)]),
    # nuclear medicine
    (MET, YES, (BEYOND,), [at(200, met_lnr=1.40)]),
    (MET, NO, (WITHIN,), [at(200, met_lnr=1.39)]),
    (MET, NONE, ("no_met_lnr",), [at(200, met_lnr=math.nan)]),
    (KLINE, YES, (BEYOND,), [at(200, tl_tumour_scalp=2.01)]),
    (KLINE, OPEN, ("grey_zone",), [at(200, tl_tumour_scalp=2.0)]),
    (KLINE, OPEN, ("grey_zone",), [at(200, tl_tumour_scalp=0.5)]),
    (KLINE, NO, ("beyond_second_cutoff",), [at(200, tl_tumour_scalp=0.49)]),
    # thallium: a sequence
    (TL, YES, (BEYOND,), [tl(5.1)]),
    (TL, NO, ("beyond_second_cutoff",), [tl(2.9)]),
    (TL, OPEN, ("grey_zone", "repeat_later"), [tl(5.0)]),
    (TL, OPEN, ("grey_zone", "repeat_later"), [tl(3.0)]),
    (TL, OPEN, ("grey_zone", "repeat_later"), [tl(4.0, 100), tl(4.0, 130)]),
    (TL, NO, ("grey_zone_persisted",), [tl(4.0, 100), tl(4.0, 130), tl(4.0, 160)]),
    (TL, NO, ("grey_zone_persisted",), [tl(4.0, 100), tl(None, 130), tl(4.0, 160)]),
    (TL, OPEN, ("grey_zone", "repeat_later"), [tl(4.0, 100), tl(6.0, 130), tl(4.0, 160)]),
    (TL, OPEN, ("grey_zone", "repeat_later"), [tl(4.0, 100), tl(2.0, 130), tl(4.0, 160)]),
    (TL, YES, (BEYOND,), [tl(4.0, 100), tl(4.0, 130), tl(5.5, 160)]),
    (TL, NONE, ("days_from_srs_unknown",), [tl(4.0, None)]),
    # a prior is never a call
    (PRIOR, OPEN, ("prior_only",), [at(100)]),
    (PRIOR, OPEN, ("prior_only",), [at(400)]),
    (PRIOR, OUT, ("before_srs",), [at(-10)]),
    (PRIOR, NONE, ("days_from_srs_unknown",), [at(None)]),
]
