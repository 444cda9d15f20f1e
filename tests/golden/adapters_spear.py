"""SPEAR and Dr.BoT: replay buffer, losses of the covariance family, rewards and filters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation
from agentrl.algorithms.batch import Batch, Normaliser, Stat
from agentrl.algorithms.episodes import episode_sum
from agentrl.algorithms.filters.quality import KeepMostVaried, has_action, is_repetitive
from agentrl.algorithms.memory.replay import Replay, warmup_weight
from agentrl.algorithms.memory.replay_buffer import Entry, ReplayBuffer, group_scores, recalibrate
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.regularisers.log_ratio_penalty import LogRatioPenalty
from agentrl.algorithms.rewards.tool_calls import ToolCallReward
from agentrl.algorithms.surrogates.standard import PPOClip, RatioPG
from agentrl.algorithms.timeline import at_last_token
from agentrl.algorithms.weights.rankings import TopFraction
from agentrl.algorithms.weights.scores import Covariance
from agentrl.algorithms.weights.tokens import covariance_band
from tests.golden.adapters_loss import evaluate, rows, spec
from tests.golden.case import Adapter, Case, Result


def _aggregated(case: Case, batch: Batch) -> tuple[Aggregation, Normaliser]:
    """Means over all rows; `sum-norm` is not divided by their number."""
    mode = case.config["loss_agg_mode"]
    count = 1 if mode == "seq-mean-token-sum-norm" else len(batch.mask_BT)
    return Aggregation(mode), replace(Normaliser.of(batch.mask_BT), sequences=count)


def _setting(case: Case, name: str) -> float:
    """The agent tree has own values for replayed rows; the maths tree ignores them."""
    replays = case.config.get("is_replay") and "verl-agent" in (case.source or "verl-agent")
    settings: Mapping[str, Any] = case.config["policy_loss"]
    return float(settings.get(f"{name}_replay", settings[name]) if replays else settings[name])


def clip_cov(case: Case) -> Result:
    """PPO clip without dual clip; candidates in the band are dropped."""
    batch = rows(case)
    low, high = case.config["clip_ratio_low"], case.config["clip_ratio_high"]
    fraction, least, most = (_setting(case, f"clip_cov_{key}") for key in ("ratio", "lb", "ub"))
    aggregation, normaliser = _aggregated(case, batch)
    algorithm = spec(
        bounds=ConstantBounds(low, high),
        surrogate=PPOClip(),
        token_weights=(covariance_band(fraction, least, most),),
        aggregation=aggregation,
    )
    loss, gradient, numbers = evaluate(algorithm, batch, normaliser)
    return Result(
        {
            "pg_loss": loss,
            "grad_log_prob": gradient,
            "pg_clipfrac": 1 - numbers["token_weight"],
            "ppo_kl": numbers["kl_old/k1"],
        }
    )


def kl_cov(case: Case) -> Result:
    """No clip; a penalty on the log-ratio of the tokens with the highest covariance."""
    batch = rows(case)
    aggregation, normaliser = _aggregated(case, batch)
    penalty = LogRatioPenalty(
        coefficient=_setting(case, "ppo_kl_coef"),
        selector=TopFraction(Covariance(), _setting(case, "kl_cov_ratio")),
    )
    algorithm = spec(
        bounds=ConstantBounds(None, None),
        surrogate=RatioPG(),
        regularisers=(penalty,),
        aggregation=aggregation,
    )
    loss, gradient, _ = evaluate(algorithm, batch, normaliser)
    log_ratio = (batch.stat(Stat.LOGPROBS) - batch.stat(Stat.OLD_LOGPROBS)).detach().abs()
    size = masked.mean(log_ratio, batch.valid_BT)
    return Result({"pg_loss": loss, "grad_log_prob": gradient, "mean_abs_log_ratio": size})


def recalibrated(case: Case) -> Result:
    """`compute_grpo_outcome_advantage` with a given mean and deviation."""
    mask, baseline = case.tensor("response_mask"), case.config["baseline_p50"]
    returns = case.tensor("token_level_rewards").sum(-1).tolist()
    scale = "median" if case.config["norm_adv_by_std_in_grpo"] else "none"
    epsilon = float(case.config.get("epsilon", 1e-6))
    advantages = [
        recalibrate(reward, mask_T, baseline["mean"], baseline["std"], scale, epsilon)
        for reward, mask_T in zip(returns, mask, strict=True)
    ]
    return Result({"advantages": torch.stack(advantages)})


def _push(case: Case, push: Mapping[str, Any], settings: Replay) -> tuple[Any, list[Entry[int]]]:
    """Return group scores and the entries that would be stored, with row ids as payloads."""
    one = replace(case, inputs=push)
    mask, rewards = one.tensor("response_mask"), one.tensor("row_reward")
    count = torch.arange(len(mask))
    episodes = one.ids("traj_uid") if "traj_uid" in push else count
    batch = Batch(
        mask_BT=mask,
        groups_B=one.ids("uid"),
        episodes_B=episodes,
        returns_B=rewards,
        turns_BT=torch.zeros_like(mask).long(),
        step=push["global_step"],
    )
    mean_B = episode_sum(batch, rewards) / episode_sum(batch, torch.ones_like(rewards))
    scores = group_scores(replace(batch, returns_B=mean_B), settings.group_std)
    if "advantages_row_mean" in push:  # one advantage per row, averaged over the padded width
        row_mean = one.tensor("advantages_row_mean").unsqueeze(-1)
        advantages = row_mean * mask.shape[-1] / mask.sum(-1, keepdim=True).clamp(min=1) * mask
    else:
        scale = "group" if case.config["norm_adv_by_std_in_grpo"] else "none"
        advantages = GroupRelative(scale=scale, samples="rows")(batch).advantages
    better = advantages.mean(-1) > 0
    if "has_tool_call" in push and "has_tool_call" in case.config.get("store_if", "has_tool_call"):
        better = better & torch.tensor(push["has_tool_call"])
    return scores, [
        Entry(float(rewards[row]), mask[row], advantages[row], push["row_id"][row])
        for row in better.nonzero()[:, 0].tolist()
    ]


def replay_buffer(case: Case) -> Result:
    """`TrajectoryBufferBatch`: per push `remove_old`, then `update_batch`; then the selection."""
    config = case.config
    decay = config["weight_decay_trajectory_replay"]
    settings = Replay(
        buffer_rows=config["buffer_size"],
        baseline_groups=config["baseline_buffer_size"],
        tolerate_steps=config["tolerate_steps"],
        weight_decay=decay if 0 < decay <= 1 else None,
        scale="median" if config["norm_adv_by_std_in_grpo"] else "none",
        keep="not-negative" if ">=" in config["keep_if"] else "positive",
        expiry="push",
        group_std="population" if "traj_uid" in case.inputs["pushes"][0] else "sample",
        ready_factor=config["ready_factor"],
    )
    buffer: ReplayBuffer[int] = ReplayBuffer(settings)
    states = []
    for push in case.inputs["pushes"]:
        scores, entries = _push(case, push, settings)
        buffer.push(scores, entries)
        states.append(_state(buffer))
    mean, std = buffer.baseline
    kept = buffer.recalibrated()
    outputs = {
        "state_after_each_push": states,
        "baseline_mean_p50": mean,
        "baseline_std_p50": std,
        "kept_row_ids": [entry.payload for entry in kept],
        "kept_advantages": [entry.advantages_T.tolist() for entry in kept],
        "n_after_power_of_two": buffer.size(len(kept)),
    }
    return Result({name: outputs[name] for name in outputs if name in case.outputs})


def _state(buffer: ReplayBuffer[int]) -> dict[str, Any]:
    return {
        "reward_mean_history": [[s.step, list(s.means)] for s in buffer.history],
        "reward_std_history": [[s.step, list(s.stds)] for s in buffer.history],
        "stored_row_ids": [[entry.payload for entry in p.entries] for p in buffer.pushes],
        "steps_in_buffer": [push.step for push in buffer.pushes],
        "buffer_size_metric": buffer.useful(),
        "ready": buffer.ready(),
    }


def sil_weight(case: Case) -> Result:
    """The warm-up of the replay loss."""
    coefficient, last = case.config["replay_loss_coef"], case.config["max_replay_loss_steps"]
    steps = case.inputs["global_steps"]
    return Result({"weight": [warmup_weight(step, coefficient, last) for step in steps]})


def toolcall_reward(case: Case) -> Result:
    """Agent form: the number of tool calls is the length of the episode."""
    config = case.config
    rewards, places = [], []
    for call in case.inputs["cases"]:
        shaping = ToolCallReward(
            schedule=call["mode"],
            steps=config["max_toolcall_steps"],
            per_call=config.get("per_step", 0.1),
            cap=config.get("cap", 1.0),
        )
        returns = torch.tensor([call["episode_reward"]], dtype=torch.float64)
        length = torch.tensor([call["episode_length"]], dtype=torch.float64)
        reward = returns + shaping.bonus(length, returns, call["global_step"])
        placed = at_last_token(_single(reward), reward)
        rewards.append(float(reward))
        places.append(int(placed.argmax()) if reward else None)
    return Result({"row_reward": rewards, "token_position": places})


def _single(returns: Tensor) -> Batch:
    """One row of three tokens, as in the official call."""
    zero, mask = torch.zeros(1, dtype=torch.long), torch.ones(1, 3)
    return Batch(
        mask_BT=mask, groups_B=zero, episodes_B=zero, returns_B=returns, turns_BT=mask.long()
    )


def quality_filters(case: Case) -> Result:
    """Is there an action, and is the text repetitive?"""
    repeats = [
        is_repetitive(c["words"], c["n"], c["threshold"]) for c in case.inputs["ngram_cases"]
    ]
    actions = [has_action(text) for text in case.inputs["responses"]]
    return Result({"has_action": actions, "repetitive": repeats})


def filter_rollout(case: Case) -> Result:
    """The groups with the largest deviation; the random choice of rows after it is not ours."""
    rewards = case.tensor("row_reward")
    mask = torch.ones(len(rewards), 1)
    batch = Batch(
        mask_BT=mask,
        groups_B=case.ids("uid"),
        episodes_B=case.ids("traj_uid"),
        returns_B=rewards,
        turns_BT=torch.zeros_like(mask).long(),
    )
    kept = KeepMostVaried(share=case.config["rollout_filter_ratio"]).keep(batch)
    whole, chosen = _contrast(batch, "in_group"), _contrast(batch.rows(kept), "chosen_in_group")
    return Result({"kept_row_ids": kept.nonzero()[:, 0].tolist(), "metrics": whole | chosen})


def _contrast(batch: Batch, name: str) -> dict[str, float]:
    """Return the mean deviation of the groups, and largest and mean of their means."""
    scores = group_scores(batch)
    count = len(scores.means)
    return {
        f"rollout/{name}_std": sum(scores.stds) / count,
        f"rollout/{name}_max": max(scores.means),
        f"rollout/{name}_mean": sum(scores.means) / count,
    }


ADAPTERS: dict[tuple[str, str], Adapter] = {
    ("spear", "clip_cov_loss"): clip_cov,
    ("spear", "kl_cov_loss"): kl_cov,
    ("spear", "recalibrated_advantage"): recalibrated,
    ("spear", "replay_buffer"): replay_buffer,
    ("spear", "sil_weight"): sil_weight,
    ("spear", "toolcall_reward"): toolcall_reward,
    ("spear", "quality_filters"): quality_filters,
    ("spear", "filter_rollout"): filter_rollout,
}
