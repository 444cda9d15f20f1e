import pytest

from agentrl.evaluation import score_forest, wilson_interval
from agentrl.tree import Forest, StopReason, Tree
from agentrl.types import Task


def make_tree(name, outcomes, task_type=""):
    tree = Tree(name, Task(id=name, env_id="x", task_type=task_type))
    for stop, success in outcomes:
        tree.add_episode(stop=stop, metrics={"success": success, "score": success}, turns=4)
    return tree


def test_success_is_averaged_over_tasks_and_failures_are_in_no_mean():
    done, error = StopReason.TERMINATED, StopReason.ENV_ERROR
    forest = Forest(
        [
            make_tree("a", [(done, 1.0), (error, 0.0)], "easy"),
            make_tree("b", [(done, 0.0), (done, 1.0)], "hard"),
            make_tree("c", [(error, 0.0)], "hard"),
        ]
    )
    score = score_forest(forest, "panel", "hash")
    assert score.success == pytest.approx((1.0 + 0.5) / 2)
    assert (score.tasks, score.episodes) == (2, 3)
    assert score.failed == {"env_error/unknown": 2}
    assert score.by_type == {"easy": 1.0, "hard": 0.5}
    assert score.stops == {"terminated": pytest.approx(1.0)}


def test_wilson_interval_matches_published_values():
    # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I, method 3.
    low, high = wilson_interval(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    low, high = wilson_interval(0, 20)
    assert (round(low, 4), round(high, 4)) == (0.0, 0.1611)


def test_nothing_scored_gives_the_widest_interval():
    score = score_forest(Forest([make_tree("a", [(StopReason.ENV_TIMEOUT, 0.0)])]), "p", "h")
    assert score.success_interval == (0.0, 1.0)
    assert score.episodes == 0
