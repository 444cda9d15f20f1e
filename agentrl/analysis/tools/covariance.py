"""`covariance`: watch which tokens use up entropy, step by step, in saved rollouts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from agentrl.analysis.covariance import (
    Agreement,
    StepCovariance,
    Tokens,
    agreement,
    covariance_terms,
    discriminator,
    step_covariance,
    tokens_of,
)
from agentrl.analysis.result import Analysis, Cell, Table
from agentrl.analysis.source import Run, require
from agentrl.errors import DataError
from agentrl.training.curves import Curve, Plot

FIFTHS = ("first fifth", "second", "third", "fourth", "last fifth")
TURNS = 12
"""Turns with a row of their own; later ones share the last row."""
PREDICTORS = {"-Cov(l, pA)": "weighted", "-Cov(l, A)": "covariance", "-Cov(S, A)": "pushed"}
"""What predicts the change of entropy, up to its sign and a factor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `--tool covariance` takes.

    Attributes:
        top: share of the tokens that are called top tokens.
    """

    top: float = 0.02

    def __post_init__(self) -> None:
        require(0 < self.top <= 1, "top", self.top, "in (0, 1]")


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to entropy between two saved steps.

    Attributes:
        before: the earlier step.
        measured: change of mean entropy per step, in nats.
    """

    before: StepCovariance
    measured: float


