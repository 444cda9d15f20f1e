"""Small plots as SVG text, so that a report needs no script and no library."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from agentrl.training.axes import LINE, Frame, axes, extent, ticks

WIDTH, HEIGHT = 420, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 46
LETTER = 5.9
"""Width of a letter, rounded up, so that texts set in other fonts do not meet."""
COLOURS = (
    "#0b5394",
    "#cc4125",
    "#38761d",
    "#674ea7",
    "#b7790a",
    "#00838f",
    "#c2185b",
    "#5d4037",
    "#7a8b00",
    "#607d8b",
)
DASHES = ("", "7 3", "2 3", "9 3 2 3")
"""Of the lines; the next one is taken when the colours are used up."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A named line, or a cloud of points.

    Attributes:
        label: shown in the legend.
        points: (x, y) pairs in order of x.
        band: (x, low, high) in order of x: a pale area in the curve's colour.
        style: `line` (with dots where there are few points), `dashed`, or `points` alone.
    """

    label: str
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float, float]] = ()
    style: Literal["line", "dashed", "points"] = "line"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One set of axes.

    Attributes:
        curves: those without points are left out.
        title: stands above.
        x_label: stands below the x axis.
        y_label: stands beside the y axis.
        bounds: ends of the y axis; by default round numbers around the data.
        width: of the picture.
        height: of the picture with one line of legend; more lines make it higher.
    """

    curves: Sequence[Curve]
    title: str = ""
    x_label: str = ""
    y_label: str = ""
    bounds: tuple[float, float] | None = None
    width: int = WIDTH
    height: int = HEIGHT

    def draw(self) -> tuple[list[str], float]:
        """Return the SVG elements and the height of the picture."""
        curves = [curve for curve in self.curves if curve.points]
        legend, rows = _legend(curves, self._left(), self.width - RIGHT)
        below = self._below()
        height = self.height + self._above() - TOP + below - BOTTOM + LINE * max(rows - 1, 0)
        parts = list(self._texts(height - LINE * max(rows, 1)))
        if not curves:
            where = f'x="{self._left()}" y="{self._above() + 28}"'
            return [*parts, f"<text {where}>no data</text>"], height
        frame = self._frame(curves)
        parts += axes(frame)
        parts += [_band(curve, frame, _look(index)[0]) for index, curve in enumerate(curves)]
        parts += [_line(curve, frame, *_look(index)) for index, curve in enumerate(curves)]
        top = height - 8 - LINE * (rows - 1)
        parts += [f'<g transform="translate(0 {top:g})">{"".join(legend)}</g>']
        return parts, height

    def _left(self) -> int:
        return LEFT + (LINE if self.y_label else 0)

    def _above(self) -> int:
        return TOP + (LINE + 4 if self.title else 0)

    def _below(self) -> int:
        return BOTTOM + (LINE if self.x_label else 0)

    def _texts(self, legend: float) -> Iterator[str]:
        middle = self._above() + (self.height - TOP - BOTTOM) / 2
        if self.title:
            title = html.escape(self.title)
            yield f'<text x="{self._left()}" y="{TOP + 6}" font-weight="bold">{title}</text>'
        if self.x_label:
            x, y = (self._left() + self.width - RIGHT) / 2, legend - 10
            place = f'x="{x:g}" y="{y:g}" text-anchor="middle"'
            yield f"<text {place}>{html.escape(self.x_label)}</text>"
        if self.y_label:
            place = f'transform="translate(12 {middle:g}) rotate(-90)" text-anchor="middle"'
            yield f"<text {place}>{html.escape(self.y_label)}</text>"

    def _frame(self, curves: Sequence[Curve]) -> Frame:
        xs = [x for curve in curves for x, *_ in (*curve.points, *curve.band)]
        ys = [y for curve in curves for _, *high in (*curve.points, *curve.band) for y in high]
        return Frame(
            ticks(*extent(xs)),
            ticks(*(self.bounds or extent(ys))),
            left=self._left(),
            right=self.width - RIGHT,
            top=self._above(),
            bottom=self._above() + self.height - TOP - BOTTOM,
        )


