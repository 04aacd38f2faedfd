"""Incoming files are not trusted: whatever they hold, the scan lists them and goes on."""

from __future__ import annotations

import hashlib
import os
import random
import zipfile
import zlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from afterglow.config import Study
from afterglow.config.center import CenterConfig
from afterglow.dicom import inventory
from afterglow.dicom.conflicts import sort_out
from afterglow.dicom.convert import convert
from afterglow.dicom.header import read_header
from afterglow.dicom.index import build_index
from afterglow.dicom.instance import describe
from afterglow.dicom.inventory import scan
from afterglow.dicom.manifest import file_hash, series_entry
from afterglow.dicom.series import describe as series_of
from afterglow.dicom.sessions import source_entry
from afterglow.dicom.tags import TAGS, WANTED, decode
from afterglow.dicom.timing import resolve
from ingest_dicom import DSC, T1W, Person, write_series, write_study

INPUTS = int(os.environ.get("AFTERGLOW_FUZZ", "2000"))


def sample(folder: Path) -> list[bytes]:
    """Return valid files of several encodings, one of them enhanced."""
    path = write_series(folder, T1W)[0]
    plain = pydicom.dcmread(path)
    plain.ReferencedImageSequence = Sequence([Dataset(), Dataset()])
    plain.ReferencedImageSequence[0].ReferencedSOPInstanceUID = "1.2.3"
    syntaxes = (
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    )
    return [*(encoded(plain, syntax) for syntax in syntaxes), enhanced(plain)]


def encoded(plain: Dataset, syntax: str) -> bytes:
    fresh = Dataset()
    for element in plain:
        fresh.add(element)
    fresh.file_meta = FileMetaDataset()
    fresh.file_meta.MediaStorageSOPClassUID = plain.SOPClassUID
    fresh.file_meta.MediaStorageSOPInstanceUID = plain.SOPInstanceUID
    fresh.file_meta.TransferSyntaxUID = syntax
    buffer = BytesIO()
    fresh.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def enhanced(plain: Dataset) -> bytes:
    data = Dataset()
    for element in plain:
        if element.tag.group != 0x7FE0:
            data.add(element)
    frames = []
    for number in range(4):
        content, position = Dataset(), Dataset()
        content.FrameAcquisitionDateTime = f"2024010110000{number}.5"
        content.TemporalPositionIndex = number + 1
        position.ImagePositionPatient = [0, 0, 0]
        frame = Dataset()
        frame.FrameContentSequence = Sequence([content])
        frame.PlanePositionSequence = Sequence([position])
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = Sequence(frames)
    data.NumberOfFrames = 4
    return encoded(data, ExplicitVRLittleEndian)


def broken(content: bytes, random_: random.Random) -> bytes:
    """Return a damaged copy: cut, flipped, with huge lengths or strange characters."""
    data = bytearray(content)
    for _ in range(random_.randint(1, 6)):
        at = random_.randrange(128, len(data))
        kind = random_.randrange(6)
        if kind == 0:
            del data[at:]
            break
        if kind == 1:
            data[at] = random_.randrange(256)
        elif kind == 2:
            data[at : at + 4] = b"\xff\xff\xff\xff"
        elif kind == 3:
            data[at : at + 4] = random_.randbytes(4)
        elif kind == 4:
            data[at : at + 3] = random_.choice([b"../", b"\0\0\0", b"\r\n\t", b"SQ\0", b"UN\0"])
        else:
            data[at:at] = random_.randbytes(random_.randrange(1, 40))
        if len(data) < 140:
            break
    return bytes(data)


def test_no_damage_makes_the_reader_fail(tmp_path):
    random_ = random.Random(7)
    samples = sample(tmp_path)
    statuses: dict[str, int] = {}
    for number in range(INPUTS):
        content = broken(samples[number % len(samples)], random_)
        row = describe(BytesIO(content), len(content))
        statuses[row["status"]] = statuses.get(row["status"], 0) + 1
        assert row["status"] == "ok" or row["reason"]
        if row["status"] == "ok" and number % 10 == 0:
            resolve([row])
    assert set(statuses) == {"ok", "rejected"}
    assert min(statuses.values()) > INPUTS // 20


def test_every_encoding_gives_the_same_values(tmp_path):
    rows = [describe(BytesIO(content), len(content)) for content in sample(tmp_path)[:4]]
    for row in rows:
        assert row["status"] == "ok"
        for name in TAGS:
            assert row[name] == rows[0][name], name


def test_values_are_those_of_pydicom(tmp_path):
    for path in write_series(tmp_path, DSC)[:20]:
        dataset = pydicom.dcmread(path)
        with path.open("rb") as stream:
            header, _ = read_header(stream.read, path.stat().st_size, WANTED)
        values = decode(header.elements, little=header.little)
        assert values["sop_uid"] == dataset.SOPInstanceUID
        assert values["trigger_time"] == float(dataset.TriggerTime)
        assert values["rows"] == dataset.Rows
        assert values["image_position"] == [float(v) for v in dataset.ImagePositionPatient]
        assert header.pixel_length == len(dataset.PixelData)