def analyse(run: Run, options: Options) -> Analysis:
    """Follow the covariance through the saved rollouts.

    Raises:
        DataError: no rollouts were saved, or they hold no log-probs.
    """
    found = [(step, tokens_of(trees)) for step, trees in run.rollouts()]
    found = [(step, tokens) for step, tokens in found if len(tokens)]
    if not found:
        raise DataError("The saved rollouts hold no sampled tokens with log-probs.")
    steps = [step_covariance(step, tokens, options.top) for step, tokens in found]
    changes = [
        Change(one, (other.entropy - one.entropy) / (other.step - one.step))
        for one, other in itertools.pairwise(steps)
    ]
    agreements = _agreements(changes)
    turns, places = by_turn([tokens for _, tokens in found]), by_place([t for _, t in found])
    return Analysis(
        tool="covariance",
        run=str(run.path),
        tables=[
            _steps_table(steps, changes, options.top),
            *([_agreement_table(agreements)] if agreements else []),
            _parts_table("By turn, all steps", "turn", turns),
            _parts_table("By place in the episode, all steps", "tokens of", places),
        ],
        notes=_notes(steps, changes),
        plots=_plots(steps, changes, agreements, turns),
        numbers={
            "steps": [asdict(step) for step in steps],
            "changes": [{"step": c.before.step, "measured": c.measured} for c in changes],
            "agreement": {name: asdict(found) for name, found in agreements.items()},
            "turns": [asdict(part) for part in turns],
            "places": [asdict(part) for part in places],
            "top": options.top,
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Tokens of one turn, or of one place in the episode.

    Attributes:
        name: which.
        tokens: how many, over all steps.
        contribution: what they add to the covariance, meaned over steps by tokens; all parts add
            up to the whole.
        covariance: mean term of these tokens alone.
        discriminator: mean of S.
        entropy: mean entropy in nats.
    """

    name: str
    tokens: int
    contribution: float
    covariance: float
    discriminator: float
    entropy: float


def by_turn(steps: Sequence[Tokens]) -> list[Part]:
    """Return a part for each turn; turns from the twelfth on share one."""
    keys = [np.minimum(tokens.turns, TURNS - 1) for tokens in steps]
    last = max(int(key.max()) for key in keys)
    longer = any(int(tokens.turns.max()) >= TURNS for tokens in steps)
    names = [f"{n}+" if longer and n == TURNS - 1 else str(n) for n in range(last + 1)]
    return _parts(steps, keys, names)


def by_place(steps: Sequence[Tokens]) -> list[Part]:
    """Return a part for each fifth of the episodes' tokens."""
    keys = [np.minimum(tokens.positions * 5, 4).astype(np.int64) for tokens in steps]
    return _parts(steps, keys, FIFTHS)


def _parts(
    steps: Sequence[Tokens], keys: Sequence[NDArray[np.int64]], names: Sequence[str]
) -> list[Part]:
    key = np.concatenate(keys)
    terms = np.concatenate([covariance_terms(t.logprobs, t.advantages) for t in steps])
    entropies = np.concatenate([t.entropies for t in steps])
    signal = discriminator(np.concatenate([t.logprobs for t in steps]), entropies)
    return [
        Part(
            name=name,
            tokens=int(chosen.sum()),
            contribution=float(terms[chosen].sum()) / len(terms),
            covariance=float(terms[chosen].mean()),
            discriminator=_known_mean(signal[chosen]),
            entropy=_known_mean(entropies[chosen]),
        )
        for index, name in enumerate(names)
        if (chosen := key == index).any()
    ]


def _known_mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _agreements(changes: Sequence[Change]) -> dict[str, Agreement]:
    usable = [change for change in changes if np.isfinite(change.measured)]
    if len(usable) < 3:
        return {}
    measured = [change.measured for change in usable]
    return {
        title: agreement([-getattr(change.before, name) for change in usable], measured)
        for title, name in PREDICTORS.items()
    }


def _steps_table(steps: Sequence[StepCovariance], changes: Sequence[Change], top: float) -> Table:
    measured = {change.before.step: change.measured for change in changes}
    columns = ["step", "tokens", "entropy", "Cov(l, A)", "A > 0", "A < 0", f"top {100 * top:g}%"]
    rows: list[list[Cell]] = [
        [
            *(s.step, s.tokens, s.entropy, s.covariance, s.positive, s.negative, s.top_share),
            *(-s.weighted, s.discriminator, -s.pushed, measured.get(s.step)),
        ]
        for s in steps
    ]
    last = ["-Cov(l, pA)", "mean S", "-Cov(S, A)", "change of H"]
    return Table.by_step(
        "Per step: l log-prob, p probability, A advantage", [*columns, *last], rows
    )


def _agreement_table(agreements: dict[str, Agreement]) -> Table:
    rows: list[list[Cell]] = [
        [name, found.scale, found.correlation, found.same_sign]
        for name, found in agreements.items()
    ]
    columns = ["predicted by", "scale", "correlation", "same sign"]
    return Table("Change of entropy to the next saved step, predicted and measured", columns, rows)


def _parts_table(title: str, name: str, parts: Sequence[Part]) -> Table:
    rows: list[list[Cell]] = [
        [p.name, p.tokens, p.contribution, p.covariance, p.discriminator, p.entropy] for p in parts
    ]
    columns = [name, "tokens", "adds to Cov(l, A)", "mean term", "mean S", "entropy"]
    return Table(title, columns, rows)


def _notes(steps: Sequence[StepCovariance], changes: Sequence[Change]) -> list[str]:
    notes = []
    if len(changes) < 3:
        notes.append(
            f"{len(steps)} saved steps are too few to compare predicted and measured changes of "
            "entropy; at least 4 are needed (`checkpoint.rollouts_every`)."
        )
    if any(other.step - one.step > 1 for one, other in itertools.pairwise(steps)):
        notes.append("Not every step was saved; changes of entropy are per step between saves.")
    if any(np.isnan(step.entropy) for step in steps):
        notes.append("Some rollouts hold no entropies; what needs them is left out.")
    return notes


def _plots(
    steps: Sequence[StepCovariance],
    changes: Sequence[Change],
    agreements: dict[str, Agreement],
    turns: Sequence[Part],
) -> list[Plot]:
    parts = {"covariance": "all tokens", "positive": "A > 0", "negative": "A < 0"}
    lines = [
        Curve(title, [(s.step, getattr(s, name)) for s in steps]) for name, title in parts.items()
    ]
    usable = [change for change in changes if np.isfinite(change.measured)]
    over = [Curve("measured", [(c.before.step, c.measured) for c in usable])]
    for title, found in agreements.items():
        name = PREDICTORS[title]
        points = [(c.before.step, -found.scale * getattr(c.before, name)) for c in usable]
        if np.isfinite(found.scale):
            over.append(Curve(f"{title}, scaled", points, style="dashed"))
    entropy = [(s.step, s.entropy) for s in steps if np.isfinite(s.entropy)]
    turn = [(float(at), part.contribution) for at, part in enumerate(turns)]
    return [
        Plot(curves=lines, title="Covariance of log-prob and advantage", x_label="step"),
        Plot(curves=over, title="Change of entropy per step", x_label="step", y_label="nats"),
        Plot(curves=[Curve("rollouts", entropy)], title="Entropy", x_label="step", y_label="nats"),
        Plot(curves=[Curve("all steps", turn)], title="Share of the covariance", x_label="turn"),
    ]
