"""A sampled tree as an SVG picture: a row for each episode, a column for each turn."""

from __future__ import annotations

import html
from dataclasses import dataclass

from agentrl.tree import Episode, Tree

ROW, COLUMN = 18, 22
LEFT, RIGHT, TOP, BOTTOM = 14, 96, 12, 26
SOLVED, UNSOLVED, SHARED = "#38761d", "#b0b0b0", "#d9d9d9"


@dataclass(frozen=True, slots=True)
class Line:
    """An episode in the picture.

    Attributes:
        episode: what it shows.
        row: its place from the top.
        first: the turn in which its own tokens begin.
    """

    episode: Episode
    row: int
    first: int


def branches(tree: Tree) -> int:
    """Return how many counted episodes began inside another."""
    return sum(episode.parent_episode is not None for episode in tree.counted())


def picture(tree: Tree) -> str:
    """Draw the counted episodes of a tree.

    Each is a line from the turn in which it began to its end: green where it succeeded.  A branch
    hangs at the episode that it left, and is hollow where it began inside an answer.
    """
    lines = _lines(tree)
    turns = max((line.episode.turns for line in lines), default=0)
    width = LEFT + turns * COLUMN + RIGHT
    height = TOP + len(lines) * ROW + BOTTOM
    places = {line.episode.id: line for line in lines}
    parts = [f'<svg viewBox="0 0 {width} {height}" style="max-width:{width}px" role="img">']
    parts += [_joint(line, places) for line in lines if line.episode.parent_episode in places]
    parts += [_episode(line) for line in lines]
    parts += [_axis(turns, height), "</svg>"]
    return "".join(parts)


def _lines(tree: Tree) -> list[Line]:
    """Order the episodes so that branches follow what they left, the latest first."""
    counted = {episode.id: episode for episode in tree.counted()}
    children: dict[int | None, list[Episode]] = {}
    for episode in counted.values():
        parent = episode.parent_episode if episode.parent_episode in counted else None
        children.setdefault(parent, []).append(episode)
    for found in children.values():
        found.sort(key=lambda episode: (_first(episode), episode.id), reverse=True)
    lines: list[Line] = []
    stack = children.get(None, [])[:]
    while stack:
        episode = stack.pop()
        lines.append(Line(episode, len(lines), _first(episode)))
        stack += children.get(episode.id, [])[::-1]
    return lines


def _first(episode: Episode) -> int:
    return 0 if episode.forked_at is None else episode.forked_at[0]


def _x(turn: float) -> float:
    return LEFT + turn * COLUMN


def _y(row: int) -> float:
    return TOP + (row + 0.5) * ROW


def _joint(line: Line, places: dict[int, Line]) -> str:
    """Draw how a branch hangs at what it left."""
    assert line.episode.parent_episode is not None
    above = places[line.episode.parent_episode]
    x, top, bottom = _x(line.first), _y(above.row), _y(line.row)
    return f'<path d="M{x:g} {top:g}V{bottom:g}" stroke="{SHARED}" stroke-width="2" fill="none"/>'


def _episode(line: Line) -> str:
    episode = line.episode
    colour = SOLVED if episode.metrics.get("success") else UNSOLVED
    y, start, end = _y(line.row), _x(line.first), _x(episode.turns)
    inside = episode.forked_at is not None and episode.forked_at[1] > 0
    fill = "white" if inside else colour
    label = html.escape(f"{episode.reward:.3g}")
    dots = "".join(
        f'<circle cx="{_x(turn):g}" cy="{y:g}" r="3" stroke="{colour}" '
        f'fill="{fill if turn == line.first else colour}"/>'
        for turn in range(line.first, episode.turns + 1)
    )
    stroke = f'<path d="M{start:g} {y:g}H{end:g}" stroke="{colour}" stroke-width="2"/>'
    text = f'<text x="{end + 8:g}" y="{y + 4:g}" font-size="11" fill="#555">{label}</text>'
    return stroke + dots + text


def _axis(turns: int, height: float) -> str:
    step = max(1, -(-turns // 10))
    marks = "".join(
        f'<text x="{_x(turn):g}" y="{height - 10:g}" font-size="10" fill="#888" '
        f'text-anchor="middle">{turn}</text>'
        for turn in range(0, turns + 1, step)
    )
    name = (
        f'<text x="{_x(turns) + 12:g}" y="{height - 10:g}" font-size="10" fill="#888">turn</text>'
    )
    return marks + name
