"""The sides of `tree_training.py`: one optimiser step on the same episodes, in several layouts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from tree_workload import separate

import agentrl.learner.forward as learner_forward
from agentrl.algorithms import Normaliser, estimate_advantages, get, policy_loss
from agentrl.algorithms.batch import Stat
from agentrl.learner import Learner, LearnerSettings
from agentrl.learner.head import predict
from agentrl.learner.packing import Run
from agentrl.learner.rows import Rows, rows
from agentrl.learner.tree_attention import TreeAttention
from agentrl.tree import Forest

ALGORITHM = get("grpo", kl_coefficient=0.0)
RATE = 1e-4
SIDES = ("tree", "packed", "padded")
ATTENTIONS = ("blocks", "paths", "dense")
Step = Callable[[], object]


def make_step(side: str, model: nn.Module, forest: Forest, attention: str = "blocks") -> Step:
    """Return a function that makes one optimiser step (GRPO without KL, clipping, AdamW).

    Args:
        side: `tree`; `packed`, every sequence a root of its own in the learner's flat layout, so
            without sharing and without padding; or `padded`, batches of eight padded rows through
            the model's ordinary forward pass.
        model: it is copied.
        forest: the episodes.
        attention: of the tree side.
    """
    own = copy.deepcopy(model)
    if side == "padded":
        return _PaddedStep(own, forest)
    learner = Learner(own, ALGORITHM, LearnerSettings(learning_rate=RATE))
    laid_out = separate(forest) if side == "packed" else forest
    chosen = {"blocks": TreeAttention, "paths": _paths, "dense": DenseAttention}[attention]

    def step() -> dict[str, float]:
        learner_forward.TreeAttention = chosen  # type: ignore[assignment, misc]
        try:
            return learner.update(laid_out)
        finally:
            learner_forward.TreeAttention = TreeAttention  # type: ignore[misc]

    return step


class _PaddedStep:
    """Padded batches, logits of sampled tokens only (by the learner's chunked head)."""

    def __init__(self, model: nn.Module, forest: Forest, size: int = 8) -> None:
        self._model, self._forest, self._size = model, forest, size
        self._adamw = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)

    def __call__(self) -> None:
        found = rows(self._forest)
        batch = estimate_advantages(ALGORITHM, found.batch)
        normaliser = Normaliser.of(batch.mask_BT)
        for start in range(0, len(found.rows), self._size):
            index = torch.arange(start, min(start + self._size, len(found.rows)))
            logprobs_BT = self._logprobs(found, index.tolist())
            stats = {Stat.LOGPROBS: logprobs_BT, Stat.OLD_LOGPROBS: logprobs_BT.detach()}
            part = batch.rows(index).with_stats(stats)
            policy_loss(ALGORITHM, part, normaliser).value.backward()
        nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._adamw.step()
        self._adamw.zero_grad()

    def _logprobs(self, found: Rows, chosen: list[int]) -> Tensor:
        chains, places = [], []
        for row in (found.rows[index] for index in chosen):
            chain: list[int] = []
            place: list[int] = []
            for node in found.trees[row.tree].path(row.last):
                if node.id in row.nodes:
                    place += range(len(chain) - 1, len(chain) + len(node.ids) - 1)
                chain += node.ids
            chains.append(torch.tensor(chain))
            places.append(torch.tensor(place))
        ids_BL = nn.utils.rnn.pad_sequence(chains, batch_first=True)
        hidden_BLd = self._model.model(input_ids=ids_BL, use_cache=False).last_hidden_state
        hidden_Md = torch.cat([row[place] for row, place in zip(hidden_BLd, places, strict=True)])
        targets_M = torch.cat([row[at + 1] for row, at in zip(ids_BL, places, strict=True)])
        weight_Vd = self._model.get_output_embeddings().weight
        logprobs_M = predict(hidden_Md, weight_Vd, targets_M, entropy=True).logprobs_M
        split = torch.split(logprobs_M, [len(place) for place in places])
        logprobs_BT = nn.utils.rnn.pad_sequence(list(split), batch_first=True)
        return functional.pad(logprobs_BT, (0, found.batch.mask_BT.shape[1] - logprobs_BT.shape[1]))


def _paths(runs: Sequence[Run]) -> TreeAttention:
    return TreeAttention(runs, blockwise=False)


class DenseAttention:
    """One call of `scaled_dot_product_attention` with an ancestor mask over all flat tokens."""

    def __init__(self, runs: Sequence[Run]) -> None:
        count = max(run.stop for run in runs)
        place_N = torch.arange(count)
        self._mask_NN = torch.zeros((count, count), dtype=torch.bool)
        for run in runs:
            below = slice(run.start, run.subtree_stop)
            self._mask_NN[below, run.start : run.stop] = True
            own = slice(run.start, run.stop)
            self._mask_NN[own, own] = place_N[own, None] >= place_N[own]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Attend along the paths; shapes as in `AttentionContext.attend`."""
        out = functional.scaled_dot_product_attention(
            query, key, value, self._mask_NN, scale=scale, enable_gqa=True
        )
        return out.transpose(1, 2)
