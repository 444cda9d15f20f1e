"""BuPO: bottom-up, an inner layer's policy first."""

from __future__ import annotations

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.ratios.layer_view import LayerView, ViewStage
from agentrl.algorithms.registry import method
from agentrl.algorithms.regularisers.standard import regularisers
from agentrl.algorithms.surrogates.standard import PPOClip


@method(
    family="policy-loss",
    source="BuPO (arXiv 2512.19673); Trae1ounG/BuPO",
    provenance="official vectors",
)
def bupo(
    *,
    layer: int = 5,
    layer_updates: int = 30,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = 10.0,
    entropy_coefficient: float = 0.0,
) -> Algorithm:
    """BuPO: GRPO on the policy that an inner layer defines, then on the model's own.

    For the first `layer_updates` updates current and old log-probs both come from
    softmax(U h / temperature), h the output of decoder layer `layer` (from 0) without final norm,
    U the output matrix; samples always come from the whole model.  Token mean, no KL.

    Source: Bottom-up Policy Optimization (arXiv 2512.19673);
    Trae1ounG/BuPO:verl/workers/actor/dp_actor.py, `_forward_micro_batch_layer_k`; layer 5 is its
    choice for Qwen3-4B (36 layers), 30 of 300 updates.  Reported entropy is the last layer's, as
    there.
    """
    return Algorithm(
        name="bupo",
        advantage=GroupRelative(scale="group"),
        policy_view=LayerView(layer=layer) if layer_updates else None,
        bounds=ConstantBounds(clip_low, clip_high),
        surrogate=PPOClip(dual_clip),
        regularisers=regularisers(entropy_coefficient=entropy_coefficient),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
        controllers=(ViewStage(updates=layer_updates),),
    )
