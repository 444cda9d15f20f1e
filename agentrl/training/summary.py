"""How a run ends: its final numbers and its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from agentrl.config import RunConfig
from agentrl.storage import read_forest
from agentrl.training.evaluations import Scores
from agentrl.training.metrics import read_metrics
from agentrl.training.mismatch_alarm import alarm_steps
from agentrl.training.progress import Progress
from agentrl.training.report import write_report
from agentrl.training.run_directory import RunDirectory
from agentrl.tree import Tree

SHOWN_TREES = 8


def conclude(
    config: RunConfig,
    files: RunDirectory,
    *,
    success: Scores,
    panel_hashes: Mapping[str, str],
    prompt_id: str,
    seconds: float,
    tokenizer: Any,
    progress: Progress,
) -> dict[str, Any]:
    """Write `report.html` and `summary.json`; return the summary.

    It is that of `summarise`, with `mismatch_alarms`: how many steps raised the alarm.

    Args:
        config: the whole configuration.
        files: the run directory.
        success: success by panel and step.
        panel_hashes: content hash by panel.
        prompt_id: name and version of the prompt.
        seconds: how long the run took.
        tokenizer: token ids to text.
        progress: told where the report is.
    """
    summary = summarise(config, success, panel_hashes, prompt_id, seconds)
    metrics = read_metrics(files.metrics)
    alarms = alarm_steps(metrics)
    if alarms is not None:
        summary["mismatch_alarms"] = alarms
    played = files.evaluation(config.steps, "heldout")
    if not played.exists():  # an environment without held-out tasks
        played = files.evaluation(config.steps, "train")
    write_report(
        files.report,
        title=f"AgentRL run {files.path.name}",
        metrics=metrics,
        summary=summary,
        trees=examples(read_forest(played).trees) if played.exists() else [],
        sampled=newest_rollouts(files),
        decode=lambda ids: readable(tokenizer, ids),
        config_text=files.config.read_text(encoding="utf-8"),
    )
    files.write_summary(summary)  # last: it says that the run has ended
    progress.say(f"Report: {files.report}")
    return summary


def newest_rollouts(files: RunDirectory) -> list[Tree]:
    """Return the trees of the last rollout that was saved; none where none was."""
    saved = sorted(files.rollouts(0).parent.glob("step-*.jsonl"))
    return read_forest(saved[-1]).trees if saved else []


def examples(trees: Sequence[Tree], count: int = SHOWN_TREES) -> list[Tree]:
    """Choose trees to show: as many unsolved as solved ones where there are, in panel order."""
    ordered = sorted((tree for tree in trees if tree.counted()), key=lambda tree: tree.id)
    solved = [tree for tree in ordered if tree.counted()[0].metrics.get("success")]
    unsolved = [tree for tree in ordered if not tree.counted()[0].metrics.get("success")]
    failures = unsolved[: max(count // 2, count - len(solved))]
    chosen = failures + solved[: count - len(failures)]
    return sorted(chosen, key=lambda tree: tree.id)


def summarise(
    config: RunConfig,
    success: Scores,
    panel_hashes: Mapping[str, str],
    prompt_id: str,
    seconds: float,
) -> dict[str, Any]:
    """Return the final numbers of a run.

    `<panel>_success_warm` is the success rate before the first reinforcement-learning step,
    `<panel>_success` after the last; None where a panel is empty.
    """
    summary: dict[str, Any] = {"steps": config.steps, "algorithm": config.algorithm.name}
    for panel, by_step in success.items():
        summary[f"{panel}_success_warm"] = by_step.get(0)
        summary[f"{panel}_success"] = by_step.get(config.steps)
    summary["panel_hashes"] = dict(panel_hashes)
    summary["prompt"] = prompt_id
    summary["minutes"] = round(seconds / 60, 2)
    return summary


def readable(tokenizer: Any, ids: Sequence[int]) -> str:
    """Return the text of token ids, with a new line in place of special tokens."""
    special = set(tokenizer.all_special_ids)
    runs = groupby(ids, key=lambda token: token in special)
    return "\n".join(tokenizer.decode(list(run)) for is_special, run in runs if not is_special)
