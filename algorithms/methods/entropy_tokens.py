"""Token weights and filters by entropy: STEER, forking tokens, Clip_B, Clip_V."""

from __future__ import annotations

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.checks import one_of
from agentrl.algorithms.filters.tokens import ClipByBatch, ClipByVocabulary
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.slots import BatchStep
from agentrl.algorithms.statistics import Stat
from agentrl.algorithms.surrogates.standard import PPOClip
from agentrl.algorithms.weights.rankings import TopFraction, TopQuantile
from agentrl.algorithms.weights.tokens import Decreasing, KeepOnly

_DYNAMICS = "On the Entropy Dynamics in RFT (arXiv 2602.03392)"


@method(family="policy-loss", source="STEER (arXiv 2510.10150)", provenance="official vectors")
def steer(
    *,
    weight_low: float = 0.8,
    weight_high: float = 1.2,
    shape: str = "linear",
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    dual_clip: float | None = 10.0,
) -> Algorithm:
    """STEER: PPO clip in which tokens count less the more they would change the entropy.

    J = 1/N sum w min(r A, clip(r) A), w falling from weight_high to weight_low between the least
    and the largest Omega = |A / p_old p (1 - p)(ln p + H_old)| of the optimiser batch.
    shape="exp": w = exp(ln(weight_low) Omega / max(Omega_max, 0.02)), at most 1.

    Source: Rethinking Entropy Interventions in RLVR (arXiv 2510.10150); zz-haooo/STEER, run scripts
    (0.8, 1.2, clip 0.2/0.28, dual clip 10); the actor's own fallback is (0.95, 1.05).  Names there
    hint at (1 - p)^2, the computed factor is (1 - p).
    """
    return Algorithm(
        name="steer",
        advantage=GroupRelative(scale="group"),
        bounds=ConstantBounds(clip_low, clip_high),
        surrogate=PPOClip(dual_clip),
        token_weights=(Decreasing(low=weight_low, high=weight_high, shape=shape),),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
    )


@method(
    family="policy-loss",
    source="Beyond the 80/20 Rule (arXiv 2506.01939)",
    provenance="official vectors",
)
def forking_tokens(
    *,
    fraction: float = 0.2,
    variant: str = "quantile",
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    dual_clip: float | None = None,
) -> Algorithm:
    """Forking tokens: only the tokens of highest entropy learn.

    J = 1/N sum 1[H >= tau] min(r A, clip(r) A), tau the (1 - fraction) quantile of the current
    entropies of the optimiser batch, N all its tokens.

    variant="exact" keeps exactly floor(fraction N) tokens and takes the mean over these, a loss
    about 1 / fraction times as large.

    Source: Wang et al., Beyond the 80/20 Rule (arXiv 2506.01939), section 5.1, where the mean is
    over the tokens that learn.  huggingface/trl for the quantile and for N, followed by default;
    CarlanLark/Lp-Reg-dev for the exact variant.  fraction and clip range are the paper's.
    """
    one_of("variant", variant, ("quantile", "exact"))
    exact = variant == "exact"
    selector = TopFraction(Stat.ENTROPY, fraction) if exact else TopQuantile(Stat.ENTROPY, fraction)
    return Algorithm(
        name="forking_tokens",
        advantage=GroupRelative(scale="group"),
        bounds=ConstantBounds(clip_low, clip_high),
        surrogate=PPOClip(dual_clip),
        token_weights=(KeepOnly(selector=selector, renormalise=exact),),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
    )


@method(family="policy-loss", source=_DYNAMICS, provenance="official vectors")
def clip_b(*, mu: float = 2.5, clip_low: float = 0.2, clip_high: float = 0.2) -> Algorithm:
    """Clip_B: GRPO without the punished tokens that lower the entropy most, by batch statistics.

    Tokens with A < 0 and S - mean S < -mu std S leave the batch, S = p (H + ln p) under the old
    policy, statistics over the update; then PPO clip with token mean.

    Source: On the Entropy Dynamics in Reinforcement Fine-Tuning of Large Language Models (arXiv
    2602.03392); agentscope-ai/Trinity-RFT:trinity/algorithm/advantage_fn/clipb_advantage.py.  The
    abstract speaks of all tokens that shrink the entropy; the code, followed, leaves positive
    advantages alone.
    """
    return _filtered("clip_b", ClipByBatch(mu), clip_low, clip_high)


@method(family="policy-loss", source=_DYNAMICS, provenance="official vectors")
def clip_v(
    *,
    mu: float = 8.5,
    max_fraction: float = 1e-4,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> Algorithm:
    """Clip_V: Clip_B against the mean over the vocabulary instead of the batch.

    Tokens with A <= 0 and D > mu std D leave the batch, D = sum_v p_v^2 (H + ln p_v) - S, of those
    with A < 0 at most the max(floor(max_fraction N), 1) largest.

    Source: as of `clip_b`; agentscope-ai/Trinity-RFT:trinity/algorithm/advantage_fn/
    clipv_advantage.py.  mu is 2.0 in its constructor and 8.5 as registered, followed.
    The deviation is centred, the test is not; what produces the mean over the vocabulary is not
    released, the formula is our reading.
    """
    return _filtered("clip_v", ClipByVocabulary(mu, max_fraction), clip_low, clip_high)


def _filtered(name: str, step: BatchStep, clip_low: float, clip_high: float) -> Algorithm:
    return Algorithm(
        name=name,
        advantage=GroupRelative(scale="group"),
        sample_filters=(step,),
        bounds=ConstantBounds(clip_low, clip_high),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
    )
