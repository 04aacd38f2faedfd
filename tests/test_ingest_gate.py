"""The gate finds identifiers wherever they hide, and only those."""

from __future__ import annotations

import base64
import gzip
import zlib
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from afterglow.config import Study
from afterglow.config.center import CenterConfig
from afterglow.dicom import gate
from afterglow.dicom.gate import check_outputs, known_identifiers, scan_outputs
from afterglow.dicom.index import build_index
from afterglow.errors import AfterglowError, ExitCode
from ingest_dicom import DSC, T1W, Person, write_study

SECRETS = {"secret-pid-0001": "patient identifier", "doe": "patient name", "19510203": "birth"}


def places(out):
    return {(leak.path, leak.place) for leak in scan_outputs(out, SECRETS)}


def test_an_index_is_clean_and_its_identifiers_are_known(tmp_path):
    write_study(tmp_path / "incoming", [T1W, DSC])
    study = Study(study="t", out=tmp_path / "out",
                  centers=[CenterConfig(name="north", dicom=[tmp_path / "incoming"])])  # fmt: skip
    build_index(study)
    known = known_identifiers(study)
    person = Person()
    assert {person.id.lower(), person.birth, person.accession.lower(), "jane"} <= set(known)
    assert scan_outputs(study.out, known) == []
    (study.out / "leak.txt").write_text(f"seen {person.accession}")
    (leak,) = scan_outputs(study.out, known)
    assert (leak.path, leak.kind) == ("leak.txt", "accession number")
    assert person.accession not in str(leak)


def test_pages_are_looked_into_and_letters_of_base64_are_no_words(tmp_path):
    def page(name, packed, text=""):
        body = base64.b64encode(packed).decode()
        (tmp_path / name).write_text(f'<img src="data:x;base64,{body}"><p>{text}</p>')

    noise = np.random.default_rng(3).bytes(900)
    # By chance these letters stand between signs of base64: no name.
    chance = base64.b64encode(noise).decode()[:400] + "/doe/" + "A" * 395
    (tmp_path / "chance.html").write_text(f'<script id="p">{chance}</script>')
    page("text.html", noise, "Doe")
    chunk = b"Comment\0Doe"
    picture = noise[:1] * 400
    png = gate.PNG + len(chunk).to_bytes(4, "big") + b"tEXt" + chunk + bytes(4)
    page("png.html", png + len(picture).to_bytes(4, "big") + b"IDAT" + picture + bytes(4))
    image = nib.Nifti1Image(np.frombuffer(noise, np.uint8).reshape(30, 30, 1), np.eye(4))
    page("clean.html", gzip.compress(image.to_bytes()))
    image.header["descrip"] = b"of Doe"
    page("nifti.html", gzip.compress(image.to_bytes()))
    page("gzip.html", gzip.compress(noise + b" Doe " + noise))
    assert places(tmp_path) == {
        ("text.html", "content"),
        ("png.html", "image text"),
        ("nifti.html", "image header"),
        ("gzip.html", "gzip"),
    }


def test_every_hiding_place_is_looked_into(tmp_path):
    (tmp_path / "a.log").write_text("reading SECRET-PID-0001/IM1")
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(b'{"x": "Doe"}'))
    with gzip.GzipFile(tmp_path / "doe_scan.gz", "wb") as stream:
        stream.write(b"nothing")
    table = pa.table({"name": ["Doe", "x"], "n": [1.0, 2.0]})
    pq.write_table(table, tmp_path / "c.parquet", compression="zstd")
    pq.write_table(
        pa.table({"n": [1]}).replace_schema_metadata({"born": "19510203"}), tmp_path / "d.parquet"
    )
    body = b"Comment\0\0" + zlib.compress(b"patient 19510203")
    chunk = len(body).to_bytes(4, "big") + b"zTXt" + body + b"\0\0\0\0"
    (tmp_path / "e.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    end = bytes(4) + b"IEND" + bytes(4)
    (tmp_path / "g.png").write_bytes(b"\x89PNG\r\n\x1a\n" + end + b" Doe")
    wide = "Doe".encode("utf-16-le")
    exif = len(wide).to_bytes(4, "big") + b"eXIf" + wide + bytes(4)
    (tmp_path / "h.png").write_bytes(b"\x89PNG\r\n\x1a\n" + exif + end)
    (tmp_path / "f.bin").write_bytes("Doe".encode("utf-16-le"))
    found = places(tmp_path)
    assert found >= {
        ("a.log", "content"),
        ("b.json.gz", "gzip"),
        ("doe_scan.gz", "name"),
        ("c.parquet", "column name"),
        ("d.parquet", "metadata"),
        ("e.png", "image text"),
        ("g.png", "image text"),
        ("h.png", "image text"),
        ("f.bin", "wide text"),
    }


def test_parts_of_words_are_no_leak(tmp_path):
    (tmp_path / "a.txt").write_text("doesn't 219510203 x19510203 1.19510203")
    assert scan_outputs(tmp_path, SECRETS) == []


def test_what_cannot_be_read_is_not_clean(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 broken")
    (leak,) = scan_outputs(tmp_path, SECRETS)
    assert leak.kind.startswith("unreadable")


def study_with(folder, person):
    write_study(folder / "incoming", [replace(T1W, n_slices=2)], person)
    return Study(study="t", out=folder / "out",
                 centers=[CenterConfig(name="north", dicom=[folder / "incoming"])])  # fmt: skip


def test_an_ordinary_word_is_a_name_only_beside_the_other_one(tmp_path):
    study = study_with(tmp_path, Person(name="White^Grey", id="4711"))
    build_index(study)
    known = known_identifiers(study)
    (study.out / "report.html").write_text("white matter, 4711 voxels, grey matter")
    assert scan_outputs(study.out, known) == []
    (study.out / "a.txt").write_text("scan of Grey White")
    (study.out / "b.json").write_text('{"id": "4711", "n": 4711}')
    (study.out / "4711").mkdir()
    found = {(leak.path, leak.kind, leak.place) for leak in scan_outputs(study.out, known)}
    assert found == {
        ("a.txt", "patient name", "content"),
        ("b.json", "patient identifier", "content"),
        ("4711", "patient identifier", "name"),
    }


def test_the_check_ends_a_run_and_reads_clean_files_once(tmp_path, monkeypatch):
    study = study_with(tmp_path, Person())
    build_index(study)
    check_outputs(study)
    read: list[Path] = []
    look = gate._look
    monkeypatch.setattr(gate, "_look", lambda path, *rest: read.append(path) or look(path, *rest))
    check_outputs(study)
    assert read == []
    leak = study.out / "logs" / "x.log"
    leak.parent.mkdir()
    leak.write_text(f"opening {tmp_path}/incoming/002/IM00001")
    for _ in range(2):
        with pytest.raises(AfterglowError, match="incoming folder in content") as caught:
            check_outputs(study)
        assert caught.value.exit_code == ExitCode.FINDINGS
        assert read[-1] == leak
    assert str(tmp_path) not in str(caught.value)
