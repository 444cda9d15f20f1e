"""Methods that read the whole next-token distribution: DCPO, Lp-Reg, BuPO, SIREN, HAPO."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation
from agentrl.algorithms.batch import Batch, Normaliser, Stat
from agentrl.algorithms.loss import make_view, policy_loss
from agentrl.algorithms.methods.lp_reg import lp_reg as lp_reg_method
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.ratios.entropy_bounds import (
    EntropyBounds,
    EntropyRedistribution,
    EntropyScale,
    TokenGroupRelative,
)
from agentrl.algorithms.ratios.layer_view import LayerView
from agentrl.algorithms.regularisers.entropy_anchor import AnchoredEntropy
from agentrl.algorithms.slots import View
from agentrl.algorithms.statistics import (
    FilteredLogprobs,
    LayerLogprobs,
    LogitStatistic,
    TemperedLogprobs,
    TopPEntropy,
)
from agentrl.algorithms.surrogates.standard import PPOClip
from agentrl.algorithms.transforms.distribution_mix import DistributionMix
from agentrl.algorithms.weights.selectors import RowQuantile, Selector
from agentrl.learner.head import predict
from tests.golden.adapters_loss import evaluate, old_counts, rows, spec
from tests.golden.case import Adapter, Case, Result

KL_KINDS = {"low_var_kl": "k3", "kl": "k1", "mse": "k2"}


def of_logits(statistic: LogitStatistic, logits: Tensor, ids: Tensor) -> Tensor:
    """Return a statistic [B, T] of logits [B, T, V]."""
    found = statistic.of_logits(logits.flatten(0, 1), ids.flatten())
    return found.reshape(ids.shape)


def dcpo(case: Case) -> Result:
    """DCPO's advantage; what the original leaves at masked positions is not compared."""
    config = case.config
    mix = DistributionMix(
        target=config["entropy_target"],
        high=config["temperature_high"],
        low=config["temperature_low"],
        cap=config["alpha_cap"],
        threshold=config["score_threshold"],
        entropy=config["measured_entropy"],
    )
    logits, ids = case.tensor("old_logits"), case.tensor("token_ids").long()
    mask, scores = case.tensor("response_mask"), case.tensor("token_level_scores")
    number = torch.arange(len(mask))
    batch = Batch(
        mask_BT=mask,
        groups_B=number,
        episodes_B=number,
        returns_B=scores.sum(-1),
        turns_BT=torch.zeros_like(mask).long(),
        advantages_BT=case.tensor("advantages"),
        stats={
            Stat.OLD_LOGPROBS: of_logits(TemperedLogprobs(), logits, ids),
            mix.tempered: of_logits(mix.tempered, logits, ids),
        },
    )
    outputs = {
        "temperature": mix.temperature,
        "alpha": mix.alpha(batch),
        "entropy_factor": mix.factor(batch),
        "advantages": mix(batch).advantages,
    }
    return Result(outputs, where={"advantages": batch.valid_BT})


def lp_reg(case: Case) -> Result:
    """Lp-Reg's loss."""
    config = case.config
    proxy = FilteredLogprobs(
        kind={"minp": "min-p"}.get(config["regular_type"], config["regular_type"]),
        threshold=config["min_p"],
    )
    method = lp_reg_method(
        filter=proxy.kind,
        filter_threshold=proxy.threshold,
        share=config["logp_neg_k_percent"],
        positive_share=config["logp_pos_k_percent"],
        proxy_coefficient=config["ppo_kl_coef"],
        clip_low=config["cliprange_low"],
        clip_high=config["cliprange_high"],
    )
    kind = KL_KINDS.get(config["kl_type"], config["kl_type"])
    method = replace(
        method,
        regularisers=tuple(replace(term, kind=kind) for term in method.regularisers),
        aggregation=Aggregation(config["loss_agg_mode"]),
    )
    target = of_logits(proxy, case.tensor("old_logits"), case.tensor("token_ids").long())
    batch = rows(case).with_stats({proxy: target})
    loss, gradient, _ = evaluate(method, batch, old_counts(batch, config["loss_agg_mode"]))
    return Result({"target_log_prob": target, "loss": loss, "grad_log_prob": gradient})


def bupo(case: Case) -> Result:
    """The policy of an inner layer: `hidden_states[k + 1]` straight to the output matrix."""
    hidden, weight = case.tensor("hidden_states"), case.tensor("unembedding")
    ids, temperature = case.tensor("token_ids").long(), case.config["temperature"]
    statistic: LayerLogprobs = LayerView(layer=case.config["internal_layer"]).old
    logits = hidden @ weight.T / temperature

    def entropy(states: Tensor) -> Tensor:
        found = predict(
            states.flatten(0, 1), weight, ids.flatten(), temperature=temperature, entropy=True
        ).entropies_M
        assert found is not None
        return found.reshape(ids.shape)

    entropies = torch.stack([entropy(states) for states in hidden])
    outputs = {
        "internal_log_prob": of_logits(statistic, logits[statistic.layer + 1], ids),
        "internal_entropy": entropies[statistic.layer + 1],
        "entropy_per_hidden_state": entropies,
    }
    return Result(outputs)


