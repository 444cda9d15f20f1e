"""The policy-loss family: token weights, bounds, surrogates and filters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation
from agentrl.algorithms.batch import Batch, Normaliser, Stat
from agentrl.algorithms.behaviour.off_policy_rows import DropOffPolicyRows
from agentrl.algorithms.behaviour.row_weights import RowGeometricMean
from agentrl.algorithms.filters.tokens import ClipByBatch, ClipByVocabulary, LimitSecondMoment
from agentrl.algorithms.loss import make_view, prepare
from agentrl.algorithms.ratios.adaptive_bounds import BalancedBounds, LogBounds
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.ratios.kinds import UnitRatio
from agentrl.algorithms.ratios.proximal import KINDS, proximal_logprobs
from agentrl.algorithms.regularisers.log_ratio_penalty import LogRatioPenalty
from agentrl.algorithms.slots import BatchStep, View, Weight
from agentrl.algorithms.statistics import MeanDiscriminator
from agentrl.algorithms.surrogates.divergence import DivergencePG, QuadraticPG
from agentrl.algorithms.surrogates.rows import GeometricMean
from agentrl.algorithms.surrogates.standard import PPOClip, RatioPG, WeightPG
from agentrl.algorithms.weights.rankings import TopFraction
from agentrl.algorithms.weights.scores import Covariance, Score
from agentrl.algorithms.weights.tokens import Decreasing, KeepOnly, covariance_band
from tests.golden.adapters_advantage import over_all_rows
from tests.golden.adapters_loss import Given, evaluate, rows, spec, trl, verl, verl_bounds
from tests.golden.adapters_mismatch import rows as rejected
from tests.golden.case import Adapter, Case, Result


def scored(batch: Batch, score: Score) -> Tensor:
    """Return a score of the whole batch, 0 at masked positions."""
    view = make_view(spec(), batch, Normaliser.of(batch.mask_BT))
    return masked.fill(score(view), view.valid_BT).detach()


def weighed(batch: Batch, weight: Weight, **slots: Any) -> Tensor:
    """Return a token weight [B, T]."""
    algorithm = spec(token_weights=(weight,), **slots)
    normaliser = Normaliser.of(batch.mask_BT)
    prepared = prepare(algorithm, batch, normaliser)
    return weight(make_view(algorithm, batch, normaliser, prepared=prepared))


def with_covariance(case: Case, result: Result) -> Result:
    """Add the covariance, which some files list."""
    return Result({**result.outputs, "aux_cov": scored(rows(case), Covariance())})


def clip_cov(case: Case) -> Result:
    """A permutation patched to the identity takes candidates in row-major order."""
    config = case.config
    weight = covariance_band(
        config.get("clip_cov_ratio", 2e-4),
        config.get("clip_cov_lb", 1.0),
        config.get("clip_cov_ub", 5.0),
        order="first",
    )
    result = verl(case, surrogate=PPOClip(), token_weights=(weight,))
    dropped_BT = 1 - weighed(rows(case), weight, bounds=verl_bounds(config))
    metrics = result.outputs["metrics"]
    metrics["actor/pg_clipfrac"] = masked.mean(dropped_BT, rows(case).valid_BT)
    return with_covariance(case, result)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighedPenalty(LogRatioPenalty):
    """verl multiplies the penalty by the rollout weights too."""

    weights_BT: Tensor

    def __call__(self, view: View) -> Tensor:
        return LogRatioPenalty.__call__(self, view) * self.weights_BT


def kl_cov(case: Case) -> Result:
    """The original takes a percentage, verl a fraction."""
    config = case.config
    fraction = config.get("kl_cov_ratio", 2e-4)
    if "k_percent" in config:
        tokens = int(case.tensor("response_mask").sum())
        chosen = max(1, int(tokens * min(config["k_percent"], tokens) / 100))
        fraction = min((chosen + 0.5) / tokens, 1.0)
    settings: dict[str, Any] = {
        "coefficient": config.get("ppo_kl_coef", 1.0),
        "selector": TopFraction(Covariance(), fraction),
    }
    penalty = LogRatioPenalty(**settings)
    if "rollout_is_weights" in case.inputs:
        penalty = WeighedPenalty(**settings, weights_BT=case.tensor("rollout_is_weights"))
    result = verl(
        case,
        bounds=ConstantBounds(None, None),
        surrogate=RatioPG(),
        regularisers=(penalty,),
    )
    return with_covariance(case, result)


def steer(case: Case) -> Result:
    """The file's `entropy` is that of the old policy."""
    config = case.config
    weight = Decreasing(
        low=config["token_weight_min"],
        high=config["token_weight_max"],
        shape="linear" if config["linear"] else "exp",
    )
    surrogate = PPOClip(config.get("clip_ratio_c", 3.0))
    result = verl(case, surrogate=surrogate, token_weights=(weight,))
    batch = rows(case)
    weights_BT = masked.fill(weighed(batch, weight), batch.valid_BT)
    return Result({**result.outputs, "token_weights": weights_BT})


