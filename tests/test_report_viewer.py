"""The viewer's volumes, its page, and the server that shows a study to this machine only."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import re
import signal
import subprocess
import sys
import threading
import urllib.request

import nibabel as nib
import numpy as np
import pytest

from afterglow.provenance.job import State
from afterglow.provenance.records import dump_state, state_path
from afterglow.report.server import StudyServer
from afterglow.report.viewer import Layer, View, chosen, packed_program, program, viewer_page
from afterglow.report.viewer_session import session_view
from afterglow.report.volumes import BLANK, anatomy_volume, crop, map_volume, outline_volume
from test_report_pages import Outline

AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])


def read(content):
    return nib.Nifti1Image.from_bytes(gzip.decompress(content))


def test_a_map_keeps_its_values_and_blanks_what_is_not_evaluable():
    values = np.linspace(0.0, 4.0, 6 * 5 * 4).reshape(6, 5, 4)
    good = values > 0.5
    image = read(map_volume(values, good, AFFINE))
    found = np.asarray(image.dataobj)
    middle = good & (values > 0.6) & (values < 3.9)
    assert np.abs(found - values)[middle].max() < 1e-4
    assert (np.asarray(image.dataobj.get_unscaled())[~good] == BLANK).all()
    assert found[~good].max() < 0.0
    assert np.allclose(image.affine, AFFINE)
    high = read(map_volume(values + 50.0, good, AFFINE, floor=0.0))
    assert np.asarray(high.dataobj)[~good].max() < 0.0
    nothing = read(map_volume(values, np.zeros_like(good), AFFINE))
    assert (np.asarray(nothing.dataobj.get_unscaled()) == BLANK).all()


def test_a_fine_image_is_averaged_and_stays_in_place():
    grid = np.indices((40, 40, 40)).astype(float)
    image = read(anatomy_volume(grid[0] + 100.0, AFFINE, 10_000))
    assert image.shape == (20, 20, 20)
    center = image.affine @ [9.5, 9.5, 9.5, 1.0]
    assert center[:3] == pytest.approx((AFFINE @ [19.5, 19.5, 19.5, 1.0])[:3])
    assert float(image.dataobj[10, 5, 5]) == pytest.approx(120.5, rel=0.01)


def test_an_outline_is_a_shell():
    labels = np.zeros((11, 11, 11), np.int32)
    labels[3:8, 3:8, 3:8] = 4
    shell = np.asarray(read(outline_volume(labels, AFFINE, 10**6)).dataobj)
    assert shell.sum() == 5**3 - 3**3
    assert shell[5, 5, 5] == 0


def test_a_crop_holds_the_region_where_it_was():
    values = np.arange(10**3, dtype=float).reshape(10, 10, 10)
    inside = values == 555
    box, matrix = crop(values, inside, AFFINE, margin=4.0)
    at = np.argwhere(box == 555)[0]
    assert box.shape == (5, 5, 5)
    assert (matrix @ [*at, 1.0])[:3] == pytest.approx((AFFINE @ [5, 5, 5, 1.0])[:3])


def layers(size=50):
    return [
        Layer(name, name, kind, "1/min", (0.0, 1.0), bytes(size))
        for name, kind in (("Ktrans", "map"), ("odd", "map"), ("T1w", "anatomy"))
    ]


def test_maps_give_way_where_a_page_would_grow_too_large():
    kept, left = chosen(layers(), 110)
    assert [one.name for one in kept] == ["T1w", "Ktrans"]
    assert left == ["odd"]


def test_the_viewer_holds_its_program_and_its_images():
    nasty = "</script><script>alert(1)</script>"
    view = View("ses-1", layers(), {nasty: (1.0, 2.0, 3.0)}, ["odd"])
    html = viewer_page([view], title="sub-a", lede="One session.")
    found = Outline(html)
    assert found.faults == []
    assert nasty not in html
    assert "Left out to keep this page small: ses-1: odd" in found.plain
    config = json.loads(re.search(r'id="views">(.*?)</script>', html, flags=re.DOTALL)[1])
    assert base64.b64decode(config[0]["layers"][0]["data"]) == bytes(50)
    assert config[0]["points"] == {nasty: [1.0, 2.0, 3.0]}
    packed = re.search(r'id="program">(.*?)</script>', html, flags=re.DOTALL)[1]
    assert gzip.decompress(base64.b64decode(packed)) == program()
    assert "connect-src 'self' data: blob:" in html
    assert viewer_page([view], title="sub-a", lede="One session.") == html
    assert packed_program() not in viewer_page([view], title="x", lede="y", embedded=False)


def test_the_programs_licence_stands_beside_it():
    from afterglow.report.viewer import ASSETS

    text = (ASSETS / "LICENSE.niivue").read_text()
    assert "BSD 2-Clause" in text
    assert "@niivue/niivue" in text


@pytest.fixture
def out(tmp_path):
    """A study of one subject with two sessions; the second lies 5 mm off the reference."""
    root = tmp_path / "out"
    for number, session in enumerate(("s1", "s2")):
        folder = root / "derivatives" / session
        folder.mkdir(parents=True)
        brain = np.zeros((24, 24, 24), np.float32)
        brain[4:20, 4:20, 4:20] = 1.0
        label = np.zeros_like(brain)
        label[10:13, 10:13, 10:13] = 1.0
        for name, values in (("brain", brain), ("t1w", 100 * brain), ("mask", label)):
            nib.save(nib.Nifti1Image(values, AFFINE), folder / f"{name}.nii.gz")
        nib.save(nib.Nifti1Image(2 * brain, AFFINE), folder / "rcbv.nii.gz")
        to_reference = np.eye(4)
        to_reference[0, 3] = 5.0 * number
        (folder / "xfm.json").write_text(
            json.dumps(
                {"T1w_to_reference": to_reference.tolist(), "dsc_to_T1w": np.eye(4).tolist()}
            )
        )
        at = f"derivatives/{session}"
        anat = {k: f"{at}/{k}.nii.gz" for k in ("brain", "t1w")} | {"transforms": f"{at}/xfm.json"}
        maps = {"rCBV": {"path": f"{at}/rcbv.nii.gz", "units": "1 (ratio)"}}
        for stage, summary in (
            ("anat", anat),
            ("dsc", {"maps": maps}),
            ("bids", {"mask": f"{at}/mask.nii.gz"}),
        ):
            path = root / state_path(stage, "a", session)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dump_state(State(stage, "k", "a", session, "done", summary=summary)))
    (root / "cohort").mkdir()
    (root / "cohort/study.html").write_text("<p>all</p>")
    (tmp_path / "out-private").mkdir()
    (tmp_path / "out-private/key.json").write_text("secret")
    (root / "derivatives/leak.json").symlink_to(tmp_path / "out-private/key.json")
    return root


def test_timepoints_stand_in_one_space(out):
    from afterglow.provenance.records import read_state

    views = []
    for session in ("s1", "s2"):
        states = {s: read_state(out / state_path(s, "a", session)) for s in ("anat", "dsc", "bids")}
        views.append(
            session_view(
                states, lambda p: out / p, title=session, voxels=10**6, most=10**7,
                to_reference=True,
            )
        )  # fmt: skip
    first, second = (view.points["lesion 1"] for view in views)
    assert np.subtract(second, first) == pytest.approx([5.0, 0.0, 0.0])
    assert [one.name for one in views[0].layers] == ["T1w", "lesions", "rCBV"]
    shift = [read(view.layers[2].content).affine[0, 3] for view in views]
    assert shift[1] - shift[0] == pytest.approx(5.0)


@pytest.fixture
def server(out):
    with StudyServer(out, token="t0ken") as found:
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def ask(server, path, method="GET", host=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    connection.request(method, path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_the_server_shows_pages_and_viewer(server):
    assert server.address.startswith("http://127.0.0.1:")
    status, body = ask(server, "/t0ken/")
    assert status == 200
    assert b'href="view/sub-a"' in body
    assert ask(server, "/t0ken/cohort/study.html") == (200, b"<p>all</p>")
    assert ask(server, "/t0ken/view/niivue.js")[1] == program()
    status, body = ask(server, "/t0ken/view/sub-a")
    config = json.loads(re.search(rb'id="views">(.*?)</script>', body, flags=re.DOTALL)[1])
    assert [view["title"] for view in config] == ["ses-s1", "ses-s2"]
    assert b'<script src="niivue.js">' in body
    assert ask(server, "/t0ken/cohort/study.html", "HEAD") == (200, b"")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 403),
        ("/wrong/cohort/study.html", 403),
        ("/t0ken/../out-private/key.json", 404),
        ("/t0ken/%2e%2e/out-private/key.json", 404),
        ("/t0ken/cohort/../../out-private/key.json", 404),
        ("/t0ken/derivatives/leak.json", 404),
        ("/t0ken/ledger/states/anat/sub-a_ses-s1.json", 404),
        ("/t0ken//etc/passwd", 404),
        ("/t0ken/view/sub-b", 404),
    ],
)
def test_the_server_gives_nothing_else(server, path, status):
    found, body = ask(server, path)
    assert found == status
    assert b"secret" not in body


def test_the_server_takes_nothing_and_knows_no_other_name(server):
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert ask(server, "/t0ken/cohort/study.html", method)[0] == 501
    assert ask(server, "/t0ken/cohort/study.html", host="evil.example:80")[0] == 403
    assert ask(server, "/t0ken/cohort/study.html", host=f"localhost:{server.server_port}")[0] == 200


def test_the_command_says_where_and_ends_when_told(out):
    study = "study: s\nout: out\ncenters:\n  - name: north\n    dicom: [incoming]\n"
    (out.parent / "study.yaml").write_text(study)
    command = [sys.executable, "-m", "afterglow.cli.app", "view", str(out.parent), "--no-browser"]
    # A shell's background job ignores the signal, and so would what it starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    try:
        address = process.stdout.readline().strip()
        with urllib.request.urlopen(f"{address}cohort/study.html", timeout=20) as answer:
            assert answer.read() == b"<p>all</p>"
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_a_study_without_results_is_not_shown(tmp_path):
    from afterglow.cli.view import view
    from afterglow.errors import AfterglowError, ExitCode

    study = "study: s\nout: out\ncenters:\n  - name: north\n    dicom: [incoming]\n"
    (tmp_path / "study.yaml").write_text(study)
    with pytest.raises(AfterglowError, match="no results yet") as found:
        view(tmp_path)
    assert found.value.exit_code == ExitCode.NOTHING
