"""The `dce` stage on a small simulated session."""

from __future__ import annotations

import numpy as np
import pytest

from afterglow.bids.images import load_nifti, save_nifti
from afterglow.bids.sidecars import read_json, write_json
from afterglow.config.center import CenterConfig
from afterglow.config.dce import DCEConfig
from afterglow.errors import NotEvaluable
from afterglow.perfusion import aif, dce
from afterglow.perfusion.dce_stage import run_session
from afterglow.perfusion.signal import spgr_signal

SHAPE = (20, 20, 6)
TIME = np.arange(60) * 5.0
TR, ANGLE, R1, HCT = 0.005, 15.0, 4.5, 0.42
BACK, BRAIN, LESION, ARTERY, VEIN = range(5)


def labels():
    lab = np.full(SHAPE, BACK)
    lab[2:18, 2:18, 1:5] = BRAIN
    lab[5:9, 5:9, 2:4] = LESION
    lab[16, 4:8, 1:5] = ARTERY
    lab[10:13, 2:4, 1:5] = VEIN
    return lab


def concentrations():
    fine = np.arange(0.0, 305.0, 0.25)
    arterial = aif.parker(fine, arrival=32.0)
    kernel = np.exp(-fine / 3.0) / np.exp(-fine / 3.0).sum()
    venous = np.convolve(aif.parker(fine, arrival=38.0), kernel)[: fine.size]
    plasma = aif.to_plasma(arterial, HCT)

    def tissue(ktrans, ve, vp):
        maps = {"Ktrans": ktrans, "ve": ve, "vp": vp}
        return dce.predict("extended_tofts", maps, fine, plasma)

    curves = {
        BRAIN: tissue(0.002, 0.1, 0.015),
        LESION: tissue(0.12, 0.3, 0.05),
        ARTERY: arterial,
        VEIN: venous,
    }
    frames = {}
    for label, curve in curves.items():
        frames[label] = np.array([curve[(fine >= t) & (fine < t + 5.0)].mean() for t in TIME])
    return frames


T1 = {BACK: 1.0, BRAIN: 1.1, LESION: 1.4, ARTERY: 1.67, VEIN: 1.6}


@pytest.fixture
def session(tmp_path):
    """Return the folder of a session with summaries as stages `bids` and `anat` write them."""
    rng = np.random.default_rng(4)
    lab, frames = labels(), concentrations()
    m0 = np.where(lab == BACK, 0.0, 1000.0)
    r10 = 1.0 / np.vectorize(T1.get)(lab)
    conc = np.zeros((*SHAPE, TIME.size))
    for label, curve in frames.items():
        conc[lab == label] = curve
    series = spgr_signal(r10[..., None] + R1 * conc, m0[..., None], TR, ANGLE)
    series = np.abs(series + rng.normal(0, 0.4, series.shape))
    affine = np.diag([2.0, 2.0, 4.0, 1.0])
    save_nifti(series.astype(np.float32), affine, tmp_path / "dce.nii.gz")
    facts = {
        "RepetitionTime": TR,
        "FlipAngle": ANGLE,
        "VolumeTiming": TIME.tolist(),
        "TimingSource": "acquisition_time",
        "MagneticFieldStrength": 3.0,
        "ContrastBolusAgent": "Gadavist",
    }
    write_json(tmp_path / "dce.json", facts)
    vfa = []
    for number, angle in enumerate((3.0, 8.0, 18.0), start=1):
        image = spgr_signal(r10, m0, 0.006, angle) + rng.normal(0, 0.2, SHAPE)
        save_nifti(image.astype(np.float32), affine, tmp_path / f"vfa{number}.nii.gz")
        content = {"RepetitionTime": 0.006, "FlipAngle": angle}
        write_json(tmp_path / f"vfa{number}.json", content)
        vfa.append({"path": f"vfa{number}.nii.gz", "sidecar": f"vfa{number}.json"})
    brain = (lab != BACK).astype(np.uint8)
    save_nifti(brain, affine, tmp_path / "brain.nii.gz")
    lines = [f"{i}\t{int(i == 40)}" for i in range(TIME.size)]
    (tmp_path / "motion.tsv").write_text("\n".join(["frame\tcensored", *lines]) + "\n")
    entry = {"path": "dce.nii.gz", "sidecar": "dce.json", "evaluable": True, "reason": ""}
    bids = {"series": {"dce": entry, "vfa": vfa}}
    anat = {
        "dce": {
            "moco": "dce.nii.gz",
            "motion": "motion.tsv",
            "brain": "brain.nii.gz",
            "probseg": {},
            "vfa": [item["path"] for item in vfa],
        }
    }
    return tmp_path, bids, anat


def run(session, bids=None, anat=None, config=None, center=None):
    folder, default_bids, default_anat = session

    def out(relative):
        target = folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    return run_session(
        lambda relative: folder / relative,
        out,
        "derivatives/sub-1/ses-1",
        "sub-1_ses-1",
        bids or default_bids,
        default_anat if anat is None else (anat or None),
        config or DCEConfig(),
        center or CenterConfig(name="north", dicom=["x"]),
    )


