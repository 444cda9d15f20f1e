"""Every statistic of the next token from hidden states, never holding a tokens x vocabulary matrix.

M predicted tokens, d hidden width, V vocabulary; a tile is C tokens by B ids.

The logits are computed tile by tile: once in the forward pass, which keeps a few numbers per token,
and once more in the backward pass, where the gradients of all statistics become one gradient in the
logits of the tile, and that is multiplied by the weight and by the hidden states.

Log-prob and entropy are sums over the vocabulary (`softmax.py`), so their tiles take all tokens and
a narrow block of ids: a block of the weight is then read once, and its gradient written once.  Any
other `LogitStatistic` is a function of all logits of a token and gets its gradient from autograd
over the tile; tiles are whole rows then, and log-prob and entropy are read off them as well.

The same idea, with rows, for log-prob and entropy: verl-project/verl,
verl/utils/experimental/torch_functional.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from agentrl.algorithms.statistics import LogitStatistic
from agentrl.learner.softmax import RunningSoftmax, softmax_gradient

_TILE_ELEMENTS = 1 << 22
_TILE_TOKENS = 2048
_LEAST_ROWS = 256


@dataclass(frozen=True, slots=True)
class Predictions:
    """What the head says about M tokens.

    Attributes:
        logprobs_M: log-prob of each target in nats, float32 (float64 for float64 models).
        entropies_M: entropy of the whole distribution in nats; None unless asked for.
        greedy_M: bool; the target is the most probable token.
        further: the other statistics that were asked for, each [M].
    """

    logprobs_M: Tensor
    entropies_M: Tensor | None
    greedy_M: Tensor
    further: dict[LogitStatistic, Tensor]


class Tile(NamedTuple):
    """How many tokens and how many ids of the vocabulary one tile of logits has."""

    tokens: int
    ids: int


def predict(
    hidden_Md: Tensor,
    weight_Vd: Tensor,
    targets_M: Tensor,
    *,
    temperature: float = 1.0,
    entropy: bool = False,
    further: Iterable[LogitStatistic] = (),
    tile: Tile | None = None,
) -> Predictions:
    """Compute log-probs of target tokens and other statistics of the distributions they are from.

    All but `greedy_M` are differentiable, once, in `hidden` and `weight`.

    Args:
        hidden_Md: hidden states [M, d] that the output layer is applied to.
        weight_Vd: weight of the output layer [V, d].
        targets_M: token ids [M]; the log-prob of an id that is not in the vocabulary is NaN.
        temperature: divides the logits; must be positive.
        entropy: also return entropies.
        further: also return these.
        tile: by default `tile_of`; with `further`, tiles are whole rows.
    """
    statistics = tuple(further)
    if tile is None:
        tile = tile_of(len(targets_M), len(weight_Vd), rows=bool(statistics))
    elif statistics:
        tile = tile._replace(ids=len(weight_Vd))
    request = _Request(temperature, entropy, statistics, tile)
    logprobs, entropies, greedy, *values = _TiledHead.apply(  # type: ignore[no-untyped-call]
        hidden_Md, weight_Vd, targets_M, request
    )
    others = dict(zip(statistics, values, strict=True))
    return Predictions(logprobs, entropies if entropy else None, greedy, others)


def tile_of(tokens: int, vocabulary: int, *, rows: bool = False) -> Tile:
    """Return the tile for so many tokens: 16 MiB of float32 logits.

    Args:
        tokens: M.
        vocabulary: V.
        rows: whole rows of the vocabulary; then the tile is larger if 16 MiB do not hold 256 rows,
            with fewer of which the matrix products would spend their time on reading the weight.
    """
    if rows:
        return Tile(max(_LEAST_ROWS, _TILE_ELEMENTS // vocabulary), vocabulary)
    height = max(1, min(tokens, _TILE_TOKENS))
    return Tile(height, min(vocabulary, _TILE_ELEMENTS // height))


@dataclass(frozen=True, slots=True)
class _Request:
    temperature: float
    entropy: bool
    further: tuple[LogitStatistic, ...]
    tile: Tile


class _TiledHead(torch.autograd.Function):
    """Returns log-probs, entropies, greedy and each further statistic, all [M]."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, request: _Request
    ) -> tuple[Tensor, ...]:
        like = hidden.new_empty(0, dtype=_precise(hidden))
        softmax = RunningSoftmax(len(targets), like, entropy=request.entropy)
        further = like.new_zeros((len(request.further), len(targets)))
        for block in _slices(len(weight), request.tile.ids):
            for part in _slices(len(targets), request.tile.tokens):
                places = targets[part] - block.start
                logits = _logits(hidden[part], weight[block], request.temperature)
                for values, statistic in zip(further, request.further, strict=True):
                    values[part] = statistic.of_logits(logits, places)
                softmax.add(part, logits, places)
                del logits  # or it would be kept while the next tile is computed
        entropies, greedy = softmax.entropies(), softmax.greedy()
        ctx.save_for_backward(hidden, weight, targets, softmax.normalisers(), entropies)
        ctx.request = request
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(greedy)
        return softmax.logprobs(), entropies, greedy, *further.unbind()

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, *upstream: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, None, None]:
        hidden, weight, targets, normalisers, entropies = ctx.saved_tensors
        work = _Backward(hidden, weight, targets, normalisers, entropies, ctx.request, upstream)
        of_hidden, of_weight, *_ = ctx.needs_input_grad
        return *work.gradients(of_hidden=of_hidden, of_weight=of_weight), None, None


