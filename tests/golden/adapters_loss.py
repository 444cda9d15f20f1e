"""Policy losses: the settings of verl, TRL, AReaL and verl-agent in terms of our slots."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from agentrl.algorithms.advantages.group import EpisodeReturn
from agentrl.algorithms.aggregation import Aggregation
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.batch import Batch, Normaliser, Stat
from agentrl.algorithms.behaviour.off_policy_rows import DropOffPolicyRows
from agentrl.algorithms.behaviour.weights import BehaviourWeight
from agentrl.algorithms.filters.standard import Mismatch, RejectionWeight
from agentrl.algorithms.loss import policy_loss
from agentrl.algorithms.metrics import report
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.ratios.kinds import SequenceRatio, TokenRatio, UnitRatio
from agentrl.algorithms.regularisers.standard import EntropyBonus, KLToReference
from agentrl.algorithms.slots import Surrogate, View, Weight
from agentrl.algorithms.statistics import Statistic
from agentrl.algorithms.surrogates.divergence import SequenceGammaPG
from agentrl.algorithms.surrogates.standard import PPOClip, SoftGate, WeightPG
from agentrl.algorithms.weights.rankings import TopQuantile
from agentrl.algorithms.weights.scores import read
from agentrl.algorithms.weights.tokens import KeepOnly
from tests.golden.adapters_mismatch import keep_tests, weights_of
from tests.golden.case import Adapter, Case, Result

STATS = {
    "log_prob": Stat.LOGPROBS,
    "old_log_prob": Stat.OLD_LOGPROBS,
    "rollout_log_prob": Stat.ROLLOUT_LOGPROBS,
    "ref_log_prob": Stat.REF_LOGPROBS,
    "entropy": Stat.ENTROPY_GRAD,
}
METRICS = {
    "actor/ppo_kl": "kl_old/k1",
    "actor/pg_clipfrac_lower": "clip/dual",
}


@dataclass(frozen=True, eq=False)
class Given:
    """Behaviour weights that are an input of the official function."""

    requires: ClassVar[frozenset[Stat]] = frozenset()
    weights_BT: Tensor

    def __call__(self, view: View) -> Tensor:
        return self.weights_BT


def rows(case: Case) -> Batch:
    """Build the batch; `log_prob` gets a gradient."""
    mask = case.tensor("response_mask")
    ids = torch.arange(len(mask))
    if "advantages" in case.inputs:
        advantages = case.tensor("advantages")
    else:
        advantages = case.tensor("sequence_advantages").unsqueeze(-1).expand_as(mask)
    stats = {stat: case.tensor(name) for name, stat in STATS.items() if name in case.inputs}
    if "entropy" in case.inputs:
        stats[Stat.ENTROPY] = stats[Stat.OLD_ENTROPY] = stats[Stat.ENTROPY_GRAD]
    stats[Stat.LOGPROBS].requires_grad_()
    return Batch(
        mask_BT=mask,
        groups_B=ids,
        episodes_B=ids,
        returns_B=advantages.sum(-1),
        turns_BT=torch.zeros_like(mask).long(),
        stats=stats,
        advantages_BT=advantages,
    )


def spec(**slots: Any) -> Algorithm:
    """An algorithm whose advantages are given."""
    return Algorithm(name="golden", advantage=EpisodeReturn(), **slots)


def evaluate(
    algorithm: Algorithm, batch: Batch, normaliser: Normaliser | None = None, scale: float = 1.0
) -> tuple[Tensor, Tensor, dict[str, float]]:
    """Return loss, gradient with respect to `log_prob`, and metrics."""
    normaliser = normaliser or Normaliser.of(batch.mask_BT)
    loss = policy_loss(algorithm, batch, normaliser)
    value = loss.value * scale
    (gradient,) = torch.autograd.grad(value, batch.stats[Stat.LOGPROBS])
    return value.detach(), gradient, report(loss.metrics)


def verl_bounds(config: Mapping[str, Any]) -> ConstantBounds:
    """Read the clip range: one number, or one for each side."""
    both = config.get("clip_ratio", 0.2)
    return ConstantBounds(config.get("clip_ratio_low", both), config.get("clip_ratio_high", both))


OLD_FORKS = ("Entropy-Mechanism-of-RL", "Lp-Reg", "STEER", "BAPO", "HAPO")
"""Repositories with verl's older means over rows."""


