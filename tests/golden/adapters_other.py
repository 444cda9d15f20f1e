"""Aggregation, KL estimators, entropy and the value loss."""

from __future__ import annotations

from dataclasses import replace

import torch

from agentrl.algorithms.aggregation import Aggregation
from agentrl.algorithms.batch import Batch, Normaliser, Stat
from agentrl.algorithms.loss import make_view
from agentrl.algorithms.regularisers.kl import kl_estimate
from agentrl.algorithms.regularisers.standard import ValueLoss
from agentrl.learner.head import predict
from tests.golden import adapters_mismatch
from tests.golden.adapters_loss import spec
from tests.golden.case import Adapter, Case, Result


def agg_loss(case: Case) -> Result:
    """`agg_loss` with own or global counts."""
    values = case.tensor("loss_mat").requires_grad_()
    mask, config = case.tensor("loss_mask"), case.config
    own = Normaliser.of(mask)
    normaliser = Normaliser(
        tokens=config.get("batch_num_tokens") or own.tokens,
        sequences=config.get("global_batch_size") or own.sequences,
        length=config.get("loss_scale_factor") or own.length,
    )
    loss = Aggregation(config["loss_agg_mode"])(values, mask > 0, normaliser)
    loss = loss * (config.get("dp_size") or 1)
    (gradient,) = torch.autograd.grad(loss, values)
    return Result({"loss": loss, "grad_loss_mat": gradient})


def kl_penalty(case: Case) -> Result:
    """A KL estimator and its aggregate."""
    logprobs = case.tensor("log_prob").requires_grad_()
    mask = case.tensor("response_mask")
    kind = case.config["kl_penalty"].replace("low_var_kl", "k3")
    kl = kl_estimate(logprobs, case.tensor("ref_log_prob"), kind)
    mode = Aggregation(case.config.get("loss_agg_mode", "token-mean"))
    loss = mode(kl, mask > 0, Normaliser.of(mask))
    (gradient,) = torch.autograd.grad(loss, logprobs)
    return Result({"kl": kl, "loss": loss, "grad_log_prob": gradient})


def entropy(case: Case) -> Result:
    """The learner's fused output layer, with the identity as its weight, and the aggregate."""
    logits = case.tensor("logits").requires_grad_()
    mask = case.tensor("response_mask")
    flat = logits.reshape(-1, logits.shape[-1])
    identity = torch.eye(flat.shape[-1], dtype=flat.dtype)
    targets = torch.zeros(len(flat), dtype=torch.long)
    entropies = predict(flat, identity, targets, entropy=True).entropies_M
    assert entropies is not None
    values = entropies.reshape(mask.shape)
    mode = Aggregation(case.config.get("loss_agg_mode", "token-mean"))
    loss = mode(values, mask > 0, Normaliser.of(mask))
    (gradient,) = torch.autograd.grad(loss, logits)
    return Result({"entropy": values, "loss": loss, "grad_logits": gradient})


def value_loss(case: Case) -> Result:
    """The clipped value loss; verl's `values` are the old ones."""
    values, mask = case.tensor("vpreds").requires_grad_(), case.tensor("response_mask")
    ids = torch.arange(len(mask))
    batch = Batch(
        mask_BT=mask,
        groups_B=ids,
        episodes_B=ids,
        returns_B=torch.zeros(len(mask), dtype=torch.float64),
        turns_BT=torch.zeros_like(mask).long(),
        stats={
            Stat.LOGPROBS: torch.zeros_like(mask),
            Stat.OLD_LOGPROBS: torch.zeros_like(mask),
            Stat.VALUES: values,
            Stat.OLD_VALUES: case.tensor("values"),
        },
        advantages_BT=torch.zeros_like(mask),
    )
    batch = replace(batch, value_targets_BT=case.tensor("returns"))
    view = make_view(spec(), batch, Normaliser.of(mask))
    term = ValueLoss(value_clip=case.config["cliprange_value"])
    mode = Aggregation(case.config.get("loss_agg_mode", "token-mean"))
    loss = mode(term(view), view.valid_BT, view.normaliser)
    (gradient,) = torch.autograd.grad(loss, values)
    return Result(
        {"loss": loss, "grad_vpreds": gradient},
        not_ours={"clipfrac": "the value loss reports its value only"},
    )


ADAPTERS: dict[tuple[str, str], Adapter] = {
    ("agg_loss", "agg_loss"): agg_loss,
    ("kl", "kl_penalty"): kl_penalty,
    ("entropy", "entropy_from_logits"): entropy,
    ("ppo_clip", "value_loss"): value_loss,
    **adapters_mismatch.ADAPTERS,
}
