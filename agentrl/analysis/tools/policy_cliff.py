"""`policy-cliff`: how often a small change of the reward changes the best answer of a group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from agentrl.analysis.policy_cliff import TIE, clusters, mean_rewards
from agentrl.analysis.result import Analysis, Table
from agentrl.analysis.sensitivity import Change, Cliff, Group, sensitivity
from agentrl.analysis.source import Run, require
from agentrl.errors import ConfigError, DataError, unknown_name
from agentrl.training.curves import Curve, Plot
from agentrl.tree import Episode, Tree

SWEEP = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Sizes of the noise that are compared, in units of `--noise`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `--tool policy-cliff` takes.

    Attributes:
        noise: largest change of a cluster's reward; the change is uniform in [-noise, noise].
        draws: noise vectors per group.
        seed: of the noise.
        alpha: temperature of the Boltzmann policies softmax(R / alpha).
        tolerance: rewards that differ by no more are equal.
        drop: an episode metric that is taken off the reward instead of adding noise.
        weight: of that metric in the reward.
    """

    noise: float = 0.05
    draws: int = 20
    seed: int = 0
    alpha: float = 0.1
    tolerance: float = TIE
    drop: str | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        require(self.noise > 0, "noise", self.noise, "greater than 0")
        require(self.draws >= 1, "draws", self.draws, "at least 1")
        require(self.seed >= 0, "seed", self.seed, "at least 0")
        require(self.alpha > 0, "alpha", self.alpha, "greater than 0")
        require(self.tolerance >= 0, "tolerance", self.tolerance, "at least 0")

    def change(self) -> Change:
        """Return what is done to the rewards."""
        return Change(
            noise=self.noise,
            draws=self.draws,
            seed=self.seed,
            alpha=self.alpha,
            tolerance=self.tolerance,
        )


def analyse(run: Run, options: Options) -> Analysis:
    """Change the rewards of all saved rollouts, step by step.

    Raises:
        DataError: no rollouts were saved, or no episode counts.
        UnknownNameError: episodes have no metric `drop`.
    """
    saved = [(step, _groups(trees, options)) for step, trees in run.rollouts()]
    saved = [(step, groups) for step, groups in saved if groups]
    if not saved:
        raise DataError("The saved rollouts hold no episode that counts.")
    change = options.change()
    steps = {step: sensitivity(groups, change, stream=step) for step, groups in saved}
    everything = [group for _, groups in saved for group in groups]
    total = sensitivity(everything, change)
    sizes = [options.noise * factor for factor in SWEEP] if options.drop is None else []
    sweep = {size: sensitivity(everything, replace(change, noise=size)) for size in sizes}
    done = f"noise up to {options.noise:g}"
    if options.drop is not None:
        done = f"{options.weight:g} x {options.drop} taken off"
    title = f"Per step, {done}, alpha {options.alpha:g}"
    rows = [_row(step, found) for step, found in steps.items()]
    tables = [
        Table.by_step(title, _COLUMNS, rows),
        Table("All steps together", ["", *_COLUMNS[1:]], [_row("all", total)]),
    ]
    if sweep:
        swept = [_row(f"{size:g}", found) for size, found in sweep.items()]
        tables.append(Table("All steps, by size of noise", ["noise", *_COLUMNS[1:]], swept))
    return Analysis(
        tool="policy-cliff",
        run=str(run.path),
        tables=tables,
        notes=_notes(total),
        plots=_plots(steps, sweep),
        numbers={
            "options": asdict(options),
            "steps": [{"step": step, **asdict(found)} for step, found in steps.items()],
            "all": asdict(total),
            "sweep": [{"noise": size, **asdict(found)} for size, found in sweep.items()],
        },
    )


def _groups(trees: Sequence[Tree], options: Options) -> list[Group]:
    groups = []
    for tree in trees:
        found = clusters(tree)
        if not found:
            continue
        rewards = mean_rewards([[e.reward for e in cluster] for cluster in found])
        dropped = None
        if options.drop is not None:
            dropped = mean_rewards([[_without(e, options) for e in c] for c in found])
        groups.append(Group(rewards, dropped))
    return groups


def _without(episode: Episode, options: Options) -> float:
    assert options.drop is not None
    if options.drop not in episode.metrics:
        raise unknown_name("episode metric", options.drop, episode.metrics)
    value = episode.metrics[options.drop]
    if not np.isfinite(value):
        raise ConfigError(f"`--drop {options.drop}`: an episode has the value {value}.")
    return episode.reward - options.weight * value


_COLUMNS = (
    "step",
    "groups",
    "clusters",
    "uniform",
    "degenerate",
    "deg. of others",
    "flips",
    "flips of others",
    "TV greedy",
    "TV soft",
    "bound",
)


def _row(name: str | int, found: Cliff) -> list[Any]:
    return [name, *asdict(found).values()]


def _notes(total: Cliff) -> list[str]:
    notes = []
    if total.flips > 0.2 and total.tv_soft < 0.5 * total.tv_hard:
        notes.append(
            "Cliff: the best answer often changes while the Boltzmann policies hardly do. Several "
            "answers share the top reward; a finer reward or a term for entropy decides between "
            "them."
        )
    if total.uniform > 0.5:
        notes.append(
            f"In {100 * total.uniform:.0f} % of the groups all answers have the same reward; in "
            "these every change makes another answer the best one."
        )
    return notes


def _plots(steps: dict[int, Cliff], sweep: dict[float, Cliff]) -> list[Plot]:
    shares = {
        "uniform": "all equal",
        "degenerate": "several best",
        "flips": "flips",
        "contested_flips": "flips where not all equal",
    }
    distances = {"tv_hard": "greedy", "tv_soft": "Boltzmann", "bound": "bound for Boltzmann"}
    plots = [
        _plot(steps, shares, "Share of groups", "step"),
        _plot(steps, distances, "Total variation", "step"),
    ]
    if sweep:
        both = {"flips": "flips", **distances}
        plots.append(_plot(sweep, both, "All steps, by size of noise", "noise"))
    return plots


def _plot(found: Any, names: dict[str, str], title: str, x_label: str) -> Plot:
    curves = [
        Curve(label, [(float(x), getattr(one, name)) for x, one in found.items()])
        for name, label in names.items()
    ]
    return Plot(curves=curves, title=title, x_label=x_label, bounds=(0.0, 1.0))