def old_counts(batch: Batch, mode: str) -> Normaliser:
    """Return the counts of older verl: empty rows count, and the length norm sums over rows."""
    rows_of_it = 1 if mode == "seq-mean-token-sum-norm" else len(batch.mask_BT)
    return replace(Normaliser.of(batch.mask_BT), sequences=float(rows_of_it))


def _verl_scale(case: Case, batch: Batch) -> tuple[Normaliser, float]:
    info = case.config.get("global_batch_info") or case.config
    own = Normaliser.of(batch.mask_BT)
    if any(fork in case.source for fork in OLD_FORKS):
        own = old_counts(batch, case.config.get("loss_agg_mode", "token-mean"))
    normaliser = Normaliser(
        tokens=info.get("batch_num_tokens") or own.tokens,
        sequences=info.get("global_batch_size") or own.sequences,
        length=info.get("loss_scale_factor") or own.length,
    )
    return normaliser, float(info.get("dp_size") or 1)


def verl(case: Case, *, default_mode: str = "token-mean", **slots: Any) -> Result:
    """A loss in verl's core_algos: aggregation, clip range and global counts from the file."""
    batch = rows(case)
    if "rollout_is_weights" in case.inputs:
        slots["behaviour"] = (Given(case.tensor("rollout_is_weights")),)
    slots.setdefault("bounds", verl_bounds(case.config))
    mode = case.config.get("loss_agg_mode", default_mode)
    algorithm = spec(aggregation=Aggregation(mode), **slots)
    normaliser, scale = _verl_scale(case, batch)
    loss, gradient, numbers = evaluate(algorithm, batch, normaliser, scale)
    outputs: dict[str, Any] = {"loss": loss, "grad_log_prob": gradient}
    if isinstance(algorithm.surrogate, PPOClip) and isinstance(algorithm.ratio, TokenRatio):
        known = {name: ours for name, ours in METRICS.items() if ours in numbers}
        outputs["metrics"] = {name: numbers[ours] for name, ours in known.items()}
        outputs["metrics"]["actor/pg_clipfrac"] = numbers["clip/high"] + numbers["clip/low"]
    return Result(outputs)


def verl_ppo(case: Case) -> Result:
    """PPO clip; verl's dual clip is always on."""
    dual = case.config.get("clip_ratio_c", case.config.get("clip_ratio_dual", 3.0))
    return verl(case, surrogate=PPOClip(dual))


def verl_pg(case: Case) -> Result:
    """REINFORCE and GPG: `old_log_prob` only serves a metric."""
    return verl(case, ratio=UnitRatio(), bounds=ConstantBounds(None, None), surrogate=WeightPG())


def verl_agent(case: Case) -> Result:
    """PPO in verl-agent and ARPO: means over all rows, `sum-norm` not divided by their number."""
    config, batch = case.config, rows(case)
    mode = config["loss_agg_mode"]
    own = Normaliser.of(batch.mask_BT)
    count = 1 if mode == "seq-mean-token-sum-norm" else len(batch.mask_BT)
    low = config.get("cliprange_low", config.get("clip_ratio_low"))
    high = config.get("cliprange_high", config.get("clip_ratio_high"))
    algorithm = spec(
        bounds=ConstantBounds(low, high),
        surrogate=PPOClip(config["clip_ratio_c"]),
        aggregation=Aggregation(mode),
    )
    loss, gradient, numbers = evaluate(algorithm, batch, replace(own, sequences=count))
    clamped = "log_ratio_clamp" in config
    unlike = {"ppo_kl": "of the clamped ratio; our metrics are not capped"} if clamped else {}
    return Result(
        {
            "pg_loss": loss,
            "grad_log_prob": gradient,
            "pg_clipfrac": numbers["clip/high"] + numbers["clip/low"],
            "pg_clipfrac_lower": numbers["clip/dual"],
            "ppo_kl": numbers["kl_old/k1"],
        },
        not_ours=unlike,
    )