def plot(curves: Sequence[Curve], bounds: tuple[float, float] | None = None) -> str:
    """Draw the curves that have points on common axes.

    Args:
        curves: lines; those without points are left out.
        bounds: ends of the y axis; by default round numbers around the data.

    Returns:
        An `<svg>` element for a page.
    """
    parts, height = Plot(curves=curves, bounds=bounds).draw()
    font = 'font-size="11" font-family="sans-serif"'
    return f'<svg viewBox="0 0 {WIDTH} {height:g}" {font}>{"".join(parts)}</svg>'


def document(plots: Sequence[Plot], columns: int = 2) -> str:
    """Draw plots beside and below each other as a file of its own, on white.

    Args:
        plots: in reading order.
        columns: plots in a row.
    """
    drawn = [(plot.width, *plot.draw()) for plot in plots]
    rows = [drawn[at : at + columns] for at in range(0, len(drawn), columns)]
    width = max(sum(item[0] + LINE for item in row) for row in rows) - LINE
    parts, top = [], 0.0
    for row in rows:
        left = 0
        for wide, body, _ in row:
            parts.append(f'<g transform="translate({left} {top:g})">{"".join(body)}</g>')
            left += wide + LINE
        top += max(item[2] for item in row) + 8
    size = f'width="{width}" height="{top:g}" viewBox="0 0 {width} {top:g}"'
    font = 'font-size="11" font-family="sans-serif"'
    back = f'<rect width="{width}" height="{top:g}" fill="white"/>'
    inner = "\n".join([back, *parts])
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>\n{inner}\n</svg>\n'


def _look(index: int) -> tuple[str, str]:
    """Return colour and dashes of a curve."""
    return COLOURS[index % len(COLOURS)], DASHES[index // len(COLOURS) % len(DASHES)]


def _band(curve: Curve, frame: Frame, colour: str) -> str:
    if not curve.band:
        return ""
    outline = [(x, high) for x, _, high in curve.band]
    outline += [(x, low) for x, low, _ in reversed(curve.band)]
    corners = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in outline)
    return f'<polygon points="{corners}" fill="{colour}" fill-opacity="0.13"/>'


def _line(curve: Curve, frame: Frame, colour: str, dashes: str) -> str:
    few = len(curve.points) <= 30 and curve.style == "line"
    dots = "".join(
        f'<circle cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="2.2" fill="{colour}"/>'
        for x, y in (curve.points if few or curve.style == "points" else ())
    )
    if curve.style == "points":
        return dots
    points = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in curve.points)
    stroke = _stroke(colour, dashes if curve.style == "line" else "4 3")
    return f'<polyline points="{points}" fill="none" {stroke}/>{dots}'


def _stroke(colour: str, dashes: str) -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'stroke="{colour}" stroke-width="1.6"{dashed}'


def _legend(curves: Sequence[Curve], left: float, right: float) -> tuple[list[str], int]:
    """Return the entries, in as many lines as they need, and the number of lines."""
    parts: list[str] = []
    at, row = left, 0
    for index, curve in enumerate(curves):
        (colour, dashes), room = _look(index), int((right - left - 22) / LETTER)
        label = curve.label if len(curve.label) <= room else f"{curve.label[: room - 1]}…"
        wide = 22 + LETTER * len(label)
        if at > left and at + wide > right:
            at, row = left, row + 1
        y = row * LINE
        mark = _stroke(colour, "4 3" if curve.style == "dashed" else dashes)
        if curve.style == "points":
            parts.append(f'<circle cx="{at + 7:g}" cy="{y - 4}" r="2.6" fill="{colour}"/>')
        else:
            parts.append(f'<path d="M{at:g} {y - 4}h14" {mark}/>')
        text = html.escape(label)
        parts.append(f'<text x="{at + 18:g}" y="{y}" fill="{colour}">{text}</text>')
        at += wide + 10
    return parts, row + 1 if curves else 0
