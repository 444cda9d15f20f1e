"""Learns from trees and from separate sequences, and compares every loss and gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from agentrl.algorithms import get
from agentrl.learner import Learner, LearnerSettings
from agentrl.learner import learner as learner_module
from agentrl.learner.rows import Rows, rows
from agentrl.tree import Forest
from tests.algorithms.small import SMALL
from tests.learner.branching_forests import separate


@dataclass
class Learned:
    """What some updates computed.

    Attributes:
        losses: of each update, that of replayed rows included.
        gradients: by parameter name, of each optimiser step, before clipping.
    """

    losses: list[float] = field(default_factory=list)
    gradients: list[dict[str, Tensor]] = field(default_factory=list)


def learn(
    model: nn.Module,
    algorithm: str,
    forests: Sequence[Forest],
    *,
    apart: bool = False,
    **settings: Any,
) -> Learned:
    """Update a model on each forest in turn and record losses and gradients.

    Args:
        model: it is trained.
        algorithm: its registered name.
        forests: of one update each.
        apart: lay every episode out with nodes of its own, and run every sequence in a forward
            pass of its own.  The batch stays that of the trees: some algorithms read from it
            which tokens are shared.
        settings: of the learner.
    """
    learner = Learner(
        model,
        get(algorithm, **SMALL.get(algorithm, {})),
        LearnerSettings(
            learning_rate=1e-3,
            max_grad_norm=0.0,
            microbatch_tokens=1 if apart else 1 << 20,
            **settings,
        ),
        total_updates=6,
        token_text=lambda token: f" word{token}",
        seed=1,
    )
    learned = Learned()
    names = {id(parameter): name for name, parameter in model.named_parameters()}

    def record(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        learned.gradients.append(
            {
                names.get(id(p), f"value head {tuple(p.shape)}"): p.grad.detach().clone()
                for p in parameters
                if p.grad is not None
            }
        )

    hook = register_optimizer_step_pre_hook(record)
    try:
        learner_module.rows = _rows_apart if apart else rows
        for forest in forests:
            report = learner.update(forest)
            learned.losses += [report[n] for n in ("loss", "replay/loss") if n in report]
    finally:
        hook.remove()
        learner_module.rows = rows
    return learned


def _rows_apart(forest: Forest) -> Rows:
    alone = separate(forest)
    return replace(rows(alone), batch=rows(forest).batch)


def compare(
    make: Callable[[], nn.Module],
    algorithm: str,
    forests: Sequence[Forest],
    tolerance: float,
    **settings: Any,
) -> None:
    """Assert that trees and separate sequences give the same losses and gradients.

    Args:
        make: returns the model, the same each time.
        algorithm: its registered name.
        forests: of one update each.
        tolerance: largest accepted difference, relative to the loss or 1, whichever is larger, and
            to the norm of the whole gradient; for each single parameter twice as much, relative to
            the norm of its own gradient, because some nearly cancel.
        settings: of the learner.
    """
    ours = learn(make(), algorithm, forests, **settings)
    theirs = learn(make(), algorithm, forests, apart=True, **settings)
    assert len(ours.gradients) == len(theirs.gradients)
    assert sum(norm(step.values()) for step in theirs.gradients) > 0
    for one, other in zip(ours.losses, theirs.losses, strict=True):
        assert math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)
    for step in zip(ours.gradients, theirs.gradients, strict=True):
        assert_same_gradients(*step, tolerance)


def assert_same_gradients(
    ours: dict[str, Tensor], theirs: dict[str, Tensor], tolerance: float
) -> None:
    """Compare all gradients of one optimiser step."""
    assert ours.keys() == theirs.keys()
    whole = norm(theirs.values())
    assert norm(ours[name] - theirs[name] for name in ours) <= tolerance * whole
    for name, gradient in ours.items():
        gap, size = norm([gradient - theirs[name]]), norm([theirs[name]])
        assert gap <= 2 * tolerance * size, f"{name}: {gap:.2e} of {size:.2e}, all {whole:.2e}"


def norm(tensors: Any) -> float:
    """Return the L2 norm of all tensors together."""
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in tensors))
