"""Which tokens use up entropy: covariance of log-probs and advantages.

For a softmax policy a policy-gradient step changes the entropy of a state by about
-Cov(log pi(a|s), pi(a|s) A(s, a)) times its size, so tokens that were likely already and are
rewarded, or unlikely and punished, use entropy up.

Source: arXiv 2505.22617 (Theorem 1 and Eq. 10), PRIME-RL/Entropy-Mechanism-of-RL.  The
discriminator S = p (H + ln p) is that of "On the Entropy Dynamics in RFT" (arXiv 2602.03392): a
push of the token's logit by e changes entropy by -e S, and a step by -(S - E[S]) times size and
advantage.  Sums over the vocabulary are not stored in rollouts; E[S] is the mean over sampled
tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentrl.analysis.source import Numbers
from agentrl.tree import Tree

EPSILON = 1e-6
"""Added to the deviation of a group's rewards."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The sampled tokens of a step, N of them.

    Attributes:
        logprobs: under the policy that sampled them, in nats [N].
        entropies: of the distributions they were drawn from, in nats; NaN where unknown [N].
        advantages: group-relative advantage of their episode [N].
        turns: turn of their episode, from 0 [N].
        positions: place among the episode's sampled tokens, in [0, 1) [N].
    """

    logprobs: Numbers
    entropies: Numbers
    advantages: Numbers
    turns: NDArray[np.int64]
    positions: Numbers

    def __len__(self) -> int:
        return len(self.logprobs)


def group_advantages(rewards: Sequence[float]) -> list[float]:
    """Return (reward - mean) / (deviation + 1e-6), deviation with n - 1; 0 where all are equal."""
    values = np.array(rewards, dtype=float)
    if len(values) < 2 or values.max() == values.min():
        return [0.0] * len(values)
    return [float(v) for v in (values - values.mean()) / (values.std(ddof=1) + EPSILON)]


def tokens_of(trees: Iterable[Tree]) -> Tokens:
    """Return the sampled tokens of all episodes that count; tokens without log-prob are left out.

    A span that several episodes of a tree share counts for each of them.
    """
    rows: list[tuple[float, float, float, int, float]] = []
    for tree in trees:
        episodes = tree.counted()
        for episode, advantage in zip(
            episodes, group_advantages([e.reward for e in episodes]), strict=True
        ):
            nodes = [node for node in tree.model_nodes(episode) if node.logprobs]
            total, at = sum(len(node.ids) for node in nodes), 0
            for node in nodes:
                entropies = node.entropies or [math.nan] * len(node.ids)
                for logprob, entropy in zip(node.logprobs, entropies, strict=True):
                    rows.append((logprob, entropy, advantage, node.turn, at / total))
                    at += 1
    columns = np.array(rows, dtype=float).reshape(-1, 5).T
    return Tokens(columns[0], columns[1], columns[2], columns[3].astype(np.int64), columns[4])


def covariance_terms(first: ArrayLike, second: ArrayLike) -> Numbers:
    """Return (x - mean x)(y - mean y) [N]; their mean is the covariance."""
    x, y = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    return (x - x.mean()) * (y - y.mean()) if len(x) else x


def discriminator(logprobs: ArrayLike, entropies: ArrayLike) -> Numbers:
    """Return S = p (H + ln p) [N]; positive where a push of the token's logit lowers entropy."""
    logs = np.asarray(logprobs, dtype=float)
    return np.asarray(np.exp(logs) * (np.asarray(entropies, dtype=float) + logs))


def top_share(terms: ArrayLike, share: float) -> float:
    """Return how much of the sum of |terms| the largest of them carry.

    Args:
        terms: one number per token [N].
        share: of the tokens, rounded up.

    Returns:
        A number in [0, 1]; NaN where all terms are 0.
    """
    sizes = np.sort(np.abs(np.asarray(terms, dtype=float)))[::-1]
    total = float(sizes.sum())
    return float(sizes[: math.ceil(share * len(sizes))].sum()) / total if total > 0 else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCovariance:
    """One step; every mean is over its sampled tokens.

    Attributes:
        step: training step.
        tokens: sampled tokens with a log-prob.
        entropy: mean entropy in nats.
        covariance: of log-prob and advantage.
        positive: the part of it from tokens with a positive advantage.
        negative: the part from tokens with a negative one.
        neutral: the rest, from tokens with advantage 0.
        top_share: share of the sum of |terms| that the top tokens carry.
        weighted: covariance of log-prob and probability times advantage, the theorem's; the
            advantage is taken less its mean over tokens.
        discriminator: mean of S.
        pushed: covariance of S and advantage.
    """

    step: int
    tokens: int
    entropy: float
    covariance: float
    positive: float
    negative: float
    neutral: float
    top_share: float
    weighted: float
    discriminator: float
    pushed: float


def step_covariance(step: int, tokens: Tokens, top: float = 0.02) -> StepCovariance:
    """Return the numbers of a step with at least one token.

    Args:
        step: training step.
        tokens: what was sampled in it.
        top: share of the tokens that are called top tokens.
    """
    terms = covariance_terms(tokens.logprobs, tokens.advantages)
    known = ~np.isnan(tokens.entropies)
    signal = discriminator(tokens.logprobs[known], tokens.entropies[known])
    count = len(tokens)
    # On-policy a constant advantage changes nothing in expectation; left in, it would be noise.
    weighted = np.exp(tokens.logprobs) * (tokens.advantages - tokens.advantages.mean())
    return StepCovariance(
        step=step,
        tokens=count,
        entropy=float(tokens.entropies[known].mean()) if known.any() else math.nan,
        covariance=float(terms.mean()),
        positive=float(terms[tokens.advantages > 0].sum()) / count,
        negative=float(terms[tokens.advantages < 0].sum()) / count,
        neutral=float(terms[tokens.advantages == 0].sum()) / count,
        top_share=top_share(terms, top),
        weighted=float(covariance_terms(tokens.logprobs, weighted).mean()),
        discriminator=float(signal.mean()) if len(signal) else math.nan,
        pushed=float(covariance_terms(signal, tokens.advantages[known]).mean())
        if len(signal)
        else math.nan,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How well a predictor predicts the change of entropy.

    Attributes:
        scale: best factor on it, by least squares through the origin.
        correlation: Pearson's; NaN where one side does not vary.
        same_sign: share of the changes with the predicted sign.
    """

    scale: float
    correlation: float
    same_sign: float


def agreement(predicted: ArrayLike, measured: ArrayLike) -> Agreement:
    """Compare predictions, known up to a factor, with what was measured; both [N], N > 0."""
    x, y = np.asarray(predicted, dtype=float), np.asarray(measured, dtype=float)
    square = float(x @ x)
    spread = float(np.std(x) * np.std(y))
    return Agreement(
        scale=float(x @ y) / square if square > 0 else math.nan,
        correlation=float(covariance_terms(x, y).mean()) / spread if spread > 0 else math.nan,
        same_sign=float((np.sign(x) == np.sign(y)).mean()),
    )
