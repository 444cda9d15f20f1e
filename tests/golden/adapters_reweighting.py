"""Advantages that are re-weighted, normalised in other ways, or thinned out."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from agentrl.algorithms.advantages.beta import BetaNormalised
from agentrl.algorithms.advantages.group import GroupRelative, spread
from agentrl.algorithms.advantages.papers import papers
from agentrl.algorithms.advantages.pass_at_k import BestMinusSecond, PassAtK, pass_at_k_advantages
from agentrl.algorithms.advantages.quantiles import track
from agentrl.algorithms.advantages.risk import LEVELS, RiskOverBundles
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.batch import Batch, Normaliser, Stat
from agentrl.algorithms.estimate import estimate_advantages
from agentrl.algorithms.filters.down_sampling import DownSample, lowest_of_best_subset
from agentrl.algorithms.loss import policy_loss
from agentrl.algorithms.metrics import report
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.slots import BatchStep
from agentrl.algorithms.transforms.group_weights import TemporaryAdvantage
from agentrl.algorithms.transforms.likelihood_weights import (
    ConfidenceShift,
    PerplexityWeight,
    mean_nll,
    perplexity_scores,
)
from agentrl.algorithms.transforms.position_bonus import PositionBonus
from tests.golden.case import Adapter, Case, Result


def episodes(
    rewards: Tensor, groups: Tensor | None = None, lengths: Tensor | None = None, width: int = 0
) -> Batch:
    """Build a batch of one row per episode; one group and one token each unless told."""
    rows = torch.arange(len(rewards))
    lengths = torch.ones_like(rows) if lengths is None else lengths.long()
    mask = (torch.arange(max(width, int(lengths.max()))) < lengths.unsqueeze(-1)).double()
    return Batch(
        mask_BT=mask,
        groups_B=torch.zeros_like(rows) if groups is None else groups,
        episodes_B=rows,
        returns_B=rewards,
        turns_BT=torch.zeros_like(mask).long(),
    )


def advantages(batch: Batch, step: BatchStep, *transforms: BatchStep) -> Tensor:
    """Return the advantages [B, T]."""
    algorithm = Algorithm(name="golden", advantage=step, transforms=transforms)
    return estimate_advantages(algorithm, batch).advantages


def _of_case(case: Case, rewards: str = "rewards") -> Batch:
    groups = case.ids("group") if "group" in case.inputs else None
    lengths = case.tensor("lengths") if "lengths" in case.inputs else None
    width = int(case.inputs.get("max_len", 0))
    return episodes(case.tensor(rewards), groups, lengths, width)


def pass_at_k(case: Case) -> Result:
    """The analytical form, for one group."""
    step = PassAtK(k=case.config["k"], epsilon=float(case.config.get("eps", 1e-6)))
    batch = _of_case(case)
    correct = int(batch.returns_B.sum())
    _, _, rho = pass_at_k_advantages(len(batch.returns_B), correct, step.k)
    return Result({"advantage": advantages(batch, step)[:, 0], "rho": rho})


def best_minus_second(case: Case) -> Result:
    """verl's estimator of the same name."""
    scale = "group" if case.config.get("norm_adv_by_std_in_grpo", True) else "none"
    step = BestMinusSecond(scale=scale, epsilon=float(case.config.get("epsilon", 1e-6)))
    return Result({"advantage": advantages(_of_case(case), step)[:, 0]})


def bnpo(case: Case) -> Result:
    """One reward."""
    low, high = float(case.config["min_value"]), float(case.config["max_value"])
    found = advantages(_of_case(case), BetaNormalised(low=low, high=high, lone="raw"))
    return Result({"advantages": found, "seq_advantage": found[:, 0]})


def bnpo_components(case: Case) -> Result:
    """Several rewards and their mean."""
    names = case.config["components"]
    batch = _of_case(case, names[0])
    batch.components = {name: case.tensor(name) for name in names}
    low, high = float(case.config.get("min_value", 0)), float(case.config.get("max_value", 1))

    def found(*chosen: str) -> Tensor:
        step = BetaNormalised(low=low, high=high, components=chosen, lone="raw")
        return advantages(batch, step)[:, 0]

    return Result(
        {"per_component": torch.stack([found(name) for name in names]), "advantage": found(*names)}
    )


def adora_language(case: Case) -> Result:
    """The language function: groups without a correct episode are attenuated."""
    weight = TemporaryAdvantage(
        threshold=case.config["correct_score"],
        truncation=int(case.config["max_length_threshold"]),
        others=case.config["lamda"],
    )
    step = GroupRelative(epsilon=float(case.config.get("epsilon", 1e-6)))
    return Result({"advantages": advantages(_of_case(case), step, weight)})


