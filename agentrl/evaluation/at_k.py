"""Rates of k answers to one task: is one of them right, is the most common one right."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Hashable, Sequence

from agentrl.errors import ConfigError

LARGEST_ENUMERATION = 10_000
"""More sets than this are sampled instead of listed."""


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Return the chance that a set of k of the samples holds a correct one, unbiased.

    1 - C(samples - correct, k) / C(samples, k).  The mean over tasks is pass@k.

    Source: Chen et al., Evaluating Large Language Models Trained on Code (arXiv 2107.03374).

    Raises:
        ConfigError: not 1 <= k <= samples, or more are correct than there are.
    """
    _check(samples, k)
    if not 0 <= correct <= samples:
        raise ConfigError(f"{correct} of {samples} samples cannot be correct.")
    return 1 - math.comb(samples - correct, k) / math.comb(samples, k)


def maj_at_k(
    answers: Sequence[Hashable],
    correct: Sequence[bool],
    k: int,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> float:
    """Return the chance that the most common answer of a set of k samples is correct.

    Where several answers are equally common each is as likely to be taken; None, no answer, does
    not vote, and a set of nothing else fails.  All sets are listed up to `LARGEST_ENUMERATION` of
    them; of more, `draws` random ones are.

    Args:
        answers: one per sample; equal values vote together.
        correct: whether each sample is correct; equal for equal answers.
        k: size of the sets.
        draws: how many sets are drawn where they are too many to list.
        seed: of those draws.

    Raises:
        ConfigError: not 1 <= k <= samples, or the lists differ in length.
    """
    _check(len(answers), k)
    if len(answers) != len(correct):
        raise ConfigError(f"{len(answers)} answers, but {len(correct)} marks of correctness.")
    places = range(len(answers))
    if math.comb(len(answers), k) <= LARGEST_ENUMERATION:
        sets = list(itertools.combinations(places, k))
    else:
        generator = random.Random(seed)
        sets = [tuple(generator.sample(places, k)) for _ in range(draws)]
    right = {answer for answer, good in zip(answers, correct, strict=True) if good}
    return sum(_share_right([answers[i] for i in chosen], right) for chosen in sets) / len(sets)


def _share_right(answers: Sequence[Hashable], right: set[Hashable]) -> float:
    """Return which share of the most common answers is right."""
    votes = Counter(answer for answer in answers if answer is not None)
    if not votes:
        return 0.0
    most = max(votes.values())
    winners = [answer for answer, count in votes.items() if count == most]
    return sum(answer in right for answer in winners) / len(winners)


def _check(samples: int, k: int) -> None:
    if not 1 <= k <= samples:
        raise ConfigError(f"`k` is {k}; it must lie between 1 and the {samples} samples of a task.")