def test_maps_match_truth(session):
    folder = session[0]
    found = run(session)
    lab = labels()
    maps = found.summary["maps"]
    truth = {"Ktrans": 0.12, "ve": 0.3, "vp": 0.05, "T1": 1.4}
    limits = {"Ktrans": 0.1, "ve": 0.1, "vp": 0.25, "T1": 0.03}
    for name, value in truth.items():
        values, _ = load_nifti(folder / maps[name]["path"])
        error = np.abs(np.median(values[lab == LESION]) / value - 1.0)
        assert error < limits[name], (name, error)
        evaluable, _ = load_nifti(folder / maps[name]["evaluable"])
        assert evaluable[lab == LESION].mean() > 0.8
    assert found.summary["aif"]["source"] == "detected"
    assert found.summary["domain"]["t10"] == "measured"
    assert found.summary["domain"]["agent"] == "gadobutrol"
    assert abs(found.summary["windows"]["arrival"] - 33.0) < 5.0
    sidecar = read_json(folder / maps["Ktrans"]["path"].replace(".nii.gz", ".json"))
    assert sidecar["Units"] == "1/min"
    assert sidecar["Parameters"]["censored_frames"] == [40]
    assert (folder / found.summary["figures"][0]).stat().st_size > 1000


def test_same_input_gives_same_bytes(session):
    folder = session[0]
    first = run(session).summary
    digests = {m["path"]: (folder / m["path"]).read_bytes() for m in first["maps"].values()}
    second = run(session).summary
    assert first == second
    assert all((folder / path).read_bytes() == content for path, content in digests.items())


def test_without_anatomy_the_series_is_used_as_it_is(session):
    found = run(session, anat={})
    assert any("no anatomy" in message for message in found.warnings)
    values, _ = load_nifti(session[0] / found.summary["maps"]["Ktrans"]["path"])
    assert abs(np.median(values[labels() == LESION]) / 0.12 - 1.0) < 0.1


def test_without_flip_angles_t1_is_assumed_and_said_so(session):
    bids = {"series": {**session[1]["series"], "vfa": []}}
    found = run(session, bids=bids)
    assert found.summary["domain"]["t10"] == "assumed"
    assert "T1" not in found.summary["maps"]
    assert any("assumed" in message for message in found.warnings)
    with pytest.raises(NotEvaluable, match="no_vfa"):
        run(session, bids=bids, config=DCEConfig(assumed_t10=False))


def test_flip_angles_at_different_receive_gains_give_no_t1(session):
    folder = session[0]
    for gains, source in (((11, 11, 11), "measured"), ((11, 13, 11), "assumed")):
        for number, gain in enumerate(gains, start=1):
            content = read_json(folder / f"vfa{number}.json")
            write_json(folder / f"vfa{number}.json", {**content, "ReceiveGains": [[gain, 15]]})
        found = run(session)
        assert found.summary["domain"]["t10"] == source
    assert any("receive gains" in message for message in found.warnings)


def test_flip_angles_before_an_injection_give_no_t10(session):
    bids = {**session[1], "facts": {"injection_between_vfa_and_dce": True}}
    with pytest.raises(NotEvaluable, match="injection_between_vfa_and_dce"):
        run(session, bids=bids)


def test_an_earlier_injection_rules_out_assumed_and_native_t1(session):
    folder = session[0]
    facts = {"injections": ["DSC", "DCE"], "injection_before_vfa": True}
    blank = {"series": {**session[1]["series"], "vfa": []}, "facts": facts}
    with pytest.raises(NotEvaluable, match="injection_before_dce"):
        run(session, bids=blank)
    # Flip angles imaged after it start the concentrations, T1 itself is no longer native.
    found = run(session, bids={**session[1], "facts": facts})
    entry = found.summary["maps"]["T1"]
    assert entry["reason"] == "injection_before_vfa"
    assert load_nifti(folder / entry["evaluable"])[0].max() == 0
    sidecar = read_json(folder / entry["path"].replace(".nii.gz", ".json"))
    assert "injection_before_vfa" in sidecar["Evaluable"]
    assert not found.summary["domain"]["t1_native"]
    assert found.summary["aif"]["t1_source"] == "measured in the arterial voxels"


def test_a_population_input_tells_of_a_dose_that_may_be_a_total(session):
    folder = session[0]
    facts = {**read_json(folder / "dce.json"), "ContrastBolusDose": 0.1}
    write_json(folder / "dce.json", {**facts, "InjectionsOfSameVolume": 2})

    def said(dose):
        center = CenterConfig(name="north", dicom=["x"], dose=dose)
        found = run(session, config=DCEConfig(aif="parker"), center=center)
        domain = found.summary["domain"]
        doubts = [w for w in found.warnings if "each of 2 injections" in w]
        return domain["dose"], domain["dose_source"], len(doubts)

    assert said(None) == (0.1, "dicom", 1)
    assert said(0.1) == (0.1, "dicom", 0)
    assert said(0.05) == (0.05, "center_not_dicom", 1)