def adora_vision(case: Case) -> Result:
    """The vision-language function; its rows are groups."""
    rewards, lengths = case.tensor("rewards"), case.tensor("lengths")
    groups = torch.arange(len(rewards)).repeat_interleave(rewards.shape[1])
    weight = TemporaryAdvantage(
        threshold=case.config["threshold"],
        truncation=int(case.config["truncation_len"]),
        others=case.config["lamda"],
        no_success="neutral",
        no_failure="others",
    )
    batch = episodes(rewards.flatten(), groups, lengths.flatten())
    return Result({"weight": weight.weights(batch).reshape(rewards.shape)})


_CREDITS = {"uniform": "uniform", "score": "score", "std": "deviation", "sum-mean": "share"}
_QUANTILES = {"track": "tracked", "mix": "both"}


def risk_over_bundles(case: Case) -> Result:
    """Papers in storage order; the released code divides by any deviation."""
    config = case.config
    measure = "mixed" if config["use_mixing_risk_measure"] else "range"
    seeking = config.get("risk_seeking_upper_tail") and measure == "range"
    step = RiskOverBundles(
        low=config["quantile_down"],
        high=config["quantile_up"],
        measure="seeking" if seeking else measure,
        mix=config["upper_weight"] if seeking else config["w_mix"],
        quantiles=_QUANTILES.get(config["use_q_track_mode"], "bundle"),
        natural_baseline=config["natural_baseline_adv"],
        mean_baseline=config.get("use_mean_as_baseline", False),
        normalise=config["norm_adv_by_std_in_grpo"],
        least_std=0.0,
        credit=_CREDITS[config["credit_assign_mode"]],
        pairing="order",
        epsilon=config.get("epsilon", 1e-6),
        tracked=_tracked(case),
    )
    bundles, tasks, rewards = case.ids("bundle"), case.ids("question"), case.tensor("rewards")
    found = torch.zeros_like(rewards)
    scores = {}
    for number, name in enumerate(dict.fromkeys(case.inputs["bundle"])):
        rows = bundles == number
        batch = episodes(rewards[rows], tasks[rows])
        size = len(torch.unique(tasks[rows]))
        step = replace(step, bundle=size)
        found[rows] = advantages(batch, step)[:, 0]
        scores[name] = step.scores(batch, papers(batch, size, "order"))
    return Result({"bundle_scores": scores, "advantage": found})


def _tracked(case: Case) -> tuple[float, ...]:
    """Return quantiles at all levels; those between the two that are given do not matter."""
    low, high = case.config["q_track_down"], case.config["q_track_up"]
    if low is None or high is None:
        return ()
    middle = (case.config["quantile_down"] + case.config["quantile_up"]) / 2
    return tuple(low if level < middle else high for level in LEVELS)


def quantile_tracking(case: Case) -> Result:
    """The first batch sets the quantiles, the others move them."""
    quantiles: tuple[float, ...] = ()
    after = []
    for scores in case.inputs["score_batches"]:
        quantiles = track(quantiles, torch.tensor(scores), case.config["lr_q"])
        after.append(quantiles)
    return Result({"q_after_each_batch": torch.tensor(after)})


def confidence_shift(case: Case) -> Result:
    """One group; the prompt's first token has no log-prob and is left out of the file."""
    logprobs, rewards = case.tensor("token_logprobs"), case.tensor("rewards")
    prompt = torch.cat([torch.tensor([float("nan")]), case.tensor("prompt_logprobs")])
    batch = episodes(rewards, lengths=torch.full_like(rewards, logprobs.shape[1]))
    batch = batch.with_stats({Stat.OLD_LOGPROBS: logprobs})
    batch.prompt_logprobs_BP = prompt.expand(len(rewards), -1)
    shift = ConfidenceShift(alpha=case.config["alpha"], share=case.config["rho"])
    base = GroupRelative(epsilon=case.config["eps"], population=case.config.get("std_ddof", 0) == 0)
    outputs = {
        "c_q": shift.of_prompts(batch)[0],
        "c_o": shift.of_episodes(batch),
        "grpo": advantages(batch, base)[:, 0],
        "arm": advantages(batch, base, shift)[:, 0],
    }
    return Result(outputs)


