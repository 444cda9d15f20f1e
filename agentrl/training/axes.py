"""Axes of a plot: round numbers, and where they are in the picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LINE = 16
"""Height of a line of text."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Maps data to picture coordinates.

    Attributes:
        x_ticks: numbers on the x axis, which ends at the first and the last.
        y_ticks: the same of the y axis.
        left: ends of the axes in the picture, as are the others.
    """

    x_ticks: Sequence[float]
    y_ticks: Sequence[float]
    left: float
    right: float
    top: float
    bottom: float

    def x(self, value: float) -> float:
        """Return the place of a value."""
        low, high = self.x_ticks[0], self.x_ticks[-1]
        return self.left + (self.right - self.left) * (value - low) / (high - low)

    def y(self, value: float) -> float:
        """Return the height of a value; beyond the axis it is the axis's end."""
        low, high = self.y_ticks[0], self.y_ticks[-1]
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return self.bottom - (self.bottom - self.top) * share


def axes(frame: Frame) -> Iterator[str]:
    """Yield lines and numbers."""
    for y in frame.y_ticks:
        at = frame.y(y)
        yield f'<path d="M{frame.left} {at:.1f}H{frame.right}" stroke="#ddd"/>'
        yield f'<text x="{frame.left - 6}" y="{at + 4:.1f}" text-anchor="end">{y:g}</text>'
    for x in frame.x_ticks:
        place = f'x="{frame.x(x):.1f}" y="{frame.bottom + LINE:g}"'
        yield f'<text {place} text-anchor="middle">{x:g}</text>'


def extent(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of the values, apart also where all are equal."""
    low, high = min(values), max(values)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        room = 0.5 * abs(high) or 0.5
        return low - room, high + room
    return low, high


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers, evenly spaced, that enclose [low, high]."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(12, 3 - math.floor(math.log10(step)))
    return [round(index * step, digits) for index in range(first, last + 1)]
