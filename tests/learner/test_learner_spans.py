"""Rows say which tokens are stored once, and which spans were given to an episode."""

from __future__ import annotations

import pytest
import torch

from agentrl.algorithms import estimate_advantages, get
from agentrl.learner.rows import rows
from agentrl.tree import Episode, Forest, StopReason, Tree, Writer
from tests.learner.branching_forests import branching_forest, separate
from tests.learner.learner_samples import make_task, random_forest


@pytest.mark.parametrize("seed", range(6))
def test_tokens_have_equal_spans_exactly_where_they_are_of_one_node(seed: int) -> None:
    found = rows(branching_forest(seed, trees=3))
    spans_BT = found.batch.spans_BT
    assert spans_BT is not None
    seen: dict[int, tuple[int, int]] = {}
    for row, numbers in zip(found.rows, spans_BT.tolist(), strict=True):
        wanted = [(row.tree, node.id) for node in found.spans(row) for _ in node.ids]
        for number, place in zip(numbers, wanted, strict=False):
            assert seen.setdefault(number, place) == place
        assert set(numbers[len(wanted) :]) <= {-1}
    assert len(set(seen.values())) == len(seen)
    assert -1 not in seen


def given_forest() -> Forest:
    """Two trees; in the second, episode 1 was given the first turn of episode 0."""
    trees = []
    for name in ("a", "b"):
        tree = Tree(id=name, task=make_task())
        prompt = tree.add(None, Writer.ENVIRONMENT, [1, 2])
        first = tree.add(prompt.id, Writer.MODEL, [3, 4], logprobs=[-1.0, -1.0])
        ends = [
            tree.add(first.id, Writer.MODEL, [5 + n], turn=1, logprobs=[-1.0]).id for n in (0, 1)
        ]
        given = [first.id] if name == "b" else []
        stop = StopReason.TERMINATED
        tree.add_episode(sequences=[ends[0]], stop=stop, reward=1.0)
        tree.add_episode(sequences=[ends[1]], stop=stop, reward=0.0, given=given)
        trees.append(tree)
    return Forest(trees)


def test_given_spans_are_named_and_not_trained() -> None:
    batch = rows(given_forest()).batch
    assert batch.spans_BT is not None
    assert batch.given_BN is not None
    assert batch.spans_BT.tolist() == [[1, 1, 2], [1, 1, 3], [5, 5, 6], [7, -1, -1]]
    assert batch.given_BN.tolist() == [[-1], [-1], [-1], [5]]
    advantages = estimate_advantages(
        get("grpo", advantage={"name": "subtree", "scale": "none"}), batch
    ).advantages
    assert advantages.tolist() == [[0, 0, 0.5], [0, 0, -0.5], [0, 0, 0.5], [-0.5, 0, 0]]
    assert rows(random_forest(0)).batch.given_BN is None


@pytest.mark.parametrize("seed", range(6))
def test_forests_without_shared_nodes_have_flat_credit(seed: int) -> None:
    forest = separate(branching_forest(seed))
    batch = rows(forest).batch
    flat = estimate_advantages(get("arpo"), batch).advantages
    for credit in ("subtree", "step"):
        assert torch.equal(estimate_advantages(get("arpo", credit=credit), batch).advantages, flat)
    shared = rows(branching_forest(seed)).batch
    credited = estimate_advantages(get("arpo", credit="subtree"), shared).advantages
    assert not torch.equal(credited, flat)


def test_failed_episodes_leave_no_value_behind() -> None:
    forest = given_forest()
    before = estimate_advantages(get("arpo", credit="step"), rows(forest).batch).advantages
    for tree in forest.trees:
        tree.episodes.append(Episode(id=2, sequences=[2], stop=StopReason.ENV_ERROR, reward=9.0))
    after = estimate_advantages(get("arpo", credit="step"), rows(forest).batch).advantages
    assert torch.equal(before, after)
