"""Per-token statistics of the rows of one micro-batch, from one forward pass."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from agentrl.algorithms.statistics import LogitStatistic, Stat, Statistic
from agentrl.learner.head import Predictions, predict
from agentrl.learner.packing import MicroBatch
from agentrl.learner.tree_attention import TreeAttention
from agentrl.models.attention import all_hidden_states

_ENTROPIES = (Stat.ENTROPY, Stat.ENTROPY_GRAD)


def forward(
    model: nn.Module,
    micro: MicroBatch,
    wanted: Collection[Statistic],
    *,
    temperature: float = 1.0,
    value_head: nn.Module | None = None,
) -> tuple[dict[Statistic, Tensor], Predictions]:
    """Run the model over a micro-batch.

    Shared tokens are computed once and then gathered into every row that has them, so that they
    receive the sum of the gradients of all their rows.

    Args:
        model: a causal LM with AgentRL's attention installed.
        micro: the laid-out rows.
        wanted: statistics under the model's present weights (`Stat.current`); `LOGPROBS` always.
        temperature: divides the logits; the rollout's, so that log-probs are comparable.
        value_head: a module [M, d] -> [M, 1]; needed for `VALUES`.

    Returns:
        The statistics [B, T], with gradient where their names say so, and the predictions for the
        M unique tokens.  Values at padding are finite and mean nothing.
    """
    context = TreeAttention(micro.runs)
    further = [stat for stat in wanted if isinstance(stat, LogitStatistic)]
    layers = {stat.layer for stat in further if stat.layer is not None}
    hidden_Nd, inner = all_hidden_states(model, micro.ids_N, micro.positions_N, context, layers)
    hidden_Md = hidden_Nd[micro.predictors_M]
    weight_Vd: Tensor = model.get_output_embeddings().weight  # type: ignore[operator]
    main, *others = (
        predict(
            hidden_Md if layer is None else inner[layer][micro.predictors_M],
            weight_Vd,
            micro.targets_M,
            temperature=temperature,
            entropy=layer is None and any(stat in wanted for stat in _ENTROPIES),
            further=[stat for stat in further if stat.layer == layer],
        )
        for layer in (None, *layers)
    )
    found: dict[Statistic, Tensor] = {Stat.LOGPROBS: main.logprobs_M}
    for read in (main, *others):
        found.update(read.further.items())
    if main.entropies_M is not None:
        found[Stat.ENTROPY] = main.entropies_M.detach()
        if Stat.ENTROPY_GRAD in wanted:
            found[Stat.ENTROPY_GRAD] = main.entropies_M
    if Stat.VALUES in wanted and value_head is not None:
        found[Stat.VALUES] = value_head(hidden_Md)[:, 0].to(main.logprobs_M.dtype)
    return {stat: values[micro.gather_BT] for stat, values in found.items()}, main


@torch.no_grad()
def forward_frozen(
    model: nn.Module,
    micro: MicroBatch,
    wanted: Collection[Statistic],
    *,
    temperature: float = 1.0,
    value_head: nn.Module | None = None,
) -> dict[Statistic, Tensor]:
    """As `forward`, without gradient and without the predictions."""
    stats, _ = forward(model, micro, wanted, temperature=temperature, value_head=value_head)
    return stats
