"""ADORA: groups weigh by what they can teach at the moment."""

from __future__ import annotations

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.checks import one_of
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.regularisers.standard import regularisers
from agentrl.algorithms.transforms.group_weights import TemporaryAdvantage


@method(
    family="advantage",
    source="ADORA (arXiv 2602.10019)",
    provenance="official vectors",
)
def adora(
    *,
    weighting: str = "attenuate",
    criterion: str = "length",
    variant: str = "language",
    threshold: float = 0.5,
    truncation: int | None = None,
    success_rate: float = 0.5,
    unit: str = "tokens",
    attenuation: float = 0.1,
    amplification: float = 2.0,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    kl_coefficient: float = 0.001,
    entropy_coefficient: float = 0.0,
    allow_self_labels: bool = False,
) -> Algorithm:
    """ADORA: GRPO with one weight per group, from the group's own rollouts.

    J = 1/N sum_i sum_t [ min(r w_g A_i, clip(r) w_g A_i) - kl_coefficient k3(l, l_ref) ], N all
    tokens.  A group is chosen where its longest correct episode is longer than its wrong ones are
    on average (`criterion`: `length`, `difficulty` for a success rate up to `success_rate`, `both`
    or `either`).  `weighting`: `attenuate`, w = 1 if chosen, else `attenuation`; or `amplify`,
    w = `amplification` if chosen, else 1.

    Source: ADORA (arXiv 2602.10019), known from its abstract, reviews and ShadeCloak/ADORA.  The
    code has attenuation by length only, followed here; the paper's language-model setting is
    `weighting="amplify", criterion="both"`.  `variant` is which of the two released functions
    decides about groups without a correct or without a wrong episode: `language` or `vision`.
    `threshold` 0.5 suits rewards in [0, 1]; the Logic-RL rewards of the language script need 1.01.
    """
    one_of("weighting", weighting, ("attenuate", "amplify"))
    one_of("variant", variant, ("language", "vision"))
    amplify, language = weighting == "amplify", variant == "language"
    weight = TemporaryAdvantage(
        threshold=threshold,
        truncation=truncation,
        criterion=criterion,
        success_rate=success_rate,
        chosen=amplification if amplify else 1.0,
        others=1.0 if amplify else attenuation,
        no_success="others" if language else "neutral",
        no_failure="chosen" if language else "others",
        unit=unit,
        allow_self_labels=allow_self_labels,
    )
    return Algorithm(
        name="adora",
        advantage=GroupRelative(scale="group", epsilon=1e-6 if language else 1e-9),
        transforms=(weight,),
        bounds=ConstantBounds(clip_low, clip_high),
        regularisers=regularisers(kl_coefficient, "k3", entropy_coefficient),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
    )