TRL_MODES = {
    "grpo": "seq-mean-token-mean",
    "sapo": "seq-mean-token-mean",
    "luspo": "seq-mean-token-sum",
    "dr_grpo": "seq-mean-token-sum-norm",
}


def trl(case: Case) -> Result:
    """`GRPOTrainer._compute_loss`: the loss type picks surrogate and aggregation."""
    config, batch = case.config, rows(case)
    kind = config["loss_type"]
    per_row = config.get("importance_sampling_level") == "sequence"
    low, high = config["epsilon_low"], config["epsilon_high"]
    cispo = kind == "cispo"
    if Stat.ROLLOUT_LOGPROBS not in batch.stats:
        batch = batch.with_stats({Stat.ROLLOUT_LOGPROBS: batch.stats[Stat.OLD_LOGPROBS]})
    length = config["max_completion_length"] if kind == "dr_grpo" else None
    weights: tuple[Weight, ...] = ()
    if "importance_sampling_ratio" in case.inputs and kind != "vespo":
        weights = (Given(case.tensor("importance_sampling_ratio")),)
    elif "importance_sampling_ratio" in case.inputs:
        batch = _engine_in_ratio(batch, case.tensor("importance_sampling_ratio"))
    delta = config.get("delta")
    if delta is not None and not cispo:  # both signs see the cap, which may lie inside the range
        high = min(high, delta - 1)
    algorithm = spec(
        ratio=SequenceRatio(per_token=False) if per_row else TokenRatio(),
        bounds=ConstantBounds(None, high - 1) if cispo else ConstantBounds(low, high),
        surrogate=_trl_surrogate(config),
        behaviour=weights,
        token_weights=_trl_token_weights(config),
        regularisers=_trl_regularisers(config),
        aggregation=Aggregation(TRL_MODES.get(kind, "token-mean"), length),
    )
    normaliser = replace(Normaliser.of(batch.mask_BT), sequences=float(len(batch.mask_BT)))
    loss, gradient, _ = evaluate(algorithm, batch, normaliser)
    return Result({"loss": loss, "grad_log_prob": gradient})


def _engine_in_ratio(batch: Batch, ratio_BT: Tensor) -> Batch:
    """Put the engine's correction into the row's ratio (VESPO), shared among its valid tokens.

    TRL adds its logarithm over the whole width, masked positions included.
    """
    log_B1 = ratio_BT.log().clamp(math.log(1e-8), 20).sum(-1, keepdim=True)
    share_BT = log_B1 / batch.mask_BT.sum(-1, keepdim=True).clamp(min=1) * batch.mask_BT
    return batch.with_stats({Stat.OLD_LOGPROBS: batch.stats[Stat.OLD_LOGPROBS] - share_BT})


def _trl_surrogate(config: Mapping[str, Any]) -> Surrogate:
    if config["loss_type"] == "cispo":
        return WeightPG()
    if config["loss_type"] == "sapo":
        return SoftGate(
            tau_positive=config.get("sapo_temperature_pos", 1.0),
            tau_negative=config.get("sapo_temperature_neg", 1.05),
        )
    if config["loss_type"] == "vespo":
        return SequenceGammaPG(
            shape_positive=config.get("vespo_k_pos", 2.0),
            rate_positive=config.get("vespo_lambda_pos", 3.0),
            shape_negative=config.get("vespo_k_neg", 3.0),
            rate_negative=config.get("vespo_lambda_neg", 2.0),
        )
    delta = config.get("delta")
    return PPOClip(None if delta is None else max(delta, 1 + config["epsilon_high"]))


@dataclass(frozen=True, slots=True)
class CoarseQuantile(TopQuantile):
    """TRL rounds the quantile to float32, so the token at the limit may fall out."""

    def of_batch(self, view: View) -> Tensor:
        score_BT = read(view, self.score)
        limit = torch.quantile(score_BT[view.valid_BT].float(), 1 - self.fraction)
        return view.valid_BT & (score_BT >= limit)


