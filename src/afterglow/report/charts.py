"""Small charts as SVG, coloured by the page so that they follow its dark and light looks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 340, 210
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 12, 40
LANE, LETTER = 14, 5.3  # height of a lane of intervals, width of a letter of its text
MARKS = ("circle", "square", "diamond", "triangle", "ring")


@dataclass(frozen=True)
class Line:
    """One series: points in order of x; NaN is left out. ``joined`` draws the line between.

    ``spans`` are the (low, high) of each point, drawn as a whisker; None where there is none.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    joined: bool = True
    spans: Sequence[tuple[float, float] | None] = ()

    @property
    def points(self) -> list[tuple[float, float]]:
        """Finite points."""
        return [
            (float(a), float(b))
            for a, b in zip(self.x, self.y, strict=True)
            if math.isfinite(a) and math.isfinite(b)
        ]


@dataclass(frozen=True)
class Band:
    """A shaded range of y with its name."""

    label: str
    low: float
    high: float


@dataclass(frozen=True)
class Level:
    """A horizontal line with its name."""

    label: str
    y: float
    dashed: bool = True


@dataclass(frozen=True)
class Interval:
    """A stretch of x with its name; an infinite edge is one that nobody knows."""

    label: str
    start: float
    end: float


def chart(
    lines: Sequence[Line],
    *,
    x_label: str,
    y_label: str,
    alt: str,
    levels: Sequence[Level] = (),
    bands: Sequence[Band] = (),
    moments: Sequence[Level] = (),
    intervals: Sequence[Interval] = (),
    zero: bool = True,
    x_range: tuple[float, float] | None = None,
) -> str:
    """Return an SVG chart with axes, units and a text alternative.

    Parameters
    ----------
    lines : sequence of Line
        Series; colours and marks repeat after five.
    x_label, y_label : str
        With units.
    alt : str
        What a reader who cannot see it must know.
    levels : sequence of Level
        Horizontal lines.
    bands : sequence of Band
        Shaded ranges of y.
    moments : sequence of Level
        Vertical lines; ``y`` is the place on the x axis.
    intervals : sequence of Interval
        Bars above the plot, a lane for each name, as far as the x axis reaches.
    zero : bool
        Whether the y axis includes 0.
    x_range : (float, float), optional
        Range that the x axis covers, so that neighbours compare.

    Returns
    -------
    str
        Empty where there is no finite point.
    """
    points = [p for line in lines for p in line.points]
    if not points:
        return ""
    xs = [*(p[0] for p in points), *(m.y for m in moments)]
    ys = [*(p[1] for p in points), *(level.y for level in levels)]
    ys += [edge for band in bands for edge in (band.low, band.high)]
    ys += [edge for line in lines for span in line.spans if span is not None for edge in span]
    x_ticks = ticks(min([*xs, *(x_range or ())]), max([*xs, *(x_range or ())]))
    y_ticks = ticks(min(*ys, 0.0) if zero else min(ys), max(*ys, 0.0) if zero else max(ys))
    seen = [i for i in intervals if i.end >= x_ticks[0] and i.start <= x_ticks[-1]]
    lanes = list(dict.fromkeys(i.label for i in seen))
    frame = _Frame(x_ticks[0], x_ticks[-1], y_ticks[0], y_ticks[-1], LANE * len(lanes))
    box = f"0 {-frame.above} {WIDTH} {HEIGHT + frame.above}"
    parts = [
        f'<svg class="chart" viewBox="{box}" role="img" aria-label="{escape(alt)}">',
        *[_interval(frame, i, lanes.index(i.label)) for i in seen],
        *[_lane_text(frame, name, k, seen) for k, name in enumerate(lanes)],
        *[_band(frame, band) for band in bands],
        *_axes(frame, x_ticks, y_ticks, x_label, y_label),
        *[_moment(frame, moment) for moment in moments],
        *[_level(frame, level) for level in levels],
        *[part for i, line in enumerate(lines) for part in _line(frame, line, i)],
        "</svg>",
    ]
    return "".join(parts)


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Return round ticks that enclose an interval.

    Examples
    --------
    >>> ticks(0, 0.93)
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    if high <= low:
        pad = abs(low) * 0.1 or 0.5
        low, high = low - pad, high + pad
    raw = (high - low) / about
    size = 10 ** math.floor(math.log10(raw))
    step = min((s * size for s in (1, 2, 2.5, 5, 10)), key=lambda s: abs(math.log(s / raw)))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


@dataclass(frozen=True)
class _Frame:
    x0: float
    x1: float
    y0: float
    y1: float
    above: int = 0

    def x(self, value: float) -> float:
        share = (value - self.x0) / (self.x1 - self.x0)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        share = (value - self.y0) / (self.y1 - self.y0)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def _axes(
    frame: _Frame, xs: Sequence[float], ys: Sequence[float], x_label: str, y_label: str
) -> list[str]:
    bottom, middle = HEIGHT - BOTTOM, (TOP + HEIGHT - BOTTOM) / 2
    grid = [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{frame.y(v)}" y2="{frame.y(v)}"/>'
        f'<text class="tick" x="{LEFT - 5}" y="{frame.y(v) + 3.5}" text-anchor="end">{v:g}</text>'
        for v in ys
    ]
    marks = [
        f'<text class="tick" x="{frame.x(v)}" y="{bottom + 14}" text-anchor="middle">{v:g}</text>'
        for v in xs
    ]
    across, turn = (LEFT + WIDTH - RIGHT) / 2, f"translate(12 {middle}) rotate(-90)"
    centered = 'text-anchor="middle"'
    return [
        *grid,
        *marks,
        f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>',
        f'<text class="label" {centered} x="{across}" y="{HEIGHT - 8}">{escape(x_label)}</text>',
        f'<text class="label" {centered} transform="{turn}">{escape(y_label)}</text>',
    ]


