"""The policy-loss family: token weights, bounds, surrogates and filters."""

from __future__ import annotations

from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.batch import Batch, Normaliser
from agentrl.algorithms.bounds import ConstantBounds
from agentrl.algorithms.log_ratio_penalty import LogRatioPenalty
from agentrl.algorithms.loss import make_view, prepare
from agentrl.algorithms.rankings import TopFraction
from agentrl.algorithms.scores import Covariance, Score
from agentrl.algorithms.slots import Weight
from agentrl.algorithms.surrogates import PPOClip, RatioPG
from agentrl.algorithms.token_weights import covariance_band
from tests.golden.adapters_loss import rows, spec, verl, verl_bounds
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


def kl_cov(case: Case) -> Result:
    """The original takes a percentage, verl a fraction."""
    config = case.config
    fraction = config.get("kl_cov_ratio", 2e-4)
    if "k_percent" in config:
        fraction = min(config["k_percent"] / 100, 1.0)
    penalty = LogRatioPenalty(
        coefficient=config.get("ppo_kl_coef", 1.0), selector=TopFraction(Covariance(), fraction)
    )
    result = verl(
        case,
        bounds=ConstantBounds(None, None),
        surrogate=RatioPG(),
        regularisers=(penalty,),
    )
    return with_covariance(case, result)


ADAPTERS: dict[tuple[str, str], Adapter] = {
    ("clip_cov", "policy_loss"): clip_cov,
    ("kl_cov", "policy_loss"): kl_cov,
}