def _trl_token_weights(config: Mapping[str, Any]) -> tuple[Weight, ...]:
    weights: list[Weight] = []
    if config.get("top_entropy_quantile", 1.0) < 1:
        weights.append(KeepOnly(selector=_most_entropic(config)))
    if config.get("off_policy_mask_threshold") is not None:
        weights.append(DropOffPolicyRows(config["off_policy_mask_threshold"]))
    return tuple(weights)


def _most_entropic(config: Mapping[str, Any]) -> CoarseQuantile:
    return CoarseQuantile(Stat.ENTROPY, config["top_entropy_quantile"])


@dataclass(frozen=True, slots=True, kw_only=True)
class BonusOnTop(EntropyBonus):
    """TRL's bonus with `top_entropy_quantile`: the chosen tokens only.

    `dapo`, `cispo` and `vespo` still divide by all tokens, the others by the chosen ones.
    """

    selector: CoarseQuantile
    over_chosen: bool

    @property
    def prepare_requires(self) -> frozenset[Statistic]:
        return self.selector.prepare_requires

    def prepare(self, view: View) -> Any:
        return self.selector.prepare(view)

    def __call__(self, view: View) -> Tensor:
        chosen_BT = self.selector.of_batch(view)
        factor = view.valid_BT.sum() / chosen_BT.sum().clamp(min=1) if self.over_chosen else 1.0
        return EntropyBonus.__call__(self, view) * chosen_BT * factor


def _trl_regularisers(config: Mapping[str, Any]) -> tuple[Any, ...]:
    terms: list[Any] = []
    if config.get("beta"):
        corrected = config.get("use_bias_correction_kl", True)
        terms.append(
            KLToReference(
                coefficient=config["beta"], kind="k3-unclamped", ratio_corrected=corrected
            )
        )
    if config.get("entropy_coef"):
        mean = Aggregation("token-mean")
        if config.get("top_entropy_quantile", 1.0) < 1:
            bonus: EntropyBonus = BonusOnTop(
                weight=config["entropy_coef"],
                aggregation=mean,
                selector=_most_entropic(config),
                over_chosen=config["loss_type"] not in ("cispo", "dapo", "vespo"),
            )
        else:
            bonus = EntropyBonus(weight=config["entropy_coef"], aggregation=mean)
        terms.append(bonus)
    return tuple(terms)


def areal(case: Case) -> Result:
    """AReaL's decoupled loss; with no rejection settings there is no behaviour weight."""
    config, batch = case.config, rows(case)
    rejection = config.get("rejection_sampling")
    weights = _areal_weights(rejection) if rejection else ()
    low = config["eps_clip"]
    per_row = config.get("importance_sampling_level") == "sequence"
    normaliser, product = Normaliser.of(batch.mask_BT), torch.ones_like(batch.mask_BT)
    for weight in weights:
        product = product * weight(_view(batch))
    behave = product * batch.mask_BT
    if per_row:  # the row's ratio and advantage are those of the tokens that are left
        batch = replace(batch, mask_BT=(behave > 0).to(batch.mask_BT))
        weights = (Given(behave),) if weights else ()
        valid = batch.valid_BT
        mean = (batch.advantages * valid).sum(-1) / valid.sum(-1).clamp(min=1)
        batch = replace(batch, advantages_BT=mean.unsqueeze(-1).expand_as(batch.mask_BT))
    algorithm = spec(
        ratio=SequenceRatio(per_token=False) if per_row else TokenRatio(),
        bounds=ConstantBounds(low, config.get("eps_clip_higher", low)),
        surrogate=PPOClip(config.get("c_clip")),
        behaviour=weights,
    )
    loss, gradient, _ = evaluate(algorithm, batch, normaliser)
    outputs: dict[str, Any] = {"loss": loss, "grad_log_prob": gradient}
    if weights:
        outputs["behave_imp_weight"] = behave
        outputs["behave_mask"] = behave > 0
    return Result(outputs, not_ours={"clip_mask": "we report fractions of clipped tokens"})


def _view(batch: Batch) -> View:
    from agentrl.algorithms.loss import make_view

    return make_view(spec(), batch, Normaliser.of(batch.mask_BT))