def _band(frame: _Frame, band: Band) -> str:
    top, bottom = frame.y(band.high), frame.y(band.low)
    return (
        f'<rect class="band" x="{LEFT}" y="{top}" width="{WIDTH - RIGHT - LEFT}"'
        f' height="{bottom - top:.1f}">'
        f"<title>{escape(band.label)}: {band.low:.4g} to {band.high:.4g}</title></rect>"
    )


def _interval(frame: _Frame, interval: Interval, lane: int) -> str:
    """Return a bar, pointed where the interval goes on beyond the axis or nobody knows its edge."""
    left = frame.x(max(interval.start, frame.x0))
    right = max(frame.x(min(interval.end, frame.x1)), left + 2)
    low, high = interval.start < frame.x0, interval.end > frame.x1
    top, tip = TOP / 2 - frame.above + lane * LANE, 5
    bottom, middle = top + LANE - 3, top + (LANE - 3) / 2
    a, b = left + tip * low, right - tip * high
    corners = [(a, top), (b, top), (right, middle), (b, bottom), (a, bottom), (left, middle)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    edges = [f"{e:g}" if math.isfinite(e) else "?" for e in (interval.start, interval.end)]
    tip_text = f"<title>{escape(interval.label)}: {edges[0]} to {edges[1]}</title>"
    return f'<polygon class="interval" points="{path}">{tip_text}</polygon>'


def _lane_text(frame: _Frame, name: str, lane: int, seen: Sequence[Interval]) -> str:
    """Return the name of a lane: in its first bar, after its last where that is too short."""
    own = [i for i in seen if i.label == name]
    first = min(own, key=lambda i: i.start)
    left, right = frame.x(max(first.start, frame.x0)), frame.x(min(first.end, frame.x1))
    room = WIDTH - RIGHT - LEFT
    short = name if LETTER * len(name) <= room else f"{name[: int(room / LETTER) - 1]}…"
    width = LETTER * len(short)
    if right - left < width + 9:
        left = frame.x(min(max(i.end for i in own), frame.x1)) - 3
    x = min(left + 7, WIDTH - RIGHT - width)
    y = TOP / 2 - frame.above + lane * LANE + LANE - 6
    return f'<text class="lane" x="{max(x, LEFT):.1f}" y="{y:.1f}">{escape(short)}</text>'


def _moment(frame: _Frame, moment: Level) -> str:
    x = frame.x(moment.y)
    late = x > (LEFT + WIDTH) / 2
    anchor, shift = ("end", -3) if late else ("start", 3)
    return (
        f'<line class="level" x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text class="tick" x="{x + shift}" y="{TOP + 8}" text-anchor="{anchor}">'
        f"{escape(moment.label)}</text>"
    )


def _level(frame: _Frame, level: Level) -> str:
    y = frame.y(level.y)
    dash = ' stroke-dasharray="5 4"' if level.dashed else ""
    return (
        f'<line class="level" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"{dash}/>'
        f'<text class="tick" x="{WIDTH - RIGHT}" y="{y - 3}" text-anchor="end">'
        f"{escape(level.label)}</text>"
    )


def _line(frame: _Frame, line: Line, index: int) -> list[str]:
    name = f"s{index % len(MARKS)}"
    at = [(frame.x(a), frame.y(b)) for a, b in line.points]
    parts = []
    if line.joined and len(at) > 1:
        path = " ".join(f"{x},{y}" for x, y in at)
        parts.append(f'<polyline class="line {name}" points="{path}"/>')
    for x, span in zip(line.x, line.spans, strict=False):
        if span is not None and all(map(math.isfinite, (x, *span))):
            at_x, low, high = frame.x(x), frame.y(span[0]), frame.y(span[1])
            ends = "".join(f"M{at_x - 3:.1f} {y}h6" for y in (low, high))
            parts.append(f'<path class="whisker {name}" d="M{at_x} {low}V{high}{ends}"/>')
    for (x, y), (a, b) in zip(at, line.points, strict=True):
        shape = _mark(MARKS[index % len(MARKS)], x, y)
        tip = f"<title>{escape(line.label)}: {a:g}, {b:.4g}</title>"
        parts.append(f'<g class="mark {name}">{tip}{shape}</g>')
    return parts


def _mark(kind: str, x: float, y: float) -> str:
    if kind in {"circle", "ring"}:
        return f'<circle class="{kind}" cx="{x}" cy="{y}" r="3.4"/>'
    if kind == "square":
        return f'<rect x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6"/>'
    corners: dict[str, list[tuple[float, float]]] = {
        "diamond": [(0, -4.2), (4.2, 0), (0, 4.2), (-4.2, 0)],
        "triangle": [(0, -4), (4, 3.4), (-4, 3.4)],
    }
    path = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners[kind])
    return f'<polygon points="{path}"/>'
