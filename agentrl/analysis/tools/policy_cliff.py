"""`policy-cliff`: how often a small change of the reward changes the best answer of a group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from agentrl.analysis.policy_cliff import TIE, bandit_diagnostic, best, clusters, mean_rewards
from agentrl.analysis.result import Analysis, Table
from agentrl.analysis.source import Numbers, Run, require
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


@dataclass(frozen=True, slots=True)
class Group:
    """A group in clusters of equal meaning, in order of first appearance.

    Attributes:
        rewards: mean reward of each cluster [N].
        dropped: the same without the component `Options.drop`; None where none is dropped.
    """

    rewards: Numbers
    dropped: Numbers | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cliff:
    """Means over the groups of a step, and over noise vectors.

    Attributes:
        groups: groups with an episode that counts.
        clusters: mean number of clusters.
        uniform: share of groups whose clusters all have the same reward; they teach nothing.
        degenerate: share of groups in which two or more clusters share the top reward.
        contested: the same among the groups that are not uniform; NaN without any.
        flips: share of groups whose first best cluster is another one after the change.
        contested_flips: the same among the groups that are not uniform; NaN without any.
        tv_hard: total variation between greedy policies before and after.
        tv_soft: between Boltzmann policies.
        bound: what the theorem allows `tv_soft` to be, at most 1.
    """

    groups: int
    clusters: float
    uniform: float
    degenerate: float
    contested: float
    flips: float
    contested_flips: float
    tv_hard: float
    tv_soft: float
    bound: float


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
    steps = {step: cliff(groups, options, options.noise, step) for step, groups in saved}
    everything = [group for _, groups in saved for group in groups]
    total = cliff(everything, options, options.noise)
    sizes = [options.noise * factor for factor in SWEEP] if options.drop is None else []
    sweep = {size: cliff(everything, options, size) for size in sizes}
    change = f"noise up to {options.noise:g}"
    if options.drop is not None:
        change = f"{options.weight:g} x {options.drop} taken off"
    rows = [_row(step, found) for step, found in steps.items()]
    tables = [Table(f"Per step, {change}, alpha {options.alpha:g}", _COLUMNS, rows)]
    tables[0] = Table(tables[0].title, _COLUMNS, [*rows, _row("all", total)])
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


def cliff(groups: Sequence[Group], options: Options, noise: float, step: int = 0) -> Cliff:
    """Return the numbers of some groups under noise of a size, or without a component.

    Args:
        groups: at least one.
        options: of the tool.
        noise: size of the noise; without meaning where a component is dropped.
        step: the noise of every step is another one.
    """
    rng = np.random.default_rng([options.seed, step])
    sums, count = np.zeros(3), 0
    flips = np.zeros(len(groups))
    for index, group in enumerate(groups):
        for changed in _changes(group, options, noise, rng):
            found = bandit_diagnostic(
                group.rewards, changed, alpha=options.alpha, tolerance=options.tolerance
            )
            sums += [found.tv_hard, found.tv_soft, min(found.soft_bound, 1.0)]
            flipped = _first_best(group.rewards, options) != _first_best(changed, options)
            flips[index] += flipped
            count += 1
    tied = [int(best(group.rewards, options.tolerance).sum()) for group in groups]
    flat = [number == len(group.rewards) for number, group in zip(tied, groups, strict=True)]
    degenerate = np.array([number > 1 for number in tied])
    contested = ~np.array(flat)
    flips /= options.draws if options.drop is None else 1
    return Cliff(
        groups=len(groups),
        clusters=sum(len(group.rewards) for group in groups) / len(groups),
        uniform=sum(flat) / len(groups),
        degenerate=float(degenerate.mean()),
        contested=_mean(degenerate[contested]),
        flips=float(flips.mean()),
        contested_flips=_mean(flips[contested]),
        tv_hard=float(sums[0]) / count,
        tv_soft=float(sums[1]) / count,
        bound=float(sums[2]) / count,
    )


def _mean(values: np.ndarray[Any, Any]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _first_best(rewards: Numbers, options: Options) -> int:
    return int(np.argmax(best(rewards, options.tolerance)))


def _changes(
    group: Group, options: Options, noise: float, rng: np.random.Generator
) -> Iterator[Numbers]:
    if group.dropped is not None:
        yield group.dropped
        return
    for _ in range(options.draws):
        yield group.rewards + rng.uniform(-noise, noise, len(group.rewards))


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
    "of the others",
    "flips",
    "of the others",
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
