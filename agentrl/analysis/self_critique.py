"""Was a task trained on?  Self-Critique, and the detectors it is compared with.

Self-Critique asks twice: for an answer, and, with this answer shown, for one found in another way.
A policy that reinforcement learning has collapsed onto one path writes both with the same
entropies, so a high score means: trained on.

Source: arXiv 2510.09259, yongding-tao/RL-Data-Contamination: detectors/*.py and
generate_full_data.py.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import Levenshtein

LEAST_VARIANCE = 1e-6
"""Floor of the variance of log-probs, as in the released code."""


def self_critique_score(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the cosine of two entropy lists, shrunk where their lengths differ.

    The shorter list is filled with zeros; the cosine is multiplied by the shorter length over the
    longer one.

    Args:
        first: entropy of each token of the first answer, in nats.
        second: the same of the second answer.

    Returns:
        A number in [0, 1]; 0 where a list is empty or all zero.
    """
    if not len(first) or not len(second):
        return 0.0
    shorter, longer = sorted((len(first), len(second)))
    one, other = np.zeros(longer), np.zeros(longer)
    one[: len(first)], other[: len(second)] = first, second
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / size * shorter / longer if size > 0 else 0.0


@dataclass(frozen=True, slots=True)
class TopKStatistics:
    """What the most probable tokens of each position say about its distribution.

    Attributes:
        entropies: -sum p ln p over them, in nats.
        means: sum p ln p.
        deviations: standard deviation of ln p under p, at least 0.001.
        logprobs: ln p of the token that was sampled; None where it is not among them.
    """

    entropies: list[float]
    means: list[float]
    deviations: list[float]
    logprobs: list[float | None]


def topk_statistics(
    top_logprobs: Sequence[Mapping[Hashable, float]],
    token_ids: Sequence[Hashable],
    *,
    k: int | None = None,
    renormalise: bool = False,
) -> TopKStatistics:
    """Return entropies and moments from top-k log-probs, for engines that give no more.

    Args:
        top_logprobs: for each position, log-prob by token; positions without any are left out of
            the first three lists.
        token_ids: the sampled tokens.
        k: use only the k most probable; None uses all.
        renormalise: let the probabilities add up to 1; the released code does not.
    """
    entropies, means, deviations = [], [], []
    chosen: list[float | None] = []
    for position, token in zip(top_logprobs, token_ids, strict=True):
        kept = sorted(position.items(), key=lambda item: -item[1])[:k]
        chosen.append(dict(kept).get(token))
        if not kept:
            continue
        logs = np.array([value for _, value in kept], dtype=float)
        if renormalise:
            logs = logs - np.logaddexp.reduce(logs)
        p = np.exp(logs)
        mean = float(p @ logs)
        entropies.append(-mean)
        means.append(mean)
        deviations.append(math.sqrt(max(float(p @ logs**2) - mean**2, LEAST_VARIANCE)))
    return TopKStatistics(entropies, means, deviations, chosen)


def perplexity(logprobs: Sequence[float]) -> float:
    """Return exp of the mean negative log-prob; low where memorised, NaN of nothing."""
    return math.exp(-float(np.mean(logprobs))) if len(logprobs) else math.nan


def min_k(logprobs: Sequence[float], ratio: float = 0.2) -> float:
    """Return the mean of the lowest log-probs; high where memorised, NaN of nothing.

    The released code returns its negative and still takes high for memorised; Min-K% Prob (Shi et
    al., arXiv 2310.16789) means this sign.

    Args:
        logprobs: of each token, in nats.
        ratio: share of the tokens that is averaged, rounded down, at least one.
    """
    return _lowest(np.array(logprobs, dtype=float), ratio)


def min_k_plus_plus(
    logprobs: Sequence[float],
    means: Sequence[float],
    deviations: Sequence[float],
    ratio: float = 0.2,
) -> float:
    """Return `min_k` of log-probs standardised by mean and deviation of ln p at their positions."""
    scores = (np.array(logprobs, dtype=float) - np.array(means)) / np.array(deviations)
    return _lowest(scores, ratio)


def _lowest(values: np.ndarray[tuple[int], np.dtype[np.float64]], ratio: float) -> float:
    if not len(values):
        return math.nan
    return float(np.sort(values)[: max(1, int(len(values) * ratio))].mean())


def recall_ratio(perturbed: Sequence[float], original: Sequence[float]) -> float:
    """Return the mean log-prob of the answer to a perturbed prompt over that to the original one.

    High where memorised; NaN where a list is empty or the original answer is certain.
    """
    if not len(perturbed) or not len(original) or not np.mean(original):
        return math.nan
    return float(np.mean(perturbed) / np.mean(original))


def edit_distance(
    first: Sequence[Hashable], second: Sequence[Hashable], max_tokens: int = 100
) -> int:
    """Return the Levenshtein distance of two token lists.

    Both are cut to `max_tokens` where both are longer, as in the released code; where one is
    shorter, neither is cut.
    """
    if min(len(first), len(second)) > max_tokens:
        first, second = first[:max_tokens], second[:max_tokens]
    return Levenshtein.distance(first, second)


def peak(
    greedy: Sequence[Hashable],
    samples: Sequence[Sequence[Hashable]],
    alpha: float = 0.05,
    max_tokens: int = 100,
) -> float:
    """Return the share of samples that are close to the greedy answer (CDD); high where memorised.

    Args:
        greedy: tokens of the greedy answer.
        samples: tokens of sampled answers; empty ones are left out.
        alpha: close is an edit distance of at most `alpha` times the mean length of all answers.
        max_tokens: see `edit_distance`.

    Returns:
        A number in [0, 1]; NaN where there is nothing to compare.
    """
    kept = [sample for sample in samples if len(sample)]
    if not len(greedy) or not kept:
        return math.nan
    limit = alpha * float(np.mean([len(answer) for answer in (*samples, greedy)]))
    return float(np.mean([edit_distance(greedy, one, max_tokens) <= limit for one in kept]))