@dataclass(frozen=True, slots=True)
class CoarseQuantile(RowQuantile):
    """The original takes the quantile in float32 and compares in float64, so ties may fall out."""

    def limit(self, view: View) -> Tensor:
        score = view.stat(self.score).detach()
        score = score.masked_fill(~view.valid_BT, math.nan).float()
        return torch.nanquantile(score, self.quantile, -1, keepdim=True)

    def choose(self, view: View, state: object = None) -> Tensor:
        return view.valid_BT & (view.stat(self.score).detach() > self.limit(view))


@dataclass(frozen=True, slots=True, kw_only=True)
class Coarse(AnchoredEntropy):
    """The regulariser with that quantile."""

    def peaks(self, entropy: TopPEntropy) -> Selector:
        return CoarseQuantile(entropy, self.quantile)


def siren(case: Case) -> Result:
    """SIREN's term; its gradient is taken with respect to logits."""
    config = case.config
    mask, logits = case.tensor("response_mask"), case.tensor("logits").requires_grad_()
    number = torch.arange(len(mask))
    entropy = TopPEntropy(top_p=config["entropy_topp"], top_k=config["entropy_topk"])
    term = Coarse(
        coefficient=config["entropy_coeff"],
        anchor=config["entropy_anchor"],
        entropy=entropy,
        quantile=config["mask_ratio"],
    )
    found = of_logits(entropy.now(), logits, torch.zeros_like(mask).long())
    batch = Batch(
        mask_BT=mask,
        groups_B=number,
        episodes_B=number,
        returns_B=torch.zeros(len(mask), dtype=mask.dtype),
        turns_BT=torch.zeros_like(mask).long(),
        advantages_BT=torch.zeros_like(mask),
        stats={
            Stat.LOGPROBS: torch.zeros_like(mask),
            Stat.OLD_LOGPROBS: torch.zeros_like(mask),
            entropy.now(): found,
        },
    )
    algorithm, normaliser = spec(regularisers=(term,)), Normaliser.of(mask)
    view = make_view(algorithm, batch, normaliser)
    peaks = CoarseQuantile(entropy.now(), term.quantile)
    loss = policy_loss(algorithm, batch, normaliser).value
    (gradient,) = torch.autograd.grad(loss, logits)
    outputs = {
        "top_p_entropy": found * mask,
        "peak_mask": peaks.choose(view),
        "row_quantile": peaks.limit(view),
        "aggregated_entropy": term.measure(view, entropy.now()),
        "loss": loss,
        "grad_logits": gradient,
    }
    return Result(outputs)


def hapo_advantage(case: Case) -> Result:
    """HAPO's advantage; what the original leaves at padding is not compared.

    The original looks at padding, where the return is 0, for the limit at which a group falls back.
    """
    config, mask = case.config, case.tensor("response_mask")
    batch = Batch(
        mask_BT=mask,
        groups_B=case.ids("index"),
        episodes_B=torch.arange(len(mask)),
        returns_B=case.tensor("token_level_rewards").sum(-1),
        turns_BT=torch.zeros_like(mask).long(),
    )
    estimator = TokenGroupRelative(
        epsilon=config["epsilon"],
        scale="group" if config.get("norm_adv_by_std_in_grpo", True) else "none",
    )
    ours = estimator(batch).advantages
    plain = GroupRelative(scale=estimator.scale, epsilon=estimator.epsilon)(batch).advantages
    for group in batch.groups_B.unique().tolist():
        own = batch.groups_B == group
        valid_BT = batch.valid_BT[own]
        returns = batch.returns_B[own].unsqueeze(-1).expand_as(valid_BT)[valid_BT]
        if not len(returns) or bool(valid_BT.all()):
            continue
        spread = returns.std(correction=0) + estimator.epsilon
        if abs(returns.mean() / (spread if estimator.scale == "group" else 1)) >= estimator.limit:
            ours[own] = plain[own]
    return Result({"advantages": ours}, where={"advantages": batch.valid_BT})


def hapo_loss(case: Case) -> Result:
    """HAPO's loss, with the released sign."""
    config = case.config
    scale = EntropyScale(pivot=config["entropy_pivot"], sign="official")
    base = ConstantBounds(config["clip_ratio_low"], config["clip_ratio_high"])
    late = EntropyRedistribution(beta=config["adv_beta"], scale=scale)
    algorithm = spec(
        bounds=EntropyBounds(
            base=base, alpha=config["clip_alpha"] if config["adaptive_clip"] else 0.0, scale=scale
        ),
        late_transforms=(late,) if config["adaptive_advantage"] else (),
        surrogate=PPOClip(config["clip_ratio_c"]),
        aggregation=Aggregation(config["loss_agg_mode"]),
    )
    batch = rows(case).with_stats({Stat.ENTROPY: case.tensor("entropy")})
    loss, gradient, _ = evaluate(algorithm, batch, old_counts(batch, config["loss_agg_mode"]))
    return Result({"loss": loss, "grad_log_prob": gradient})


ADAPTERS: dict[tuple[str, str], Adapter] = {
    ("dcpo", "advantage"): dcpo,
    ("lp_reg", "policy_loss"): lp_reg,
    ("bupo", "internal_policy"): bupo,
    ("siren", "regularizer"): siren,
    ("hapo", "advantage"): hapo_advantage,
    ("hapo", "policy_loss"): hapo_loss,
}
