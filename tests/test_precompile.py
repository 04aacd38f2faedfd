"""Kernels compiled at installation: all there, and a study's cache begins with them."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path

from afterglow.precompile import copy_precompiled, listed


def test_every_listed_kernel_is_there_and_takes_what_is_listed() -> None:
    from numba.core.sigutils import normalize_signature

    for module, name, signature in listed():
        function = getattr(import_module(module), name).py_func
        given, _ = normalize_signature(signature)
        assert len(given) == len(inspect.signature(function).parameters), (module, name)


def test_a_study_begins_with_what_was_compiled_and_keeps_its_own(tmp_path: Path) -> None:
    installed, cache = tmp_path / "installed", tmp_path / "out/.cache/numba"
    copy_precompiled(cache, installed)
    assert not cache.exists()
    (installed / "perfusion_1").mkdir(parents=True)
    (installed / "perfusion_1/a.nbi").write_text("code")
    copy_precompiled(cache, installed)
    assert (cache / "perfusion_1/a.nbi").read_text() == "code"
    (cache / "perfusion_1/a.nbi").write_text("newer")
    copy_precompiled(cache, installed)
    assert (cache / "perfusion_1/a.nbi").read_text() == "newer"
    assert [path.name for path in cache.parent.iterdir()] == ["numba"]
