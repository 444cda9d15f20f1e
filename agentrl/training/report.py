"""`report.html`: a self-contained page with the curves of a run and what the agent said."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agentrl.training.curves import Curve, plot
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
    ("Entropy (nats per token)", {"learner/entropy": "policy"}),
    ("Gradient norm", {"learner/grad_norm": "before clipping"}),
    ("Seconds per step", {"time/rollout": "rollout", "time/update": "update"}),
)

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:1060px;margin:2em auto;padding:0 1em}
h1{font-size:1.5em} h2{font-size:1.15em;margin-top:2em}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(320px,1fr));gap:1.2em}
figure{margin:0} figcaption{font-weight:600} svg{width:100%;height:auto}
table{border-collapse:collapse} td,th{padding:.2em .9em .2em 0;text-align:left;vertical-align:top}
.turn{margin:.2em 0 .2em 1em;white-space:pre-wrap;font:13px/1.45 ui-monospace,monospace}
.model{color:#0b5394} .environment,.template{color:#555}
details{margin:.4em 0} summary{cursor:pointer} pre{background:#f6f6f6;padding:1em;overflow:auto}
"""


def write_report(
    path: Path,
    *,
    title: str,
    metrics: Sequence[Mapping[str, Any]],
    summary: Mapping[str, Any],
    trees: Sequence[Tree],
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
        decode: token ids to text.
        config_text: the effective configuration.
    """
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>",
        f"<style>{STYLE}</style><h1>{html.escape(title)}</h1>",
        _summary(summary),
        "<h2>Curves</h2><div class=plots>",
        *(_figure(name, series, metrics) for name, series in PLOTS),
        "</div><h2>What the agent said</h2>",
        *(_episode(tree, decode) for tree in trees if tree.counted()),
        f"<h2>Configuration</h2><pre>{html.escape(config_text)}</pre></html>",
    ]
    path.write_text("\n".join(parts), encoding="utf-8")


def _summary(summary: Mapping[str, Any]) -> str:
    rows = []
    for key, value in summary.items():
        shown = f"{value:.3f}" if isinstance(value, float) else str(value)
        rows.append(f"<tr><th>{html.escape(key)}<td>{html.escape(shown)}")
    return f"<table>{''.join(rows)}</table>"


def _figure(name: str, series: Mapping[str, str], metrics: Sequence[Mapping[str, Any]]) -> str:
    curves = []
    for key, label in series.items():
        points = [(line["step"], line[key]) for line in metrics if line.get(key) is not None]
        curves.append(Curve(label, [(float(x), float(y)) for x, y in points]))
    return f"<figure><figcaption>{html.escape(name)}</figcaption>{plot(curves)}</figure>"


def _episode(tree: Tree, decode: Any) -> str:
    episode = tree.counted()[0]
    head = f"{tree.task.id}: {episode.stop}, reward {episode.reward:g}, {episode.turns} turns"
    return (
        f"<details><summary>{html.escape(head)}</summary>{_turns(tree, episode, decode)}</details>"
    )


def _turns(tree: Tree, episode: Episode, decode: Any) -> str:
    rows = []
    for last in episode.sequences:
        for node in tree.path(last):
            if node.writer is not Writer.TEMPLATE:
                text = html.escape(decode(node.ids))
                rows.append(f'<div class="turn {node.writer}">{text}</div>')
    return "".join(rows)