def test_a_bomb_is_not_inflated_without_bound(tmp_path):
    content = sample(tmp_path)[3]
    start = _dataset_start(content)
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    zeros = b"".join(engine.compress(bytes(2**20)) for _ in range(80)) + engine.flush()
    row = describe(BytesIO(content[:start] + zeros), start + len(zeros))
    assert row["status"] == "rejected"


def test_a_deflated_file_that_is_cut_off_is_told_by_the_index(tmp_path):
    content = sample(tmp_path)[3]
    assert describe(BytesIO(content), len(content))["status"] == "ok"
    row = describe(BytesIO(content[:-40]), len(content) - 40)
    assert (row["status"], row["reason"]) == ("rejected", "deflate_truncated")


def test_other_pixels_under_one_deflated_header_are_no_copy(tmp_path):
    plain = pydicom.dcmread(write_series(tmp_path / "plain", T1W)[0])
    folder = tmp_path / "deflated"
    folder.mkdir()
    for number in range(2):
        plain.PixelData = np.full(256, 700 + number, np.uint16).tobytes()
        (folder / f"IM{number}").write_bytes(encoded(plain, DeflatedExplicitVRLittleEndian))
    found = sort_out(scan([folder]).to_pylist(), {})
    assert [reason for _, reason in found.quarantined] == 2 * ["same_uid_other_content"]


def _dataset_start(content: bytes) -> int:
    length = int.from_bytes(content[140:144], "little")
    return 144 + length


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_a_study_of_strange_files_is_indexed_and_nothing_is_written_outside(tmp_path):
    incoming = tmp_path / "incoming"
    strange = Person(id="../../etc/passwd\\x\x07", name="../..^\x1b[31m", birth="not a date")
    write_study(incoming / "ok", [T1W], strange)
    (incoming / "loop").symlink_to(incoming)
    (incoming / "dangling").symlink_to(tmp_path / "nowhere")
    (incoming / "empty").write_bytes(b"")
    (incoming / "text.dcm").write_text("no image")
    (incoming / "half.zip").write_bytes(b"PK\x03\x04broken")
    with zipfile.ZipFile(incoming / "x.zip", "w") as archive:
        archive.writestr("../../../evil.dcm", b"not dicom")
    random_ = np.random.default_rng(0)
    for number in range(30):
        (incoming / f"noise{number}").write_bytes(random_.bytes(400))
    study = Study(study="t", out=tmp_path / "out",
                  centers=[CenterConfig(name="north", dicom=[incoming])])  # fmt: skip
    result = build_index(study)
    assert result.plan[0]["status"] == "planned"
    assert sum(result.rejected.values()) == 35
    assert result.rejected["unreadable_broken_link"] == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["incoming", "out", "out-private"]
    names = [p.name for p in (tmp_path / "out").rglob("*")]
    assert all(".." not in name and "passwd" not in name for name in names)


@pytest.mark.soak
def test_a_rescan_of_a_hundred_thousand_files_reads_none_again(tmp_path, monkeypatch):
    cache = tmp_path / "cache.parquet"
    source = write_series(tmp_path / "one", T1W)[0].read_bytes()
    for number in range(100_000):
        folder = tmp_path / "incoming" / f"{number // 1000:03d}"
        if number % 1000 == 0:
            folder.mkdir(parents=True)
        (folder / f"IM{number:06d}").write_bytes(source)
    first = scan([tmp_path / "incoming"], cache, jobs=2)
    assert len(first) == 100_000
    monkeypatch.setattr(inventory, "_read_all", lambda *_: pytest.fail("a file is read again"))
    assert scan([tmp_path / "incoming"], cache).equals(first)


class Plain:
    """Stands for the key of a study."""

    def hash(self, _kind, text, _length=12):
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def converted(folder):
    rows = scan([folder]).to_pylist()
    (series,) = series_of(rows)
    own = [rows[number] for number in series["rows"]]
    entry = series_entry(1, series, own, Plain(), {})
    sources = {file_hash(Plain(), row): source_entry(row) for row in own}
    return series, convert(entry, sources, "north").array


def test_every_encoding_gives_the_same_times_and_values(tmp_path):
    paths = write_series(tmp_path / "plain", replace(DSC, times=[1.5 * n for n in range(6)]))
    known, values = converted(tmp_path / "plain")
    for syntax in (ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian):
        folder = tmp_path / syntax.keyword
        folder.mkdir()
        for path in paths:
            dataset = pydicom.dcmread(path)
            if syntax == ExplicitVRBigEndian:
                swapped = np.frombuffer(dataset.PixelData, "<u2").astype(">u2")
                dataset.PixelData = swapped.tobytes()
            (folder / path.name).write_bytes(encoded(dataset, syntax))
        found, array = converted(folder)
        assert (found["frame_times"], found["doubts"]) == (known["frame_times"], [])
        assert np.array_equal(array, values)
