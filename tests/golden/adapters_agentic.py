"""GiGPO with a row per environment step, EPO's released regulariser and AEPO's loss."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from agentrl.algorithms.advantages.anchors import anchor_groups, clusters
from agentrl.algorithms.advantages.steps import GroupInGroup
from agentrl.algorithms.aggregation import Aggregation
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.batch import Batch, Normaliser, Stat
from agentrl.algorithms.estimate import estimate_advantages
from agentrl.algorithms.loss import policy_loss
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.regularisers.entropy_steps import (
    EntropyStepPenalty,
    phase_weight,
    step_penalty,
)
from agentrl.algorithms.rewards.invalid_actions import PENALTIES
from agentrl.algorithms.slots import Surrogate
from agentrl.algorithms.steps import discounted_returns, steps
from agentrl.algorithms.surrogates.entropy_balance import EntropyAwareAdvantage, EntropyBalancedClip
from agentrl.algorithms.surrogates.standard import PPOClip
from tests.golden.adapters_loss import evaluate, spec
from tests.golden.adapters_loss import rows as loss_rows
from tests.golden.case import Adapter, Case, Result


def renumbered(labels: Sequence[object]) -> Tensor:
    """Return labels as numbers in the order of their first appearance."""
    order = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    return torch.tensor([order[label] for label in labels])


def _turns(episodes_B: Tensor) -> Tensor:
    """Number the rows of each episode in their order."""
    before = torch.ones(len(episodes_B), len(episodes_B)).tril(-1).bool()
    return ((episodes_B[:, None] == episodes_B) & before).sum(-1)


def step_rows(case: Case, similarity: float | None = None) -> Batch:
    """A row of one token per environment step; similar anchors are joined in the order of rows."""
    groups = case.ids("index") if "index" in case.inputs else None
    episodes = case.ids("traj_index" if "traj_index" in case.inputs else "index")
    if groups is None:
        groups = torch.zeros_like(episodes)
    texts = case.inputs.get("anchor_obs", [""] * len(groups))
    texts = [text if isinstance(text, str) else json.dumps(text, sort_keys=True) for text in texts]
    anchors = renumbered(texts)
    if similarity is not None:
        for group in groups.unique():
            own = (groups == group).nonzero().flatten()
            found = clusters([texts[row] for row in own.tolist()], similarity)
            anchors[own] = torch.tensor(found)
    zeros = torch.zeros(len(groups), dtype=torch.float64)
    return Batch(
        mask_BT=torch.ones(len(groups), 1, dtype=torch.float64),
        groups_B=groups,
        episodes_B=renumbered(list(zip(groups.tolist(), episodes.tolist(), strict=True))),
        returns_B=zeros,
        turns_BT=_turns(episodes).unsqueeze(-1),
        rewards_BT=zeros.unsqueeze(-1),
        anchors_BT=anchors.unsqueeze(-1),
    )


def step_returns(case: Case) -> Result:
    """Discounted returns of the steps of each trajectory."""
    batch = step_rows(case)
    batch = replace(batch, rewards_BT=case.tensor("rewards").unsqueeze(-1))
    index = steps(batch)
    found_S = discounted_returns(batch, index, float(case.config.get("gamma", 1.0)))
    return Result({"step_returns": index.spread(found_S)[:, 0]})


def step_groups(case: Case) -> Result:
    """Anchor groups, exact and by similarity."""
    outputs = {}
    threshold = float(case.config.get("similarity_thresh", 0.95))
    for name, similarity in (("groups_exact", None), ("groups_similarity", threshold)):
        batch = step_rows(case, similarity)
        index = steps(batch)
        found_S = anchor_groups(batch, index, "anchor", threshold)
        outputs[name] = renumbered(index.spread(found_S)[:, 0].tolist())
    return Result(outputs)


def gigpo(case: Case) -> Result:
    """The advantage; scores and step returns are inputs, so they enter as penalties and rewards.

    With gamma 0 and a bare return of 0, a penalty of -s and a reward of R give the score s and the
    step return R.
    """
    config = case.config
    similar = config.get("enable_similarity", False)
    batch = step_rows(case, float(config.get("similarity_thresh", 0.95)) if similar else None)
    score_B = case.tensor("token_level_rewards").sum(-1)
    bare_B = torch.zeros_like(score_B).index_add(0, batch.episodes_B, score_B)[batch.episodes_B]
    batch = replace(
        batch, returns_B=bare_B, rewards_BT=case.tensor("step_rewards").unsqueeze(-1)
    ).with_notes(**{PENALTIES: -score_B.unsqueeze(-1)})
    advantage = GroupInGroup(
        gamma=0.0,
        step_weight=float(config.get("step_advantage_w", 1.0)),
        mode=config.get("mode", "mean_norm"),
        samples="steps" if config.get("compute_mean_std_cross_steps", True) else "episodes",
        epsilon=float(config.get("epsilon", 1e-6)),
    )
    found = estimate_advantages(Algorithm(name="golden", advantage=advantage), batch).advantages
    advantages = found * case.tensor("response_mask")
    return Result({"advantages": advantages, "returns": advantages})


def entropy_penalty(case: Case) -> Result:
    """EPO's step penalty; the official function has no mask, so every column counts."""
    config, entropy = case.config, case.tensor("entropy")
    values = _averaged(config, entropy)
    profile = case.tensor("entropy_history_mean_per_turn")
    reference = profile[torch.tensor(case.inputs["rollout_step"])].unsqueeze(-1)
    low, high = config["min_ratio"], config["max_ratio"]
    alpha = float(config["out_range_penalty"])
    penalty = step_penalty(values, reference, low, high, alpha)
    within = step_penalty(values, reference, low, high, 1.0)
    return Result({"penalty": penalty, "within_range_ratio": 1 - within.mean()})


