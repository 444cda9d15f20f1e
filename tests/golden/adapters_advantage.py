"""Advantage estimators and reward shaping."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from agentrl.algorithms.advantages.group import (
    GroupRelative,
    LeaveOneOut,
    LengthWeightedBaseline,
    ScaledGroupMean,
)
from agentrl.algorithms.advantages.tokens import GAE, RewardToGo, Whiten
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.estimate import estimate_advantages
from agentrl.algorithms.filters.standard import DropUniformGroups
from agentrl.algorithms.rewards.shaping import OverlongPenalty
from agentrl.algorithms.slots import BatchStep
from tests.golden.case import Adapter, Case, Result


def rows(case: Case, groups: str | None = "index", episodes: str | None = None) -> Batch:
    """Build the batch: one episode per row unless `episodes` names their labels."""
    rewards = case.tensor("token_level_rewards")
    mask = case.tensor("response_mask")
    count = torch.arange(len(mask))
    return Batch(
        mask_BT=mask,
        groups_B=case.ids(groups) if groups else torch.zeros_like(count),
        episodes_B=case.ids(episodes) if episodes else count,
        returns_B=rewards.sum(-1),
        turns_BT=torch.zeros_like(mask).long(),
        rewards_BT=rewards,
    )


def outcome(step: BatchStep, *transforms: BatchStep) -> Adapter:
    """Adapter of an estimator without settings."""

    def adapter(case: Case) -> Result:
        return _estimate(rows(case), step, *transforms)

    return adapter


def outcome_over_all_rows(step: BatchStep) -> Adapter:
    """Adapter of an estimator without settings, in which rows without a token count."""

    def adapter(case: Case) -> Result:
        found = over_all_rows(rows(case), step)
        return Result({"advantages": found, "returns": found})

    return adapter


def _estimate(batch: Batch, step: BatchStep, *transforms: BatchStep) -> Result:
    algorithm = Algorithm(name="golden", advantage=step, transforms=transforms)
    advantages = estimate_advantages(algorithm, batch).advantages
    return Result({"advantages": advantages, "returns": advantages})


def over_all_rows(batch: Batch, step: BatchStep) -> Tensor:
    """Return advantages where rows without a token count in their group, as officially."""
    empty_B1 = ~batch.valid_BT.any(-1, keepdim=True)
    filled = replace(batch, mask_BT=torch.where(empty_B1, 1.0, batch.mask_BT))
    algorithm = Algorithm(name="golden", advantage=step)
    return estimate_advantages(algorithm, filled).advantages * batch.mask_BT


def grpo(case: Case) -> Result:
    """GRPO and Dr.GRPO, one row per episode."""
    scale = "group" if case.config.get("norm_adv_by_std_in_grpo", True) else "none"
    epsilon = float(case.config.get("epsilon", 1e-6))
    found = over_all_rows(rows(case), GroupRelative(scale=scale, epsilon=epsilon))
    return Result({"advantages": found, "returns": found})


def grpo_turns(case: Case) -> Result:
    """GRPO with a row per environment step."""
    scale = "group" if case.config["norm_adv_by_std_in_grpo"] else "none"
    samples = "rows" if case.config["compute_mean_std_cross_steps"] else "episodes"
    step = GroupRelative(scale=scale, epsilon=float(case.config["epsilon"]), samples=samples)
    return _estimate(rows(case, episodes="traj_index"), step)


def reinforce_pp(case: Case) -> Result:
    """REINFORCE++; its `returns` are the sums before whitening."""
    step = RewardToGo(gamma=float(case.config.get("gamma", 1.0)))
    batch = rows(case)
    white, bare = _estimate(batch, step, Whiten()), _estimate(batch, step)
    outputs = {"advantages": white.outputs["advantages"], "returns": bare.outputs["returns"]}
    return Result(outputs, where={"returns": batch.valid_BT})


def reinforce_pp_baseline(case: Case) -> Result:
    """REINFORCE++ with a group baseline."""
    batch = rows(case)
    found = over_all_rows(batch, GroupRelative(scale="none"))
    white = Whiten()(replace(batch, advantages_BT=found)).advantages
    return Result({"advantages": white, "returns": white})


def gae(case: Case) -> Result:
    """GAE with whitening; official values at masked positions are leftovers of the loop."""
    batch = rows(case, groups=None).with_stats({Stat.OLD_VALUES: case.tensor("values")})
    step = GAE(gamma=float(case.config["gamma"]), lam=float(case.config["lam"]))
    algorithm = Algorithm(name="golden", advantage=step, transforms=(Whiten(),))
    batch = estimate_advantages(algorithm, batch)
    outputs = {"advantages": batch.advantages, "returns": batch.value_targets_BT}
    return Result(outputs, where=dict.fromkeys(outputs, batch.valid_BT))


def _of_lengths(lengths: Tensor, rewards: Tensor) -> Batch:
    width = max(int(lengths.max()), 1)
    mask = (torch.arange(width) < lengths.unsqueeze(-1)).double()
    ids = torch.arange(len(lengths))
    turns = torch.zeros_like(mask).long()
    return Batch(
        mask_BT=mask, groups_B=ids, episodes_B=ids, returns_B=rewards.double(), turns_BT=turns
    )


def overlong_reward(case: Case) -> Result:
    """Overlong penalty: AReaL's line, or TRL's with a floor."""
    lengths = torch.tensor(case.inputs["lengths"])
    if "soft_punish_cache" in case.config:
        limit, width = case.config["max_completion_len"], case.config["soft_punish_cache"]
        shape = OverlongPenalty(max_tokens=limit, buffer_tokens=width)
        rewards = torch.zeros(len(lengths))
    else:
        shape = OverlongPenalty(
            max_tokens=case.config["max_response_length"],
            buffer_tokens=case.config["overlong_tokens"],
            factor=case.config["overlong_penalty_factor"],
            floor=False,
        )
        rewards = case.tensor("rewards")
    return Result({"rewards": shape(_of_lengths(lengths, rewards)).returns_B})


def soft_overlong_penalty(case: Case) -> Result:
    """The line in verl's reward manager."""
    shape = OverlongPenalty(
        max_tokens=case.config["max_resp_len"],
        buffer_tokens=case.config["overlong_buffer_len"],
        factor=case.config["penalty_factor"],
        floor=False,
    )
    batch = _of_lengths(torch.tensor([case.inputs["length"]]), torch.zeros(1))
    return Result({"penalty": shape(batch).returns_B[0]})


