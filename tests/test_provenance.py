"""Digests, closures, records, the store and the view a stage has of its study."""

from __future__ import annotations

import ast
import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterglow.config import Study
from afterglow.config.resources import resource
from afterglow.errors import AfterglowError
from afterglow.provenance import store
from afterglow.provenance.checkpoint import append_checkpoint, check_checkpoints, merkle_root
from afterglow.provenance.closure import import_closure, stage_code_digest
from afterglow.provenance.digest import token_digest, value_digest
from afterglow.provenance.job import Job, State
from afterglow.provenance.records import read_record, unit_name, write_record
from afterglow.provenance.stages import STAGES
from afterglow.provenance.view import StudyView
from afterglow.provenance.wrapper import _attempt, _scrub

SOURCE = '''"""Module."""

import numpy as np  # arrays


def double(x):
    """Return twice x."""
    # why
    return 2 * x
'''


def study(folder: Path) -> Study:
    centers = [{"name": "north", "dicom": [str(folder / "incoming")]}]
    return Study.model_validate({"study": "x", "out": str(folder / "out"), "centers": centers})


@pytest.mark.parametrize(
    "same",
    [
        SOURCE.replace("# arrays", "# numbers"),
        SOURCE.replace('    """Return twice x."""\n', ""),
        SOURCE.replace('"""Module."""', '"""Other\n\nlines."""'),
        SOURCE.replace("    return", "\n    return"),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(same: str) -> None:
    assert token_digest(same) == token_digest(SOURCE)


@pytest.mark.parametrize(
    "other",
    [
        SOURCE.replace("2 * x", "3 * x"),
        SOURCE.replace("return 2", "pass\n    return 2"),
        SOURCE + "\nTEXT = 'a string that is no docstring'\n",
    ],
)
def test_code_counts(other: str) -> None:
    assert token_digest(other) != token_digest(SOURCE)


def test_a_statement_that_leaves_its_block_counts() -> None:
    inside = "if x:\n    a()\n    b()\n"
    assert token_digest(inside) != token_digest("if x:\n    a()\nb()\n")


def test_closure_follows_imports_inside_functions_and_leaves_infrastructure_out() -> None:
    closure = import_closure(resource("scripts/dce.py"))
    assert "afterglow.perfusion.dce" in closure
    assert "afterglow.perfusion.convolution" in closure
    assert not any(name.startswith(("afterglow.provenance", "afterglow.cli")) for name in closure)
    assert not any(name.startswith("afterglow.phantom") for name in closure)


def test_stages_do_not_share_code_they_do_not_use() -> None:
    dsc = import_closure(resource("scripts/dsc.py"))
    assert "afterglow.perfusion.dce" not in dsc
    assert "afterglow.anat.registration" not in dsc
    digests = {stage: stage_code_digest(stage) for stage in STAGES}
    assert len(set(digests.values())) == len(STAGES)


def test_a_fresh_clone_has_the_same_code_digests(tmp_path: Path) -> None:
    repository = resource("scripts").parent
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in ("src", "scripts", "config"):
        shutil.copytree(
            repository / folder, tmp_path / folder, ignore=ignore, copy_function=shutil.copyfile
        )
    code = (
        "import json; from afterglow.provenance.closure import stage_code_digest as digest; "
        "from afterglow.provenance.stages import STAGES; "
        "print(json.dumps({name: digest(name) for name in STAGES}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(tmp_path / "src"), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == {name: stage_code_digest(name) for name in STAGES}


@pytest.mark.parametrize("name", list(STAGES))
def test_the_libraries_of_a_stage_are_those_its_code_imports(name: str) -> None:
    script = resource(f"scripts/{name}.py")
    imported: set[str] = set()
    for path in (script, *import_closure(script).values()):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.split(".")[0])
    imported -= {*sys.stdlib_module_names, "afterglow"}
    owners = packages_distributions()
    # what an extra brings may be absent here
    needed = {owner.lower() for module in imported for owner in owners.get(module, [module])}
    assert needed <= set(STAGES[name].libraries)


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=6))
def test_value_digest_ignores_the_order_of_keys(value: dict[str, int | str]) -> None:
    assert value_digest(value) == value_digest(dict(reversed(value.items())))


@given(st.lists(st.text("0123456789abcdef", min_size=4, max_size=4), min_size=1, max_size=9))
def test_merkle_root_moves_with_every_leaf(leaves: list[str]) -> None:
    root = merkle_root(leaves)
    for place in range(len(leaves)):
        changed = [*leaves]
        changed[place] += "0"
        assert merkle_root(changed) != root
    assert merkle_root([*leaves, leaves[-1]]) != root


def record(key: str, **values: object) -> dict[str, object]:
    return {"key": key, "status": "done", "outputs": [], "run": {}, **values}


def test_concurrent_writers_leave_one_whole_record(tmp_path: Path) -> None:
    def write(number: int) -> None:
        write_record(tmp_path, record("k", run={"host": "x" * 20000, "number": number}))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_record(tmp_path, "k") is not None
    assert [p.name for p in (tmp_path / "ledger/records").iterdir()] == ["k.json"]


