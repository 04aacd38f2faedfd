"""The `dsc` stage and `afterglow dsc` on a small simulated session."""

from __future__ import annotations

import numpy as np
import pytest

from afterglow.bids.images import load_nifti, save_nifti
from afterglow.bids.sidecars import read_json, write_json
from afterglow.config.center import CenterConfig
from afterglow.config.dsc import DSCConfig
from afterglow.errors import AfterglowError, NotEvaluable
from afterglow.perfusion.dsc_inputs import gather
from afterglow.perfusion.dsc_reason import Reason
from afterglow.perfusion.dsc_stage import run_session
from afterglow.perfusion.standalone_dsc import run_dsc
from dsc_simulation import STEP, TE, artery, convolve, epi, tissue

SHAPE = (22, 22, 6)
TR = 1.5
TIME = np.arange(70) * TR
FINE = np.arange(0.0, TIME[-1] + 1, STEP)
BACK, WHITE, GREY, LESION, ARTERY, VOID = range(6)
AFFINE = np.diag([2.0, 2.0, 4.0, 1.0])
OFFSETS = np.arange(6) * 0.25


def labels():
    lab = np.full(SHAPE, BACK)
    lab[2:20, 2:20, :] = WHITE
    lab[2:20, 2:6, :] = GREY
    lab[8:13, 12:17, 2:5] = LESION
    lab[18:20, 9:12, 1:4] = ARTERY
    lab[3:5, 18:20, 0] = VOID
    return lab


def signals(lab, te=TE):
    arterial = 60.0 * artery(FINE, 24.0)
    white = tissue(FINE, arterial, 20 * 1.2, 5.0, 1.0)
    curves = {
        BACK: 0.0 * FINE,
        WHITE: white,
        GREY: tissue(FINE, arterial, 55 * 1.2, 4.0, 1.0),
        LESION: tissue(FINE, arterial, 60 * 1.2, 5.0, 1.0),
        ARTERY: arterial,
        VOID: white,
    }
    leak = 0.012 * convolve(white, np.exp(-FINE / 600.0))
    data = np.zeros((*SHAPE, TIME.size))
    for z in range(SHAPE[2]):
        for label, rates in curves.items():
            change = leak if label == LESION else 0.0 * leak
            fine = epi(rates, change, te=te)
            here = lab[:, :, z] == label
            data[:, :, z][here] = np.interp(TIME + OFFSETS[z], FINE, fine)
    level = np.select([lab == BACK, lab == VOID], [0.0, 120.0], 1000.0)
    return data * level[..., None]


@pytest.fixture
def session(tmp_path):
    rng = np.random.default_rng(8)
    lab = labels()
    data = signals(lab)
    data = np.abs(data + rng.normal(0, 8, data.shape))
    data[lab == BACK] = np.abs(rng.normal(0, 8, data[lab == BACK].shape))
    data[..., 40] *= 0.7
    save_nifti(data.astype(np.float32), AFFINE, tmp_path / "dsc.nii.gz")
    facts = {
        "EchoTime": TE,
        "FlipAngle": 60.0,
        "RepetitionTime": TR,
        "MagneticFieldStrength": 3.0,
        "VolumeTiming": TIME.tolist(),
        "TimingSource": "acquisition_time",
        "SliceTiming": OFFSETS.tolist(),
    }
    write_json(tmp_path / "dsc.json", facts)
    save_nifti((lab != BACK).astype(np.uint8), AFFINE, tmp_path / "brain.nii.gz")
    save_nifti((lab == WHITE).astype(np.float32), AFFINE, tmp_path / "wm.nii.gz")
    save_nifti((lab == LESION).astype(np.uint8), AFFINE, tmp_path / "lesions.nii.gz")
    rows = "".join(f"{i}\t{int(i == 40)}\n" for i in range(TIME.size))
    (tmp_path / "motion.tsv").write_text("frame\tcensored\n" + rows, encoding="utf-8")
    return tmp_path


BIDS = {"series": {"dsc": {"path": "dsc.nii.gz", "sidecar": "dsc.json", "evaluable": True}}}
ANAT = {
    "dsc": {
        "moco": "dsc.nii.gz",
        "motion": "motion.tsv",
        "brain": "brain.nii.gz",
        "probseg": {"WM": "wm.nii.gz"},
        "lesions": "lesions.nii.gz",
    }
}
CENTER = CenterConfig(
    name="north", dicom=["x"], preload="full", contrast_agent="gadobutrol", dose=0.1
)


def run(folder, bids=BIDS, anat=ANAT, config=None, **options):
    def out(name):
        path = folder / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    found = run_session(
        lambda name: folder / name,
        out,
        "D",
        "s",
        bids,
        anat,
        config or DSCConfig(),
        CENTER,
        **options,
    )
    return found, lambda name: load_nifti(folder / "out" / found.summary["maps"][name]["path"])[0]


