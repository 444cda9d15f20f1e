"""GTPO: conflict tokens, their loss, and the entropy filter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.batch import Batch, Normaliser, Stat
from agentrl.algorithms.loss import policy_loss
from agentrl.algorithms.methods.gtpo import gtpo
from agentrl.algorithms.regularisers.kl import kl_estimate
from agentrl.algorithms.steps import steps
from agentrl.algorithms.surrogates.standard import RatioPG
from agentrl.algorithms.weights.conflicts import (
    ConflictTokens,
    ConflictWeight,
    EntropyFilter,
    conflicts,
)
from tests.golden.case import Adapter, Case, Result


def _group(mask: Tensor, advantages: Tensor, ids: Tensor) -> Batch:
    rows = torch.arange(len(mask))
    per_token = advantages.unsqueeze(-1).expand(mask.shape)
    return Batch(
        mask_BT=mask,
        groups_B=torch.zeros_like(rows),
        episodes_B=rows,
        returns_B=advantages,
        turns_BT=torch.zeros(mask.shape, dtype=torch.long),
        ids_BT=ids,
        advantages_BT=torch.where(mask > 0, per_token, 0.0),
    )


def build_conflict_mask(case: Case) -> Result:
    """Token weights, and the conflicts as the released code counts them."""
    mask, advantages = case.tensor("mask"), case.tensor("advantages")
    batch = _group(mask, advantages, case.tensor("ids").long())
    slot = ConflictTokens(weight=float(case.config.get("W_RAW", 2.0)))
    notes, index = slot(batch).notes, steps(batch)
    longer_BT = index.spread(conflicts(batch, index).longer_runs(index))
    early_BT = torch.arange(mask.shape[1]) < longer_BT
    return Result(
        {
            "lambda": notes["conflict_weight"],
            "conflict_as_coded": early_BT,
            "n_conflict_as_coded": notes["conflicts"] * (advantages != 0),
        }
    )


@dataclass(frozen=True, slots=True)
class _OwnRatio:
    """exp(l - sg(l)): 1 with the gradient of l, so that the loss has the released value."""

    requires: ClassVar[frozenset[Stat]] = frozenset({Stat.LOGPROBS})
    has_gradient: ClassVar[bool] = True

    def __call__(self, batch: Batch) -> Tensor:
        logprobs_BT = batch.stat(Stat.LOGPROBS)
        return (logprobs_BT - logprobs_BT.detach()).exp()


def _released_loss() -> Algorithm:
    weight = ConflictWeight(divide_by_conflicts=True)
    return replace(gtpo(), ratio=_OwnRatio(), surrogate=RatioPG(), token_weights=(weight,))


def compute_loss(case: Case) -> Result:
    """The loss of one episode; our -A l has the same gradient as the released -A exp(l - sg l)."""
    mask = case.tensor("mask").unsqueeze(0)
    ids = case.tensor("ids").long()
    logits = case.tensor("new_logits").requires_grad_()
    old, new = (torch.log_softmax(x, -1) for x in (case.tensor("old_logits"), logits))
    old, taken = (x.gather(-1, ids.unsqueeze(-1)).squeeze(-1).unsqueeze(0) for x in (old, new))
    advantage = torch.tensor([float(case.inputs["advantage"])], dtype=torch.float64)
    count = torch.tensor([max(float(case.inputs["n_conflict"]), 1.0)])
    batch = _group(mask, advantage, ids.unsqueeze(0)).with_stats({Stat.LOGPROBS: taken})
    lambdas = case.tensor("lambda").unsqueeze(0)
    batch = batch.with_notes(conflict_weight=lambdas, conflicts=count)
    methods = (_released_loss(), gtpo(divide_by_conflicts=True))
    losses = [policy_loss(method, batch, Normaliser.of(mask)).value for method in methods]
    gradients = [torch.autograd.grad(loss, logits, retain_graph=True)[0] for loss in losses]
    torch.testing.assert_close(*gradients)
    entropy = -(new.exp() * new).sum(-1).detach()
    valid = mask[0] > 0
    kl = kl_estimate(taken, old, "k3-unclamped")[0]
    return Result(
        {
            "loss": losses[0],
            "n_tok": mask.sum().clamp(min=1),
            "grad_new_logits": gradients[0],
            "mean_entropy": entropy[valid].mean(),
            "mean_kl_k3": kl[valid].mean(),
        }
    )


def entropy_filter(case: Case) -> Result:
    """Which episodes pass, and their advantages."""
    slot = EntropyFilter(
        gamma=float(case.config.get("ENT_SCALE", 0.1)),
        threshold=float(case.config.get("ENT_THRESHOLD", 0.7)),
    )
    advantages, entropy = case.tensor("advantages"), case.tensor("mean_entropy")
    return Result({"keep": slot.keep(entropy), "shaped": slot.shape(advantages, entropy)})


ADAPTERS: dict[tuple[str, str], Adapter] = {
    ("gtpo", "build_conflict_mask"): build_conflict_mask,
    ("gtpo", "compute_loss"): compute_loss,
    ("gtpo", "entropy_filter"): entropy_filter,
}
