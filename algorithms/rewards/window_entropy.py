"""Mean entropy of the tokens that follow, and how often it is high after a word of reasoning.

The window of token t is t+1 .. t+W of the same turn; the last W tokens of a turn have none.

Source: ARES (arXiv 2510.08457); shawn0728/ARES:verl/workers/rollout/vllm_rollout_spmd.py, where a
response is one turn, entropies are read off the ten likeliest tokens, and the word is the likeliest
token rather than the sampled one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range
from agentrl.algorithms.episodes import episode_index, episode_sum
from agentrl.algorithms.steps import steps

WORDS = (
    "actually", "again", "also", "alternatively", "although", "and", "another", "assume",
    "because", "before", "better", "but", "check", "consider", "could", "either", "else",
    "finally", "first", "given", "hence", "hmm", "how", "however", "if", "indeed", "instead",
    "let", "maybe", "might", "must", "need", "next", "now", "or", "otherwise", "perhaps",
    "possible", "probably", "rather", "recall", "second", "see", "should", "similarly", "since",
    "so", "still", "suppose", "sure", "then", "therefore", "though", "thus", "try", "unless",
    "until", "verify", "wait", "what", "when", "whether", "which", "while", "why", "would", "yet",
)  # fmt: skip
"""Words that open or turn a line of thought.  The list is ours; the released one is not copied."""


def candidate_entropy(logprobs: Sequence[float]) -> float:
    """Return the entropy of one token from its likeliest candidates, the rest taken as one more."""
    shares = [math.exp(value) for value in logprobs]
    tail = max(0.0, 1 - sum(shares))
    listed = -sum(share * value for share, value in zip(shares, logprobs, strict=True) if share)
    return listed - (tail * math.log(max(tail, 1e-12)) if tail else 0.0)


def plain_word(text: str) -> str:
    """Return a token's text in lower case, without spaces and the marks that stand for them."""
    return text.lstrip("\u2581\u0120").strip().lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowEntropy:
    """How windows are laid and counted.

    Attributes:
        window: W, tokens.
        words: what a token must say to be counted, in lower case.
        percentile: of an episode's windows that its threshold is.
    """

    window: int = 4
    words: tuple[str, ...] = WORDS
    percentile: float = 95.0

    def __post_init__(self) -> None:
        in_range("window", self.window, 1)
        in_range("percentile", self.percentile, 0, 100)

    def means(self, batch: Batch) -> Tensor:
        """Return the window entropy of each token [B, T], float64; NaN where it has no window."""
        valid_BT, index = batch.valid_BT, steps(batch)
        step_N = index.index_BT[valid_BT]
        order_N = torch.argsort(step_N, stable=True)
        entropy_N = batch.stat(Stat.OLD_ENTROPY)[valid_BT].double()[order_N]
        sums = torch.nn.functional.pad(entropy_N.cumsum(0), (1, 0))
        end_N = index.tokens_S.cumsum(0)[step_N[order_N]]
        last_N = torch.arange(len(step_N), device=step_N.device) + self.window
        inside_N = last_N < end_N
        start = sums[1:][inside_N]
        means_N = torch.full_like(entropy_N, math.nan)
        means_N[inside_N] = (sums[(last_N + 1)[inside_N]] - start) / self.window
        means_BT = torch.full(valid_BT.shape, math.nan, dtype=torch.float64, device=step_N.device)
        back_N = torch.empty_like(means_N)
        back_N[order_N] = means_N
        means_BT[valid_BT] = back_N
        return means_BT

    def spoken(self, batch: Batch) -> Tensor:
        """Return bool [B, T]: the sampled token is one of the words.

        Raises:
            StatisticMissing: the batch has no tokens, or nothing decodes them.
        """
        ids_BT, text = batch.need("ids_BT"), batch.need("token_text")
        words = frozenset(self.words)
        different = torch.unique(ids_BT[batch.valid_BT])
        chosen = [token for token in different.tolist() if plain_word(text(token)) in words]
        found_BT = torch.isin(ids_BT, torch.tensor(chosen, dtype=ids_BT.dtype).to(ids_BT.device))
        return found_BT & batch.valid_BT

    def counts(self, batch: Batch, threshold: float) -> Tensor:
        """Return how many words of each row's episode precede a window >= threshold [B], int."""
        high_BT = self.means(batch) >= threshold  # NaN is not
        return episode_sum(batch, (high_BT & self.spoken(batch)).sum(-1))

    def threshold(self, batch: Batch) -> float | None:
        """Return the median over episodes of the percentile of their windows; None without any."""
        means_BT, (episode_B, count) = self.means(batch), episode_index(batch)
        given_BT = ~means_BT.isnan()
        episode_N = episode_B.unsqueeze(-1).expand_as(given_BT)[given_BT]
        means_N = means_BT[given_BT][torch.argsort(episode_N, stable=True)]
        each = torch.split(means_N, torch.bincount(episode_N, minlength=count).tolist())
        found = [torch.quantile(values, self.percentile / 100) for values in each if len(values)]
        return float(torch.stack(found).quantile(0.5)) if found else None


def released_percentile(entropies: Sequence[float], window: int, percentile: float = 95.0) -> float:
    """Return a response's threshold as the released code takes it; 0 for an empty one.

    Tokens without a window repeat the mean of all values so far, or their own entropy where there
    are none.

    Args:
        entropies: of the tokens, from likeliest candidates without the rest.
        window: W.
        percentile: of the values.
    """
    values: list[float] = []
    for at, own in enumerate(entropies):
        following = entropies[at + 1 : at + 1 + window]
        if len(following) == window:
            values.append(sum(following) / window)
        else:
            values.append(sum(values) / len(values) if values else own)
    if not values:
        return 0.0
    return float(torch.tensor(values, dtype=torch.float64).quantile(percentile / 100))