def forking_tokens(case: Case) -> Result:
    """TRL's quantile, or the exact count of the Lp-Reg repository, which empties the mask."""
    config = case.config
    if "loss_type" in config:
        return trl(case)
    selector = TopFraction(Stat.ENTROPY, config["top"])
    if config.get("loss_agg_mode", "token-mean") != "token-mean":
        kept_BT = weighed(rows(case), KeepOnly(selector=selector))
        left = {**case.inputs, "response_mask": kept_BT.tolist()}
        return verl(replace(case, inputs=left), surrogate=PPOClip())
    weight = KeepOnly(selector=selector, renormalise=True)
    return verl(case, surrogate=PPOClip(), token_weights=(weight,))


def gmpo(case: Case) -> Result:
    """verl counts rows without a token in the mean, and bounds the logarithm of the ratio."""
    config, batch = case.config, rows(case)
    both = config.get("clip_ratio", 0.2)
    low, high = config.get("clip_ratio_low", both), config.get("clip_ratio_high", both)
    weights: tuple[Weight, ...] = ()
    if "rollout_is_weights" in case.inputs:
        weights = (RowGeometricMean((Given(case.tensor("rollout_is_weights")),)),)
    algorithm = spec(
        bounds=LogBounds(low, high),
        surrogate=GeometricMean(),
        behaviour=weights,
        aggregation=Aggregation("seq-mean-token-mean"),
    )
    own = Normaliser.of(batch.mask_BT)
    normaliser = replace(own, sequences=float(len(batch.mask_BT)))
    loss, gradient, numbers = evaluate(algorithm, batch, normaliser)
    metrics = {"actor/ppo_kl": numbers["kl_old/k1"]}
    return Result({"loss": loss, "grad_log_prob": gradient, "metrics": metrics})


def bapo(case: Case) -> Result:
    """The released code counts clipped tokens at their bound."""
    config = case.config
    bounds = BalancedBounds(
        target=config["adv_ratio_target"],
        low=config["ratio_lower_start"],
        low_end=config["ratio_lower_max"],
        low_step=config["ratio_lower_step"],
        high=config["ratio_upper_start"],
        high_end=config["ratio_upper_max"],
        high_step=config["ratio_upper_step"],
        count_clipped=True,
    )
    result = verl(case, bounds=bounds, surrogate=PPOClip(config.get("clip_ratio_c", 3.0)))
    batch = rows(case)
    algorithm = spec(bounds=bounds)
    prepared = prepare(algorithm, batch)
    low, high = prepared[bounds]
    view = make_view(algorithm, batch, Normaliser.of(batch.mask_BT), prepared=prepared)
    chosen = {
        "clip_low": low,
        "clip_high": high,
        "pos_neg_ratio": bounds.balance(view, low, high),
    }
    return Result({**result.outputs, **chosen})