def _averaged(config: Mapping[str, Any], entropy: Tensor) -> Tensor:
    if config.get("mask_mode", "token") == "token":
        return entropy
    return entropy.mean(-1, keepdim=True).expand_as(entropy)


def phase_weights(case: Case) -> Result:
    """EPO's weight by epoch."""
    steps_in_all = int(case.config.get("max_epochs", 150))
    return Result({"weights": [phase_weight(k, steps_in_all) for k in case.inputs["epochs"]]})


@dataclass(frozen=True, slots=True, kw_only=True)
class PaddedRows(EntropyStepPenalty):
    """`seq` as released: the mean takes in the entropies at padding, given here."""

    entropies: tuple[tuple[float, ...], ...] = ()

    def penalty(self, batch: Batch) -> Tensor:
        given = torch.tensor(self.entropies, dtype=torch.float64)
        profile = torch.tensor(self.profile, dtype=torch.float64)
        mean = _averaged({"mask_mode": "seq"}, given)
        reference = profile[batch.turns_BT.amax(-1, keepdim=True)]
        found = step_penalty(mean, reference, self.kappa_low, self.kappa_high, self.alpha)
        return found * (phase_weight(batch.step, self.schedule_steps) if self.phase else 1.0)


def _corridor(case: Case) -> EntropyStepPenalty:
    config = case.config
    settings: dict[str, Any] = {
        "weight": float(config["entropy_coeff"]),
        "kappa_low": float(config["min_ratio"]),
        "kappa_high": float(config["max_ratio"]),
        "alpha": float(config["out_range_penalty"]),
        "smooth_weight": float(config.get("entropy_smooth_coeff", 1.0)),
        "phase": bool(config.get("enable_smooth_weights", True)),
        "schedule_steps": int(config.get("max_epochs", 150)),
        "first_turn": int(config.get("max_step", 50)) // 2,
        "averaging": config.get("loss_agg_mode", "token-mean"),
        "profile": tuple(case.inputs["entropy_history_mean_per_turn"]),
    }
    if config.get("mask_mode", "token") == "token":
        return EntropyStepPenalty(**settings)
    return PaddedRows(**settings, entropies=tuple(map(tuple, case.inputs["entropy"])))