@pytest.mark.parametrize("model", ["bsw", "bidirectional"])
def test_maps_hold_the_truth(session, model):
    found, load = run(session, config=DSCConfig(leakage_model=model))
    lab, maps = labels(), found.summary["maps"]
    names = {"CBV", "CBVraw", "CBF", "MTT", "Tmax", "PSR", "PH", "PHdR2s", "K1", "K2", "rCBV"}
    assert names <= set(maps)
    good = load_nifti(session / "out" / maps["rCBV"]["evaluable"])[0] > 0
    lesion = (lab == LESION) & good
    assert np.median(load("rCBV")[lesion]) == pytest.approx(3.0, rel=0.1)
    raw = load("CBVraw")
    assert np.median(raw[lesion]) / np.median(raw[(lab == WHITE) & good]) < 2.75
    assert np.median(load("rCBV")[(lab == GREY) & good]) == pytest.approx(2.2, rel=0.1)
    assert np.median(load("K2")[lesion]) > 0
    assert maps["CBV"]["model"] == model
    assert f"model-{model}_param-CBV_map" in maps["CBV"]["path"]
    assert "model-none_param-CBVraw" in maps["CBVraw"]["path"]


def test_artery_slice_times_and_flow(session):
    found, load = run(session)
    lab = labels()
    chosen = load_nifti(session / "out" / found.summary["aif"]["mask"])[0] > 0
    assert np.mean(lab[chosen] == ARTERY) > 0.9
    tmax = load("Tmax")
    by_slice = [np.nanmedian(tmax[..., z][lab[..., z] == GREY]) for z in (0, 5)]
    assert abs(by_slice[0] - by_slice[1]) < 0.5
    cbf = load("CBF")
    flow = np.nanmedian(cbf[lab == GREY]) / np.nanmedian(cbf[lab == WHITE])
    assert flow == pytest.approx(2.75, rel=0.15)


def test_summary_records_and_reasons(session):
    found, _ = run(session)
    summary = found.summary
    assert summary["windows"]["baseline"]["frames"][0] == 0
    assert summary["windows"]["arrival"] == pytest.approx(25.0, abs=2.0)
    assert summary["domain"]["protocol"] == "consensus_preload"
    assert summary["domain"]["leakage_model"] == "bsw"
    assert summary["domain"]["slice_timing"] == "applied"
    reasons = load_nifti(session / "out" / summary["reasons"])[0].astype(int)
    assert np.all(reasons[labels() == VOID] & Reason.VOID)
    sidecar = read_json(
        session / "out" / summary["maps"]["rCBV"]["path"].replace(".nii.gz", ".json")
    )
    assert sidecar["Parameters"]["censored_frames"] == [40]
    assert sidecar["Parameters"]["domain"]["psr_window"] == [50.0, 60.0]
    assert (session / "out" / summary["figures"][0]).stat().st_size > 10_000
    curves = (session / "out" / summary["curves"]).read_text().splitlines()
    assert len(curves) == TIME.size + 1
    assert "lesions_corrected" in curves[0]


def two_echoes(folder):
    """Add an echo at 10 ms; leakage shortens T1 in both alike."""
    lab, rng = labels(), np.random.default_rng(3)
    short = 0.01
    clean = signals(lab, short)
    noisy = np.abs(clean * np.exp(0.5) + rng.normal(0, 8, clean.shape))
    save_nifti(noisy.astype(np.float32), AFFINE, folder / "first.nii.gz")
    facts = read_json(folder / "dsc.json")
    write_json(folder / "first.json", facts | {"EchoTime": short})
    series = {"path": "first.nii.gz", "sidecar": "first.json", "evaluable": True}
    series["echoes"] = ["first.nii.gz", "dsc.nii.gz"]
    part = ANAT["dsc"] | {"moco": "first.nii.gz", "echoes": ["first.nii.gz", "dsc.nii.gz"]}
    return {"series": {"dsc": series}}, {"dsc": part}


def test_two_echoes_are_free_of_t1_effects(session):
    bids, anat = two_echoes(session)
    found, load = run(session, bids=bids, anat=anat)
    lab = labels()
    assert found.summary["domain"]["echo_times"] == [0.01, TE]
    assert found.summary["domain"]["psr_echo_time"] == TE
    assert "TE 10+30 ms" in found.summary["domain"]["text"]
    raw = load("CBVraw")
    ratio = np.nanmedian(raw[lab == LESION]) / np.nanmedian(raw[lab == WHITE])
    assert ratio == pytest.approx(3.0, rel=0.05)
    single, load_single = run(session)
    raw = load_single("CBVraw")
    assert np.nanmedian(raw[lab == LESION]) / np.nanmedian(raw[lab == WHITE]) < 0.93 * ratio
    assert single.summary["domain"]["echo_times"] == [TE]
    alone = {"dsc": {k: v for k, v in anat["dsc"].items() if k != "echoes"}}
    inputs = gather(lambda name: session / name, bids, alone)
    assert inputs.series.echo_times == (0.01,)
    assert any("second echo not motion corrected" in text for text in inputs.warnings)