def dppo(case: Case) -> Result:
    """verl calls the bounds of the divergence clip ratios; the kind is in the file's name."""
    config = case.config
    both = config.get("clip_ratio", 0.2)
    kind = "kl" if case.source.endswith("_kl") else "tv"
    surrogate = DivergencePG(
        divergence=config.get("divergence", kind),
        low=config.get("clip_ratio_low", both),
        high=config.get("clip_ratio_high", both),
        cap=config.get("clip_ratio_c", 20.0),
    )
    result = verl(case, bounds=ConstantBounds(None, None), surrogate=surrogate)
    batch = rows(case)
    view = make_view(spec(), batch, Normaliser.of(batch.mask_BT))
    inside_BT = surrogate.inside(view)
    capped_BT = inside_BT & (view.ratio_BT > surrogate.cap)
    metrics = {
        "actor/pg_clipfrac": masked.mean((~inside_BT).double(), batch.valid_BT),
        "actor/pg_clipfrac_lower": masked.mean(capped_BT.double(), batch.valid_BT),
    }
    return Result({**result.outputs, "metrics": metrics})


def dro(case: Case) -> Result:
    """The quadratic loss."""
    surrogate = QuadraticPG(case.config["dro_beta"])
    return verl(case, bounds=ConstantBounds(None, None), surrogate=surrogate)


def opsm_mask(case: Case) -> Result:
    """Which rows TRL keeps."""
    batch = rows(case)
    weight = DropOffPolicyRows(case.config["threshold"])
    view = make_view(spec(ratio=UnitRatio(), surrogate=WeightPG()), batch, _counts(batch))
    return Result({"keep": weight(view).amin(-1)})


def m2po(case: Case) -> Result:
    """The mask."""
    batch = rejected(case)
    return Result({"mask": LimitSecondMoment(case.config["m2_threshold"])(batch).mask_BT})


def discriminated(case: Case) -> Result:
    """Clip_B and Clip_V: group-relative advantages, then the mask."""
    config, mask_BT = case.config, case.tensor("response_mask")
    rewards_BT = case.tensor("token_level_rewards")
    stats: dict[Any, Tensor] = {
        Stat.OLD_LOGPROBS: case.tensor("log_prob"),
        Stat.OLD_ENTROPY: case.tensor("entropy"),
    }
    step: BatchStep = ClipByBatch(config["mu"])
    if "nec" in case.inputs:
        stats[MeanDiscriminator()] = case.tensor("nec")
        step = ClipByVocabulary(config["mu"], config["max_frac"])
    batch = Batch(
        mask_BT=mask_BT,
        groups_B=case.ids("uid"),
        episodes_B=torch.arange(len(mask_BT)),
        returns_B=rewards_BT.sum(-1),
        turns_BT=torch.zeros_like(mask_BT).long(),
        stats=stats,
    )
    estimator = GroupRelative(scale="group", epsilon=config.get("epsilon", 1e-6))
    estimated = replace(batch, advantages_BT=over_all_rows(batch, estimator))
    mask_BT = step(estimated).mask_BT
    removed_BT = estimated.mask_BT - mask_BT
    dropped = masked.mean(removed_BT, batch.valid_BT)
    outputs = {"advantages": estimated.advantages, "mask": mask_BT}
    return Result({**outputs, "metrics": {"frac_clipped": dropped}})


def proximal(case: Case) -> Result:
    """AReaL's three stand-ins for the proximal log-probs."""
    arguments = (
        case.tensor("log_prob"),
        case.tensor("rollout_log_prob"),
        case.tensor("versions").long(),
        case.config["current_version"],
    )
    return Result({kind: proximal_logprobs(*arguments, kind) for kind in KINDS})


def _counts(batch: Batch) -> Normaliser:
    return Normaliser.of(batch.mask_BT)


ADAPTERS: dict[tuple[str, str], Adapter] = {
    ("clip_cov", "policy_loss"): clip_cov,
    ("kl_cov", "policy_loss"): kl_cov,
    ("steer", "policy_loss"): steer,
    ("forking_tokens", "policy_loss"): forking_tokens,
    ("gmpo", "policy_loss"): gmpo,
    ("bapo", "policy_loss"): bapo,
    ("dppo", "policy_loss"): dppo,
    ("dro", "policy_loss"): dro,
    ("vespo", "policy_loss"): trl,
    ("opsm", "policy_loss"): trl,
    ("opsm", "mask"): opsm_mask,
    ("m2po", "mask"): m2po,
    ("clip_b", "mask"): discriminated,
    ("clip_v", "mask"): discriminated,
    ("decoupled_ppo", "proximal_logp_approx"): proximal,
}
