"""The consensus reference data of OSIPI: every case in tolerance, against the best peers."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from afterglow.perfusion import aif, dce, t1
from afterglow.perfusion.signal import spgr_concentration

csv.field_size_limit(10**8)


def data_dir() -> Path | None:
    shared = os.environ.get("AFTERGLOW_SHARED") or Path(__file__).parents[2] / "shared"
    found = Path(shared) / "data" / "perfusion" / "osipi"
    return found if found.is_dir() else None


pytestmark = pytest.mark.skipif(data_dir() is None, reason="the OSIPI reference data are not here")


def rows(name):
    with (data_dir() / name).open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream, skipinitialspace=True))


def vector(text):
    return np.array(text.split(), dtype=float)


def curves(name, aif_column, tissue):
    table = rows(name)
    return table, [(vector(r["t"]), vector(r[tissue]), vector(r[aif_column])) for r in table]


def truth(table, column):
    return np.array([float(row[column]) for row in table])


def fitted(cases, model, names, **options):
    found = {name: [] for name in names}
    for time, tissue, plasma in cases:
        result = dce.fit(tissue, time, plasma, model=model, **options)
        for name in names:
            found[name].append(float(result.maps[name]))
    return {name: np.array(values) for name, values in found.items()}


def delayed(cases, frames):
    return [
        (time, np.concatenate([np.zeros(frames), tissue[:-frames]]), plasma)
        for time, tissue, plasma in cases
    ]


# name of our map, column, absolute and relative tolerance of OSIPI, best maximal error of a peer.
TOFTS = [("Ktrans", "Ktrans", 0.005, 0.1, 0.0022), ("ve", "ve", 0.05, 0, 0.0031)]
EXTENDED = [
    ("Ktrans", "Ktrans", 0.005, 0.1, 0.0013),
    ("ve", "ve", 0.05, 0, 0.0020),
    ("vp", "vp", 0.025, 0, 0.0013),
]
PATLAK = [("Ktrans", "ps", 0.005, 0.1, 0.0004), ("vp", "vp", 0.025, 0, 0.0018)]
UPTAKE = [
    ("vp", "vp", 0.025, 0, None),
    ("Fp", "fp", 5, 0.1, None),
    ("PS", "ps", 0.005, 0.1, None),
]
EXCHANGE = [*UPTAKE, ("ve", "ve", 0.05, 0, None)]


def check(table, found, limits):
    for name, column, absolute, relative, _ in limits:
        expected = truth(table, column)
        error = np.abs(found[name] - expected)
        assert np.all(error <= absolute + relative * np.abs(expected)), (name, error.max())


def largest(table, found, limits):
    return {row[0]: float(np.abs(found[row[0]] - truth(table, row[1])).max()) for row in limits}


def published(pattern, names, delayed):
    """Return the largest errors of each published code on a table, by parameter."""
    codes = {}
    folder = data_dir() / "peer_results" / "TestResults_2023-08-15" / "DCEmodels"
    for path in sorted(folder.glob(f"*{pattern}.csv")):
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = list(csv.DictReader(stream, skipinitialspace=True))
        lines = [line for line in lines if ("delayed" in line["label"]) == delayed]
        if lines:
            codes[path.stem] = {
                name: max(
                    abs(float(line[f"{column}_meas"]) - float(line[f"{column}_ref"]))
                    for line in lines
                )
                for name, column in names
            }
    return codes


SETS = [
    ("tofts", "DCEmodels/dce_DRO_data_tofts.csv", "ca", "C", TOFTS, 10, 5.0),
    ("extended_tofts", "DCEmodels/dce_DRO_data_extended_tofts.csv", "ca", "C", EXTENDED, 5, 5.0),
]


PEERS = {"tofts": "_tofts*", "extended_tofts": "etofts*", "patlak": "patlak*"}
# Two published codes meet less error there because of their own convolution rule (which moves
# their Ktrans by half as much again) or a linear start (which moves their vp): chance in one noisy
# curve, three standard errors from the truth. The least-squares optimum is met by four codes.
OPTIMUM = {("tofts", False, "ve"), ("tofts", True, "ve"), ("extended_tofts", False, "Ktrans")}


def printed(error):
    """Return the most that still prints as an error, with the two digits of the published ones."""
    return error + 0.5 * 10 ** (np.floor(np.log10(error)) - 1)


def against_peers(model, delayed_cases, table, found, limits):
    codes = published(PEERS[model], [row[:2] for row in limits], delayed_cases)
    mine = largest(table, found, limits)
    assert len(codes) >= 2
    for name, error in mine.items():
        best = min(code[name] for code in codes.values())
        if (model, delayed_cases, name) not in OPTIMUM:
            assert error <= printed(best), (name, error, best)
    return codes, mine


@pytest.mark.parametrize("with_delay", [False, True])
@pytest.mark.parametrize(("model", "name", "plasma", "tissue", "limits", "frames", "delay"), SETS)
def test_tofts_models(model, name, plasma, tissue, limits, frames, delay, with_delay):
    table, cases = curves(name, plasma, tissue)
    names = [row[0] for row in limits] + (["delay"] if with_delay else [])
    if with_delay:
        cases = delayed(cases, frames)
    found = fitted(cases, model, names, fit_delay=with_delay)
    check(table, found, limits)
    if with_delay:
        assert np.abs(found["delay"] - delay).max() < 1.0
    codes, mine = against_peers(model, with_delay, table, found, limits)
    for code, errors in codes.items():
        # No published code is better in one parameter without being worse in another.
        assert any(mine[n] <= printed(errors[n]) for n in mine), (code, errors, mine)


@pytest.mark.parametrize(("model", "with_delay", "parameter"), sorted(OPTIMUM))
def test_where_a_published_code_errs_less_ours_errs_as_the_optimum(model, with_delay, parameter):
    _, name, plasma, tissue, limits, frames, _ = next(row for row in SETS if row[0] == model)
    table, cases = curves(name, plasma, tissue)
    cases = delayed(cases, frames) if with_delay else cases
    found = fitted(cases, model, [row[0] for row in limits], fit_delay=with_delay)
    mine = largest(table, found, limits)[parameter]
    codes = published(PEERS[model], [row[:2] for row in limits], with_delay).values()
    theirs = [code[parameter] for code in codes]
    assert mine > printed(min(theirs)), "no exception any more"
    assert min(abs(error - mine) for error in theirs) < 0.01 * mine


@pytest.mark.parametrize("delay", [0, 5])
@pytest.mark.parametrize(
    ("model", "stem", "limits"),
    [
        ("patlak", "patlak_sd_0.02", PATLAK),
        ("2cum", "2cum_sd_0.0025", UPTAKE),
        ("2cxm", "2cxm_sd_0.001", EXCHANGE),
    ],
)
def test_other_models(model, stem, limits, delay):
    table, cases = curves(f"DCEmodels/{stem}_delay_{delay}.csv", "cp_aif", "C_t")
    names = [row[0] for row in limits] + (["delay"] if delay else [])
    found = fitted(cases, model, names, fit_delay=bool(delay))
    check(table, found, limits)
    if model == "patlak":
        against_peers(model, bool(delay), table, found, limits)
    if delay:
        assert np.abs(found["delay"] - delay).max() < 1.0


def test_signal_to_concentration():
    for row in rows("SI_to_Conc/SI2Conc_data.csv"):
        points = int(row["numbaselinepts"])
        found = spgr_concentration(
            vector(row["s"]),
            float(row["T1base"]),
            float(row["TR"]),
            float(row["FA"]),
            float(row["r1"]),
            (1, points),
        )
        np.testing.assert_allclose(found[1:], vector(row["conc"])[1:], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", ["nonlinear", "linear"])
@pytest.mark.parametrize(
    ("name", "scale"), [("t1_quiba_data.csv", 1000.0), ("t1_brain_data.csv", 1.0)]
)
def test_t1(name, scale, method):
    for row in rows(f"T1_mapping/{name}"):
        found = t1.fit_vfa(vector(row["s"]), vector(row["FA"]), vector(row["TR"]), method=method)
        expected = float(row["R1"]) * scale
        assert abs(1.0 / float(found.t1) - expected) <= 0.05 + 0.05 * expected, row["label"]


# The set's own notes excuse the first. The corrected reference of the second (1.06 s) contradicts
# its own uncorrected one (1.23 s) over the square of the flip-angle ratio (1.01).
LINEAR_UNFIT = {
    False: {"Pat5_voxel5_prostaat"},
    True: {"Pat5_voxel5_prostaat", "Pat1_voxel5_prostaat"},
}


@pytest.mark.parametrize(
    ("column", "method", "corrected"),
    [
        ("T1 linear", "linear", False),
        ("T1 nonlinear", "nonlinear", False),
        ("T1 linear B1cor", "linear", True),
        ("T1 nonlinear B1cor", "nonlinear", True),
    ],
)
def test_t1_of_the_prostate_with_b1(column, method, corrected):
    for row in rows("T1_mapping/t1_prostate_data.csv"):
        if method == "linear" and row["label"] in LINEAR_UNFIT[corrected]:
            continue
        found = t1.fit_vfa(
            vector(row["s"]),
            vector(row["FA"]),
            vector(row["TR"]) / 1000.0,
            b1=float(row["B1"]) / 100.0 if corrected else None,
            method=method,
        )
        expected = 1000.0 / float(row[column])
        assert abs(1.0 / float(found.t1) - expected) <= 0.05 + 0.05 * expected, row["label"]


def groups(name):
    table = rows(f"PopulationAIF_DCE/{name}")
    for label in dict.fromkeys(row["label"] for row in table):
        part = [row for row in table if row["label"] == label]
        time, blood = truth(part, "time"), truth(part, "Cb")
        yield label, time, blood, float(part[0].get("delay") or 0.0)


@pytest.mark.parametrize(
    ("name", "curve", "unit", "absolute", "relative"),
    [
        ("ParkerAIF_ref.csv", aif.parker, 60.0, 1e-4, 0.01),
        ("ParkerAIF_ref_with_delay.csv", aif.parker, 60.0, 0.1, 0.1),
        ("GeorgiouAIF_ref.csv", aif.georgiou, 60.0, 1e-4, 0.01),
    ],
)
def test_population_curves(name, curve, unit, absolute, relative):
    for label, time, blood, delay in groups(name):
        found = curve(time * unit, arrival=delay)
        np.testing.assert_allclose(found, blood, atol=absolute, rtol=relative, err_msg=label)
