"""The quick verify looks at each file once, and finds what one that opens everything finds."""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterglow.provenance import checkpoint, coverage, trust, vouched
from afterglow.provenance.audit import verify
from afterglow.provenance.checkpoint import HEAD, check_checkpoints
from afterglow.provenance.file_stats import LookAside, json_files
from fake_study import FakeStudy, finish_in_process, make_fake_study

RECORD = "ledger/records/*.json"
STATE = "ledger/states/*/*.json"
OUTPUT = "derivatives/*.txt"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    fake = make_fake_study(tmp_path_factory.mktemp("fast") / "study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AFTERGLOW_RESOURCES", str(fake.resources))
        finish_in_process(fake)
        verify(fake.load())
    return fake


@pytest.fixture
def linked(
    finished: FakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], FakeStudy]:
    """Return a maker of copies whose files have the times and inodes that were recorded."""

    monkeypatch.setenv("AFTERGLOW_RESOURCES", str(finished.resources))

    def make(number: int) -> FakeStudy:
        # Code and configuration are those of the first, so that nobody has to digest them again.
        copy = FakeStudy(tmp_path / str(number))
        left = shutil.ignore_patterns(finished.resources.name)
        shutil.copytree(
            finished.folder, copy.folder, copy_function=os.link, symlinks=True, ignore=left
        )
        return copy

    return make


def found(study: FakeStudy) -> set[tuple[str, str]]:
    return {(finding.kind, finding.path) for finding in verify(study.load())}


def rewrite(path: Path, content: bytes) -> None:
    """Replace a file, which leaves the one it was linked to as it was."""
    path.unlink()
    path.write_bytes(content)


def edit(path: Path) -> None:
    rewrite(path, path.read_bytes() + b" ")


def touch(path: Path) -> None:
    rewrite(path, path.read_bytes())


def delete(path: Path) -> None:
    path.unlink()


def link_elsewhere(path: Path) -> None:
    """Leave a link to the same bytes outside of the results."""
    target = path.parents[len(path.parts) - path.parts.index("out") - 2] / "aside.txt"
    shutil.copy2(path, target)
    path.unlink()
    path.symlink_to(target)


def break_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def stray(path: Path) -> None:
    path.with_name(f"stray-{path.name}").write_text("{}")


def forge(path: Path) -> None:
    content = json.loads(path.read_text())
    content["run"]["seconds"] = -1
    rewrite(path, json.dumps(content).encode())


def other_status(path: Path) -> None:
    rewrite(path, path.read_bytes().replace(b'"done"', b'"failed"'))


def other_leaf(path: Path) -> None:
    content = json.loads(path.read_text())
    content["leaves"][min(content["leaves"])] = "0" * 64
    rewrite(path, (json.dumps(content, sort_keys=True, indent=1) + "\n").encode())


CHECKPOINT = "ledger/checkpoints/*.json"
MUTATIONS = [
    *((OUTPUT, change) for change in (edit, touch, delete, stray)),
    *((OUTPUT, change) for change in (link_elsewhere, break_link, make_folder)),
    *((RECORD, change) for change in (forge, touch, delete, stray, break_link, make_folder)),
    *((STATE, change) for change in (other_status, touch, delete)),
    *((CHECKPOINT, change) for change in (other_leaf, touch, delete)),
]