@dataclass(frozen=True, slots=True)
class _Backward:
    """The backward pass of `_TiledHead`."""

    hidden_Md: Tensor
    weight_Vd: Tensor
    targets_M: Tensor
    normalisers_M: Tensor
    entropies_M: Tensor
    request: _Request
    upstream: Sequence[Tensor | None]
    """Gradients of all results of `_TiledHead`; None for zero."""

    def gradients(self, *, of_hidden: bool, of_weight: bool) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients of hidden states and weight, None where not asked for."""
        hidden_Md, weight_Vd = self.hidden_Md, self.weight_Vd
        d_hidden_Md = torch.zeros_like(hidden_Md, dtype=_precise(hidden_Md)) if of_hidden else None
        d_weight_Vd = torch.zeros_like(weight_Vd) if of_weight else None
        for block in _slices(len(weight_Vd), self.request.tile.ids):
            # In a float32 model `total` is a part of `d_weight`, and nothing is copied.
            total_Bd = None if d_weight_Vd is None else d_weight_Vd[block].to(_precise(weight_Vd))
            for part in _slices(len(hidden_Md), self.request.tile.tokens):
                d_logits_CB = self._of_logits(block, part).to(weight_Vd.dtype)
                if d_hidden_Md is not None:
                    _add_product(d_hidden_Md[part], d_logits_CB, weight_Vd[block])
                if total_Bd is not None:
                    _add_product(total_Bd, d_logits_CB.T, hidden_Md[part])
                del d_logits_CB  # or it would be kept while the next tile is computed
            if d_weight_Vd is not None and total_Bd is not None:
                d_weight_Vd[block] = total_Bd
        return None if d_hidden_Md is None else d_hidden_Md.to(hidden_Md.dtype), d_weight_Vd

    def _of_logits(self, block: slice, part: slice) -> Tensor:
        """Return the sum of the gradients of all statistics in a tile's product [C, B]."""
        temperature = self.request.temperature
        logits_CB = _logits(self.hidden_Md[part], self.weight_Vd[block], temperature)
        places_C = self.targets_M[part] - block.start
        d_logprobs_C, d_entropies_C, _, *d_further = (
            None if gradient_M is None else gradient_M[part] for gradient_M in self.upstream
        )
        further_CB = _further_gradient(self.request.further, logits_CB, places_C, d_further)
        sums_C = self.normalisers_M[part], self.entropies_M[part]
        gradient_CB = softmax_gradient(logits_CB, places_C, *sums_C, d_logprobs_C, d_entropies_C)
        if further_CB is not None:
            gradient_CB += further_CB
        return gradient_CB if temperature == 1.0 else gradient_CB.div_(temperature)


def _further_gradient(
    statistics: Sequence[LogitStatistic],
    logits_CV: Tensor,
    targets_C: Tensor,
    upstream: Sequence[Tensor | None],
) -> Tensor | None:
    """Return the sum of the gradients of further statistics in logits; None where all are zero."""
    leaf_CV = logits_CV.detach().requires_grad_()
    for statistic, d_values_C in zip(statistics, upstream, strict=True):
        if d_values_C is not None:
            with torch.enable_grad():
                values_C = statistic.of_logits(leaf_CV, targets_C)
            if values_C.requires_grad:
                torch.autograd.backward(values_C, d_values_C, inputs=[leaf_CV])
    return leaf_CV.grad


def _logits(hidden_Cd: Tensor, weight_Bd: Tensor, temperature: float) -> Tensor:
    """Return a tile of logits in at least float32; the product itself is in the model's dtype."""
    logits_CB = (hidden_Cd @ weight_Bd.T).to(_precise(weight_Bd))
    return logits_CB if temperature == 1.0 else logits_CB.div_(temperature)


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add `left @ right`; where `total` is more precise, in parts, as each takes memory first."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
        return
    rows = (torch.split(tensor, _TILE_TOKENS) for tensor in (total, left))
    for total_part, left_part in zip(*rows, strict=True):
        total_part += left_part @ right


def _precise(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, count, size))