def dynamic_sampling(case: Case) -> Result:
    """DAPO's group filter."""
    metric, groups = case.tensor("metric"), case.ids("group")
    rows_B = torch.arange(len(metric))
    mask = torch.ones(len(metric), 1, dtype=torch.float64)
    batch = Batch(
        mask_BT=mask, groups_B=groups, episodes_B=rows_B, returns_B=metric, turns_BT=mask.long()
    )
    kept = rows_B[DropUniformGroups().keep(batch)]
    names = list(dict.fromkeys(case.inputs["group"][index] for index in kept.tolist()))
    return Result({"kept_groups": names, "kept_index": kept, "n_kept": len(names)})


ADAPTERS: dict[tuple[str, str], Adapter] = {
    ("grpo", "advantage"): grpo,
    ("dr_grpo", "advantage"): grpo,
    ("verl_grpo", "outcome_advantage"): grpo,
    ("grpo", "outcome_advantage"): grpo_turns,
    ("rloo", "advantage"): outcome_over_all_rows(LeaveOneOut()),
    ("opo", "advantage"): outcome(LengthWeightedBaseline()),
    ("gpg", "advantage"): outcome_over_all_rows(ScaledGroupMean()),
    ("reinforce_pp", "advantage"): reinforce_pp,
    ("reinforce_pp_baseline", "advantage"): reinforce_pp_baseline,
    ("ppo", "gae"): gae,
    ("dapo", "overlong_reward"): overlong_reward,
    ("dapo", "soft_overlong_penalty"): soft_overlong_penalty,
    ("dapo", "dynamic_sampling_filter"): dynamic_sampling,
}