def epo_loss(case: Case) -> Result:
    """EPO's loss as released, with its gradients."""
    batch, corridor = loss_rows(case), _corridor(case)
    entropy = batch.stats[Stat.ENTROPY_GRAD].requires_grad_()
    turns = torch.tensor(case.inputs["rollout_step"]).unsqueeze(-1)
    batch = replace(
        batch,
        step=int(case.config.get("epoch", 0)),
        turns_BT=torch.where(batch.valid_BT, turns, -1),
    ).with_stats({Stat.OLD_ENTROPY: entropy.detach()})
    terms: dict[str, Any] = {"pg_loss": ()}
    bonus = replace(corridor, smooth_weight=0.0)
    terms |= {"entropy": (bonus,), "policy_loss": (corridor,)}
    algorithm = _clipped(case, PPOClip(float(case.config.get("clip_ratio_c", 3.0))))
    normaliser = official_counts(case, batch)
    values = {
        name: policy_loss(replace(algorithm, regularisers=term), batch, normaliser).value
        for name, term in terms.items()
    }
    found = torch.autograd.grad(values["policy_loss"], [batch.stats[Stat.LOGPROBS], entropy])
    weight = corridor.weight or 1.0
    outputs = {
        "pg_loss": values["pg_loss"],
        "policy_loss": values["policy_loss"],
        "entropy_mean": (values["pg_loss"] - values["entropy"]) / weight,
        "penalty_mean": (values["policy_loss"] - values["entropy"])
        / (weight * (corridor.smooth_weight or 1.0)),
        "phase_weight": (
            phase_weight(batch.step, corridor.schedule_steps) if corridor.phase else 1.0
        ),
        "grad_log_prob": found[0],
        "grad_entropy": found[1],
    }
    return Result(outputs)


def official_counts(case: Case, batch: Batch) -> Normaliser:
    """Return counts as verl-agent has them: all rows, and none for `sum-norm`."""
    mode = case.config.get("loss_agg_mode", "token-mean")
    rows = 1 if mode == "seq-mean-token-sum-norm" else len(batch.mask_BT)
    return replace(Normaliser.of(batch.mask_BT), sequences=rows)


def _clipped(case: Case, surrogate: Surrogate) -> Algorithm:
    config = case.config
    both = config.get("cliprange", config.get("clip_ratio", 0.2))
    low = config.get("cliprange_low", config.get("clip_ratio_low"))
    high = config.get("cliprange_high", config.get("clip_ratio_high"))
    return spec(
        bounds=ConstantBounds(both if low is None else low, both if high is None else high),
        surrogate=surrogate,
        aggregation=Aggregation(config.get("loss_agg_mode", "token-mean")),
    )


def aepo_loss(case: Case) -> Result:
    """AEPO's loss with its two switches; the file is one optimiser batch."""
    config, batch = case.config, loss_rows(case)
    batch = batch.with_stats({Stat.ENTROPY: case.tensor("entropy")})
    dual = float(config.get("clip_ratio_c", 3.0))
    balanced = config.get("enable_entropy_balanced_clipping", True)
    surrogate = EntropyBalancedClip(dual) if balanced else PPOClip(dual)
    aware = EntropyAwareAdvantage() if config.get("enable_entropy_balanced_advantage") else None
    algorithm = replace(
        _clipped(case, surrogate), late_transforms=() if aware is None else (aware,)
    )
    loss, gradient, numbers = evaluate(algorithm, batch, official_counts(case, batch))
    return Result(
        {
            "pg_loss": loss,
            "grad_log_prob": gradient,
            "pg_clipfrac": numbers["clip/high"] + numbers["clip/low"],
            "pg_clipfrac_lower": numbers["clip/dual"],
            "ppo_kl": numbers["kl_old/k1"],
        }
    )


ADAPTERS: dict[tuple[str, str], Adapter] = {
    ("gigpo", "step_discounted_returns"): step_returns,
    ("gigpo", "build_step_group"): step_groups,
    ("gigpo", "outcome_advantage"): gigpo,
    ("epo", "entropy_penalty"): entropy_penalty,
    ("epo", "phase_weight"): phase_weights,
    ("epo", "policy_loss"): epo_loss,
    ("aepo", "policy_loss"): aepo_loss,
}
