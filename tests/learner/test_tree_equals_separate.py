"""Training on trees is training on every trajectory separately, for every algorithm."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from agentrl.algorithms import names
from agentrl.algorithms.statistics import Statistic
from agentrl.learner.measure import Measure
from agentrl.learner.rows import rows
from agentrl.tree import Forest
from tests.learner.branching_forests import (
    branch_levels,
    branching_forest,
    forks_inside_turns,
    separate,
)
from tests.learner.learner_samples import tiny_model
from tests.learner.tree_and_separate import compare

FORESTS = [branching_forest(90), branching_forest(99)]


def test_the_forests_have_every_shape_that_is_claimed() -> None:
    trees = [tree for forest in FORESTS for tree in forest.trees]
    assert max(map(branch_levels, trees)) >= 5
    assert sum(map(forks_inside_turns, trees)) >= 4
    unique, apart = zip(*(tree.token_counts() for tree in trees), strict=True)
    assert sum(apart) > 3 * sum(unique)
    episodes = [episode for tree in trees for episode in tree.episodes]
    assert any(len(episode.sequences) > 2 for episode in episodes)
    assert any(not episode.counts for episode in episodes)
    assert any(episode.given and episode.counts for episode in episodes)
    ends = {(id(tree), last) for tree in trees for e in tree.episodes for last in e.sequences}
    assert any((id(tree), node.parent) in ends for tree in trees for node in tree.nodes)


@pytest.mark.parametrize("forest", FORESTS)
def test_separate_episodes_are_the_same_batch_but_for_what_is_shared(forest: Forest) -> None:
    ours, theirs = rows(forest).batch, rows(separate(forest)).batch
    for field in dataclasses.fields(ours):
        one, other = getattr(ours, field.name), getattr(theirs, field.name)
        if isinstance(one, torch.Tensor) and field.name not in ("spans_BT", "given_BN"):
            assert torch.equal(one, other), field.name
    assert all(torch.equal(ours.stats[name], theirs.stats[name]) for name in ours.stats)
    assert ours.stats.keys() == theirs.stats.keys()


RANKING = ("clip_cov", "clip_v", "d3s", "forking_tokens", "kl_cov", "lp_reg", "m2po")
"""Algorithms that choose tokens by the rank of a statistic."""


@pytest.fixture
def exact_ties(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let copies of a shared token tie, as in exact arithmetic, wherever they are computed.

    In the tree they are one token.  Computed separately they differ in the last digit, and where a
    ranking ends between two copies, it takes one of them for no reason.
    """
    frozen = Measure.frozen

    def on_a_grid(*arguments: Any, **options: Any) -> dict[Statistic, torch.Tensor]:
        found = frozen(*arguments, **options)
        return {name: (values * 2**36).round() / 2**36 for name, values in found.items()}

    monkeypatch.setattr(Measure, "frozen", on_a_grid)


@pytest.mark.parametrize("name", names())
def test_loss_and_every_gradient_are_equal_to_1e_10_in_float64(
    name: str, request: pytest.FixtureRequest
) -> None:
    if name in RANKING:
        request.getfixturevalue("exact_ties")
    compare(tiny_model, name, FORESTS, 1e-10, updates_per_step=2)