def test_same_input_same_bytes(session, tmp_path):
    contents = []
    for _ in range(2):
        found, _ = run(session)
        paths = [found.summary["maps"]["rCBV"]["path"], found.summary["figures"][0]]
        contents.append([(session / "out" / p).read_bytes() for p in paths])
    assert contents[0] == contents[1]


def test_without_anatomy_there_is_no_rcbv(session):
    found, load = run(session, anat=None)
    assert "rCBV" not in found.summary["maps"]
    assert any("no anatomy" in text for text in found.warnings)
    assert np.isfinite(load("CBV")).sum() > 1000


def test_refusals(session):
    cases = {
        "no_dsc_series": {"series": {}},
        "no_temporal_tag": {
            "series": {
                "dsc": {**BIDS["series"]["dsc"], "evaluable": False, "reason": "no_temporal_tag"}
            }
        },
    }
    for reason, bids in cases.items():
        with pytest.raises(NotEvaluable) as refused:
            run(session, bids=bids)
        assert refused.value.reason == reason
    with pytest.raises(NotEvaluable) as refused:
        run(session, bids={"series": {}}, problems=("dsc: truncated pixel data",))
    assert refused.value.reason == "conversion_failed"
    facts = read_json(session / "dsc.json")
    write_json(session / "dsc.json", facts | {"VolumeTiming": TIME[:-1].tolist()})
    with pytest.raises(AfterglowError, match="69 frame times"):
        run(session)
    write_json(session / "dsc.json", {k: v for k, v in facts.items() if k != "EchoTime"})
    with pytest.raises(NotEvaluable, match="no_echo_time"):
        run(session)


def test_a_series_alone_says_what_times_its_frames(session, tmp_path):
    facts = {k: v for k, v in read_json(session / "dsc.json").items() if k != "VolumeTiming"}
    write_json(session / "dsc.json", {**facts, "RepetitionTime": 1.5})
    found = run_dsc(session / "dsc.nii.gz", tmp_path / "nominal", mask=session / "brain.nii.gz")
    assert found["domain"]["timing_source"] == "repetition_time"
    assert [w for w in found["warnings"] if "RepetitionTime of 1.5 s" in w] == found["warnings"][:1]
    given = run_dsc(session / "dsc.nii.gz", tmp_path / "g", mask=session / "brain.nii.gz", tr=1.5)
    assert given["domain"]["timing_source"] == "given_spacing"
    assert not [w for w in given["warnings"] if "RepetitionTime" in w]
    for seconds in (0.02, 1500.0):
        write_json(session / "dsc.json", {**facts, "RepetitionTime": seconds})
        with pytest.raises(AfterglowError, match=f"would be {seconds:g} s") as refused:
            run_dsc(session / "dsc.nii.gz", tmp_path / "no")
        assert "--times" in refused.value.remedy


def test_one_series_alone(session, tmp_path):
    data, affine = load_nifti(session / "dsc.nii.gz")
    data[..., 40] /= 0.7
    save_nifti(data, affine, session / "dsc.nii.gz")
    summary = run_dsc(
        session / "dsc.nii.gz",
        tmp_path / "alone",
        white_matter=session / "wm.nii.gz",
        lesions=session / "lesions.nii.gz",
        mask=session / "brain.nii.gz",
    )
    values, _ = load_nifti(tmp_path / "alone" / summary["maps"]["rCBV"]["path"])
    assert np.nanmedian(values[labels() == LESION]) == pytest.approx(3.0, rel=0.15)
    assert summary["domain"]["protocol"] == "unknown"
    two_echoes(session)
    summary = run_dsc(
        session / "first.nii.gz",
        tmp_path / "both",
        mask=session / "brain.nii.gz",
        second_echo=session / "dsc.nii.gz",
        config=DSCConfig(deconvolution="vascular", cbv_window="gamma_variate"),
    )
    assert summary["domain"]["echo_times"] == [0.01, TE]
    assert summary["maps"]["CTH"]["model"] == "vascular"
    assert summary["maps"]["CBV"]["window"] == "gamma variate of the first pass"
    assert "rCBV" not in summary["maps"]
    (session / "dsc.json").unlink()
    with pytest.raises(AfterglowError, match="echo time"):
        run_dsc(session / "dsc.nii.gz", tmp_path / "other")
