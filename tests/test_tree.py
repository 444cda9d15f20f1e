"""A tree used throughout:

0 prompt ─ 1 model ─ 2 observation ┬ 3 model (episode 0)
                                   └ 4 model (episode 1, branched)
5 prompt ─ 6 model                          (episode 1, second sequence)
"""

from __future__ import annotations

import pytest

from agentrl.errors import DataError
from agentrl.tree import Forest, StopReason, Tree, Writer
from agentrl.types import Task


@pytest.fixture
def tree() -> Tree:
    tree = Tree("t", Task(id="1", env_id="agentrl/Test-v0"))

    def model(parent: int, ids: list[int], turn: int) -> int:
        logprobs = [-1.0] * len(ids)
        return tree.add(parent, Writer.MODEL, ids, turn=turn, logprobs=logprobs).id

    root = tree.add(None, Writer.ENVIRONMENT, [1, 2, 3])
    first = model(root.id, [4, 5], 0)
    shown = tree.add(first, Writer.ENVIRONMENT, [6], turn=1)
    left, right = model(shown.id, [7], 1), model(shown.id, [8, 9], 1)
    window = tree.add(None, Writer.ENVIRONMENT, [1, 6], turn=2)
    last = model(window.id, [10], 2)
    tree.add_episode(sequences=[left], stop=StopReason.TERMINATED)
    tree.add_episode(sequences=[right, last], stop=StopReason.TRUNCATED_TURNS, parent_episode=0)
    return tree


def test_a_sequence_is_the_ids_from_root_to_node(tree):
    assert tree.ids(3) == [1, 2, 3, 4, 5, 6, 7]
    assert tree.ids(4) == [1, 2, 3, 4, 5, 6, 8, 9]
    assert tree.ids(6) == [1, 6, 10]
    assert [node.id for node in tree.path(4)] == [0, 1, 2, 4]


def test_the_model_turns_of_an_episode_come_in_time_order_and_once(tree):
    assert [node.id for node in tree.model_nodes(tree.episodes[0])] == [1, 3]
    assert [node.id for node in tree.model_nodes(tree.episodes[1])] == [1, 4, 6]


def test_shared_tokens_are_stored_once(tree):
    assert tree.token_counts() == (12, 7 + 8 + 3)


def test_failed_and_running_episodes_do_not_count(tree):
    for stop in (StopReason.ENV_ERROR, StopReason.CANCELLED, None):
        tree.add_episode(stop=stop, error_kind="died" if stop else "")
    assert [episode.id for episode in tree.counted()] == [0, 1]
    forest = Forest([tree])
    assert [episode.id for _, episode in forest.counted()] == [0, 1]
    assert forest.failures() == {"env_error/died": 1, "cancelled/died": 1}


def test_exactly_the_reasons_outside_the_policy_are_failures():
    assert {reason for reason in StopReason if reason.failed} == {
        StopReason.ENV_ERROR,
        StopReason.ENV_TIMEOUT,
        StopReason.ENGINE_ERROR,
        StopReason.CANCELLED,
    }


def test_a_sound_tree_passes_the_check(tree):
    tree.check()


@pytest.mark.parametrize(
    ("node", "field", "value", "message"),
    [
        (1, "logprobs", [-1.0], "2 ids, 1 log-probs"),
        (0, "logprobs", [-1.0] * 3, "3 ids, 3 log-probs"),
        (1, "entropies", [0.5], "1 entropies for 2 ids"),
        (1, "versions", [(0, 1)], "do not add up to 2"),
        (1, "parent", 2, "out of order"),
        (1, "id", 7, "out of order"),
    ],
)
def test_inconsistent_nodes_are_refused(tree, node, field, value, message):
    setattr(tree.nodes[node], field, value)
    with pytest.raises(DataError, match=message):
        tree.check()


@pytest.mark.parametrize("last", [7, -1])
def test_an_episode_that_ends_in_a_missing_node_is_refused(tree, last):
    tree.episodes[0].sequences = [last]
    with pytest.raises(DataError, match="missing node"):
        tree.check()


def test_sorting_makes_trees_equal_whatever_the_order_of_arrival(tree):
    shuffled = Tree(tree.id, tree.task)
    places: dict[int, int] = {}
    for old in (5, 0, 1, 6, 2, 4, 3):
        node = tree.nodes[old]
        parent = None if node.parent is None else places[node.parent]
        new = shuffled.add(parent, node.writer, node.ids, turn=node.turn, logprobs=node.logprobs)
        places[old] = new.id
    for episode in tree.episodes:
        shuffled.add_episode(
            sequences=[places[last] for last in episode.sequences],
            stop=episode.stop,
            parent_episode=episode.parent_episode,
        )
    assert shuffled != tree
    tree.sort()
    shuffled.sort()
    shuffled.check()
    assert shuffled == tree