def _areal_weights(rejection: Mapping[str, Any]) -> tuple[Weight, ...]:
    row = rejection["level"] == "sequence"
    upper, lower = rejection["upper"], rejection.get("lower")
    if rejection["metric"] == "ratio":
        return (
            BehaviourWeight(
                level="mean" if row else "token",
                action="mask" if rejection["action"] == "mask" else "truncate",
                cap=upper,
                floor=lower or 0.0,
            ),
        )
    kind = {"kl_k1": "k1", "kl_k2": "k2", "kl_k3": "k3-inverse"}[rejection["metric"]]
    if kind == "k1":  # our bounds are those of the ratio
        upper, lower = math.exp(upper), 1e-300 if lower is None else math.exp(lower)
    test = Mismatch(
        level=f"seq_{rejection['agg']}" if row else "token", kind=kind, low=lower, high=upper
    )
    return (BehaviourWeight(cap=float("inf")), RejectionWeight((test,)))


def bypass(case: Case) -> Result:
    """Two policies: the rollout policy is the old one, and what it rejects leaves the mask."""
    config, batch = case.config, rows(case)
    current = batch.stats[Stat.LOGPROBS].detach()
    pair = batch.with_stats({Stat.OLD_LOGPROBS: current})
    weights = weights_of(config, pair)
    kept = keep_tests(config)(pair) if config.get("rollout_rs") else pair
    batch = kept.with_stats({Stat.OLD_LOGPROBS: batch.stats[Stat.ROLLOUT_LOGPROBS]})
    if config["loss_type"] == "reinforce":
        slots: dict[str, Any] = {
            "ratio": UnitRatio(),
            "bounds": ConstantBounds(None, None),
            "surrogate": WeightPG(),
            "behaviour": () if weights is None else (Given(weights),),
        }
    else:
        slots = {
            "bounds": verl_bounds(config),
            "surrogate": PPOClip(config["clip_ratio_c"]),
        }
    algorithm = spec(aggregation=Aggregation(config["loss_agg_mode"]), **slots)
    loss, gradient, _ = evaluate(algorithm, batch)
    return Result({"loss": loss, "grad_log_prob": gradient})


def gspo(case: Case) -> Result:
    """verl's main branch forces the mean over sequences, whatever the file says."""
    mode = {"loss_agg_mode": "seq-mean-token-mean"}
    case = replace(case, config={**case.config, **mode})
    return verl(case, ratio=SequenceRatio(per_token=True), surrogate=PPOClip())


def cispo(case: Case) -> Result:
    """verl's CISPO."""
    return verl(case, surrogate=WeightPG())


def sapo(case: Case) -> Result:
    """The soft gate, in verl and AReaL."""
    gate = SoftGate(tau_positive=case.config["tau_pos"], tau_negative=case.config["tau_neg"])
    return verl(case, surrogate=gate)


def by_source(official_verl: Adapter) -> Adapter:
    """Pick the adapter by whose settings the file holds."""

    def adapter(case: Case) -> Result:
        config = case.config
        if "loss_type" in config and "epsilon_low" in config:
            return trl(case)
        if "eps_clip" in config:
            return areal(case)
        if "pg_loss" in case.outputs:
            return verl_agent(case)
        return official_verl(case)

    return adapter


ADAPTERS: dict[tuple[str, str], Adapter] = {
    **{
        (method, "policy_loss"): by_source(verl_ppo)
        for method in (
            "ppo_clip", "dual_clip", "dapo", "dr_grpo", "grpo", "ppo", "bnpo_norm", "luspo", "tis",
            "two_sided_clip", "entropy_bonus", "decoupled_ppo",
        )
    },
    ("gspo", "policy_loss"): by_source(gspo),
    ("cispo", "policy_loss"): by_source(cispo),
    ("sapo", "policy_loss"): by_source(sapo),
    ("reinforce", "policy_loss"): by_source(verl_pg),
    ("gpg", "policy_loss"): by_source(verl_pg),
    ("bypass", "policy_loss"): bypass,
    ("spear", "vanilla_loss"): verl_agent,
}  # fmt: skip
