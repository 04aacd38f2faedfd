"""One DSC series as it is analysed: what is known of it, and its rows from the steady state on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from afterglow.errors import NotEvaluable
from afterglow.perfusion.dsc_windows import Windows, find_windows
from afterglow.perfusion.signal import delta_r2star

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.config.dsc import DSCConfig


@dataclass(frozen=True)
class DSCSeries:
    """One series with what is known of it.

    Attributes
    ----------
    signal : array (x, y, z, n_time), or (2, x, y, z, n_time) for two echoes
    time : array (n_time,)
        Frame times (s).
    echo_times : tuple of float
        Seconds.
    mask : bool array (x, y, z)
        Brain.
    affine : array (4, 4)
    lesions : bool array (x, y, z) or None
    white_matter : array (x, y, z) or None
        Probability (0 to 1).
    censored : bool array (n_time,)
        Frames left out for motion.
    slice_offsets : array (z,) or None
        Acquisition of each slice after the frame time (s).
    search : bool array (x, y, z) or None
        Where to look for arteries; the brain by default.
    """

    signal: NDArray[np.floating]
    time: NDArray[np.float64]
    echo_times: tuple[float, ...]
    mask: NDArray[np.bool_]
    affine: NDArray[np.float64]
    lesions: NDArray[np.bool_] | None
    white_matter: NDArray[np.floating] | None
    censored: NDArray[np.bool_]
    slice_offsets: NDArray[np.float64] | None = None
    search: NDArray[np.bool_] | None = None

    def rows(
        self, where: NDArray[np.bool_], baseline: tuple[int, int]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return signal and delta R2* (1/s) of some voxels (n_voxels, n_steady).

        Frames before the steady state are dropped, censored ones bridged. The signal is that of
        the last echo: the one that weighs R2* most.
        """
        signal = _bridged(self.signal[..., where, :], self.time, ~self.censored)
        rates = delta_r2star(signal, self.echo_times, baseline)
        shown = signal[-1] if len(self.echo_times) == 2 else signal
        return shown[:, baseline[0] :], rates[:, baseline[0] :]

    def mean_signal(self) -> NDArray[np.float64]:
        """Return the mean signal of the brain in the last echo (n_time,)."""
        shown = self.signal[-1] if len(self.echo_times) == 2 else self.signal
        return np.asarray(np.nanmean(shown[self.mask], axis=0, dtype=np.float64))


def _bridged(
    rows: NDArray[np.floating], time: NDArray[np.float64], kept: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the rows with censored frames interpolated between their neighbours."""
    out = rows.astype(np.float64)
    if kept.all():
        return out
    good = np.flatnonzero(kept)
    for frame in np.flatnonzero(~kept):
        after = int(np.clip(np.searchsorted(good, frame), 1, good.size - 1))
        a, b = good[after - 1], good[after]
        part = float(np.clip((time[frame] - time[a]) / (time[b] - time[a]), 0.0, 1.0))
        out[..., frame] = (1.0 - part) * rows[..., a] + part * rows[..., b]
    return out


@dataclass
class Work:
    """The rows of the mask from the first steady frame on, and the maps made of them.

    Attributes
    ----------
    signal, rates : array (n_voxels, n_steady)
        Signal, and delta R2* (1/s).
    time : array (n_steady,)
        Frame times (s).
    kept : bool array (n_steady,)
        Frames that are not censored.
    mean : array (n_time,)
        Mean signal of the brain, on the whole time axis.
    maps, evaluable : dict
        Values (n_voxels,) by map name.
    """

    series: DSCSeries
    config: DSCConfig
    windows: Windows
    mean: NDArray[np.float64]
    signal: NDArray[np.float64]
    rates: NDArray[np.float64]
    time: NDArray[np.float64]
    kept: NDArray[np.bool_]
    maps: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    evaluable: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls, series: DSCSeries, config: DSCConfig) -> Work:
        """Find the windows and take the rows of the mask.

        Raises
        ------
        NotEvaluable
            ``no_brain``, or the reasons of :func:`afterglow.perfusion.dsc_windows.find_windows`.
        """
        if not series.mask.any():
            raise NotEvaluable("no_brain", "the brain mask is empty on the DSC grid")
        kept, mean = ~series.censored, series.mean_signal()
        windows = find_windows(mean, series.time, tail=config.psr_tail, kept=kept)
        signal, rates = series.rows(series.mask, windows.baseline)
        first = windows.baseline[0]
        return cls(series, config, windows, mean, signal, rates, series.time[first:], kept[first:])

    def frames(self, span: tuple[int, int]) -> tuple[int, int]:
        """Return frames counted from the first steady one."""
        first = self.windows.baseline[0]
        return span[0] - first, span[1] - first

    def inside(self, volume: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Return a volume's values in the mask, False where there is none."""
        if volume is None:
            return np.zeros(len(self.rates), bool)
        return volume[self.series.mask]

    def add(self, name: str, values: NDArray[np.float64], good: NDArray[np.bool_]) -> None:
        """Keep a map and where it is evaluable."""
        self.maps[name] = values
        self.evaluable[name] = good & np.isfinite(values)


def as_volume(values: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return values of the mask as a volume, NaN outside."""
    out = np.full(mask.shape, np.nan)
    out[mask] = values
    return out


def as_flags(values: NDArray[np.bool_], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return flags of the mask as a volume."""
    out = np.zeros(mask.shape, bool)
    out[mask] = values
    return out
