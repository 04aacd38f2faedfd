"""Why a voxel's parameters are not evaluable."""

from __future__ import annotations

from enum import IntFlag


class Reason(IntFlag):
    """Bit flags; 0 where every free parameter is evaluable.

    Examples
    --------
    >>> Reason(Reason.AT_BOUND | Reason.IMPRECISE).names
    ['at_bound', 'imprecise']
    """

    OUTSIDE_MASK = 1
    NOT_FINITE = 2
    """A frame that is used holds NaN or infinity (saturated signal, say)."""
    CONSTANT = 4
    TOO_FEW_FRAMES = 8
    NO_ENHANCEMENT = 16
    """No contrast at all describes the curve as well."""
    AT_BOUND = 32
    SINGULAR = 64
    """The parameters cannot be told apart."""
    IMPRECISE = 128
    """A standard error is too large a part of its parameter."""
    SPIKE = 256
    """A single frame lies far outside all others."""
    NOT_CONVERGED = 512
    INPUT_UNUSABLE = 1024
    """The arterial input is not finite or zero."""
    INPUT_UNDERSAMPLED = 2048
    """Frames too far apart for the input's first pass: what its place between frames moves, added
    to the interval, leaves room for a value half off."""
    SATURATED = 4096
    """No concentration gives so high a signal."""
    NEGATIVE = 8192
    """The signal falls below its baseline after the bolus, beyond noise."""

    @property
    def names(self) -> list[str]:
        """Names of the set flags, lower case."""
        return [flag.name.lower() for flag in Reason if flag in self and flag.name]
