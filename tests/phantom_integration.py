"""The phantom's signals once more, in steps of 0.01 s and by other means.

First pass and recirculation by direct quadrature of closed forms, compartments by Heun steps of
their differential equations, longitudinal magnetization by following it in time between the pulses.
Only constants and plans are shared with `afterglow.phantom.physics`.
"""

from __future__ import annotations

from functools import lru_cache
from math import gamma

import numpy as np
from scipy.signal import lfilter

from afterglow.phantom.physics import (
    BLOOD_R2S,
    DUMMIES,
    KJOLBY_FIELD,
    RELAXIVITY,
    TISSUE_R2S,
    Tissue,
)
from afterglow.phantom.plan import CenterPlan
from afterglow.phantom.protocol import injections
from afterglow.phantom.series import Series

STEP = 0.01
Curve = np.ndarray


def _density(t: Curve, shape: float, scale: float) -> Curve:
    u = np.where(t > 0.0, t, 0.0) / scale
    return u ** (shape - 1.0) * np.exp(-u) / (gamma(shape) * scale)


def _running(curve: Curve, kernel: Curve) -> Curve:
    """Causal convolution by the trapezoidal rule, through the frequency domain."""
    size = 2 * curve.size
    full = np.fft.irfft(np.fft.rfft(curve, size) * np.fft.rfft(kernel, size), size)[: curve.size]
    return STEP * (full - 0.5 * (curve[0] * kernel + curve * kernel[0]))


def _compartment(inflow: Curve, rate: float) -> Curve:
    """Solve dy/dt = inflow - rate y from rest by Heun's method."""
    h = STEP
    kept = 1.0 - h * rate + 0.5 * (h * rate) ** 2
    out = lfilter([0.5 * h, 0.5 * h * (1.0 - h * rate)], [1.0, -kept], inflow)
    return out - 0.5 * h * inflow[0] * kept ** np.arange(inflow.size)


@lru_cache(maxsize=3)
def _blood(center: CenterPlan) -> tuple[Curve, Curve]:
    time = STEP * np.arange(round(1300.0 / STEP))
    blood = np.zeros_like(time)
    for bolus in injections(center):
        first = 760.0 * bolus.dose * _density(time - bolus.arrival, 4.0, bolus.width)
        blood += first + 0.45 * _running(first, _density(time - 8.0, 3.0, 4.0))
        mixed = _running(first, _density(time - 5.0, 2.0, 8.0))
        blood += 0.006 * _compartment(mixed, 1 / 110) + 0.0085 * _compartment(mixed, 1 / 2400)
    return time, blood


class Course:
    """Concentration and R2* of one tissue at one center."""

    def __init__(self, center: CenterPlan, tissue: Tissue) -> None:
        self.center, self.tissue = center, tissue
        self.time, blood = _blood(center)
        if tissue.blood:
            if tissue.blood == "vein":
                blood = _running(blood, _density(self.time - 1.0, 3.0, 2.0))
            self.total = self.leaked = blood
            self.r2s = BLOOD_R2S * blood
            return
        late = np.concatenate([np.zeros(round(tissue.delay / STEP)), blood])[: blood.size]
        spread = _compartment(late / tissue.dispersion, 1.0 / tissue.dispersion)
        plasma = spread / (1.0 - center.hematocrit)
        self.leaked = _compartment(tissue.ktrans / 60.0 * plasma, tissue.ktrans / 60.0 / tissue.ve)
        self.total = tissue.cbv * spread + self.leaked
        vessels = _compartment(spread / tissue.mtt, 1.0 / tissue.mtt)
        vascular = TISSUE_R2S * center.field / KJOLBY_FIELD * tissue.cbv * vessels
        self.r2s = vascular + tissue.r2s_ees * self.leaked

    def signal(self, series: Series, offset: float, flip: float) -> Curve:
        """Return the signal at every frame of one slice."""
        times = series.start + offset + np.asarray(series.frame_starts())
        r1 = RELAXIVITY[self.center.agent][int(self.center.field > 2.0)]
        return (self._echo if series.method == "epi" else self._spoiled)(series, times, flip, r1)

    def _spoiled(self, series: Series, times: Curve, flip: float, r1: float) -> Curve:
        """Steady state, averaged over the middle of every frame in 0.01 s steps."""
        angle = np.deg2rad(flip)
        out = []
        for start in times:
            low, high = (
                round((start + share * series.frame_time) / STEP) for share in (0.35, 0.65)
            )
            relaxation = 1.0 / self.tissue.t1 + r1 * self.total[low : high + 1]
            left = np.exp(-series.tr * relaxation)
            steady = np.sin(angle) * (1 - left) / (1 - np.cos(angle) * left)
            decay = np.exp(-series.te * (1 / self.tissue.t2s + self.r2s[low : high + 1]))
            out.append(np.trapezoid(steady * decay) / (high - low))
        return self.tissue.pd * np.array(out)

    def _echo(self, series: Series, times: Curve, flip: float, r1: float) -> Curve:
        """Follow the longitudinal magnetization; blood is always fresh."""
        angle, t1 = np.deg2rad(flip), self.tissue.t1
        echo = np.sin(angle) * np.exp(
            -series.te * (1 / self.tissue.t2s + np.interp(times, self.time, self.r2s))
        )
        magnetization = np.ones_like(times)
        if not self.tissue.blood:
            m, last = 1.0, times[0] - DUMMIES * series.tr
            dummies = [last + series.tr * k for k in range(DUMMIES)]
            for n, pulse in enumerate([*dummies, *times]):
                if n:
                    steps = np.linspace(last, pulse, round((pulse - last) / STEP) + 1)
                    rate = 1 / t1 + r1 * np.interp(
                        0.5 * (steps[1:] + steps[:-1]), self.time, self.leaked
                    )
                    m = 1.0 - (1.0 - m) * np.prod(np.exp(-rate * np.diff(steps)))
                if n >= DUMMIES:
                    magnetization[n - DUMMIES] = m
                m, last = m * np.cos(angle), pulse
        return self.tissue.pd * magnetization * echo * (0.1 if self.tissue.fat else 1.0)