def test_a_population_input_without_a_dose_gives_t1_and_no_kinetics(session):
    folder = session[0]
    found = run(session, config=DCEConfig(aif="parker"))
    maps = found.summary["maps"]
    assert maps["Ktrans"]["reason"] == "no_dose"
    assert found.summary["aif"]["source"] == "none"
    assert np.isnan(load_nifti(folder / maps["Ktrans"]["path"])[0]).all()
    assert load_nifti(folder / maps["Ktrans"]["evaluable"])[0].max() == 0
    assert load_nifti(folder / maps["T1"]["evaluable"])[0].max() == 1
    assert load_nifti(folder / maps["IAUC"]["evaluable"])[0].max() == 1
    center = CenterConfig(name="north", dicom=["x"], dose=0.1)
    known = run(session, config=DCEConfig(aif="parker"), center=center)
    assert known.summary["aif"]["source"] == "parker"
    assert known.summary["maps"]["Ktrans"]["reason"] == ""


def test_flip_angle_ratio_corrects_t1_and_concentration(session):
    folder, _, anat = session
    lab = labels()
    ratio = np.where(np.arange(SHAPE[0]) < 10, 0.85, 1.1)[:, None, None] * np.ones(SHAPE)
    rng = np.random.default_rng(4)
    m0, r10 = np.where(lab == BACK, 0.0, 1000.0), 1.0 / np.vectorize(T1.get)(lab)
    affine = np.diag([2.0, 2.0, 4.0, 1.0])
    for number, angle in enumerate((3.0, 8.0, 18.0), start=1):
        image = spgr_signal(r10, m0, 0.006, angle * ratio) + rng.normal(0, 0.2, SHAPE)
        save_nifti(image.astype(np.float32), affine, folder / f"vfa{number}.nii.gz")
    conc = np.zeros((*SHAPE, TIME.size))
    for label, curve in concentrations().items():
        conc[lab == label] = curve
    series = spgr_signal(r10[..., None] + R1 * conc, m0[..., None], TR, ANGLE * ratio[..., None])
    save_nifti(series.astype(np.float32), affine, folder / "dce.nii.gz")
    save_nifti((100 * ratio).astype(np.float32), affine, folder / "b1.nii.gz")
    write_json(folder / "b1.json", {"Units": "percent"})
    found = run(session, anat={"dce": {**anat["dce"], "b1": "b1.nii.gz"}})
    assert found.summary["domain"]["b1"] == "measured"
    for name, value, limit in (("T1", 1.4, 0.01), ("Ktrans", 0.12, 0.1)):
        values = load_nifti(folder / found.summary["maps"][name]["path"])[0]
        assert abs(np.median(values[lab == LESION]) / value - 1.0) < limit, name
    write_json(folder / "b1.json", {})
    ignored = run(session, anat={"dce": {**anat["dce"], "b1": "b1.nii.gz"}})
    assert any("unit" in message for message in ignored.warnings)


def test_saturated_and_negative_signals_are_flagged(session):
    folder = session[0]
    series, affine = load_nifti(folder / "dce.nii.gz")
    series[6, 6, 2, 20:] = 50.0 * series[6, 6, 2, 20:]
    series[7, 7, 2, 6:] *= 0.5 * series[7, 7, 2, :6].mean() / series[7, 7, 2, 6:]
    save_nifti(series, affine, folder / "dce.nii.gz")
    found = run(session)
    maps = found.summary["maps"]
    path = maps["Ktrans"]["path"].replace("_param-Ktrans_map", "_desc-reason_map")
    reason = load_nifti(folder / path)[0].astype(int)
    assert reason[6, 6, 2] & dce.Reason.SATURATED
    assert reason[7, 7, 2] & dce.Reason.NEGATIVE
    evaluable = load_nifti(folder / maps["Ktrans"]["evaluable"])[0]
    assert evaluable[6, 6, 2] == evaluable[7, 7, 2] == 0
    assert read_json(folder / path.replace(".nii.gz", ".json"))["BitFlags"]["4096"] == "saturated"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"evaluable": False, "reason": "no_temporal_tag"}, "no_temporal_tag"),
        (None, "no_dce_series"),
    ],
)
def test_series_that_cannot_be_used(session, change, reason):
    series = dict(session[1]["series"])
    series["dce"] = {**series["dce"], **change} if change else None
    with pytest.raises(NotEvaluable, match=reason):
        run(session, bids={"series": series})


def test_unknown_agent_is_not_guessed(session):
    folder = session[0]
    facts = read_json(folder / "dce.json")
    write_json(folder / "dce.json", {**facts, "ContrastBolusAgent": "contrast"})
    with pytest.raises(NotEvaluable, match="no_contrast_agent"):
        run(session)
    center = CenterConfig(name="north", dicom=["x"], contrast_agent="gadopiclenol")
    with pytest.raises(NotEvaluable, match="no_relaxivity"):
        run(session, center=center)
    found = run(session, center=center, config=DCEConfig(relaxivity=4.5))
    assert found.summary["domain"]["relaxivity_source"] == "dce.relaxivity of the study"