def max_variance_subset(case: Case) -> Result:
    """Both levels of the down-sampling; the file chooses tokens among those of all episodes."""
    values, entropy = case.tensor("advantage"), case.tensor("entropy")
    keep, share = case.config["keep"], case.config["token_ratio"]
    part = keep / len(values)
    step = DownSample(
        first_episodes=part, last_episodes=part, first_tokens=share, last_tokens=share
    )
    batch = episodes(values, lengths=torch.full_like(values, entropy.shape[1]))
    batch = spread(batch.with_stats({Stat.OLD_ENTROPY: entropy}), values)
    kept = values[step.episodes(batch)]
    everyone = {"first_episodes": 1.0, "last_episodes": 1.0}
    outputs = {
        "max_variance": kept.var(correction=0),
        "n_lowest_kept": lowest_of_best_subset(values.sort().values.tolist(), keep),
        "kept_values_sorted": kept.sort().values,
        "token_keep_mask_all_samples": replace(step, **everyone)(batch).mask_BT > 0,
    }
    return Result(outputs)


def ppl_weight(case: Case) -> Result:
    """Weights for the file's alpha, and for others that names of outputs hold."""
    mask = case.tensor("mask")
    batch = replace(
        episodes(mask.sum(-1), case.ids("group"), torch.full((len(mask),), mask.shape[1])),
        mask_BT=mask,
        stats={Stat.OLD_LOGPROBS: case.tensor("old_log_probs")},
    )
    low, high = case.config["clamp"]
    score, inlier = perplexity_scores(batch)
    outputs = {"ppl": mean_nll(batch).exp(), "z_log_ppl": score, "iqr_inlier": inlier}
    for name in case.outputs:
        if name.startswith("weight_"):
            _, favour, _, *rest = name.split("_")
            alpha = float(rest[-1]) if rest else case.config["alpha"]
            weight = PerplexityWeight(alpha=alpha, low=low, high=high, favour=favour)
            outputs[name] = weight.weights(batch)
    return Result(outputs)


def position_bonus(case: Case) -> Result:
    """Shaped advantages and the clipped loss with and without them."""
    config, mask = case.config, case.tensor("mask")
    logprobs = case.tensor("log_prob").requires_grad_()
    count = torch.arange(len(mask))
    batch = Batch(
        mask_BT=mask,
        groups_B=count,
        episodes_B=count,
        returns_B=torch.zeros(len(mask), dtype=mask.dtype),
        turns_BT=torch.zeros_like(mask).long(),
        stats={Stat.LOGPROBS: logprobs, Stat.OLD_LOGPROBS: case.tensor("old_log_prob")},
        advantages_BT=case.tensor("advantages"),
    )
    cap = float(str(config.get("bonus_cap", "0.5*|A|")).partition("*")[0])
    step = PositionBonus(alpha=config["alpha"], slope=config["k"], cap=cap)
    per_token = config.get("use_token_level_loss", True)
    algorithm = Algorithm(
        name="golden",
        advantage=GroupRelative(),
        bounds=ConstantBounds(config["cliprange_low"], config["cliprange_high"]),
        aggregation=Aggregation(Mode.TOKEN_MEAN if per_token else Mode.SEQ_MEAN_TOKEN_MEAN),
    )
    shaped = step(batch)
    with_bonus = policy_loss(algorithm, shaped, Normaliser.of(mask))
    (gradient,) = torch.autograd.grad(with_bonus.value, logprobs)
    numbers = report(with_bonus.metrics)
    outputs = {
        "shaped_advantages": shaped.advantages,
        "loss_with_bonus": with_bonus.value,
        "loss_without_bonus": policy_loss(algorithm, batch, Normaliser.of(mask)).value,
        "clipfrac": torch.tensor(numbers["clip/low"] + numbers["clip/high"]),
        "grad_log_prob": gradient,
    }
    return Result(outputs)


ADAPTERS: dict[tuple[str, str], Adapter] = {
    ("adora", "llm_advantage"): adora_language,
    ("adora", "vlm_weight"): adora_vision,
    ("riskpo", "bundle_advantage"): risk_over_bundles,
    ("riskpo", "quantile_tracking"): quantile_tracking,
    ("progrpo", "arm"): confidence_shift,
    ("d3s", "max_variance_subset"): max_variance_subset,
    ("decomp", "ppl_weight"): ppl_weight,
    ("decomp", "position_bonus"): position_bonus,
    ("passk", "analytical_advantage"): pass_at_k,
    ("passk", "best_minus_second_verl"): best_minus_second,
    ("bnpo", "outcome_advantage"): bnpo,
    ("bnpo", "advantage_decomposition"): bnpo_components,
}