def test_a_file_system_without_hard_links_gets_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    write_record(tmp_path, record("k", run={"host": "a"}))
    assert (read_record(tmp_path, "k") or {})["run"] == {"host": "a"}
    assert [p.name for p in (tmp_path / "ledger/records").iterdir()] == ["k.json"]


def test_a_full_disk_leaves_no_half_of_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_text(path: Path, text: str, **_: object) -> None:
        path.write_bytes(text.encode()[:9])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", write_text)
    with pytest.raises(OSError, match="No space left"):
        write_record(tmp_path, record("k"))
    assert list((tmp_path / "ledger/records").iterdir()) == []


def test_an_equal_result_keeps_the_first_record_and_another_replaces_it(tmp_path: Path) -> None:
    write_record(tmp_path, record("k", run={"host": "a"}))
    write_record(tmp_path, record("k", run={"host": "b"}))
    assert (read_record(tmp_path, "k") or {})["run"] == {"host": "a"}
    write_record(tmp_path, record("k", status="failed", run={"host": "b"}))
    assert (read_record(tmp_path, "k") or {})["run"] == {"host": "b"}


def test_checkpoints_chain(tmp_path: Path) -> None:
    for key in ("a", "b", "c"):
        write_record(tmp_path, record(key))
        assert append_checkpoint(tmp_path) == [key]
    assert append_checkpoint(tmp_path) == []
    assert check_checkpoints(tmp_path)[0] == []
    second = tmp_path / "ledger/checkpoints/000002.json"
    content = json.loads(second.read_text())
    content["leaves"]["b"] = "0" * 64
    second.write_text(json.dumps(content))
    wrong, _ = check_checkpoints(tmp_path)
    assert {path.name for path, _ in wrong} == {"000002.json", "000003.json"}
    second.unlink()
    assert check_checkpoints(tmp_path)[0]


def finished(root: Path, key: str, files: dict[str, str]) -> State:
    scratch = root / "scratch"
    for name, text in files.items():
        (scratch / name).parent.mkdir(parents=True, exist_ok=True)
        (scratch / name).write_text(text)
    state = State("dsc", key, "s", "1", "done", outputs=store.digest_tree(scratch))
    store.publish(root, scratch, state, {"key": key, "record_id": key})
    return state


def test_stored_outputs_link_again_and_damaged_ones_do_not(tmp_path: Path) -> None:
    state = finished(tmp_path, "ab12", {"derivatives/a.txt": "one", "derivatives/b/c.txt": "two"})
    assert (tmp_path / "derivatives/b/c.txt").read_text() == "two"
    (tmp_path / "derivatives/a.txt").unlink()
    found = store.stored_state(tmp_path, "ab12")
    assert found == state
    store.link_outputs(tmp_path, found)
    assert (tmp_path / "derivatives/a.txt").read_text() == "one"
    (tmp_path / "derivatives/a.txt").write_text("tampered in place, and so in the store")
    assert store.stored_state(tmp_path, "ab12") is None


def test_what_a_successor_no_longer_makes_is_withdrawn(tmp_path: Path) -> None:
    old = finished(tmp_path, "ab12", {"derivatives/a.txt": "one", "derivatives/b.txt": "two"})
    new = finished(tmp_path, "cd34", {"derivatives/a.txt": "new"})
    store.withdraw(tmp_path, old, new)
    assert (tmp_path / "derivatives/a.txt").read_text() == "new"
    assert not (tmp_path / "derivatives/b.txt").exists()


def job(folder: Path) -> Job:
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    return Job("dsc", "k", folder / "out", scratch, study(folder), "s", "1", "north")


def test_a_job_writes_and_reads_inside_the_study_only(tmp_path: Path) -> None:
    one = job(tmp_path)
    for bad in ("/etc/passwd", "../outside", "derivatives/../../outside"):
        with pytest.raises(AfterglowError, match="would leave the study"):
            one.out(bad)
    with pytest.raises(AfterglowError, match="missing"):
        one.path("derivatives/none.nii.gz")


def test_a_stage_sees_only_what_it_declares(tmp_path: Path) -> None:
    view = StudyView(study(tmp_path), STAGES["dsc"])
    assert view.dsc is not None
    assert view.center("north").hematocrit == 0.42
    with pytest.raises(AfterglowError, match="without declaring it"):
        _ = view.anat


def test_messages_name_no_incoming_path(tmp_path: Path) -> None:
    path = tmp_path / "incoming" / "DOE^JANE" / "IM 0001.dcm"

    def main(_: Job) -> None:
        path.read_bytes()

    state = _attempt(job(tmp_path), main, study(tmp_path))
    assert state.status == "failed"
    assert "DOE" not in state.detail + state.reason
    assert _scrub(f"cannot read {path}", study(tmp_path)) == "cannot read north:<incoming file>"
    assert "IM 0001" not in _scrub(f"[Errno 2] No such file: '{path}'", study(tmp_path))


@pytest.mark.parametrize(
    ("subject", "session", "name"),
    [("a", "1", "sub-a_ses-1"), ("a", None, "sub-a"), (None, None, "study")],
)
def test_unit_names(subject: str | None, session: str | None, name: str) -> None:
    assert unit_name(subject, session) == name
