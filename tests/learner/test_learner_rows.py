from collections import Counter

import pytest
import torch
from learner_samples import make_task, random_forest

from agentrl.algorithms.batch import Stat
from agentrl.learner.rows import rows
from agentrl.tree import Episode, Forest, StopReason, Tree, Writer


@pytest.mark.parametrize("seed", range(20))
def test_every_sampled_token_of_a_counted_episode_is_in_exactly_one_of_its_rows(seed: int) -> None:
    forest = random_forest(seed)
    found = rows(forest)
    placed = Counter((r.tree, r.episode, node) for r in found.rows for node in r.nodes)
    wanted = {
        (number, index, node.id)
        for number, tree in enumerate(forest.trees)
        for index, episode in enumerate(tree.episodes)
        if episode.counts
        for node in tree.model_nodes(episode)
    }
    assert set(placed) == wanted
    assert set(placed.values()) <= {1}
    lengths = [sum(len(node.ids) for node in found.spans(row)) for row in found.rows]
    assert found.batch.mask_BT.sum(-1).tolist() == lengths


@pytest.mark.parametrize("seed", range(10))
def test_token_rewards_of_an_episode_add_up_to_its_return(seed: int) -> None:
    found = rows(random_forest(seed))
    batch = found.batch
    assert batch.rewards_BT is not None
    for episode in batch.episodes_B.unique():
        own = batch.episodes_B == episode
        total = batch.rewards_BT[own].sum()
        assert torch.allclose(total, batch.returns_B[own][0], atol=1e-5)


def two_sequences() -> Forest:
    """One episode whose second sequence repeats a sampled span of the first, and a failed one."""
    tree = Tree(id="t", task=make_task())
    prompt = tree.add(None, Writer.ENVIRONMENT, [1, 2])
    first = tree.add(prompt.id, Writer.MODEL, [3, 4], logprobs=[-1.0, -2.0], reward=0.25)
    second = tree.add(
        first.id, Writer.MODEL, [5], turn=1, logprobs=[-3.0], entropies=[0.5], reward=0.5
    )
    tree.episodes = [
        Episode(id=0, sequences=[first.id, second.id], stop=StopReason.TRUNCATED_TURNS, reward=1.0),
        Episode(id=1, sequences=[second.id], stop=StopReason.ENV_TIMEOUT, reward=9.0),
    ]
    return Forest([tree])


def test_a_hand_made_tree_gives_the_expected_rows() -> None:
    found = rows(two_sequences())
    batch = found.batch
    assert [row.nodes for row in found.rows] == [(1,), (2,)]
    assert batch.mask_BT.tolist() == [[1, 1], [1, 0]]
    assert batch.turns_BT.tolist() == [[0, 0], [1, -1]]
    assert batch.episodes_B.tolist() == [0, 0]
    assert batch.rewards_BT is not None
    # 0.5 + 0.25 came from spans; the episode's remaining 0.25 goes to its last token.
    assert batch.rewards_BT.tolist() == [[0, 0.25], [0.75, 0]]
    assert batch.truncated_B is not None
    assert batch.truncated_B.tolist() == [True, True]
    assert batch.stats[Stat.ROLLOUT_LOGPROBS].tolist() == [[-1, -2], [-3, 0]]
    assert Stat.OLD_ENTROPY not in batch.stats  # measured for one span only


def test_groups_are_trees_and_failed_episodes_leave_no_row() -> None:
    forest = random_forest(4, trees=5)
    found = rows(forest)
    assert found.batch.groups_B.tolist() == [row.tree for row in found.rows]
    assert all(forest.trees[r.tree].episodes[r.episode].counts for r in found.rows)
    for tree in forest.trees:
        tree.episodes = [episode for episode in tree.episodes if not episode.counts]
    assert rows(forest).rows == ()
    assert rows(forest).batch.mask_BT.shape == (0, 0)
