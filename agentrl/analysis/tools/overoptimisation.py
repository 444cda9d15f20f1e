"""`overoptimisation`: reward against distance from the start, and when to stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from agentrl.analysis.overoptimisation import (
    NEEDED,
    EarlyStop,
    RewardCurve,
    early_stop,
    fit_reward_curve,
    path_length,
)
from agentrl.analysis.result import Analysis, Cell, Table
from agentrl.analysis.source import Numbers, Run, paired, require, require_points
from agentrl.errors import DataError
from agentrl.training.curves import Curve, Plot

REFERENCE = "learner/kl_ref"
STEPWISE = ("learner/kl_old/k3", "learner/kl_old/k1")
"""Divergences from the policy before the step, best first; k3 is never negative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `--tool overoptimisation` takes.

    Attributes:
        proxy: metric that is optimised.
        heldout: metric that matters.
        kl: divergence from the start or a reference; by default `learner/kl_ref`, or else the
            divergence of every step from the policy before it, whose roots are added up.
        patience: evaluations that the early-stop rule looks at.
        margin: least fall of the held-out metric below its best.
    """

    proxy: str = "rollout/reward"
    heldout: str = "eval/heldout_success"
    kl: str | None = None
    patience: int = 4
    margin: float = 0.02

    def __post_init__(self) -> None:
        require(self.patience >= 2, "patience", self.patience, "at least 2")
        require(self.margin >= 0, "margin", self.margin, "at least 0")


def analyse(run: Run, options: Options) -> Analysis:
    """Fit reward against distance, for both metrics.

    Raises:
        UnknownNameError: a metric is missing.
        DataError: the run has no divergence, or too few points.
    """
    notes: list[str] = []
    distance = _distance(run, options, notes)
    found = {}
    for name in (options.proxy, options.heldout):
        steps, (d, r) = paired(distance, run.series(name))
        advice = "Train longer, or evaluate more often (`evaluation.every`)."
        require_points(len(steps), NEEDED, f"Points with {name} and a distance", advice)
        found[name] = (steps, d, r, fit_reward_curve(d, r))
    steps, (proxy, heldout) = paired(run.series(options.proxy), run.series(options.heldout))
    stop = early_stop(
        proxy.tolist(), heldout.tolist(), patience=options.patience, margin=options.margin
    )
    return Analysis(
        tool="overoptimisation",
        run=str(run.path),
        tables=[_table(found), _rule(options, stop, steps, proxy, heldout)],
        notes=[*notes, *_notes(options, found, stop, steps)],
        plots=_plots(found, distance),
        numbers={
            "options": asdict(options),
            "distance": {"step": list(distance), "d": list(distance.values())},
            "curves": {
                name: {**asdict(curve), "peak": curve.peak, "step": at, "d": d, "reward": r}
                for name, (at, d, r, curve) in found.items()
            },
            "early_stop": None
            if stop is None
            else {"step": steps[stop.index], "best_step": steps[stop.best]},
        },
    )


Found = Mapping[str, tuple[list[int], Numbers, Numbers, RewardCurve]]


def _distance(run: Run, options: Options, notes: list[str]) -> dict[int, float]:
    """Return the distance from the start by step; it is 0 at step 0."""
    name = options.kl
    if name is None:
        name = next((one for one in (REFERENCE, *STEPWISE) if one in run.columns), None)
    if name is None:
        raise DataError(
            "The run has no divergence: train with a term for the reference policy, or with "
            "`learner.updates_per_step` of 2 or more, or name a metric with `--kl`."
        )
    values = {step: value for step, value in run.series(name).items() if step > 0}
    if name.startswith("learner/kl_old/"):
        notes.append(
            f"d is the running sum of sqrt({name}); what a step's last update adds is not measured."
        )
        d = path_length(list(values.values()))
    else:
        notes.append(f"d is sqrt({name}).")
        d = np.sqrt(np.maximum(np.array(list(values.values())), 0.0))
    if not np.any(d > 0):
        raise DataError(
            f"{name} is 0 at every step: with one update per step it is not measured. Train with "
            "`learner.updates_per_step` of 2 or more, or with a term for the reference policy."
        )
    return {0: 0.0, **dict(zip(values, d.tolist(), strict=True))}


def _table(found: Found) -> Table:
    return Table(
        "R = R0 + d (alpha - beta d)",
        ["metric", "points", "R0", "alpha", "beta", "peak at d", "R there", "d now", "R now"],
        [
            [
                *(name, len(steps), curve.start, curve.alpha, curve.beta, curve.peak),
                float(curve.at(curve.peak)) if np.isfinite(curve.peak) else None,
                *(float(d[-1]), float(r[-1])),
            ]
            for name, (steps, d, r, curve) in found.items()
        ],
    )


def _rule(
    options: Options, stop: EarlyStop | None, steps: list[int], proxy: Numbers, heldout: Numbers
) -> Table:
    best = int(np.argmax(heldout)) if len(heldout) else 0
    named = {"best held-out": best, "last": len(steps) - 1}
    if stop is not None:
        named["rule stops at"] = stop.index
    rows: list[list[Cell]] = [
        [name, steps[i], float(proxy[i]), float(heldout[i])] for name, i in named.items()
    ]
    return Table("Evaluations", ["", "step", options.proxy, options.heldout], rows)


def _notes(options: Options, found: Found, stop: EarlyStop | None, steps: list[int]) -> list[str]:
    notes = []
    if stop is not None:
        notes.append(
            f"Stop: from step {steps[stop.best]} to {steps[stop.index]} {options.proxy} rises "
            f"while {options.heldout} falls; the checkpoint of step {steps[stop.best]} is better."
        )
    else:
        notes.append("The early-stop rule did not fire.")
    _, d, _, curve = found[options.heldout]
    if curve.peak < float(d[-1]):
        notes.append(f"{options.heldout} is past its fitted peak at d = {curve.peak:.3g}.")
    return notes


def _plots(found: Found, distance: Mapping[int, float]) -> list[Plot]:
    against, over = [], []
    for name, (steps, d, r, curve) in found.items():
        grid = np.linspace(0.0, float(d.max()), 40)
        against.append(Curve(name, list(zip(d.tolist(), r.tolist(), strict=True)), style="points"))
        fitted = list(zip(grid.tolist(), curve.at(grid).tolist(), strict=True))
        against.append(Curve(f"fit of {name}", fitted, style="dashed"))
        over.append(Curve(name, list(zip(steps, r.tolist(), strict=True))))
    path = Curve("distance", list(distance.items()))
    return [
        Plot(curves=against, title="Reward and distance", x_label="d = sqrt(KL)"),
        Plot(curves=over, title="Over training", x_label="step"),
        Plot(curves=[path], title="Distance from the start", x_label="step", y_label="d"),
    ]
