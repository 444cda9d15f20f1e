"""`entropy-law`: fit R = -a exp(H) + b to a run's metrics."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

from agentrl.analysis.entropy_law import (
    ALARM,
    NEEDED,
    SPREAD,
    EntropyLawFit,
    early_and_full,
    rms,
)
from agentrl.analysis.result import Analysis, Table
from agentrl.analysis.source import Numbers, Run, paired, require, require_points
from agentrl.errors import DataError
from agentrl.training.curves import Curve, Plot


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `--tool entropy-law` takes.

    Attributes:
        entropy: metric for H.
        performance: metric for R; by default the held-out success, or the success of the training
            rollouts where there are too few evaluations.
        fraction: share of the points in the early window.
    """

    entropy: str = "learner/entropy"
    performance: str | None = None
    fraction: float = 0.15

    def __post_init__(self) -> None:
        require(0 < self.fraction < 1, "fraction", self.fraction, "between 0 and 1")


def analyse(run: Run, options: Options) -> Analysis:
    """Fit the law to a run's metrics.

    Raises:
        UnknownNameError: a metric is missing.
        DataError: there are too few points, or entropy hardly changes among the early ones.
    """
    notes: list[str] = []
    column = options.performance or _performance(run, options, notes)
    steps, (h, r) = paired(run.series(options.entropy), run.series(column))
    advice = "Evaluate more often (`evaluation.every`), or name another metric (`--performance`)."
    what = f"Points with {options.entropy} and {column}"
    require_points(len(steps), NEEDED + 1, what, advice)
    fit = early_and_full(h, r, options.fraction)
    spread = float(np.ptp(h[: fit.window]))
    if spread <= SPREAD:
        raise DataError(
            f"Over the first {fit.window} points entropy changes by {spread:.3g} nats only; the "
            f"law needs more than {SPREAD}. Take a longer window (`--fraction`)."
        )
    return Analysis(
        tool="entropy-law",
        run=str(run.path),
        tables=[_table(fit, h, r), _last(fit, steps, h, r)],
        notes=[*notes, *_notes(fit, steps, run)],
        plots=_plots(fit, steps, h, r, column),
        numbers=_numbers(fit, steps, h, r, options.entropy, column),
    )


def _performance(run: Run, options: Options, notes: list[str]) -> str:
    entropy = run.series(options.entropy)
    heldout, rollouts = "eval/heldout_success", "rollout/success"
    if heldout in run.columns and len(paired(entropy, run.series(heldout))[0]) > NEEDED:
        return heldout
    notes.append(
        f"Too few evaluations have {heldout}; R is {rollouts}, on tasks that are trained on."
    )
    return rollouts


def _table(fit: EntropyLawFit, h: Numbers, r: Numbers) -> Table:
    early = (fit.window, fit.early, fit.r2_early, fit.rmse_early, fit.rmse_future)
    full = (len(h), fit.full, fit.r2_full, rms(r - fit.full.predict(h)), math.nan)
    return Table(
        "R = -a exp(H) + b",
        ["fitted to", "points", "a", "b", "ceiling b-a", "R^2", "RMSE", "RMSE later"],
        [
            [name, points, law.a, law.b, law.ceiling, r2, error, later]
            for name, (points, law, r2, error, later) in (("early points", early), ("all", full))
        ],
    )


def _last(fit: EntropyLawFit, steps: list[int], h: Numbers, r: Numbers) -> Table:
    predicted = float(fit.early.predict(h[-1]))
    row = [steps[-1], float(h[-1]), float(r[-1]), predicted, predicted - float(r[-1])]
    return Table("Last point", ["step", "H", "R measured", "R predicted", "error"], [row])


def _notes(fit: EntropyLawFit, steps: list[int], run: Run) -> list[str]:
    notes = []
    if fit.drift:
        at = ", ".join(str(steps[index]) for index in fit.drift)
        limit = ALARM * fit.rmse_early
        notes.append(f"Drift: the law of the early points is off by more than {limit:.3g} at {at}.")
    if fit.early.a <= 0:
        notes.append("a is not positive: performance does not rise while entropy falls.")
    terms = [
        name for name in ("learner/loss/kl_ref", "learner/loss/entropy") if name in run.columns
    ]
    if terms:
        named = " and ".join(terms)
        notes.append(f"The loss has {named}; the law is stated for training without such terms.")
    return notes


def _plots(fit: EntropyLawFit, steps: list[int], h: Numbers, r: Numbers, column: str) -> list[Plot]:
    grid = np.linspace(float(h.min()), float(h.max()), 40)
    lines = [(fit.early, f"fit of the first {fit.window}"), (fit.full, "fit of all")]
    at = np.exp(h)
    cut = fit.window
    against = [
        Curve("early", list(zip(at[:cut], r[:cut], strict=True)), style="points"),
        Curve("later", list(zip(at[cut:], r[cut:], strict=True)), style="points"),
        *(
            Curve(name, list(zip(np.exp(grid), law.predict(grid), strict=True)), style="dashed")
            for law, name in lines
        ),
    ]
    predicted = fit.early.predict(h)
    room = ALARM * fit.rmse_early
    band = [(s, float(p) - room, float(p) + room) for s, p in zip(steps, predicted, strict=True)]
    over = [
        Curve("measured", list(zip(steps, r, strict=True))),
        Curve(f"predicted by the first {cut}", list(zip(steps, predicted, strict=True)), band=band),
    ]
    return [
        Plot(
            curves=against, title="Law of entropy and performance", x_label="exp(H)", y_label=column
        ),
        Plot(curves=over, title="Predicted performance", x_label="step", y_label=column),
    ]


def _numbers(
    fit: EntropyLawFit, steps: list[int], h: Numbers, r: Numbers, entropy: str, column: str
) -> dict[str, object]:
    laws = {"early": fit.early, "full": fit.full}
    predicted = fit.early.predict(h)
    return {
        **asdict(fit),
        **{name: asdict(law) | {"ceiling": law.ceiling} for name, law in laws.items()},
        "drift": [steps[index] for index in fit.drift],
        "metrics": {"entropy": entropy, "performance": column},
        "points": {"step": steps, "entropy": h, "performance": r, "predicted": predicted},
    }
