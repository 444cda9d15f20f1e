"""`report.html`: a self-contained page with the curves of a run and what the agent said."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agentrl.training.curves import Curve, plot
from agentrl.training.tree_picture import branches, picture
from agentrl.tree import Episode, Tree, Writer

PLOTS: Sequence[tuple[str, Mapping[str, str]]] = (
    (
        "Success rate",
        {
            "rollout/success": "training rollouts",
            "eval/train_success": "training panel",
            "eval/heldout_success": "held-out panel",
        },
    ),
    ("Reward per episode", {"rollout/reward": "training rollouts"}),
    ("Actions per episode", {"rollout/turns": "training rollouts"}),
    ("Tokens sampled per step", {"rollout/tokens_sampled": "training rollouts"}),
    ("Entropy (nats per token)", {"learner/entropy": "policy"}),
    ("Gradient norm", {"learner/grad_norm": "before clipping"}),
    ("Seconds per step", {"time/rollout": "rollout", "time/update": "update"}),
)
MISMATCH_PLOTS: Sequence[tuple[str, Mapping[str, str]]] = (
    (
        "Engine against learner (nats)",
        {"learner/mismatch/k3": "KL divergence k3 per token"},
    ),
    (
        "Engine against learner (tokens)",
        {
            "learner/mismatch/outside": "share with ratio outside [0.9, 1.1]",
            "learner/mismatch/stale_tokens": "share of older weights",
        },
    ),
)
"""Left out where nothing was compared."""

DRAWN_TREES = 6
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:1060px;margin:2em auto;padding:0 1em}
h1{font-size:1.5em} h2{font-size:1.15em;margin-top:2em}
.scores{display:flex;flex-wrap:wrap;gap:1em}
.score{border:1px solid #ddd;border-radius:6px;padding:.6em 1.1em}
.score b{display:block;font-size:1.6em;font-weight:600}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(320px,1fr));gap:1.2em}
figure{margin:0} figcaption{font-weight:600} svg{width:100%;height:auto}
table{border-collapse:collapse} td,th{padding:.15em .9em .15em 0;text-align:left}
th{font-weight:400;color:#555}
.turn{margin:.25em 0 .25em 1em;padding-left:.7em;white-space:pre-wrap;border-left:3px solid #ddd;
font:13px/1.45 ui-monospace,monospace;color:#555}
.model{color:#0b5394;border-color:#0b5394}
details{margin:.4em 0} summary{cursor:pointer} pre{background:#f6f6f6;padding:1em;overflow:auto}
"""


def write_report(
    path: Path,
    *,
    title: str,
    metrics: Sequence[Mapping[str, Any]],
    summary: Mapping[str, Any],
    trees: Sequence[Tree],
    sampled: Sequence[Tree],
    decode: Any,
    config_text: str,
) -> None:
    """Write the page.

    Args:
        path: the file to write.
        title: heading.
        metrics: lines of `metrics.jsonl`.
        summary: final numbers, shown as a table.
        trees: groups whose first episode is shown.
        sampled: groups that were learned from; those with branches are drawn.
        decode: token ids to text.
        config_text: the effective configuration.
    """
    heading = html.escape(title)
    trees = [tree for tree in trees if tree.counted()]
    compared = any("learner/mismatch/outside" in line for line in metrics)
    plots = (*PLOTS, *MISMATCH_PLOTS) if compared else PLOTS
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f"<title>{heading}</title><style>{STYLE}</style></head><body><h1>{heading}</h1>",
        _scores(summary),
        "<h2>Curves over training steps</h2>",
        '<div class="plots">',
        *(_figure(name, series, metrics) for name, series in plots),
        "</div>",
        "<h2>What the agent saw and said after training</h2>",
        "<p>First episode of each task; what the agent wrote is blue.</p>",
        *(_episode(tree, decode, number == 0) for number, tree in enumerate(trees)),
        *_pictures(sampled),
        f"<h2>Run</h2>{_table(summary)}",
        "<h2>Configuration</h2>",
        f"<pre>{html.escape(config_text)}</pre></body></html>",
    ]
    path.write_text("\n".join(parts) + "\n", encoding="utf-8", errors="backslashreplace")


def _scores(summary: Mapping[str, Any]) -> str:
    """The numbers a reader looks for first: success before and after."""
    boxes = []
    for split, name in (("train", "training panel"), ("heldout", "held-out panel")):
        before, after = summary.get(f"{split}_success_warm"), summary.get(f"{split}_success")
        if before is not None and after is not None:
            numbers = f"<b>{before:.2f} → {after:.2f}</b>"
            boxes.append(f'<div class="score">{numbers}success on the {name}</div>')
    return f'<div class="scores">{"".join(boxes)}</div>'


def _table(summary: Mapping[str, Any]) -> str:
    rows = []
    for key, value in summary.items():
        if isinstance(value, Mapping):
            shown = ", ".join(f"{name} {item}" for name, item in value.items())
        else:
            shown = f"{value:.3g}" if isinstance(value, float) else str(value)
        name = html.escape(key.replace("_", " "))
        rows.append(f"<tr><th>{name}</th><td>{html.escape(shown)}</td></tr>")
    return f"<table>{''.join(rows)}</table>"


def _figure(name: str, series: Mapping[str, str], metrics: Sequence[Mapping[str, Any]]) -> str:
    curves = []
    for key, label in series.items():
        points = [(line["step"], line[key]) for line in metrics if line.get(key) is not None]
        curves.append(Curve(label, [(float(x), float(y)) for x, y in points]))
    bounds = (0.0, 1.0) if name == "Success rate" else None
    return f"<figure><figcaption>{html.escape(name)}</figcaption>{plot(curves, bounds)}</figure>"


def _pictures(sampled: Sequence[Tree]) -> list[str]:
    """Draw trees that branched: first those in which branches made a difference."""
    grown = [tree for tree in sampled if branches(tree)]
    if not grown:
        return []
    grown.sort(key=lambda tree: len({episode.reward for episode in tree.counted()}) < 2)
    return [
        "<h2>What branching sampled</h2>",
        "<p>Each line is an episode, each dot a turn; a branch hangs where it left its parent, and "
        "is hollow where it began inside an answer. Green episodes succeeded; the number is the "
        "reward.</p>",
        '<div class="plots">',
        *(
            f"<figure><figcaption>{html.escape(tree.task.id)}</figcaption>{picture(tree)}</figure>"
            for tree in grown[:DRAWN_TREES]
        ),
        "</div>",
    ]


def _episode(tree: Tree, decode: Any, open_: bool) -> str:
    episode = tree.counted()[0]
    outcome = "solved" if episode.metrics.get("success") else str(episode.stop).replace("_", " ")
    head = f"{tree.task.id}: {outcome}, reward {episode.reward:.3g}, {episode.turns} turns"
    return (
        f"<details{' open' if open_ else ''}><summary>{html.escape(head)}</summary>"
        f"{_turns(tree, episode, decode)}</details>"
    )


def _turns(tree: Tree, episode: Episode, decode: Any) -> str:
    """Every span once; in window mode the repeated part of later prompts is shown again."""
    rows = []
    for last in episode.sequences:
        for node in tree.path(last):
            text = decode(node.ids).strip()
            if text and node.writer is not Writer.TEMPLATE:
                rows.append(f'<div class="turn {node.writer}">{html.escape(text)}</div>')
    return "".join(rows)
