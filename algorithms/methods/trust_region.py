"""Other trust regions and weights: DPPO, DRO, VESPO, MinPRO."""

from __future__ import annotations

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.slots import BoundsRule, Surrogate
from agentrl.algorithms.surrogates.divergence import DivergencePG, QuadraticPG, SequenceGammaPG
from agentrl.algorithms.surrogates.rows import PrefixMinimum

_OPEN = ConstantBounds(None, None)


@method(family="policy-loss", source="DPPO (arXiv 2602.04879)", provenance="official vectors")
def dppo(
    *,
    divergence: str = "tv",
    bound_low: float = 0.15,
    bound_high: float = 0.15,
    ratio_cap: float = 20.0,
) -> Algorithm:
    """DPPO: a trust region in probability, not in ratio, so rare tokens are not clipped first.

    J = 1/N sum 1[inside] sg(min(r, ratio_cap)) A l.  tv: inside if p - q <= bound_high where
    A > 0, p - q >= -bound_low elsewhere; kl: if the binary KL of the sampled token is within the
    bound or the move leads back.

    Source: Rethinking the Trust Region in LLM Reinforcement Learning (arXiv 2602.04879);
    verl-project/verl, whose configuration calls the bound `clip_ratio`.  0.15 is that of its
    example script for tv, which has 0.05 for kl; the script also takes advantage and aggregation
    of Dr.GRPO and compares with the rollout engine's log-probs.
    """
    surrogate = DivergencePG(divergence=divergence, low=bound_low, high=bound_high, cap=ratio_cap)
    return _token_mean("dppo", surrogate)


@method(family="policy-loss", source="DRO (arXiv 2405.19107)", provenance="official vectors")
def dro(*, beta: float = 0.1) -> Algorithm:
    """DRO: policy gradient with a parabola around the old policy instead of a clip.

    J = 1/N sum [ A l - beta / 2 (l - l_old)^2 ].

    Source: Offline Regularised Reinforcement Learning for LLMs Alignment (arXiv 2405.19107), which
    learns a value function; with a group's advantage as released in verl-project/verl
    (`compute_policy_loss_dro`), where beta has to be given.  0.1 is our choice.
    """
    return _token_mean("dro", QuadraticPG(beta))


@method(family="policy-loss", source="VESPO (arXiv 2602.10693)", provenance="official vectors")
def vespo(
    *,
    shape_positive: float = 2.0,
    rate_positive: float = 3.0,
    shape_negative: float = 3.0,
    rate_negative: float = 2.0,
) -> Algorithm:
    """VESPO: every token weighted by a smooth function of its row's whole ratio.

    J = 1/N sum sg(phi(w_i)) A l, w_i = prod_t r_t, phi(w) = exp(rate + shape ln w - rate w) with
    (shape, rate) by the sign of A.

    Source: VESPO (arXiv 2602.10693); huggingface/trl (`loss_type="vespo"`) with its defaults.  TRL
    multiplies the engine's correction into w; here `behaviour` multiplies the loss.
    """
    surrogate = SequenceGammaPG(
        shape_positive=shape_positive,
        rate_positive=rate_positive,
        shape_negative=shape_negative,
        rate_negative=rate_negative,
    )
    return _token_mean("vespo", surrogate)


@method(family="policy-loss", source="MinPRO (arXiv 2601.22718)", provenance="reconstructed")
def minpro(
    *,
    clip_low: float | None = None,
    clip_high: float | None = 4.0,
    form: str = "weight",
    span: str = "episode",
    include_current: bool = False,
    clip_first: bool = False,
    cap_prefix: bool = False,
) -> Algorithm:
    """MinPRO: CISPO with the ratio times the least ratio of the tokens before.

    J = 1/N sum sg(clip(r_t mu_t)) A l, mu_t = min_{s < t} r_s over the sampled tokens of the
    episode, 1 for the first.  form="clip" uses r mu in PPO's clipped objective; the other options
    are choices the abstract leaves open, see `PrefixMinimum`.

    Source: A Step Back: Prefix Importance Ratio Stabilizes Policy Optimization (arXiv 2601.22718),
    reconstructed from the abstract, mu confirmed by secondary notes; the clip range is not known
    to us, it is that of `cispo`.
    """
    surrogate = PrefixMinimum(
        form=form,
        span=span,
        include_current=include_current,
        clip_first=clip_first,
        cap_prefix=cap_prefix,
    )
    return _token_mean("minpro", surrogate, ConstantBounds(clip_low, clip_high))


def _token_mean(name: str, surrogate: Surrogate, bounds: BoundsRule = _OPEN) -> Algorithm:
    return Algorithm(
        name=name,
        advantage=GroupRelative(scale="group"),
        bounds=bounds,
        surrogate=surrogate,
        aggregation=Aggregation(Mode.TOKEN_MEAN),
    )