def test_a_clean_study_is_verified_without_opening_a_result_or_a_record(
    linked: Callable[[int], FakeStudy], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = linked(0)

    def refuse(*_: object) -> None:
        raise AssertionError("opened or computed again")

    for module, name in (
        (trust, "file_digest"),
        (trust, "stat_token"),
        (vouched, "file_digest"),
        (checkpoint, "merkle_root"),
    ):
        monkeypatch.setattr(module, name, refuse)
    assert verify(study.load()) == []


def test_what_moved_is_found_as_without_catalog_and_memory(
    linked: Callable[[int], FakeStudy],
) -> None:
    kinds = set()
    for number in range(25):
        study, rng = linked(number), random.Random(number)
        for pattern, change in rng.sample(MUTATIONS, k=rng.randint(1, 3)):
            files = sorted(p for p in study.out.glob(pattern) if p.is_file())
            if files:
                change(rng.choice(files))
        quick = found(study)
        for memory in (study.out / "ledger/catalog", study.out / "ledger/digests.json"):
            shutil.rmtree(memory) if memory.is_dir() else memory.unlink(missing_ok=True)
        (study.out / HEAD).unlink(missing_ok=True)
        assert quick == found(study), number
        kinds |= {kind for kind, _ in quick}
    assert kinds == {"TAMPERED", "MISSING", "UNTRACKED"}


def test_a_root_is_computed_again_once_its_checkpoint_moved(
    linked: Callable[[int], FakeStudy],
) -> None:
    out = linked(0).out
    head = max((out / "ledger/checkpoints").glob("*.json"))
    assert check_checkpoints(out, deep=False)[0] == []
    content = json.loads(head.read_text())
    content["root"] = "0" * 64
    rewrite(head, json.dumps(content).encode())
    fault = (head, "its root does not follow from its leaves")
    for _ in range(2):
        assert check_checkpoints(out, deep=False)[0] == [fault]


keys = st.binary(min_size=32, max_size=32).map(bytes.hex)


@given(st.dictionaries(keys, keys, max_size=4), st.data())
def test_a_checkpoint_reads_by_lines_as_it_reads_as_json(
    leaves: dict[str, str], data: st.DataObject
) -> None:
    content = {"index": 1, "leaves": leaves, "previous": None, "root": "", "removed": ["a"]}
    text = (json.dumps(content, sort_keys=True, indent=1) + "\n").encode()
    assert_same(text, regular=bool(leaves))
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 3)))
    put = data.draw(
        st.sampled_from([b"", b'"', b"\\", b" ", b"A", b"0", b"\n", b",", b"\xff", b"}"])
    )
    assert_same(text[:start] + put + text[end:], regular=None)


def assert_same(text: bytes, *, regular: bool | None) -> None:
    errors = (ValueError, TypeError, KeyError, AttributeError)
    try:
        expected = coverage._parse_any(text)
    except errors:
        expected = None
    try:
        lines = coverage._parse_lines(text)
    except errors:
        assert expected is None
        return
    assert regular is None or regular is (lines is not None)
    if lines is not None:
        assert expected is not None
        assert lines[0] | {"leaves": None} == expected[0] | {"leaves": None}
        assert np.array_equal(lines[1].keys, expected[1].keys)
        assert np.array_equal(lines[1].digests, expected[1].digests)


NAMES = st.lists(
    st.text("ab0é.", min_size=1, max_size=66).map(lambda stem: f"{stem}.json"), max_size=8
)


@given(names=NAMES, digests=st.integers(0, 3))
def test_a_look_aside_sees_what_a_look_from_here_sees(names: list[str], digests: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for number, name in enumerate([*names, *(f"{n:064x}.json" for n in range(digests))]):
            (folder / name).write_bytes(bytes(number))
        (folder / "other.txt").touch()
        (folder / "gone.json").symlink_to("nowhere")
        here, tokens = json_files(folder)
        with LookAside(folder) as look:
            stems, aside = look.result()
        with LookAside(folder / "absent") as look:
            assert [len(column) for column in look.result()] == [0, 0]
    seen = {
        (stem.decode() + ".json", *row) for stem, row in zip(stems, aside.tolist(), strict=True)
    }
    assert seen == {(name, *row) for name, row in zip(here, tokens.tolist(), strict=True)}


def test_a_look_aside_that_is_killed_is_made_from_here(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    with LookAside(tmp_path) as look:
        look._process.kill()
        stems, tokens = look.result()
    assert (stems.tolist(), tokens.shape) == ([b"a"], (1, 3))
