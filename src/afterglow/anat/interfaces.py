"""nipype interfaces of programs that nipype does not know, or not in this form."""

from __future__ import annotations

from typing import Any

from nipype.interfaces.base import CommandLine, CommandLineInputSpec, TraitedSpec, traits
from nipype.interfaces.base.traits_extension import File


class _HDBetInputs(CommandLineInputSpec):  # type: ignore[misc]
    in_file = File(exists=True, mandatory=True, argstr="-i %s", position=0)
    out_file = File(mandatory=True, argstr="-o %s", position=1)
    device = traits.Str("cpu", usedefault=True, argstr="-device %s")
    fast = traits.Bool(True, usedefault=True, argstr="--disable_tta")
    save_mask = traits.Bool(True, usedefault=True, argstr="--save_bet_mask")


class _Nothing(TraitedSpec):  # type: ignore[misc]
    pass


class HDBet(CommandLine):  # type: ignore[misc]
    """HD-BET 2 (Isensee 2019): writes the brain, and the mask beside it as ``*_bet.nii.gz``."""

    _cmd = "hd-bet"
    input_spec = _HDBetInputs
    output_spec = _Nothing

    @property
    def version(self) -> Any:
        """Return the version of the installed Python package, where there is one."""
        return _package_version("hd-bet")


class _SynthStripInputs(CommandLineInputSpec):  # type: ignore[misc]
    in_file = File(exists=True, mandatory=True, argstr="-i %s", position=0)
    out_mask = File(mandatory=True, argstr="-m %s", position=1)
    model = File(argstr="--model %s")


class SynthStrip(CommandLine):  # type: ignore[misc]
    """FreeSurfer's SynthStrip (Hoopes 2022)."""

    _cmd = "mri_synthstrip"
    input_spec = _SynthStripInputs
    output_spec = _Nothing

    @property
    def version(self) -> Any:
        """Return the version of the installed Python package, where there is one."""
        return _package_version("synthstrip")


def _package_version(name: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
