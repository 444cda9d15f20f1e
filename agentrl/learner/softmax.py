"""Log-prob and entropy of the softmax of logits that come in tiles, and their gradient, in place.

Symbols, for each token: logits z [V], target y, L = logsumexp(z), p = softmax(z).

    log-prob l = z_y - L        entropy H = L - sum_v p_v z_v

With upstream gradients g of l and e of H:

    dz_v = g (1[v = y] - p_v) - e p_v (z_v - L + H)

A tile [C, B] holds the logits of C tokens for a block of B ids of the vocabulary.  Between blocks
three numbers per token are kept: the largest logit m, S = sum_v exp(z_v - m) and
U = sum_v exp(z_v - m) (z_v - m), from which L = m + log S and H = log S - U / S.  When m grows by
s, S becomes exp(-s) S, and U becomes exp(-s) (U - s S).

A tile is large, so passes over it are few: the parts of a formula that are numbers per token are
joined first, and results take the memory of what they are computed from.
"""

from __future__ import annotations

import torch
from torch import Tensor


class RunningSoftmax:
    """Log-probs and entropies of M tokens, summed up over blocks of the vocabulary."""

    def __init__(self, count: int, like: Tensor, *, entropy: bool) -> None:
        """Start without logits.

        Args:
            count: M.
            like: a tensor of the dtype and device of the logits.
            entropy: sum up what entropies need.
        """
        self._entropy = entropy
        self._largest_M = like.new_full((count,), torch.finfo(like.dtype).min)
        self._total_M, self._weighted_M = like.new_zeros((2, count)).unbind()
        self._chosen_M = like.new_full((count,), torch.nan)

    def add(self, part: slice, logits_CB: Tensor, places_C: Tensor) -> None:
        """Add the logits of a tile, which is overwritten.

        Args:
            part: the C of the M tokens that it is about.
            logits_CB: their logits for a block of ids.
            places_C: column of each target; targets of other blocks lie outside of [0, B).
        """
        largest_C, chosen_C = self._largest_M[part], self._chosen_M[part]
        total_C, weighted_C = self._total_M[part], self._weighted_M[part]
        columns_C1, inside_C = _columns(places_C, logits_CB)
        chosen_C.copy_(torch.where(inside_C, logits_CB.gather(1, columns_C1)[:, 0], chosen_C))
        grown_C = torch.maximum(largest_C, logits_CB.amax(-1))
        shift_C = largest_C - grown_C
        weighted_C.addcmul_(shift_C, total_C).mul_(shift_C.exp())
        total_C *= shift_C.exp()
        largest_C.copy_(grown_C)
        logits_CB -= grown_C[:, None]
        # Entropy needs logits and probabilities at once; without it one buffer is enough.
        weights_CB = logits_CB.exp() if self._entropy else logits_CB.exp_()
        total_C += weights_CB.sum(-1)
        if self._entropy:
            weighted_C += torch.bmm(weights_CB[:, None], logits_CB[:, :, None])[:, 0, 0]

    def normalisers(self) -> Tensor:
        """Return L [M]."""
        return self._largest_M + self._total_M.log()

    def logprobs(self) -> Tensor:
        """Return the log-prob of each target [M], in nats."""
        return self._chosen_M - self._largest_M - self._total_M.log()

    def entropies(self) -> Tensor:
        """Return the entropies [M], in nats; meaningless if they were not summed up."""
        return self._total_M.log() - self._weighted_M / self._total_M

    def greedy(self) -> Tensor:
        """Return whether each target is the most probable token [M]."""
        return self._chosen_M == self._largest_M


def softmax_gradient(
    logits_CB: Tensor,
    places_C: Tensor,
    normalisers_C: Tensor,
    entropies_C: Tensor,
    d_logprobs_C: Tensor | None,
    d_entropies_C: Tensor | None,
) -> Tensor:
    """Return the gradient in the logits of a tile [C, B], in their memory.

    Args:
        logits_CB: as given to `RunningSoftmax.add`; overwritten.
        places_C: as given to it.
        normalisers_C: L of the C tokens.
        entropies_C: their entropies; read only if `d_entropies_C` is given.
        d_logprobs_C: upstream gradient of their log-probs; None for zero.
        d_entropies_C: upstream gradient of their entropies; None for zero.
    """
    if d_logprobs_C is None and d_entropies_C is None:
        return logits_CB.zero_()
    if d_logprobs_C is None:
        d_logprobs_C = torch.zeros_like(normalisers_C)
    if d_entropies_C is None:
        gradient_CB = logits_CB.sub_(normalisers_C[:, None]).exp_()
        gradient_CB *= -d_logprobs_C[:, None]
    else:
        probs_CB = (logits_CB - normalisers_C[:, None]).exp_()
        constant_C = d_entropies_C * (normalisers_C - entropies_C) - d_logprobs_C
        gradient_CB = torch.addcmul(
            constant_C[:, None], logits_CB, -d_entropies_C[:, None], out=logits_CB
        )
        gradient_CB *= probs_CB
    columns_C1, inside_C = _columns(places_C, logits_CB)
    return gradient_CB.scatter_add_(1, columns_C1, (d_logprobs_C * inside_C)[:, None])


def _columns(places_C: Tensor, tile_CB: Tensor) -> tuple[Tensor, Tensor]:
    """Return the column of each target [C, 1], and [C] whether it has one; if not it is any."""
    last = tile_CB.shape[1] - 1
    return places_C.clamp(0, last)[:, None], (places_C >= 0) & (places_C <= last)
