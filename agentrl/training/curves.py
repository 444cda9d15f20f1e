"""Small line plots as SVG text, so that a report needs no script and no library."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 420, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 46
COLOURS = ("#0b5394", "#cc4125", "#38761d", "#674ea7")


@dataclass(frozen=True, slots=True)
class Curve:
    """A named line.

    Attributes:
        label: shown in the legend.
        points: (x, y) pairs in order of x.
    """

    label: str
    points: Sequence[tuple[float, float]]


def plot(curves: Sequence[Curve], bounds: tuple[float, float] | None = None) -> str:
    """Draw the curves that have points on common axes.

    Args:
        curves: lines; those without points are left out.
        bounds: ends of the y axis; by default round numbers around the data.

    Returns:
        An `<svg>` element.
    """
    shown = [curve for curve in curves if curve.points]
    if not shown:
        return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}"><text x="52" y="40">no data</text></svg>'
    x_ticks = ticks(*_range([x for curve in shown for x, _ in curve.points]))
    y_ticks = ticks(*(bounds or _range([y for curve in shown for _, y in curve.points])))
    frame = _Frame(x_ticks[0], x_ticks[-1], y_ticks[0], y_ticks[-1])
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" font-size="11" font-family="sans-serif">']
    for y in y_ticks:
        at = frame.y(y)
        parts.append(f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{y:g}</text>')
    for x in x_ticks:
        at, low = frame.x(x), HEIGHT - BOTTOM
        parts.append(f'<text x="{at:.1f}" y="{low + 16}" text-anchor="middle">{x:g}</text>')
    for index, curve in enumerate(shown):
        parts.append(_line(curve, frame, COLOURS[index % len(COLOURS)], index))
    return "".join(parts) + "</svg>"


@dataclass(frozen=True, slots=True)
class _Frame:
    """Maps data to picture coordinates."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def x(self, value: float) -> float:
        span = WIDTH - LEFT - RIGHT
        return LEFT + span * (value - self.x_low) / (self.x_high - self.x_low)

    def y(self, value: float) -> float:
        span = HEIGHT - TOP - BOTTOM
        return HEIGHT - BOTTOM - span * (value - self.y_low) / (self.y_high - self.y_low)


def _line(curve: Curve, frame: _Frame, colour: str, index: int) -> str:
    points = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in curve.points)
    dots = "".join(
        f'<circle cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="2.2" fill="{colour}"/>'
        for x, y in (curve.points if len(curve.points) <= 30 else ())
    )
    at = LEFT + index * 125
    legend = f'<text x="{at}" y="{HEIGHT - 8}" fill="{colour}">{html.escape(curve.label)}</text>'
    line = f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
    return line + dots + legend


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers, evenly spaced, that enclose [low, high]."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]
